from __future__ import annotations

import multiprocessing
import pickle

import pytest

from bfmkit.interfaces import Agent, Posterior, QueryRule
from bfmkit.recipe import RecipeError, defer
from bfmkit.recipe.deferred import Deferred
from bfmkit.testing.models import ball_spec

AGENT = {
    "type": "task_inference",
    "posterior": {"type": "ridge", "regularization": 2},
    "acquisition": {"type": "ucb", "candidates": {"type": "ellipsoid", "count": 8}},
}


def test_each_build_builds_anew() -> None:
    deferred = defer(Posterior, {"type": "ridge", "regularization": 2})
    assert deferred.type == "ridge"
    first, second = deferred.build(), deferred.build()
    assert first is not second
    assert first.regularization == second.regularization == 2.0


def test_the_node_is_kept_as_it_was_written() -> None:
    deferred = defer(Agent, AGENT)
    assert deferred.to_dict() == AGENT
    deferred.to_dict()["posterior"]["regularization"] = 3
    assert deferred.to_dict() == AGENT


def test_a_node_is_checked_at_once_and_its_values_when_built() -> None:
    with pytest.raises(RecipeError, match='posterior.regularisation: "ridge" has no argument'):
        defer(Agent, {**AGENT, "posterior": {"type": "ridge", "regularisation": 1}})
    with pytest.raises(RecipeError, match="regularization: must be positive"):
        defer(Posterior, {"type": "ridge", "regularization": -1})
    wrong = defer(Posterior, {"type": "standardized", "posterior": {"type": "student_t"}})
    with pytest.raises(RecipeError, match="linear in the rewards"):
        wrong.build()


def test_the_spec_reaches_every_depth(toys) -> None:
    deferred = defer(QueryRule, {"type": "toy_pair", "query_rule": {"type": "toy_pair", "query_rule": {"type": "toy"}}})
    built = deferred.build(ball_spec(3))
    assert built.spec == built.query_rule.spec == ball_spec(3)


def test_it_pickles() -> None:
    deferred = defer(Agent, AGENT)
    again = pickle.loads(pickle.dumps(deferred))
    assert again == deferred
    assert again.build().posterior.regularization == 2.0


def test_another_process_can_build_it() -> None:
    deferred = defer(Posterior, {"type": "ridge", "regularization": 2})
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(Deferred.build, (deferred,)).regularization == 2.0
