from __future__ import annotations

import json
from pathlib import Path

import pytest

from bfmkit.models.card import write_card
from bfmkit.testing.models import ball_spec

SUMMARY = {
    "updates": 1200,
    "transitions": 5000,
    "practised": 640,
    "data": [
        {"path": "data/ball/rnd", "checksum": "c0ffee", "episodes": 1080, "skipped": 3},
        {"path": "data/ball/icm", "checksum": "decaf", "episodes": 20, "skipped": 0},
        {"path": "runs/collect_ball/dataset", "checksum": None, "episodes": None, "skipped": 0},
    ],
    "seconds": 150.0,
    "tasks": {"task_0": {"oracle_return": 12.6, "standard_deviation": 1.2, "episodes": 3, "episode_steps": 70}},
}


@pytest.mark.parametrize(
    ("git", "expected"),
    [
        ({"revision": "abc123", "changed": False}, "* revision: abc123\n"),
        ({"revision": "abc123", "changed": True}, "* revision: abc123, with changes\n"),
        (None, "* revision: not run from a checkout\n"),
    ],
)
def test_says_what_the_run_directory_records(tmp_path: Path, git: dict | None, expected: str) -> None:
    recorded = {"command": "bfmkit run mine", "versions": {"torch": "9.9"}, "git": git}
    (tmp_path / "provenance.json").write_text(json.dumps(recorded))
    card = write_card(ball_spec(), tmp_path, SUMMARY)
    assert "5,000 transitions of exploration and 640 of self-collection" in card
    assert "* dataset: `data/ball/rnd`, 3 of 1,080 episodes skipped, checksum c0ffee\n" in card
    assert "* dataset: `data/ball/icm`, 20 episodes, checksum decaf\n" in card
    assert "* dataset: `runs/collect_ball/dataset`\n" in card
    assert "`bfmkit run mine`" in card
    assert "torch 9.9" in card
    assert expected in card
    assert "| task_0 | 13 | 1 |" in card
    assert "episodes of 70 steps" in card


def test_the_hub_reads_library_tags_and_results(tmp_path: Path) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub", reason="an extra: pip install 'bfmkit[hub]'")
    (tmp_path / "README.md").write_text(write_card(ball_spec(), tmp_path, SUMMARY))
    card = huggingface_hub.ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "bfmkit"
    assert {"behaviour-foundation-model", "ball"} <= set(card.data.tags)
    (result,) = card.data.eval_results
    assert (result.task_name, result.metric_type, result.metric_value) == ("task_0", "mean_reward", 12.6)
    assert "over 3 episodes of 70 steps" in result.metric_name
    assert card.text.lstrip().startswith("# A behaviour foundation model of ball")


def test_a_model_that_was_not_evaluated_has_no_results(tmp_path: Path) -> None:
    assert "model-index" not in write_card(ball_spec(), tmp_path, SUMMARY | {"tasks": {}})
