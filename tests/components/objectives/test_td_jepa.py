from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

from bfmkit.components.bfms.td_jepa import TDJepa
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.objectives.td_jepa import TDJepaObjective
from bfmkit.interfaces import EnvironmentSpec
from bfmkit.models.layers import project
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.testing.models import LinearBFM
from bfmkit.testing.objective import SPEC, ObjectiveContract


class TestTDJepaObjective(ObjectiveContract):
    def make(self) -> TDJepaObjective:
        torch.manual_seed(3)
        return TDJepaObjective(
            TDJepa(SPEC, TwoStreamNetworks(16, 16, 2), dim=4, state_dim=6), action_noise=0.0, value_loss=0.3
        )

    def test_the_actors_loss_trains_the_actor_alone(self) -> None:
        objective = self.make()
        self.losses(objective)["loss_actor"].backward()
        groups = objective.parameter_groups()
        assert all(parameter.grad.abs().sum() > 0 for parameter in groups.pop("actor"))
        assert all(parameter.grad is None for group in groups.values() for parameter in group)

    def test_its_losses_are_those_of_the_formula(self, monkeypatch: pytest.MonkeyPatch) -> None:
        objective, batch = self.make(), self.batch(6)
        bfm, z = objective.bfm, project(torch.randn(6, 4))
        with torch.no_grad():
            for parameter in (each for target in objective._targets for each in target.parameters()):
                parameter.add_(0.05 * torch.randn_like(parameter))
        monkeypatch.setattr(objective, "_sample_z", lambda context: z)
        losses = objective(batch)
        encoder, task_encoder, predictor, state_predictor = objective._targets
        task_loss, state_loss, value_loss, value, codes = 0.0, 0.0, 0.0, 0.0, ([], [])
        for i in range(6):
            s, following, zi = batch["observation"][i], batch["next", "observation"][i], z[i]
            discount = 0.98 * float(not batch["next", "terminated"][i])
            state, task = bfm.state_code(s), bfm.task_code(s)
            later_state, later_task = project(encoder(following)), project(task_encoder(following))
            later_action = bfm.actor_network(bfm.state_code(following), zi)
            task_aim = later_task + discount * predictor(later_state, zi, later_action).mean(0)
            state_aim = later_state + discount * state_predictor(later_task, zi, later_action).mean(0)
            for member in bfm.successor_network(state, zi, batch["action"][i]):
                task_loss += (member - task_aim).square().sum().item() / 12
                value_loss += 0.3 * ((member - task_aim) @ zi / zi.norm()).square().item() / 12
            for member in objective._state_predictor(task, zi, batch["action"][i]):
                state_loss += (member - state_aim).square().sum().item() / 12
            own = bfm.successor_network(state, zi, bfm.actor_network(state, zi))
            value += (own @ zi).mean().item() / 6
            codes[0].append(state), codes[1].append(task)
        apart = 0.0
        for code in codes:
            apart += sum(code[i].dot(code[j]).item() ** 2 for i in range(6) for j in range(6) if i != j) / 30
            apart -= 2 * sum(each.dot(each).item() for each in code) / 6
        assert losses["loss_task"].item() == pytest.approx(task_loss, rel=1e-4)
        assert losses["loss_value"].item() == pytest.approx(value_loss, rel=1e-4)
        assert losses["loss_state"].item() == pytest.approx(state_loss, rel=1e-4)
        assert losses["loss_orthonormality"].item() == pytest.approx(0.1 * apart, rel=1e-4)
        assert losses["loss_actor"].item() == pytest.approx(-value, rel=1e-4)

    def test_learns_the_exact_successor_features_of_its_task_codes(self) -> None:
        """Where the action changes nothing, ψ is that of the one policy there is; and codes do not collapse."""
        torch.manual_seed(0)
        mdp = MDPLayout("random", 6, actions=1).build()
        spec = EnvironmentSpec("states", 6, 1, 1, 100, 1.0, ())
        bfm = TDJepa(spec, TwoStreamNetworks(32, 32, 2), dim=3, state_dim=8, discount=0.7)
        objective = TDJepaObjective(bfm, orthonormality=1.0, target_rate=0.05)
        trained = [parameter for group in objective.parameter_groups().values() for parameter in group]
        optimizer = torch.optim.Adam(trained, lr=3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
        states = torch.eye(6)
        for _ in range(600):
            here = torch.randint(6, (128,))
            there = mdp.transitions[here, 0].multinomial(1).squeeze(-1)
            following = {"observation": states[there], "terminated": torch.zeros(128, dtype=torch.bool)}
            action = 2 * torch.rand(128, 1) - 1
            batch = TensorDict({"observation": states[here], "action": action, "next": following}, [128])
            losses = objective(batch)
            optimizer.zero_grad()
            sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
            optimizer.step()
            schedule.step()
            objective.update_targets()
        moves = mdp.transitions[:, 0].float()
        with torch.no_grad():
            codes = bfm.task_code(states)
            exact = torch.linalg.solve(torch.eye(6) - 0.7 * moves, moves @ codes)
            found = bfm.successor_features(states, project(torch.randn(10, 1, 3))).mean(-2)
        assert (found - exact).abs().mean() < 0.05 * exact.abs().max()
        assert torch.linalg.eigvalsh(codes.mT @ codes / 6).min() > 0.2

    def test_refuses_what_it_cannot_train(self) -> None:
        with pytest.raises(TypeError, match="LinearBFM"):
            TDJepaObjective(LinearBFM())
        with pytest.raises(ValueError, match="actor_rate"):
            TDJepaObjective(self.make().bfm, actor_rate=0.0)
