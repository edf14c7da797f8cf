from __future__ import annotations

import pytest
import torch

from bfmkit.components.environments.tabular import TabularEnvironment
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.testing.environment import EnvironmentContract


class TestRandom(EnvironmentContract):
    def make(self) -> TabularEnvironment:
        return TabularEnvironment(MDPLayout("random", size=12), "state_3+random_0", episode_steps=6)


class TestSlipperyGridWithFeatures(EnvironmentContract):
    def make(self) -> TabularEnvironment:
        return TabularEnvironment(MDPLayout("grid", size=4, slip=0.2, dim=3), "random_1", episode_steps=6)


def test_states_come_as_often_as_the_mdp_says() -> None:
    layout = MDPLayout("random", size=4, actions=2, branching=3)
    rows = 4000
    environment = TabularEnvironment(layout, "state_0").with_tasks(["state_0"] * rows)
    environment.seed(range(rows))
    first = environment.reset_batch()[1].squeeze(-1).long()
    assert (torch.bincount(first, minlength=4) / rows - 0.25).abs().max() < 0.03
    action = torch.tensor([[-0.2, 0.1]]).expand(rows, 2)
    following = environment.step_batch(action).physics.squeeze(-1).long()
    for state in range(4):
        found = torch.bincount(following[first == state], minlength=4).double()
        expected = environment.mdp.transitions[state, 1]
        assert (found / found.sum() - expected).abs().max() < 0.06
        assert (found[expected == 0] == 0).all()


def test_the_largest_entry_is_the_action() -> None:
    environment = TabularEnvironment(MDPLayout("chain", size=5), "state_1")
    environment.reset_batch()
    actions = torch.tensor([[0.1, 0.2], [-0.9, -0.8], [1.0, -1.0], [0.3, 0.3]])
    visited = [int(environment.step_batch(action.unsqueeze(0)).observation.argmax()) for action in actions]
    assert visited == [1, 2, 1, 0]


def test_each_row_has_its_own_reward() -> None:
    environment = TabularEnvironment(MDPLayout("chain", size=3), "state_0+state_1+random_2")
    environment.reset_batch()
    reward = environment.step_batch(torch.tensor([[-1.0, 1.0]]).expand(3, 2)).reward
    expected = [0.0, 1.0, float(environment.mdp.tasks["random_2"][1])]
    torch.testing.assert_close(reward, torch.tensor(expected))


def test_quantities_are_the_features() -> None:
    environment = TabularEnvironment(MDPLayout("random", size=7, dim=2), "random_0")
    found = environment.quantities(torch.arange(7.0, dtype=torch.float64)[:, None], torch.zeros(7, 4))
    torch.testing.assert_close(torch.stack(list(found.values()), dim=-1), environment.mdp.features)


@pytest.mark.parametrize("state", [-1.0, 0.5, 7.0, float("nan")])
def test_what_is_no_state_has_no_reward(state: float) -> None:
    environment = TabularEnvironment(MDPLayout("random", size=7), "state_0")
    with pytest.raises(ValueError, match="0 to 6"):
        environment.relabel(torch.tensor([[state]], dtype=torch.float64), torch.zeros(1, 4), "state_0")


def test_number_of_steps_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        TabularEnvironment(MDPLayout("chain", size=3), "state_0", episode_steps=0)
