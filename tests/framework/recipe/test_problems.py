from __future__ import annotations

import pickle

from bfmkit.recipe.problems import Problem, RecipeError, refuse


def test_a_problem_is_a_line() -> None:
    assert str(Problem("a.yaml", "agent.z", "missing")) == "a.yaml: agent.z: missing"
    assert str(Problem("a.yaml", "", "is empty")) == "a.yaml: is empty"


def test_an_error_lists_each_problem_once_also_from_another_process() -> None:
    one, other = Problem("a.yaml", "x", "bad"), Problem("a.yaml", "y", "worse")
    error = pickle.loads(pickle.dumps(RecipeError([one, other, one])))
    assert error.problems == (one, other)
    assert str(error) == "a.yaml: x: bad\na.yaml: y: worse"
    assert error.exit_code == 2
    assert refuse("a.yaml", "x", "bad").problems == (one,)
