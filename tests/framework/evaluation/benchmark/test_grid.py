from __future__ import annotations

from bfmkit.evaluation.benchmark.entry import RecipeEntry
from bfmkit.jobs.benchmark import BenchmarkJob

MDP = "{layout: random, size: 8, dim: 3, actions: 3}"
TABULAR = (
    f"bfm={{type: tabular, pool: 12, mdp: {MDP}}}",
    f"environment={{type: tabular, task: random_0, episode_steps: 30, mdp: {MDP}}}",
    "episodes=2",
)


def test_recipes_share_references_where_they_can() -> None:
    recipes = [
        "opti_bfm_ts",
        RecipeEntry("random", "longer", ("episodes=5",)),
        RecipeEntry("random", "other_oracle", ("oracle={type: oracle, regularization: 0.5}",)),
        RecipeEntry("random", "no_oracle", ("oracle_episodes=0",)),
    ]
    made = BenchmarkJob(recipes, ["random_0", "random_3"], seeds=3, overrides=TABULAR, batch_size=4)
    assert [(group.label, len(group.runs), group.episodes) for group in made.groups] == [
        ("reference oracle", 4, 5), ("reference oracle", 2, 5),
        ("reference floor", 4, 5), ("reference floor", 2, 5),
        ("reference oracle_2", 4, 2), ("reference oracle_2", 2, 2),
        ("opti_bfm_ts", 4, 2), ("opti_bfm_ts", 2, 2), ("longer", 4, 5), ("longer", 2, 5),
        ("other_oracle", 4, 2), ("other_oracle", 2, 2), ("no_oracle", 4, 2), ("no_oracle", 2, 2),
    ]  # fmt: skip
