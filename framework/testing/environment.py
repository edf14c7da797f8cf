"""Contract of environments."""

from __future__ import annotations

import io
import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor
from torchrl.envs.utils import check_env_specs

from bfmkit.interfaces import Environment, StepResult


class EnvironmentContract(ABC):
    """Contract of environments: subclass it in a test and build one in ``make``, with short episodes."""

    @abstractmethod
    def make(self) -> Environment:
        """A new environment, of any task and number of rows."""

    def actions(self, environment: Environment, steps: int, seed: int = 0) -> Tensor:  # (steps, B, a)
        """Actions to test with; uniform unless a test class knows better ones."""
        generator = torch.Generator().manual_seed(seed)
        shape = (steps, len(environment.tasks), environment.spec.action_size)
        return 2 * torch.rand(shape, generator=generator) - 1

    def test_torchrl_takes_its_specs(self) -> None:
        check_env_specs(self.make())

    def test_shapes_and_types_are_those_of_the_interface(self) -> None:
        environment = self.make().with_tasks(self.make().spec.tasks[:1] * 3)
        spec = environment.spec
        observation, physics = environment.reset_batch()
        outcome = environment.step_batch(self.actions(environment, 1)[0])
        for found in (observation, outcome.observation):
            assert found.shape == (3, spec.observation_size) and found.dtype == torch.float32
        for found in (physics, outcome.physics):
            assert found.shape == (3, spec.physics_size) and found.dtype == torch.float64
        assert outcome.reward.shape == (3,) and outcome.reward.dtype == torch.float32
        for flag in (outcome.terminated, outcome.truncated):
            assert flag.shape == (3,) and flag.dtype == torch.bool

    def test_spec_survives_its_dictionary(self) -> None:
        spec = self.make().spec
        assert type(spec).from_dict(spec.to_dict()) == spec

    def test_row_is_the_same_alone_and_in_a_batch(self) -> None:
        tasks = self.make().spec.tasks
        batch = self.make().with_tasks([tasks[0], tasks[-1], tasks[0]])
        alone = self.make().with_tasks([tasks[-1]])
        actions = self.actions(batch, 5)
        together = _run(batch, [7, 3, 3], actions)
        by_itself = _run(alone, [3], actions[:, 1:2])
        for many, one in zip(together, by_itself, strict=True):
            for name in StepResult._fields:
                torch.testing.assert_close(getattr(many, name)[1:2], getattr(one, name), rtol=0, atol=0)

    def test_start_is_a_function_of_seed_and_episode(self) -> None:
        environment = self.make().with_tasks(self.make().spec.tasks[:1])
        environment.seed([3])
        starts = [environment.reset_batch()[1] for _ in range(3)]
        other = self.make().with_tasks(self.make().spec.tasks[:1])
        other.seed([3], episode=2)
        torch.testing.assert_close(other.reset_batch()[1], starts[2], rtol=0, atol=0)

    def test_rows_begin_their_episodes_independently(self) -> None:
        tasks = self.make().spec.tasks
        environment = self.make().with_tasks([tasks[0], tasks[-1]])
        environment.seed([3, 5])
        environment.reset_batch()
        actions = self.actions(environment, 2)
        standing = environment.step_batch(actions[0])
        observation, physics = environment.reset_batch(torch.tensor([True, False]))
        assert torch.equal(observation[1], standing.observation[1]) and torch.equal(physics[1], standing.physics[1])
        alone = self.make().with_tasks(tasks[:1])
        alone.seed([3], episode=1)
        assert torch.equal(alone.reset_batch()[1][0], physics[0]), (
            "its second episode is another than it would be alone"
        )
        undisturbed = _run(self.make().with_tasks([tasks[0], tasks[-1]]), [3, 5], actions)
        outcome = environment.step_batch(actions[1])
        assert torch.equal(outcome.physics[1], undisturbed[1].physics[1])
        assert environment.clock.step == [1, 2]

    def test_a_row_that_is_left_out_or_over_stands_still_without_reward(self) -> None:
        environment = self.make().with_tasks(self.make().spec.tasks[:1] * 2)
        environment.reset_batch()
        actions = self.actions(environment, environment.spec.episode_steps)
        before = environment.step_batch(actions[0])
        after = environment.step_batch(actions[1], torch.tensor([True, False]))
        assert torch.equal(after.observation[1], before.observation[1]) and after.reward[1] == 0
        for action in actions[2:]:
            last = environment.step_batch(action)
        later = environment.step_batch(actions[1])
        assert torch.equal(later.observation[0], last.observation[0]) and later.reward[0] == 0
        assert (later.terminated | later.truncated)[0]

    def test_torchrl_restarts_the_rows_that_are_done(self) -> None:
        environment = self.make().with_tasks(self.make().spec.tasks[:1] * 2)
        environment.seed([3, 5])
        steps = environment.spec.episode_steps
        rollout = environment.rollout(2 * steps + 1, break_when_any_done=False)
        done = rollout["next", "done"].squeeze(-1)
        assert rollout.shape == (2, 2 * steps + 1)
        for row, seed in enumerate((3, 5)):
            starts = [0, *(done[row, :-1].nonzero().squeeze(-1) + 1).tolist()]
            assert len(starts) >= 3
            alone = environment.with_tasks(environment.tasks[:1])
            for episode, start in enumerate(starts):
                alone.seed([seed], episode)
                assert torch.equal(rollout["physics"][row, start], alone.reset_batch()[1][0])

    def test_goes_on_from_a_snapshot_to_the_same_bits(self) -> None:
        tasks = self.make().spec.tasks
        environment = self.make().with_tasks([tasks[0], tasks[-1]])
        environment.seed([3, 5], episode=1)
        environment.reset_batch()
        actions = self.actions(environment, 8)
        for action in actions[:4]:
            environment.step_batch(action)
        state = environment.snapshot()
        if state is None:
            pytest.skip("it takes no snapshots")
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        expected = [environment.step_batch(action) for action in actions[4:]]
        later = environment.reset_batch()[1]
        again = self.make().with_tasks([tasks[0], tasks[-1]])
        again.reset_batch()
        again.restore(torch.load(file, weights_only=True))
        for action, one in zip(actions[4:], expected, strict=True):
            for name, value in again.step_batch(action)._asdict().items():
                assert torch.equal(value, getattr(one, name)), name
        assert torch.equal(again.reset_batch()[1], later), "the episode after it is another"

    def test_seeds_and_episodes_differ(self) -> None:
        environment = self.make().with_tasks(self.make().spec.tasks[:1] * 8)
        environment.seed(range(8))
        first, second = environment.reset_batch()[1], environment.reset_batch()[1]
        assert len(torch.unique(first, dim=0)) > 1, "all seeds start alike"
        assert not torch.equal(first, second), "all episodes start alike"

    def test_rows_need_a_seed_each(self) -> None:
        environment = self.make()
        with pytest.raises(ValueError, match="seed"):
            environment.seed([0] * (len(environment.tasks) + 1))

    def test_with_rows_keeps_the_spec(self) -> None:
        environment = self.make()
        wanted = tuple(reversed(environment.spec.tasks))
        rows = environment.with_tasks(wanted)
        assert rows.tasks == wanted
        assert rows.spec == environment.spec
        assert rows.batch_size == torch.Size([len(wanted)])

    def test_unknown_task_is_refused_and_the_known_are_named(self) -> None:
        environment = self.make()
        known = environment.spec.tasks[0]
        for refused in (
            lambda: environment.with_tasks([known + "x"]),
            lambda: environment.relabel(environment.reset_batch()[1], self.actions(environment, 1)[0], known + "x"),
        ):
            with pytest.raises(ValueError, match=f'did you mean "{known}"'):
                refused()

    def test_relabelling_gives_the_reward_that_was_given(self) -> None:
        environment = self.make().with_tasks(self.make().spec.tasks)
        environment.seed(range(len(environment.tasks)))
        steps = min(environment.spec.episode_steps, 20)
        actions = self.actions(environment, steps)
        outcomes = _run(environment, range(len(environment.tasks)), actions)
        for row, task in enumerate(environment.tasks):
            physics = torch.stack([outcome.physics[row] for outcome in outcomes])
            given = torch.stack([outcome.reward[row] for outcome in outcomes])
            again = environment.relabel(physics, actions[:, row], task)
            assert again.shape == (steps,) and again.dtype == torch.float32
            torch.testing.assert_close(again, given, rtol=0, atol=1e-6)

    def test_a_typed_reward_goes_wherever_a_task_does(self) -> None:
        quantity, *others = self.make().spec.quantities
        typed = f"2 * {quantity} - where(step > 2, {(others or [quantity])[-1]}, step) + 1"
        environment = self.make().with_tasks([typed, self.make().spec.tasks[0], typed])
        assert environment.tasks[0] == typed
        assert environment.spec == self.make().spec, "data and models know nothing of what is typed"
        actions = self.actions(environment, 4)
        outcomes = _run(environment, [3, 4, 5], actions)
        for row, task in enumerate(environment.tasks):
            physics = torch.stack([outcome.physics[row] for outcome in outcomes])
            given = torch.stack([outcome.reward[row] for outcome in outcomes])
            again = environment.relabel(physics, actions[:, row], task, torch.arange(1, 5))
            torch.testing.assert_close(again, given, rtol=1e-6, atol=1e-6)
        first = environment.relabel(outcomes[0].physics, actions[0], typed)
        torch.testing.assert_close(first, environment.relabel(outcomes[0].physics, actions[0], typed, 1))
        value = environment.quantities(outcomes[0].physics, actions[0])[quantity]
        torch.testing.assert_close(first.double(), 2 * value, rtol=1e-6, atol=1e-6)
        assert pickle.loads(pickle.dumps(environment)).tasks == environment.tasks

    def test_a_typed_reward_that_is_wrong_is_refused_with_its_column(self) -> None:
        environment = self.make()
        quantity = environment.spec.quantities[0]
        for refused in (
            lambda: environment.with_tasks([f"{quantity} * {quantity}x"]),
            lambda: environment.relabel(
                environment.reset_batch()[1], self.actions(environment, 1)[0], f"{quantity} * {quantity}x"
            ),
        ):
            with pytest.raises(ValueError, match=f'column {len(quantity) + 4}.*did you mean "{quantity}"'):
                refused()

    def test_a_reward_that_is_not_finite_is_no_label(self) -> None:
        environment = self.make()
        quantity = environment.spec.quantities[0]
        physics, action = environment.reset_batch()[1], self.actions(environment, 1)[0]
        with pytest.raises(ValueError, match=f"not finite in {len(physics)} of {len(physics)} steps"):
            environment.relabel(physics, action, f"1 / ({quantity} - {quantity})")

    def test_tasks_that_change_relabel_as_of_any_step(self) -> None:
        tasks = self.make().spec.changing_tasks
        if not tasks:
            return
        environment = self.make().with_tasks(tasks)
        actions = self.actions(environment, 3)
        outcomes = _run(environment, range(len(tasks)), actions)
        for step, outcome in enumerate(outcomes, start=1):
            for row, task in enumerate(tasks):
                again = environment.relabel(
                    outcome.physics[row : row + 1], actions[step - 1][row : row + 1], task, step
                )
                torch.testing.assert_close(again, outcome.reward[row : row + 1], rtol=0, atol=1e-6)
        with pytest.raises(ValueError, match="step must be"):
            environment.relabel(outcomes[0].physics, actions[0], tasks[0], torch.ones(len(tasks) + 1))

    def test_relabelling_does_not_disturb_the_episode(self) -> None:
        environment = self.make()
        actions = self.actions(environment, 4)
        undisturbed = _run(environment, range(len(environment.tasks)), actions)
        environment.seed(range(len(environment.tasks)))
        physics = environment.reset_batch()[1]
        for action, expected in zip(actions, undisturbed, strict=True):
            environment.relabel(torch.zeros_like(physics) + physics, action, environment.spec.tasks[0])
            found = environment.step_batch(action)
            torch.testing.assert_close(found.observation, expected.observation, rtol=0, atol=0)

    def test_quantities_are_those_of_the_spec(self) -> None:
        environment = self.make()
        physics = environment.reset_batch()[1]
        found = environment.quantities(physics, self.actions(environment, 1)[0])
        assert tuple(found) == environment.spec.quantities
        for values in found.values():
            assert values.shape == (len(physics),) and values.dtype == torch.float64

    def test_sizes_that_do_not_fit_are_refused(self) -> None:
        environment = self.make()
        physics = environment.reset_batch()[1]
        action = self.actions(environment, 1)[0]
        task = environment.spec.tasks[0]
        for refused in (
            lambda: environment.step_batch(torch.cat((action, action), dim=1)),
            lambda: environment.step_batch(action[0]),
            lambda: environment.relabel(physics[:, 1:], action, task),
            lambda: environment.relabel(physics, torch.cat((action, action)), task),
        ):
            with pytest.raises(ValueError, match=r"must be"):
                refused()

    @pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
    def test_action_that_is_not_finite_is_refused_and_its_row_named(self, wrong: float) -> None:
        environment = self.make().with_tasks(self.make().spec.tasks[:1] * 3)
        environment.reset_batch()
        action = self.actions(environment, 1)[0]
        action[2, -1] = wrong
        with pytest.raises(ValueError, match="row 2"):
            environment.step_batch(action)

    def test_episode_is_over_at_its_last_step(self) -> None:
        environment = self.make()
        steps = environment.spec.episode_steps
        for _ in range(2):
            environment.reset_batch()
            over = [environment.step_batch(action) for action in self.actions(environment, steps)]
            for outcome in over[:-1]:
                assert not outcome.truncated.any()
            assert (over[-1].truncated | over[-1].terminated).all()

    def test_outcomes_are_not_overwritten(self) -> None:
        environment = self.make()
        environment.reset_batch()
        first, second = self.actions(environment, 2)
        outcome = environment.step_batch(first)
        before = [tensor.clone() for tensor in outcome]
        environment.step_batch(second)
        for tensor, copy in zip(outcome, before, strict=True):
            assert torch.equal(tensor, copy)

    def test_survives_pickling(self) -> None:
        environment = self.make()
        again = pickle.loads(pickle.dumps(environment))
        assert again.spec == environment.spec and again.tasks == environment.tasks
        actions = self.actions(environment, 3)
        seeds = range(len(environment.tasks))
        for one, other in zip(_run(environment, seeds, actions), _run(again, seeds, actions), strict=True):
            for name in StepResult._fields:
                assert torch.equal(getattr(one, name), getattr(other, name))

    def test_torchrl_sees_the_same_episode(self) -> None:
        environment = self.make()
        rows = len(environment.tasks)
        actions = self.actions(environment, 3)
        expected = _run(environment, range(rows), actions)
        environment.seed(range(rows))
        current = environment.reset()
        for action, outcome in zip(actions, expected, strict=True):
            stepped = environment.step(TensorDict({"action": action}, environment.batch_size)).get("next")
            assert torch.equal(stepped.get("observation"), outcome.observation)
            assert torch.equal(stepped.get("reward").squeeze(-1), outcome.reward)
            assert torch.equal(stepped.get("truncated").squeeze(-1), outcome.truncated)
            assert set(current.keys()) <= set(stepped.keys())


def _run(environment: Environment, seeds: Sequence[int], actions: Tensor) -> list[StepResult]:
    environment.seed(seeds)
    environment.reset_batch()
    return [environment.step_batch(action) for action in actions]
