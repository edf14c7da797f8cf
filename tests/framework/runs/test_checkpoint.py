from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch

from bfmkit.runs.checkpoint import InferenceCheckpoint


def test_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "progress.pt"
    state = InferenceCheckpoint(
        {"agent": np.array([[1.0, np.nan]]), "oracle": np.zeros((1, 0))}, rows=Counter(agent=3), failures={0: "why"}
    )
    state.snapshots["agent-0"] = {"index": 1000}
    state.finish_episode("agent-0", 1, {"state": {"z": torch.ones(2)}})
    state.save(path)
    again = InferenceCheckpoint.load(path)
    np.testing.assert_array_equal(again.returns["agent"], state.returns["agent"])
    assert again.returns["oracle"].shape == (1, 0)
    assert (again.episodes, again.snapshots, again.failures) == ({"agent-0": 2}, {}, {0: "why"})
    assert (again.rows["agent"], again.rows["oracle"]) == (3, 0)
    assert torch.equal(again.agents["agent-0"]["state"]["z"], torch.ones(2))
    assert [file.name for file in path.parent.iterdir()] == ["progress.pt"]


def test_the_agent_of_a_stage_that_is_over_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    state = InferenceCheckpoint({"agent": np.zeros((1, 2))})
    assert state.agent("agent-0", tmp_path) is None
    state.finish_episode("agent-0", 1, {"z": torch.ones(2)})
    state.finish_stage("agent-0", 2, tmp_path)
    assert state.agents == {}
    loaded = state.agent("agent-0", tmp_path)
    assert loaded is not None and torch.equal(loaded["z"], torch.ones(2))
    # Gone on with, its newer state counts.
    state.finish_episode("agent-0", 2, {"z": torch.zeros(2)})
    assert torch.equal(state.agent("agent-0", tmp_path)["z"], torch.zeros(2))  # type: ignore[index]


def test_makes_room_for_more_episodes() -> None:
    state = InferenceCheckpoint({"agent": np.array([[1.0, 2.0]]), "oracle": np.zeros((1, 0))})
    state.grow({"agent": 3, "oracle": 0})
    np.testing.assert_array_equal(state.returns["agent"], [[1.0, 2.0, np.nan]])
    state.grow({"agent": 1})
    assert state.returns["agent"].shape == (1, 3)
