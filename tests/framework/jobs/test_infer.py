from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bfmkit.cli import main
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.oracle import OracleAgent
from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.inference.confidence_radius import TwoStageRadius
from bfmkit.interfaces import JobError, StepResult
from bfmkit.jobs.infer import InferJob
from bfmkit.recipe import load_recipe
from bfmkit.runs.checkpoint import InferenceCheckpoint
from bfmkit.runs.record import Record
from bfmkit.runs.replay import Parts, replay
from bfmkit.testing.job import JobContract
from bfmkit.testing.models import BallEnvironment, LinearBFM

CPU = torch.device("cpu")


def job(environment: BallEnvironment | None = None, **settings: object) -> InferJob:
    agent = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=16)))
    world = environment or BallEnvironment()
    bfm = LinearBFM(episode_steps=world.spec.episode_steps)
    return InferJob(bfm, world, agent, **{"episodes": 4, **settings})


class TestInferJob(JobContract):
    def make(self) -> InferJob:
        agent = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=16)))
        return InferJob(LinearBFM(), BallEnvironment(), agent, episodes=2, seeds=2)


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def by_run(out: Path) -> dict:
    return {(row["task"], row["seed"], row["episode"]): row for row in rows(out)}


def test_leaves_what_was_promised(tmp_path: Path) -> None:
    summary = job(seed=7).run(tmp_path, CPU)
    assert [(row["task"], row["seed"], row["episode"]) for row in rows(tmp_path)] == [
        ("task_0", 7, e) for e in range(4)
    ]
    assert [row["labels"] for row in rows(tmp_path)] == [20, 40, 60, 80]
    assert set(rows(tmp_path)[0]) == {"task", "seed", "episode", "return", "steps", "labels"}
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    numbers = summary["tasks"]["task_0"]
    assert numbers["oracle_return"] == pytest.approx(20.0, abs=1e-3)
    assert numbers["return_per_episode"] == [row["return"] for row in rows(tmp_path)]
    later = numbers["return_per_episode"][2:]
    floor = [json.loads(line)["return"] for line in (tmp_path / "floor.jsonl").read_text().splitlines()]
    assert len(floor) == 4 and numbers["floor_return"] == pytest.approx(sum(floor) / 4)
    low = sum(floor[2:]) / 2
    assert numbers["relative_return"] == pytest.approx((sum(later) / 2 - low) / (20 - low), abs=1e-4)
    assert numbers["relative_return"] > 0.9
    assert (tmp_path / "figures" / "return.png").is_file()
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_runs_are_the_same_in_any_batch(tmp_path: Path) -> None:
    for name, size in (("whole", 64), ("pieces", 3)):
        (tmp_path / name).mkdir()
        job(seeds=[5, 2], tasks="all", batch_size=size).run(tmp_path / name, CPU)
    (tmp_path / "alone").mkdir()
    job(seed=2, tasks="task_3").run(tmp_path / "alone", CPU)
    whole, pieces, alone = (by_run(tmp_path / name) for name in ("whole", "pieces", "alone"))
    assert len(whole) == 2 * 4 * 4
    assert whole.keys() == pieces.keys()
    for key, row in whole.items():
        assert pieces[key]["return"] == pytest.approx(row["return"], abs=1e-4)
    for key, row in alone.items():
        assert whole[key]["return"] == pytest.approx(row["return"], abs=1e-4)


def test_a_typed_reward_is_a_task_like_any_other(tmp_path: Path) -> None:
    typed = "2 * x_1 - x_3 / 2"
    world = BallEnvironment(tasks=[typed])
    summary = job(world, tasks=[typed, "task_0"]).run(tmp_path, CPU)
    assert list(summary["tasks"]) == [typed, "task_0"]
    assert summary["tasks"][typed]["oracle_return"] == pytest.approx(20 * 4.25**0.5, rel=1e-4)
    assert summary["tasks"][typed]["relative_return"] > 0.9
    assert {row["task"] for row in rows(tmp_path)} == {typed, "task_0"}
    assert job(world).tasks == (typed,)
    with pytest.raises(ValueError, match="column 5"):
        job(world, tasks=["2 * y"])


def test_a_named_reward_goes_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = "east = 2 * x_1 - x_3 / 2"
    summary = job(tasks=[named], episodes=2).run(tmp_path, CPU)
    assert summary["tasks"][named]["oracle_return"] == pytest.approx(20 * 4.25**0.5, rel=1e-4)
    shown = capsys.readouterr().err
    assert "agent, episode 1: east " in shown
    assert re.search(r"^east +\d", shown, re.MULTILINE)
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["east-seed-0.safetensors"]


def test_the_oracle_of_a_task_that_changes_follows_it(tmp_path: Path) -> None:
    changing = "where(step <= 10, x_0, x_1)"
    summary = job(oracle=OracleAgent(label_every=10), tasks=[changing], episodes=1).run(tmp_path, CPU)
    assert summary["tasks"][changing]["oracle_return"] == pytest.approx(20.0, abs=1e-3)


class Costly(BallEnvironment):
    """The same task with negative rewards."""

    def with_tasks(self, tasks: list) -> Costly:
        return Costly(tasks=tasks)

    def step_batch(self, action: torch.Tensor) -> StepResult:
        outcome = super().step_batch(action)
        return outcome._replace(reward=outcome.reward - 3.0)


def test_negative_rewards_are_scored_as_positive_ones_are(tmp_path: Path) -> None:
    for name in ("plain", "costly"):
        (tmp_path / name).mkdir()
    agent = RandomAgent(EverySchedule(5))
    plain = InferJob(LinearBFM(), BallEnvironment(), agent, episodes=4, seeds=2).run(tmp_path / "plain", CPU)
    costly = InferJob(LinearBFM(), Costly(), agent, episodes=4, seeds=2).run(tmp_path / "costly", CPU)
    assert costly["tasks"]["task_0"]["later_return"] < 0
    assert costly["relative_return"] == pytest.approx(plain["relative_return"], abs=1e-5)
    assert costly["relative_return"] < 0.9


def test_the_table_says_what_its_columns_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job(seeds=2, tasks=["task_1", "task_2"], oracle_episodes=1).run(tmp_path, CPU)
    lines = capsys.readouterr().err.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("task "))
    assert lines[start].split() == ["task", "first", "later", "oracle", "floor", "relative", "return"]
    assert lines[start + 3].startswith("mean") and lines[start + 3].endswith("over all 2 tasks")
    assert "mean return in episodes 3 to 4" in lines[start + 4]
    assert lines[start + 5] == "oracle: was given 1 of these episodes; its mean is over the last 1."
    # The agent comes first, and the steps of others are called what they are.
    acting = [line.partition(":")[0] for line in lines if line.endswith("a run")]
    assert (
        acting[0] == "agent" and acting[1].startswith("oracle, the upper") and acting[2].startswith("floor, the lower")
    )


@pytest.mark.parametrize(("episodes", "words"), [(2, "initial stage"), (3, "final stage")])
def test_it_says_in_which_stage_it_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], episodes: int, words: str
) -> None:
    # However few rewards an episode has.
    radius = TwoStageRadius(initial=5.0, episodes=2, final=0.1)
    agent = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=8), radius))
    world = BallEnvironment(episode_steps=3)
    summary = InferJob(LinearBFM(episode_steps=3), world, agent, episodes=episodes).run(tmp_path, CPU)
    assert summary["stage"].startswith(words)
    assert f"exploring: {words}" in capsys.readouterr().err
    record = Record.load(next((tmp_path / "records").rglob("*.safetensors")))
    assert record.facts["choice"]["episode"] == episodes - 1
    assert replay(record, Parts(LinearBFM(episode_steps=3), agent.posterior, agent.acquisition)).same


def test_several_seeds_come_with_an_interval(tmp_path: Path) -> None:
    summary = job(seeds=3, tasks=["task_1", "task_2"]).run(tmp_path, CPU)
    assert list(summary["tasks"]) == ["task_1", "task_2"]
    low, high = summary["relative_return_interval"]
    assert low <= summary["relative_return"] <= high
    assert summary["seeds"] == [0, 1, 2]


class Interrupted(BallEnvironment):
    """Fails once, after a number of steps counted over all copies; where an episode starts from tells in its return."""

    left = 10**9

    def with_tasks(self, tasks: list) -> Interrupted:
        return Interrupted(tasks=tasks)

    def step_batch(self, action: torch.Tensor, rows: torch.Tensor | None = None) -> StepResult:
        Interrupted.left -= 1
        if Interrupted.left == 0:
            raise KeyboardInterrupt
        outcome = super().step_batch(action, rows)
        return outcome._replace(reward=outcome.reward + 0.01 * self.start)

    def reset_batch(self, rows: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        observation, physics = super().reset_batch(rows)
        self.start = observation[:, 0]
        return observation, physics


# 5 runs in batches of 2: agent, oracle and floor in turn, 80 steps each.
@pytest.mark.parametrize("after", [30, 95, 170, 715])
def test_an_interrupted_job_goes_on_to_the_same_numbers(tmp_path: Path, after: int) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "torn").mkdir()
    Interrupted.left = 10**9
    expected = job(Interrupted(), seeds=5, batch_size=2).run(tmp_path / "whole", CPU)
    Interrupted.left = after
    with pytest.raises(KeyboardInterrupt):
        job(Interrupted(), seeds=5, batch_size=2).run(tmp_path / "torn", CPU)
    # What a kill between writing a row and writing the checkpoint leaves.
    with (tmp_path / "torn" / "metrics.jsonl").open("a") as file:
        file.write('{"task": "task_0", "seed": 0, "episode": 3, "return": 99.0, "steps": 20, "labels": 80}\n')
    assert job(Interrupted(), seeds=5, batch_size=2).run(tmp_path / "torn", CPU) == expected
    assert rows(tmp_path / "torn") == rows(tmp_path / "whole")


def test_a_finished_job_has_nothing_left_to_do(tmp_path: Path) -> None:
    summary = job().run(tmp_path, CPU)
    written = (tmp_path / "metrics.jsonl").read_bytes()
    Interrupted.left = 1
    assert job(Interrupted()).run(tmp_path, CPU) == summary
    assert (tmp_path / "metrics.jsonl").read_bytes() == written


@pytest.mark.parametrize("after", [None, 170])
def test_more_episodes_go_on_where_fewer_ended(tmp_path: Path, after: int | None) -> None:
    for name in ("whole", "longer"):
        (tmp_path / name).mkdir()
    Interrupted.left = 10**9
    expected = job(Interrupted(), seeds=3, batch_size=2, episodes=6).run(tmp_path / "whole", CPU)
    if after is not None:
        Interrupted.left = after
        with pytest.raises(KeyboardInterrupt):
            job(Interrupted(), seeds=3, batch_size=2).run(tmp_path / "longer", CPU)
        Interrupted.left = 10**9
    else:
        job(Interrupted(), seeds=3, batch_size=2).run(tmp_path / "longer", CPU)
    assert job(Interrupted(), seeds=3, batch_size=2, episodes=6).run(tmp_path / "longer", CPU) == expected
    assert by_run(tmp_path / "longer") == by_run(tmp_path / "whole")
    for path in (tmp_path / "whole" / "records").iterdir():
        one, other = (Record.load(tmp_path / name / "records" / path.name) for name in ("whole", "longer"))
        assert one.tensors.keys() == other.tensors.keys()
        assert all(torch.equal(value, other.tensors[key]) for key, value in one.tensors.items())


class Sick(BallEnvironment):
    """The reward of some seeds is not finite from the second episode on, unless the action is the oracle's."""

    seeds: tuple[int, ...] = (1,)

    def with_tasks(self, tasks: list) -> Sick:
        return Sick(tasks=tasks)

    def step_batch(self, action: torch.Tensor, rows: torch.Tensor | None = None) -> StepResult:
        outcome = super().step_batch(action, rows)
        reward = outcome.reward.clone()
        for row, seed in enumerate(self.clock.seeds):
            if (
                seed in Sick.seeds
                and (self.clock.episode[row], self.clock.step[row]) == (2, 5)
                and action[row, 0] < 0.9999
            ):
                reward[row] = float("nan")
        return outcome._replace(reward=reward)


@pytest.mark.parametrize("seeds", [(1,), (0, 1, 2)])
def test_a_stopped_run_is_listed_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: tuple[int, ...]
) -> None:
    monkeypatch.setattr(Sick, "seeds", seeds)
    with pytest.raises(JobError, match=rf"{len(seeds)} of 3 runs stopped.*seed 1, episode 1.*step 24.*reward"):
        job(Sick(), seeds=3).run(tmp_path, CPU)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert len(summary["stopped"]) == len(seeds)
    assert summary["tasks"]["task_0"]["seeds"] == 3 - len(seeds)
    finished = {(row["seed"], row["episode"]) for row in rows(tmp_path)}
    assert finished == {(seed, episode) for seed in range(3) for episode in range(1 if seed in seeds else 4)}
    # Again on the same directory: nothing left to run, and still not a success.
    with pytest.raises(JobError):
        job(Sick(), seeds=3).run(tmp_path, CPU)


def test_long_episodes_are_reported_in_windows(tmp_path: Path) -> None:
    summary = job(BallEnvironment(episode_steps=2100), episodes=1, oracle_episodes=0).run(tmp_path, CPU)
    assert [(row["episode"], row["window"], row["steps"]) for row in rows(tmp_path)] == [
        (0, 0, 1000),
        (0, 1, 1000),
        (0, 2, 100),
    ]
    assert [row["labels"] for row in rows(tmp_path)] == [1000, 2000, 2100]
    assert summary["tasks"]["task_0"]["return_per_episode"] == [
        pytest.approx(sum(row["return"] for row in rows(tmp_path)))
    ]


def test_without_an_oracle_nothing_is_relative(tmp_path: Path) -> None:
    summary = job(oracle_episodes=0).run(tmp_path, CPU)
    assert summary["tasks"]["task_0"]["oracle_return"] is None
    assert summary["relative_return"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"episodes": 0}, "episodes"),
        ({"oracle_episodes": -1}, "oracle_episodes"),
        ({"batch_size": 0}, "batch_size"),
        ({"seeds": 0}, "seeds"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "twice"),
        ({"tasks": "fly"}, "fly"),
        ({"tasks": ["task_0", "fly"]}, "fly"),
        ({"tasks": []}, "task"),
        ({"environment": BallEnvironment(dim=5)}, "the model was made for"),
    ],
)
def test_refuses_what_makes_no_sense(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        job(**settings)


LONG = [
    # The reward tells whether the clock of the episode goes on.
    'environment.reward="where(step > 1500, -1, 1) * horizontal_velocity"', "environment.episode_steps=2300",
    "agent.acquisition.type=greedy", "agent.posterior.discount=0.999", "seeds=2", "episodes=1", "oracle_episodes=0",
]  # fmt: skip

KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.recipe import load_recipe
torch.set_num_threads(1)
whole, steps = DMControlEnvironment.step_batch, 0
def step_batch(self, action, rows=None):
    global steps
    steps += 1
    if steps == 1700:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, action, rows)
DMControlEnvironment.step_batch = step_batch
load_recipe("opti_bfm_two_stage", sys.argv[2:]).build().run(Path(sys.argv[1]), torch.device("cpu"))
"""


def test_a_long_episode_killed_in_its_middle_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name in ("whole", "torn"):
            (tmp_path / name).mkdir()
        expected = load_recipe("opti_bfm_two_stage", LONG).build().run(tmp_path / "whole", CPU)
        words = [sys.executable, "-c", KILLED, str(tmp_path / "torn"), *LONG]
        killed = subprocess.run(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=600, check=False)
        assert killed.returncode == -signal.SIGKILL
        left = InferenceCheckpoint.load(tmp_path / "torn" / "checkpoints" / "progress.pt")
        assert left.snapshots["agent-0"]["index"] == 1000
        assert load_recipe("opti_bfm_two_stage", LONG).build().run(tmp_path / "torn", CPU) == expected
    finally:
        torch.set_num_threads(threads)
    assert rows(tmp_path / "torn") == rows(tmp_path / "whole")
    names = [path.name for path in sorted((tmp_path / "whole" / "records").iterdir())]
    assert len(names) == 2
    for name in names:
        one, other = (Record.load(tmp_path / folder / "records" / name) for folder in ("whole", "torn"))
        assert one.tensors["rewards"].shape == (2300,)
        assert all(torch.equal(one.tensors[key], other.tensors[key]) for key in one.tensors)


def test_says_how_calibrated_the_beliefs_were(tmp_path: Path) -> None:
    summary = job(seeds=2, tasks=["task_0", "task_1"]).run(tmp_path, CPU)
    for task in ("task_0", "task_1"):
        found = summary["tasks"][task]["calibration"]
        assert found["rewards"] == 2 * 80 and 0.9 < found["within_two"] <= 1.0
    (tmp_path / "other").mkdir()
    other = InferJob(LinearBFM(), BallEnvironment(), RandomAgent(), episodes=1).run(tmp_path / "other", CPU)
    assert "calibration" not in other["tasks"]["task_0"]
    assert not (tmp_path / "other" / "records").exists()


def test_a_checkpoint_of_another_domain_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    code = main(["run", "opti_bfm_two_stage", "environment.domain=cheetah", "environment.task=run", "--out", "x"])
    torch.set_num_threads(threads)
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1
    assert "the model was made for domain walker" in said and "domain cheetah" in said
    assert not Path("x").exists()
