from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torchrl.envs.utils import step_mdp

from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.interfaces import Environment
from bfmkit.recipe import RecipeError, build_node
from bfmkit.testing.environment import EnvironmentContract


class TestWalker(EnvironmentContract):
    def make(self) -> DMControlEnvironment:
        return DMControlEnvironment("walker", "run+flip", episode_steps=7)


class TestCheetah(EnvironmentContract):
    def make(self) -> DMControlEnvironment:
        return DMControlEnvironment("cheetah", "run_backward", episode_steps=7)


class TestQuadruped(EnvironmentContract):
    def make(self) -> DMControlEnvironment:
        return DMControlEnvironment("quadruped", "jump", episode_steps=7)


class TestPointMassMaze(EnvironmentContract):
    def make(self) -> DMControlEnvironment:
        return DMControlEnvironment("point_mass_maze", "reach_top_left", episode_steps=7)


def test_named_quantities_can_be_observed() -> None:
    names = ["horizontal_velocity", "torso_upright"]
    environment = DMControlEnvironment("walker", "stand+walk", observe=names)
    plain = DMControlEnvironment("walker", "stand+walk")
    assert environment.spec.observation_names == (*plain.spec.observation_names, *names)
    for each in (environment, plain, pickle.loads(pickle.dumps(environment)), environment.with_tasks(["run", "flip"])):
        each.seed([3, 4])
        observation, _ = each.reset_batch()
        action = torch.full((2, 6), 0.3)
        for _ in range(5):
            outcome = each.step_batch(action)
        if each is not plain:
            quantities = each.quantities(outcome.physics, action)
            expected = torch.stack([quantities[name] for name in names], dim=-1).float()
            torch.testing.assert_close(outcome.observation[:, 24:], expected, atol=1e-4, rtol=1e-4)
            assert observation.shape == (2, 26)


def test_takes_the_observation_that_a_model_was_made_for() -> None:
    plain, other = DMControlEnvironment("walker", "stand+walk"), DMControlEnvironment("cheetah", "run")
    wanted = DMControlEnvironment("walker", "run", observe=["effort", "torso_upright"]).spec
    fitted = plain.fitted_to(wanted, "the model")
    assert (fitted.spec.observation_names, fitted.tasks) == (wanted.observation_names, plain.tasks)
    assert fitted.fitted_to(plain.spec, "the model").spec == plain.spec
    assert plain.fitted_to(plain.spec, "the model") is plain
    with pytest.raises(ValueError, match="the model was made for domain walker"):
        other.fitted_to(wanted, "the model")


def test_quantities_that_there_are_not_and_entries_twice_are_refused() -> None:
    with pytest.raises(ValueError, match='walker has no quantity "upwright"; did you mean "upright"'):
        DMControlEnvironment("walker", "stand", observe=["upwright"])
    with pytest.raises(ValueError, match="more than one entry called torso_upright"):
        DMControlEnvironment("quadruped", "stand", observe=["torso_upright"])


def test_unknown_domain_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(ValueError, match=r'"walkr"; did you mean "walker".*cheetah, quadruped, point_mass_maze'):
        DMControlEnvironment("walkr", "run")


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a task"):
        DMControlEnvironment("walker", "run").with_tasks([])
    with pytest.raises(ValueError, match="or a reward"):
        DMControlEnvironment("walker")


def test_an_action_can_be_held() -> None:
    held = DMControlEnvironment("point_mass_maze", "reach_top_left", episode_steps=7, control_timestep=0.1)
    fine = DMControlEnvironment("point_mass_maze", "reach_top_left")
    assert held.spec.control_timestep == pickle.loads(pickle.dumps(held)).spec.control_timestep == 0.1
    held = held.with_tasks(held.tasks)
    for environment in (held, fine):
        environment.seed([3])
        environment.reset_batch()
    for action in torch.rand(4, 1, 2):
        rough = held.step_batch(action)
        for _ in range(5):
            last = fine.step_batch(action)
        assert torch.equal(rough.observation, last.observation)
        assert torch.equal(rough.reward, last.reward)
    with pytest.raises(ValueError, match=r"multiple of 0\.02, point_mass_maze's own, got 0\.05"):
        DMControlEnvironment("point_mass_maze", "reach_top_left", control_timestep=0.05)


def test_a_typed_reward_takes_the_place_of_the_task() -> None:
    environment = DMControlEnvironment(
        "walker", "run", reward="upright * tolerance(horizontal_velocity, 2, 3, margin=1)"
    )
    assert environment.tasks == ("upright * tolerance(horizontal_velocity, 2, 3, margin=1)",)
    assert environment.spec == DMControlEnvironment("walker", "run").spec
    with pytest.raises(ValueError, match=r'no task "upright "'):
        DMControlEnvironment("walker", "upright + 1")


def test_the_shipped_tasks_can_be_typed() -> None:
    stand = "(3 * at_least(torso_height, 1.2, margin=0.6) + upright) / 4"
    run = f"{stand} * (5 * ramp(horizontal_velocity, 0, 8) * (horizontal_velocity > 4) + 1) / 6"
    environment = DMControlEnvironment("walker", "run", episode_steps=30).with_tasks(["stand"])
    environment.reset_batch()
    outcomes = [environment.step_batch(torch.full((1, 6), (-1.0) ** step)) for step in range(30)]
    physics, action = torch.cat([each.physics for each in outcomes]), torch.zeros(30, 6)
    found, expected = (environment.relabel(physics, action, task) for task in (stand, "stand"))
    torch.testing.assert_close(found, expected)
    fast = {name: torch.linspace(-1, 10, 50, dtype=torch.float64) for name in environment.spec.quantities}
    fast["upright"] = (1 + fast["torso_upright"]) / 2
    linear = run.replace(
        "ramp(horizontal_velocity, 0, 8) * (horizontal_velocity > 4)", "ramp(horizontal_velocity, 0, 8)"
    )
    torch.testing.assert_close(environment.rewards(fast, linear), environment.rewards(fast, "run"))


def test_number_of_steps_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        DMControlEnvironment("walker", "run", episode_steps=0)


def test_rows_of_a_string_and_rows_of_a_list_are_the_same() -> None:
    named = DMControlEnvironment("walker", "run+stand+run", episode_steps=9)
    listed = DMControlEnvironment("walker", "walk", episode_steps=9).with_tasks(["run", "stand", "run"])
    assert named.tasks == listed.tasks
    assert named.spec == listed.spec


def test_each_row_gets_the_reward_of_its_task() -> None:
    environment = DMControlEnvironment("walker", "stand+run+flip+walk")
    environment.seed([4] * 4)
    environment.reset_batch()
    action = torch.full((4, 6), 0.5)
    outcome = environment.step_batch(action)
    for row, task in enumerate(environment.tasks):
        label = environment.relabel(outcome.physics[:1], action[:1], task)
        torch.testing.assert_close(outcome.reward[row : row + 1], label, rtol=0, atol=1e-6)
    assert len(outcome.reward.unique()) == 4


def test_actions_beyond_the_range_are_clipped() -> None:
    ends = DMControlEnvironment("quadruped", "walk")
    beyond = ends.with_tasks(["walk"])
    for environment in (ends, beyond):
        environment.seed([0])
        environment.reset_batch()
    action = torch.tensor([[1.0, -1.0] * 6])
    assert torch.equal(ends.step_batch(action).physics, beyond.step_batch(3 * action).physics)
    # MuJoCo clips what moves the body, but not what rewards see of the control.
    np.testing.assert_array_equal(ends._physics[0].data.ctrl, beyond._physics[0].data.ctrl)


def test_relabelling_sees_the_control() -> None:
    environment = DMControlEnvironment("point_mass_maze", "reach_top_left")
    at_goal = torch.tensor([[-0.15, 0.15, 0.0, 0.0]], dtype=torch.float64).expand(3, 4)
    action = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 2.0]])
    reward = environment.relabel(at_goal, action, "reach_top_left")
    torch.testing.assert_close(reward, torch.tensor([1.0, 0.9, 0.8]))
    assert environment.quantities(at_goal, action)["control_y"].tolist() == [0.0, 0.0, 1.0]


def test_actions_reach_the_actuators_own_ranges() -> None:
    environment = DMControlEnvironment("quadruped", "walk")
    limits = environment._physics[0].model.actuator_ctrlrange
    assert len(np.unique(limits, axis=0)) == 3
    for action, expected in ((-1.0, limits[:, 0]), (1.0, limits[:, 1]), (0.0, limits.mean(axis=1))):
        environment.reset_batch()
        environment.step_batch(torch.full((1, 12), action))
        np.testing.assert_allclose(environment._physics[0].data.ctrl, expected, atol=1e-12)


def test_negative_and_large_seeds_are_seeds_too() -> None:
    environment = DMControlEnvironment("point_mass_maze", "reach_top_left").with_tasks(["reach_top_left"] * 3)
    environment.seed([-1, 2**63, 0])
    assert len(environment.reset_batch()[0].unique(dim=0)) == 3


def test_rollout_goes_on_into_the_next_episode() -> None:
    environment = DMControlEnvironment("point_mass_maze", "reach_top_left+reach_top_right", episode_steps=4)
    environment.set_seed(5)
    record = environment.rollout(10, break_when_any_done=False)
    done = record.get(("next", "done")).squeeze(-1)
    assert done[0].nonzero().flatten().tolist() == [3, 7]
    environment.set_seed(5)
    starts = [environment.reset_batch()[0] for _ in range(3)]
    for episode, start in enumerate(starts):
        assert torch.equal(record.get("observation")[:, 4 * episode], start)


def test_torchrl_seed_makes_the_same_run_again() -> None:
    environment = DMControlEnvironment("walker", "run", episode_steps=5)
    first, second = (_seeded_walk(environment) for _ in range(2))
    assert torch.equal(first, second)


def _seeded_walk(environment: DMControlEnvironment) -> torch.Tensor:
    torch.manual_seed(0)
    environment.set_seed(11)
    current = environment.reset()
    for _ in range(4):
        current = step_mdp(environment.step(environment.rand_action(current)))
    return current.get("observation")


def test_threads_change_no_bit() -> None:
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        environment = DMControlEnvironment("walker", "run+flip+run")
        environment.seed([0, 1, 2])
        environment.reset_batch()
        environment._physics[2].data.qvel[:] = 1e12
        outcomes = [environment.step_batch(torch.full((3, 6), 0.3)) for _ in range(20)]
        assert outcomes[-1].reward.isfinite().tolist() == [True, True, False]
        found.append(torch.stack([each.physics for each in outcomes]))
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])


def test_a_simulation_that_diverges_reads_nan_and_leaves_the_others_alone() -> None:
    together = DMControlEnvironment("walker", "run+run")
    alone = DMControlEnvironment("walker", "run")
    for environment, seeds in ((together, [0, 1]), (alone, [1])):
        environment.seed(seeds)
        environment.reset_batch()
    together._physics[0].data.qvel[:] = 1e12
    action = torch.full((2, 6), 0.3)
    for _ in range(3):
        outcome, expected = together.step_batch(action), alone.step_batch(action[:1])
    assert outcome.observation[0].isnan().all()
    assert outcome.reward[0].isnan()
    assert torch.equal(outcome.observation[1], expected.observation[0])
    observation, _ = together.reset_batch()
    assert observation.isfinite().all(), "the next episode starts afresh"
    assert together.step_batch(action).reward.isfinite().all()


def test_a_timestep_that_is_no_number_is_refused() -> None:
    with pytest.raises(RecipeError, match="control_timestep"):
        build_node(
            Environment, {"type": "dm_control", "domain": "walker", "control_timestep": float("inf")}, source="x"
        )
