from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch

from bfmkit.runs.checkpoint import Ledger


def test_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "progress.pt"
    ledger = Ledger(
        {"agent": np.array([[1.0, np.nan]]), "oracle": np.zeros((1, 0))},
        1,
        2,
        Counter(agent=3),
        {"state": {"z": torch.ones(2)}},
        failures={0: "why"},
    )
    ledger.save(path)
    again = Ledger.load(path)
    np.testing.assert_array_equal(again.returns["agent"], ledger.returns["agent"])
    assert again.returns["oracle"].shape == (1, 0)
    assert (again.stage, again.episode, again.failures) == (1, 2, {0: "why"})
    assert (again.rows["agent"], again.rows["oracle"]) == (3, 0)
    assert torch.equal(again.agent["state"]["z"], torch.ones(2))
    assert [file.name for file in path.parent.iterdir()] == ["progress.pt"]
