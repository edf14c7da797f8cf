from __future__ import annotations

from contextlib import nullcontext

import pytest

from bfmkit.components.agents.oracle import OracleAgent
from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.inference.experiment import (
    Experiment,
    Run,
    chosen_seeds,
    chosen_tasks,
    fitted_environment,
    run_episodes,
)
from bfmkit.testing.models import BallEnvironment, LinearBFM


def test_an_experiment_has_a_run_for_each_task_and_seed() -> None:
    tasks = ["task_1", "task_0", "task_1"]
    experiment = Experiment(LinearBFM(), BallEnvironment(), RandomAgent(), 3, seed=4, seeds=2, tasks=tasks)
    assert experiment.runs == [Run("task_1", 4), Run("task_1", 5), Run("task_0", 4), Run("task_0", 5)]
    assert (experiment.oracle_episodes, experiment.floor_episodes) == (3, 3)
    assert experiment.acting("agent") is experiment.agent
    assert isinstance(experiment.acting("oracle"), OracleAgent)
    assert experiment.acting("floor") is experiment.floor


def test_without_an_oracle_there_is_no_floor_unless_it_is_asked_for() -> None:
    world, agent = BallEnvironment(), RandomAgent()
    assert Experiment(LinearBFM(), world, agent, oracle_episodes=0).floor_episodes == 0
    assert Experiment(LinearBFM(), world, agent, oracle_episodes=0, floor_episodes=2).floor_episodes == 2


def test_a_model_without_transitions_goes_without_the_oracle() -> None:
    experiment = Experiment(LinearBFM(labelled=0), BallEnvironment(), RandomAgent())
    assert (experiment.oracle, experiment.oracle_episodes) == (None, 0)
    with pytest.raises(ValueError, match="inference set"):
        Experiment(LinearBFM(labelled=0), BallEnvironment(), OracleAgent())


def test_tasks_are_those_named_or_all_or_the_environments() -> None:
    world = BallEnvironment(tasks=["task_1", "task_1", "task_0"])
    assert chosen_tasks(world, None) == ("task_1", "task_0")
    assert chosen_tasks(world, "all") == world.spec.tasks
    assert chosen_tasks(world, "task_2") == ("task_2",)
    with pytest.raises(ValueError, match="at least one"):
        chosen_tasks(world, [])
    with pytest.raises(ValueError, match="fly"):
        chosen_tasks(world, ["fly"])


def test_seeds_are_counted_or_listed() -> None:
    assert chosen_seeds(3, 2) == (3, 4)
    assert chosen_seeds(3, [7, 1]) == (7, 1)
    with pytest.raises(ValueError, match="twice"):
        chosen_seeds(0, [1, 1])


def test_rows_are_closed_when_their_episodes_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    monkeypatch.setattr(BallEnvironment, "close", lambda self, **_: closed.append(len(self.tasks)))
    runs = [Run("task_0", 0), Run("task_1", 0)]
    episodes = run_episodes(
        RandomAgent(), LinearBFM(), BallEnvironment(), runs, 2, lambda _: nullcontext(lambda step: None)
    )
    next(episodes)
    assert closed == []
    assert len(list(episodes)) == 1 and closed == [2]


def test_another_body_is_refused_with_models_of_its_own() -> None:
    environment = DMControlEnvironment("cheetah", "run")
    with pytest.raises(ValueError, match=r"made for domain ball.*models of cheetah: bfm\.path=zoo:cheetah"):
        fitted_environment(environment, LinearBFM())
    with pytest.raises(ValueError, match=r"this environment has [^;]*$"):
        fitted_environment(BallEnvironment(dim=5), LinearBFM())
