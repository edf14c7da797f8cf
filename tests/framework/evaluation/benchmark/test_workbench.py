from __future__ import annotations

from typing import Any

import pytest

from bfmkit.evaluation.benchmark.workbench import Workbench
from bfmkit.recipe import RecipeError

MDP = {"layout": "random", "size": 4, "dim": 2}


def tree(**changes: Any) -> dict[str, Any]:
    return {
        "type": "infer",
        "bfm": {"type": "tabular", "mdp": MDP},
        "environment": {"type": "tabular", "task": "random_0", "mdp": MDP},
        "agent": {"type": "random"},
        "episodes": 2,
        **changes,
    }


def test_model_and_environment_are_kept_while_they_are_the_same() -> None:
    bench = Workbench()
    first = bench.experiment(tree())
    again = bench.experiment(tree(agent={"type": "oracle"}), tasks=["random_3"], seeds=[5, 6], episodes=7)
    assert again.bfm is first.bfm
    assert again.environment is first.environment
    assert again.agent is not first.agent
    assert (again.tasks, again.seeds, again.episodes) == (("random_3",), (5, 6), 7)
    other = bench.experiment(tree(bfm={"type": "tabular", "mdp": MDP, "discount": 0.5}))
    assert other.bfm is not first.bfm
    assert other.bfm.discount == 0.5
    assert other.environment is first.environment
    # Only one is kept.
    assert bench.experiment(tree()).bfm is not first.bfm


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(RecipeError, match="typo"):
        Workbench().experiment(tree(agent={"type": "random", "typo": 1}))
    with pytest.raises(RecipeError, match="discount"):
        Workbench().experiment(tree(bfm={"type": "tabular", "mdp": MDP, "discount": 2}))
    with pytest.raises(ValueError, match="fly"):
        Workbench().experiment(tree(), tasks=["fly"])
