from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.objectives.forward_backward import (
    ForwardBackwardObjective,
    factored_measure_loss,
    measure_loss,
    target_measure,
)
from bfmkit.models.layers import project
from bfmkit.testing.models import LinearBFM
from bfmkit.testing.objective import SPEC, ObjectiveContract
from bfmkit.training.actor_critic_losses import orthonormality_loss, pessimistic

GOLDEN = Path(__file__).parents[2] / "golden" / "fb_loss.npz"


class TestForwardBackwardObjective(ObjectiveContract):
    def make(self, measure_pessimism: float = 0.0) -> ForwardBackwardObjective:
        torch.manual_seed(3)
        bfm = ForwardBackward(SPEC, TwoStreamNetworks(16, 16, 2), dim=4)
        return ForwardBackwardObjective(bfm, measure_pessimism=measure_pessimism)

    def test_the_actors_loss_leaves_the_critic_alone(self) -> None:
        objective = self.make()
        self.losses(objective)["loss_actor"].backward()
        groups = objective.parameter_groups()
        assert all(parameter.grad is None for parameter in [*groups["forward"], *groups["backward"]])
        assert all(parameter.grad.abs().sum() > 0 for parameter in groups["actor"])

    def test_nothing_follows_a_terminal_state(self) -> None:
        objective, batch = self.make(), self.batch()
        losses = []
        for change in (0.0, 1.0):
            batch["next", "terminated"][:] = True
            with torch.no_grad():
                for parameter in objective._targets[0].parameters():
                    parameter.add_(change)
            torch.manual_seed(0)
            losses.append(objective(batch)["loss_measure"].item())
        assert losses[0] == losses[1]

    def test_refuses_a_model_without_the_networks(self) -> None:
        with pytest.raises(TypeError, match="LinearBFM"):
            ForwardBackwardObjective(LinearBFM())

    def test_pessimism_about_the_measure_is_an_option(self) -> None:
        losses = self.losses(self.make(measure_pessimism=0.5))
        assert losses["loss_measure"].isfinite()
        assert losses["loss_measure"] != self.losses(self.make())["loss_measure"]


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN) as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}


def assert_golden(value: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-8 * expected.abs().max().item())


def test_reproduces_the_reference_numbers(golden: dict[str, Tensor]) -> None:
    target = target_measure(golden["target_forward"], golden["target_backward"])
    assert_golden(target, golden["target_measure"])
    off_diagonal, diagonal = measure_loss(golden["forward"], golden["backward"], golden["discount"] * target)
    assert_golden(off_diagonal, golden["fb_loss_offdiag"])
    assert_golden(diagonal, golden["fb_loss_diag"])
    off_diagonal, diagonal = orthonormality_loss(golden["backward"])
    assert_golden(off_diagonal, golden["orthonormality_offdiag"])
    assert_golden(diagonal, golden["orthonormality_diag"])
    values = torch.einsum("end,nd->en", golden["forward"], golden["task"])
    assert_golden(pessimistic(values, float(golden["q_pessimism"])), golden["q_value"])


def test_the_factored_loss_has_the_same_value_and_gradients(golden: dict[str, Tensor]) -> None:
    target_forward = golden["discount"] * golden["target_forward"].mean(0)
    results = []
    for factored in (False, True):
        forward = golden["forward"].clone().requires_grad_()
        backward = golden["backward"].clone().requires_grad_()
        if factored:
            parts = factored_measure_loss(forward, backward, target_forward, golden["target_backward"])
        else:
            parts = measure_loss(forward, backward, target_forward @ golden["target_backward"].mT)
        results.append((*(part.detach() for part in parts), *torch.autograd.grad(sum(parts), (forward, backward))))
    for plain, quick in zip(*results, strict=True):
        assert_golden(quick, plain)


def test_the_value_loss_is_that_of_the_bellman_equation_of_z(monkeypatch: pytest.MonkeyPatch) -> None:
    """For z with weights w = z the reward is B(s')ᵀC⁻¹z, C over the batch."""
    torch.manual_seed(0)
    bfm = ForwardBackward(SPEC, TwoStreamNetworks(16, 16, 2), dim=4, discount=0.7)
    objective = ForwardBackwardObjective(bfm, action_noise=0.0, value_loss=0.5)
    batch, z = TestForwardBackwardObjective().batch(32), project(torch.randn(32, 4))
    with torch.no_grad():
        for parameter in (each for target in objective._targets for each in target.parameters()):
            parameter.add_(0.05 * torch.randn_like(parameter))
    monkeypatch.setattr(objective, "_sample_z", lambda context: z)
    losses = objective(batch)
    codes = bfm.backward_map(batch["next", "observation"]).detach()
    inverse = torch.linalg.inv(codes.mT @ codes / 32)
    expected = 0.0
    for i in range(32):
        s, following, zi = batch["observation"][i], batch["next", "observation"][i], z[i]
        later = objective._targets[0](following, zi, bfm.actor_network(following, zi)).mean(0) @ zi
        aim = codes[i] @ inverse @ zi + 0.7 * float(not batch["next", "terminated"][i]) * later
        for member in bfm.forward_network(s, zi, batch["action"][i]):
            expected += 0.5 * ((member @ zi - aim) / zi.norm()).square().item() / 32
    assert losses["loss_value"].item() == pytest.approx(expected, rel=0.02)
    losses["loss_value"].backward()
    assert all(parameter.grad is None for parameter in bfm.backward_network.parameters())
    assert all(parameter.grad is not None for parameter in bfm.forward_network.parameters())


def test_the_actor_is_trained_in_every_so_many_updates() -> None:
    torch.manual_seed(0)
    bfm = ForwardBackward(SPEC, TwoStreamNetworks(16, 16, 2), dim=4)
    objective, batch = ForwardBackwardObjective(bfm, actor_every=3), TestForwardBackwardObjective().batch()
    trained = []
    for _ in range(7):
        trained.append("loss_actor" in objective(batch))
        objective.update_targets()
    assert trained == [True, False, False, True, False, False, True]
    objective.start_update(4)
    assert objective.period == 3 and "loss_actor" not in objective(batch)
