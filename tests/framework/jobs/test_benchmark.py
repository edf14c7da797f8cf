from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from bfmkit.evaluation.benchmark.entry import RecipeEntry
from bfmkit.evaluation.cells import CELLS, ORACLES, Cell, read_cells
from bfmkit.evaluation.comparison import compare
from bfmkit.evaluation.results import read_failures, read_results
from bfmkit.interfaces import BFM, Environment, JobError, StepResult
from bfmkit.jobs.benchmark import BenchmarkJob
from bfmkit.recipe import RecipeError, load_recipe
from bfmkit.recipe.yaml_text import read, write
from bfmkit.runs.run_directory import read_metrics
from bfmkit.testing.job import JobContract
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.testing.registry import registered
from bfmkit.utils.files import to_json

CPU = torch.device("cpu")
MDP = "{layout: random, size: 8, dim: 3, actions: 3}"
TABULAR = (
    f"bfm={{type: tabular, pool: 12, mdp: {MDP}}}",
    f"environment={{type: tabular, task: random_0, episode_steps: 30, mdp: {MDP}}}",
)
TASKS = ["random_0", "random_3"]


def job(*recipes: str | RecipeEntry, **settings: Any) -> BenchmarkJob:
    given = {"tasks": TASKS, "seeds": 3, "episodes": 3, "overrides": TABULAR, **settings}
    return BenchmarkJob(list(recipes) or ["opti_bfm_ts", "random"], **given)


def results(out: Path, *recipes: str) -> pl.DataFrame:
    names = json.dumps(list(recipes) or ["opti_bfm_ts", "random"])
    if not (out / "recipe.yaml").exists():
        (out / "recipe.yaml").write_text(f"type: benchmark\nrecipes: {names}\n")
    return read_results(out)


class TestBenchmarkJob(JobContract):
    def make(self) -> BenchmarkJob:
        return BenchmarkJob(["opti_bfm_ts", "random"], TASKS, seeds=2, episodes=2, overrides=TABULAR)


def test_leaves_what_was_promised(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    summary = job(seeds=[4, 1]).run(tmp_path, CPU)
    assert torch.get_num_threads() == threads
    table = results(tmp_path)
    assert table.height == 2 * 2 * 2 * 3
    assert set(table["labels"].to_list()) == {0, 30, 60, 90}
    assert table["oracle_return"].null_count() == table["floor_return"].null_count() == 0
    assert pl.read_parquet(tmp_path / "results.parquet").equals(table)
    assert (tmp_path / "results.csv").is_file()
    assert json.loads((tmp_path / "statistics.json").read_text()) == json.loads(to_json(compare(table)))
    assert json.loads((tmp_path / "summary.json").read_text()) == json.loads(to_json(summary))
    # The oracle's cells count too.
    assert (summary["cells"], summary["failed"]) == (16, [])
    assert set(summary["recipes"]["opti_bfm_ts"]["tasks"]) == set(TASKS)
    cell = json.loads((tmp_path / "cells" / "random" / "random_3" / "4.json").read_text())
    assert (cell["recipe"], cell["task"], cell["seed"]) == ("random", "random_3", 4)
    assert (cell["status"], cell["error"], cell["oracle"], cell["group"]) == ("done", None, "oracle", 4)
    assert [set(episode) for episode in cell["episodes"]] == [{"return", "steps", "labels"}] * 3
    assert cell["seconds"] > 0
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert (summary["seeds"], summary["batch_size"], summary["threads"]) == ([4, 1], 64, 1)
    # What was played, not what the shipped recipe says.
    recipe = read((tmp_path / "recipes" / "random.yaml").read_text())
    assert (recipe["tasks"], recipe["seeds"], recipe["episodes"]) == (TASKS, [4, 1], 3)
    assert "seed" not in recipe
    assert not list((tmp_path / "checkpoints").glob("*"))


@pytest.mark.parametrize("recipe", ["opti_bfm_ts", "latent_search"])
def test_the_numbers_are_those_of_the_job_infer(tmp_path: Path, recipe: str) -> None:
    settings = ["agent.fallback.warmup=1"] if recipe == "latent_search" else []
    job(RecipeEntry(recipe, overrides=tuple(settings)), "random").run(tmp_path, CPU)
    alone = tmp_path / "alone"
    alone.mkdir()
    settings += ["tasks=[random_0, random_3]", "seeds=3", "episodes=3"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    load_recipe(recipe, [*TABULAR, *settings]).build().run(alone, CPU)
    torch.set_num_threads(threads)
    (alone / "recipe.yaml").write_text("type: infer\n")
    ours = results(tmp_path, recipe, "random").filter(pl.col("recipe") == recipe).drop("recipe")
    assert ours.equals(read_results(alone).drop("recipe"))
    assert set(ours["policy"]) == ({"inferred", "improved"} if recipe == "latent_search" else {None})
    assert read_metrics(alone)


def test_shared_references_are_those_of_each_recipe(tmp_path: Path) -> None:
    recipes = [
        "opti_bfm_ts",
        RecipeEntry("random", "longer", ("episodes=5",)),
        RecipeEntry("random", "other_oracle", ("oracle={type: oracle, regularization: 0.5}",)),
        RecipeEntry("random", "no_oracle", ("oracle_episodes=0",)),
    ]
    made = job(*recipes, episodes=None, overrides=(*TABULAR, "episodes=2"), batch_size=4)
    made.run(tmp_path, CPU)
    table = results(tmp_path, "opti_bfm_ts", "longer", "other_oracle", "no_oracle")
    known = table.group_by("recipe").agg(pl.col("oracle_return").is_not_null().all())
    assert dict(known.rows()) == {"opti_bfm_ts": True, "longer": True, "other_oracle": True, "no_oracle": False}
    assert {cell.recipe for cell in read_cells(tmp_path / ORACLES)} == {"oracle", "oracle_2"}


# What goes wrong.


class Trouble(BallEnvironment):
    """Rows of some seeds read NaN, or raise, in the second episode; counts steps."""

    sick: tuple[int, ...] = ()
    raising: tuple[int, ...] = ()
    left = 10**9
    steps = 0

    def with_tasks(self, tasks: list) -> Trouble:
        return Trouble(tasks=tasks)

    def step_batch(self, action: torch.Tensor) -> StepResult:
        Trouble.steps += 1
        Trouble.left -= 1
        if Trouble.left == 0:
            raise KeyboardInterrupt
        outcome = super().step_batch(action)
        reward = outcome.reward.clone()
        for row, seed in enumerate(self.clock.seeds):
            if (self.clock.episode[row], self.clock.step[row]) == (2, 5) and action[row, 0] < 0.9999:
                if seed in Trouble.raising:
                    raise ArithmeticError(f"seed {seed} is\nimpossible")
                if seed in Trouble.sick:
                    reward[row] = float("nan")
        return outcome._replace(reward=reward)


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., BenchmarkJob]]:
    """Makes a job in a world of trouble: two recipes, task_0, seeds 0 to 2, three episodes of 20 steps."""
    for name, value in (("sick", ()), ("raising", ()), ("left", 10**9), ("steps", 0)):
        monkeypatch.setattr(Trouble, name, value)
    with ExitStack() as stack:
        stack.enter_context(registered(BFM, "linear", LinearBFM))
        stack.enter_context(registered(Environment, "trouble", Trouble))
        overrides = ("bfm={type: linear}", "environment={type: trouble}", "floor_episodes=0")
        yield lambda **settings: job(**{"tasks": ["task_0"], "overrides": overrides, **settings})


def test_a_run_that_stops_fails_alone(
    tmp_path: Path,
    trouble: Callable[..., BenchmarkJob],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "well").mkdir()
    (tmp_path / "ill").mkdir()
    trouble().run(tmp_path / "well", CPU)
    monkeypatch.setattr(Trouble, "sick", (1,))
    capsys.readouterr()
    with pytest.raises(JobError, match=r"^2 of 9 cells failed; .*summary\.json names them too$"):
        trouble().run(tmp_path / "ill", CPU)
    said = capsys.readouterr().err
    assert "reference oracle, group 0: 3 cells done\n" in said
    assert "opti_bfm_ts, group 0: 2 cells done, 1 failed, no relative return\n" in said
    assert re.search(r"benchmark: 27/27 episodes, .*cells 9/9, .*failed 2\n", said)
    assert [line.partition(": episode 1: ")[0] for line in said.splitlines()[-2:]] == [
        "failed: opti_bfm_ts, task task_0, seed 1",
        "failed: random, task task_0, seed 1",
    ]
    failures = read_failures(tmp_path / "ill") if results(tmp_path / "ill").height else None
    assert failures is not None
    assert failures["recipe"].to_list() == ["opti_bfm_ts", "random"]
    well, ill = results(tmp_path / "well"), results(tmp_path / "ill")
    lost = (pl.col("seed") == 1) & (pl.col("episode") > 0)
    # A row that stands still does not change what the others compute.
    assert ill.equals(well.filter(~lost))
    summary = json.loads((tmp_path / "ill" / "summary.json").read_text())
    assert len(summary["failed"]) == 2
    # Nothing left to run, and still not a success.
    monkeypatch.setattr(Trouble, "steps", 0)
    with pytest.raises(JobError):
        trouble().run(tmp_path / "ill", CPU)
    assert Trouble.steps == 0


def test_a_batch_that_raises_is_run_again_row_by_row(
    tmp_path: Path,
    trouble: Callable[..., BenchmarkJob],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Trouble, "raising", (2,))
    with pytest.raises(JobError, match=r"2 of 9 cells failed"):
        trouble().run(tmp_path, CPU)
    said = capsys.readouterr().err
    assert re.search(r"failed: random, task task_0, seed 2: ArithmeticError: seed 2 is impossible \(test_.*\)\n", said)
    status = {(cell.recipe, cell.seed): (cell.status, cell.group) for cell in read_cells(tmp_path / CELLS)}
    alone = {
        (name, seed): ("failed" if seed == 2 else "done", 1) for name in ("opti_bfm_ts", "random") for seed in range(3)
    }
    assert status == alone
    assert {(cell.status, cell.group) for cell in read_cells(tmp_path / ORACLES)} == {("done", 3)}


# Three groups (the oracle, two recipes) of 60 steps each.
@pytest.mark.parametrize("after", [10, 35, 85, 125, 179])
def test_an_interrupted_job_goes_on_to_the_same_numbers(
    tmp_path: Path, trouble: Callable[..., BenchmarkJob], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "torn").mkdir()
    trouble().run(tmp_path / "whole", CPU)
    monkeypatch.setattr(Trouble, "left", after)
    with pytest.raises(KeyboardInterrupt):
        trouble().run(tmp_path / "torn", CPU)
    written = {path: path.read_bytes() for path in (tmp_path / "torn").glob("cells/*/*/*.json")}
    assert len(written) == 3 * max(0, after // 60 - 1)
    monkeypatch.setattr(Trouble, "steps", 0)
    trouble().run(tmp_path / "torn", CPU)
    # From the start of the episode on, no step is taken twice.
    assert Trouble.steps == 180 - after // 20 * 20
    assert results(tmp_path / "torn").equals(results(tmp_path / "whole"))
    assert all(path.read_bytes() == content for path, content in written.items())


def test_a_deleted_cell_is_run_again_and_the_others_stay(tmp_path: Path, trouble: Callable[..., BenchmarkJob]) -> None:
    trouble().run(tmp_path, CPU)
    before = results(tmp_path)
    cells = {path: path.read_bytes() for path in tmp_path.glob("cells/*/*/*.json")}
    gone = next(path for path in cells if path.stem == "1" and "random" in path.parts)
    gone.unlink()
    trouble().run(tmp_path, CPU)
    assert results(tmp_path).equals(before)
    assert all(path.read_bytes() == content for path, content in cells.items() if path != gone)


def test_a_recipe_that_has_changed_is_not_gone_on_with(tmp_path: Path, trouble: Callable[..., BenchmarkJob]) -> None:
    trouble().run(tmp_path, CPU)
    with pytest.raises(JobError, match=r"opti_bfm_ts\.yaml: the recipe has changed since; bfm\.discount was not said"):
        trouble(overrides=("bfm={type: linear, discount: 0.5}", "environment={type: trouble}")).run(tmp_path, CPU)


def test_a_directory_with_recipes_as_they_came_is_gone_on_with(
    tmp_path: Path, trouble: Callable[..., BenchmarkJob]
) -> None:
    made = trouble()
    made.run(tmp_path, CPU)
    path = tmp_path / "recipes" / "random.yaml"
    now = path.read_text()
    path.write_text(write(made.benchmark_recipes[1].tree))
    trouble().run(tmp_path, CPU)
    assert path.read_text() == now


# What is refused.


@pytest.mark.parametrize(
    ("recipes", "settings", "message"),
    [
        ([], {"recipes": []}, "recipes must name"),
        (["opti_bfn"], {}, "opti_bfm"),
        (["regret_tiny"], {"overrides": ()}, "of type infer, not regret"),
        (["random", "random"], {}, 'two recipes are called "random"'),
        (["random"], {"overrides": ("environment.task=walk",)}, "`tasks` says what is played"),
        ([RecipeEntry("random", overrides=("environment.reward=upright",))], {}, "`tasks` says what is played"),
        (["random"], {"tasks": ["fly"]}, 'random: .*no task "fly"'),
        (["random"], {"seeds": [1, 1]}, "twice"),
        (["random"], {"episodes": 0}, "episodes"),
        (["random"], {"batch_size": 0}, "batch_size"),
        (["random"], {"threads": 0}, "threads"),
        (["random"], {"workers": 0}, "workers"),
        (["random"], {"address": "auto"}, "runner is in_process; say runner=ray"),
        (["random"], {"episodes": 2, "overrides": (*TABULAR, "episodes=3")}, "benchmark's `episodes` holds"),
        (["random"], {"overrides": ("agent.typo=1",)}, "typo"),
        ([RecipeEntry("random", overrides=("agent.typo=1",))], {}, "typo"),
        (
            [RecipeEntry("opti_bfm_two_stage", overrides=("agent.posterior.regularization=-1",))],
            {},
            "regularization: must be",
        ),
    ],
)
def test_refuses_what_makes_no_sense(recipes: list, settings: dict, message: str) -> None:
    given = {"recipes": recipes, "tasks": TASKS, "overrides": TABULAR, **settings}
    with pytest.raises(ValueError, match=message):
        BenchmarkJob(**given)


def test_what_is_wrong_with_any_of_the_recipes_is_said_at_once() -> None:
    typo, radius = (
        RecipeEntry("random", "first", ("agent.typo=1",)),
        RecipeEntry("opti_bfm_two_stage", "second", ("agent.query_rule.type=shut",)),
    )
    with pytest.raises(RecipeError, match=r"first: .*typo[\s\S]*second: .*shut[\s\S]*opti_bfn: .*such a file"):
        BenchmarkJob([typo, radius, "opti_bfn"], overrides=TABULAR)
    nested = "{type: standardized, posterior: {type: student_t}}"
    ridge = RecipeEntry("opti_bfm_two_stage", "third", (f"agent.posterior={nested}",))
    with pytest.raises(RecipeError, match=r'random: .*no task "fly"[\s\S]*third: .*linear in the rewards'):
        BenchmarkJob(["random", ridge], ["fly"], overrides=TABULAR)


def test_a_model_that_is_not_there_yet_is_a_missing_file() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        BenchmarkJob(["random"], overrides=("bfm.path=nowhere/model",))
    with pytest.raises(RecipeError):
        BenchmarkJob(["random"], overrides=("bfm.path=nowhere/model", "agent.typo=1"))


def test_a_cell_without_news_is_not_forgotten(tmp_path: Path) -> None:
    job().run(tmp_path, CPU)
    lost = Cell("random", "random_0", 1, "failed", "gone", lost=True)
    lost.write(tmp_path / CELLS)
    job().run(tmp_path, CPU)
    assert read_failures(tmp_path).is_empty() if results(tmp_path).height else False
