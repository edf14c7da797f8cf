from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tensordict import TensorDict
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.objectives import HardUpdate, SoftUpdate

from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.bfms.td_jepa import TDJepa
from bfmkit.components.bfms.universal_sf import UniversalSF
from bfmkit.components.feature_maps.random import RandomFeatures
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
from bfmkit.components.objectives.td_jepa import TDJepaObjective
from bfmkit.components.objectives.universal_sf import UniversalSFObjective
from bfmkit.testing.objective import SPEC, transitions
from bfmkit.training.actor_critic_objective import ActorCriticObjective

NETWORKS = TwoStreamNetworks(8, 8)
RATE = 0.25
OBJECTIVES = {
    "forward_backward": lambda: ForwardBackwardObjective(ForwardBackward(SPEC, NETWORKS, dim=4), target_rate=RATE),
    "universal_sf": lambda: UniversalSFObjective(
        UniversalSF(SPEC, RandomFeatures(SPEC, NETWORKS, dim=4), NETWORKS), target_rate=RATE
    ),
    "td_jepa": lambda: TDJepaObjective(TDJepa(SPEC, NETWORKS, dim=4, state_dim=3), target_rate=RATE),
}
Make = Callable[[], ActorCriticObjective]
each_objective = pytest.mark.parametrize("make", OBJECTIVES.values(), ids=OBJECTIVES.keys())


def targets(objective: ActorCriticObjective) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in objective.state_dict().items() if name.startswith("target_")}


def moved(objective: ActorCriticObjective) -> None:
    with torch.no_grad():
        for group in objective.parameter_groups().values():
            for parameter in group:
                parameter.add_(1.0)


@each_objective
def test_torchrls_soft_update_moves_targets_as_ours_does(make: Make) -> None:
    torch.manual_seed(0)
    objective = make()
    updater = SoftUpdate(objective, tau=RATE)
    start = targets(objective)
    moved(objective)
    updater.step()
    theirs = targets(objective)
    for name, value in start.items():
        objective.state_dict()[name].copy_(value)
    objective.update_targets()
    assert any(not torch.equal(value, start[name]) for name, value in theirs.items())
    for name, value in targets(objective).items():
        torch.testing.assert_close(theirs[name], value, msg=name)


@each_objective
def test_torchrls_hard_update_copies(make: Make) -> None:
    objective = make()
    updater = HardUpdate(objective, value_network_update_interval=1)
    moved(objective)
    updater.step()
    updater.step()
    found = targets(objective)
    for name in objective._followed:
        for key, value in objective._followed[name].state_dict().items():
            torch.testing.assert_close(found[f"target_{name}_params.{key}"], value)


@each_objective
def test_a_training_in_torchrls_own_words_lowers_the_loss(make: Make) -> None:
    torch.manual_seed(0)
    objective = make()
    names = {name for name, _ in objective.named_parameters()}
    assert names and not any(name.startswith("target_") for name in names)
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-3)
    updater = SoftUpdate(objective, tau=0.01)
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(64), batch_size=64)
    buffer.extend(transitions(64))
    totals = []
    for _ in range(30):
        losses = objective(buffer.sample())
        total = sum(value for name, value in losses.items() if name.startswith("loss_"))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        updater.step()
        totals.append(float(total.detach()))
    assert sum(totals[-5:]) < sum(totals[:5])


@each_objective
def test_keys_are_named_and_may_be_others(make: Make) -> None:
    objective, batch = make(), transitions(16)
    assert objective.in_keys == ["observation", "action", ("next", "observation"), ("next", "terminated")]
    torch.manual_seed(0)
    expected = objective(batch.select(*objective.in_keys))
    state = ("agent", "state")
    other = TensorDict({"torque": batch["action"], state: batch["observation"]}, [16])
    other["next", "over"] = batch["next", "terminated"].unsqueeze(-1)
    other[("next", *state)] = batch["next", "observation"]
    objective.set_keys(observation=state, action="torque", terminated="over")
    torch.manual_seed(0)
    found = objective(other.select(*objective.in_keys))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=name)
    objective.update_statistics(other)
    assert objective.latents(other).shape == (16, 4)
    with pytest.raises(ValueError, match="not an accepted tensordict key"):
        objective.set_keys(reward="r")


@each_objective
def test_small_networks_and_batches_stay_finite(make: Make) -> None:
    """With few hidden units some rows have none that answers, and a code of exactly zero."""
    for seed in range(5):
        torch.manual_seed(seed)
        objective = make()
        optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)
        for rows in (64, 2, 3, 5):
            losses = objective(transitions(rows))
            optimizer.zero_grad()
            sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
            optimizer.step()
            objective.update_targets()
        assert all(value.isfinite().all() for value in objective.state_dict().values())


@pytest.mark.parametrize("name", ["forward_backward", "td_jepa"])
def test_a_batch_of_one_is_refused_where_rows_are_compared(name: str) -> None:
    with pytest.raises(ValueError, match="a batch must have at least 2, got 1"):
        OBJECTIVES[name]()(transitions(1))


@each_objective
def test_an_embedding_shared_with_the_critics_loss_changes_no_gradient(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gradients() -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        losses = objective(transitions(9))
        sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
        named = objective.named_parameters()
        found = {name: parameter.grad for name, parameter in named if parameter.grad is not None}
        objective.zero_grad()
        return found

    torch.manual_seed(0)
    objective = make()
    shared = gradients()
    assert shared["bfm.actor_network.body.out.weight"].abs().max() > 0
    monkeypatch.delattr("bfmkit.components.networks.two_stream.CriticEnsemble.embed")
    monkeypatch.setattr(
        "bfmkit.components.networks.two_stream.CriticEnsemble.forward",
        lambda self, s, z, a: torch.stack([member((s, a), (s, z)) for member in self.members], -2),
    )
    torch.testing.assert_close(shared, gradients())
