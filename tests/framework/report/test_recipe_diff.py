from __future__ import annotations

from bfmkit.report.recipe_diff import side_by_side


def test_every_value_stands_in_one_line_beside_its_counterparts() -> None:
    first = {"type": "infer", "agent": {"type": "a", "rate": 0.1, "parts": [{"x": 1}, {"x": 2}]}, "flag": True}
    second = {
        "type": "infer",
        "agent": {"type": "b", "query_rule": {"type": "always"}},
        "flag": 1,
        "seeds": [1, 2],
        "none": None,
    }
    lines = {line.path: line for line in side_by_side([first, second])}
    assert lines["type"].values == ("infer", "infer") and not lines["type"].differs
    assert lines["agent.type"].values == ("a", "b") and lines["agent.type"].differs
    assert lines["agent.rate"].values == ("0.1", None) and lines["agent.rate"].differs
    assert lines["agent.parts.1.x"].values == ("2", None)
    assert lines["agent.query_rule.type"].values == (None, "always")
    assert lines["flag"].values == ("true", "1") and lines["flag"].differs
    assert lines["seeds"].values == (None, "[1, 2]")
    assert lines["none"].values == (None, "null")


def test_what_only_one_has_stands_with_its_siblings() -> None:
    lines = side_by_side([{"a": {"x": 1}, "b": 2}, {"a": {"x": 1, "y": 3}, "b": 2}])
    assert [line.path for line in lines] == ["a.x", "a.y", "b"]


def test_one_tree_does_not_differ_from_itself() -> None:
    assert not any(line.differs for line in side_by_side([{"a": {"x": 1}, "b": []}]))
