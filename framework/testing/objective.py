"""Contract of objectives."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest
import torch
from tensordict import TensorDict

from bfmkit.interfaces import EnvironmentSpec, Objective

SPEC = EnvironmentSpec("walker", 5, 2, 4, 100, 0.02, ("a", "b"))


def transitions(rows: int) -> TensorDict:
    """Random transitions of ``SPEC``, always the same, some of them terminal; and what comes later."""
    generator = torch.Generator().manual_seed(1)
    s, following = torch.randn(2, rows, SPEC.observation_size, generator=generator)
    action = torch.rand(rows, SPEC.action_size, generator=generator) * 2 - 1
    terminated = torch.arange(rows) % 7 == 0
    future = torch.randn(rows, SPEC.observation_size, generator=generator)
    return TensorDict(
        {
            "observation": s,
            "action": action,
            "next": {"observation": following, "terminated": terminated},
            "future": {"observation": future},
        },
        [rows],
    )


class ObjectiveContract(ABC):
    """Contract of objectives: subclass it in a test and build a small one for ``SPEC`` in ``make``."""

    @abstractmethod
    def make(self) -> Objective:
        """The objective under test; the same weights at every call."""

    def batch(self, rows: int = 32) -> TensorDict:
        """Transitions of ``SPEC``."""
        return transitions(rows)

    def losses(self, objective: Objective, seed: int = 0) -> TensorDict:
        """Losses under fixed noise."""
        torch.manual_seed(seed)
        return objective(self.batch())

    def test_losses_are_finite_scalars(self) -> None:
        losses = self.losses(self.make())
        assert any(name.startswith("loss_") for name in losses.keys())
        for name, value in losses.items():
            assert value.shape == (), name
            assert value.isfinite(), name
            assert value.requires_grad == name.startswith("loss_"), name

    def test_flags_count_alike_in_both_layouts(self) -> None:
        objective, batch = self.make(), self.batch()
        expected = self.losses(objective)
        flags = [key for key in batch.keys(True, True) if batch[key].ndim == 1]
        assert flags, "the batch holds nothing that is one number a row"
        columns = batch.clone()
        for key in flags:
            columns[key] = batch[key].unsqueeze(-1)
        torch.manual_seed(0)
        found = objective(columns)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=name)
        wrong = batch.clone().set(("next", "terminated"), batch["next", "terminated"].unsqueeze(-1).expand(-1, 2))
        with pytest.raises(ValueError, match=r"terminated must be \(32,\) or \(32, 1\), got \(32, 2\)"):
            objective(wrong)

    def test_forward_changes_nothing(self) -> None:
        objective = self.make()
        before = {name: value.clone() for name, value in objective.state_dict().items()}
        batch = self.batch()
        objective(batch)
        assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())
        assert torch.equal(batch["observation"], self.batch()["observation"])

    def test_every_trained_parameter_gets_a_gradient_and_no_other(self) -> None:
        objective = self.make()
        trained = [parameter for group in objective.parameter_groups().values() for parameter in group]
        assert len({id(parameter) for parameter in trained}) == len(trained)
        losses = self.losses(objective)
        sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in trained)
        rest = {id(parameter) for parameter in objective.parameters()} - {id(parameter) for parameter in trained}
        assert not any(parameter.grad is not None for parameter in objective.parameters() if id(parameter) in rest)

    def test_a_few_steps_lower_what_they_minimise(self) -> None:
        objective = self.make()
        trained = [parameter for group in objective.parameter_groups().values() for parameter in group]
        optimizer = torch.optim.Adam(trained, lr=1e-3)

        def total(seed: int) -> torch.Tensor:
            return sum(value for name, value in self.losses(objective, seed).items() if name.startswith("loss_"))

        with torch.no_grad():
            before = sum(total(seed) for seed in range(20))
        for seed in range(60):
            optimizer.zero_grad()
            total(seed).backward()
            optimizer.step()
        with torch.no_grad():
            after = sum(total(seed) for seed in range(20))
        assert after < before

    def test_targets_move_only_when_asked(self) -> None:
        objective = self.make()
        with torch.no_grad():
            for group in objective.parameter_groups().values():
                for parameter in group:
                    parameter.add_(0.1)
        before = {name: value.clone() for name, value in objective.state_dict().items()}
        objective.update_targets()
        moved = [name for name, value in objective.state_dict().items() if not torch.equal(value, before[name])]
        assert moved, "update_targets moved nothing"
        assert not any(name.startswith("bfm.") for name in moved)

    def test_latents_are_policies_that_can_act(self) -> None:
        objective, batch = self.make(), self.batch()
        following = batch["next", "observation"]
        torch.manual_seed(0)
        z = objective.latents(batch)
        assert z.shape == (len(batch), objective.bfm.dim)
        assert not z.requires_grad
        assert z.std(0).min() > 0
        assert objective.bfm.act(following, z).isfinite().all()

    def test_starts_from_a_trained_model_and_its_targets_with_it(self) -> None:
        trained, fresh = self.make(), self.make()
        with torch.no_grad():
            for parameter in trained.bfm.parameters():
                parameter.mul_(1.1)
        fresh.start_from(trained.bfm)
        expected = trained.bfm.state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in fresh.bfm.state_dict().items())
        before = {name: value.clone() for name, value in fresh.state_dict().items()}
        fresh.update_targets()
        # Targets that are where the networks are have nowhere to go.
        for name, value in fresh.state_dict().items():
            torch.testing.assert_close(value, before[name])

    def test_statistics_are_taken_where_no_gradient_goes(self) -> None:
        objective = self.make()
        before = {id(parameter): parameter.clone() for parameter in objective.parameters()}
        for _ in range(3):
            objective.update_statistics(self.batch())
        assert all(torch.equal(parameter, before[id(parameter)]) for parameter in objective.parameters())
        assert all(value.isfinite() for value in self.losses(objective).values())

    def test_finish_makes_the_model_usable(self) -> None:
        objective = self.make()
        batch = self.batch(256)
        objective.prepare(batch["observation"])
        objective.finish(objective.bfm, batch)
        features = objective.bfm.features(batch["observation"], batch["action"], batch["next", "observation"])
        assert features.isfinite().all()
        assert features.std() > 0
        moment = objective.bfm.feature_second_moment()
        assert moment is not None
        expected = (features.double().mT @ features.double() / len(features)).detach()
        torch.testing.assert_close(moment, expected, rtol=1e-3, atol=1e-4 * expected.diagonal().mean().item())
