from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.evaluation.benchmark.entry import RecipeEntry, benchmark_recipes
from bfmkit.recipe import RecipeError
from bfmkit.recipe.sources import shipped

MDP = "{layout: random, size: 4, dim: 2}"
TABULAR = (f"bfm={{type: tabular, mdp: {MDP}}}", f"environment={{type: tabular, task: random_0, mdp: {MDP}}}")


def lines(*entries: str | RecipeEntry, overrides: tuple[str, ...] = TABULAR, said: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(RecipeError) as refusal:
        benchmark_recipes(entries, overrides, said)
    return str(refusal.value).splitlines()


def test_recipes_are_read_under_their_names() -> None:
    found = benchmark_recipes(["random", RecipeEntry("random", "longer", ("episodes=5",))], TABULAR, ["seeds"])
    assert [each.name for each in found] == ["random", "longer"]
    assert [each.arguments.get("episodes") for each in found][1] == 5


def test_overrides_that_no_cell_would_hear_of_are_refused_a_line_each() -> None:
    lost = (
        "seeds=3",
        " seed = 1",
        "tasks=[walk]",
        "episodes=2",
        "batch_size=4",
        "trace_every=5",
        "environment.task=run",
    )
    said = lines(RecipeEntry("random", "mine", lost), said=("seeds", "tasks", "episodes"))
    assert len(said) == len(lost)
    for line, override, why in zip(
        said, lost, ("`seeds`", "`seed`", "`tasks`", "`episodes`", "`batch_size`", "traces", "`tasks`"), strict=True
    ):
        assert line.startswith(f'mine: "{override}" has no effect: ')
        assert why in line
    # Of those for all recipes it is said once.
    (line,) = lines("random", "opti_bfm_two_stage", overrides=(*TABULAR, "seed=1"))
    assert line.startswith('overrides: "seed=1" has no effect: ')


def test_another_body_comes_with_a_task_that_it_has() -> None:
    body, task = ("bfm.path=zoo:cheetah", "environment.domain=cheetah"), "environment.task=run"
    for entry, overrides in [("opti_bfm", (*body, task)), (RecipeEntry("opti_bfm", None, (task,)), body)]:
        (found,) = benchmark_recipes([entry], overrides, ["tasks"])
        assert found.tree["environment"]["domain"] == "cheetah"


def test_overrides_that_the_benchmark_leaves_to_its_recipes_have_their_effect() -> None:
    (found,) = benchmark_recipes([RecipeEntry("random", None, ("episodes=2", "tasks=[random_3]"))], TABULAR, ["seeds"])
    assert (found.arguments["episodes"], found.arguments["tasks"]) == (2, ["random_3"])


@pytest.mark.parametrize("overrides", [TABULAR, ()])
def test_a_recipe_of_another_job_is_called_so_whatever_the_overrides(overrides: tuple[str, ...]) -> None:
    (said,) = lines("benchmark_quick", overrides=overrides)
    assert said.endswith("benchmark_quick.yaml: a benchmark compares recipes of type infer, not benchmark")


def test_instead_of_an_unknown_recipe_only_what_would_fit_is_offered(tmp_path: Path) -> None:
    (said,) = lines("benchmark_quik", "random")
    offered = said[said.rindex("(") + 1 : -1].split(", ")
    assert offered == [name for name, file in shipped().items() if file.parent.name == "infer"]
    assert "did you mean" not in said
    assert 'did you mean "opti_bfm"?' in lines("opti_bfn.yaml")[0]
    assert "is a folder" in lines(str(tmp_path))[0]


def test_a_recipe_of_no_job_is_said_by_its_check(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text("type: infr\n")
    assert 'did you mean "infer"' in "\n".join(lines(str(path)))


def test_two_of_one_name_and_none_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match='two recipes are called "random"'):
        benchmark_recipes(["random", "random"], TABULAR)
    with pytest.raises(ValueError, match="at least one"):
        benchmark_recipes([], TABULAR)
