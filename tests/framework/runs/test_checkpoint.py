from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bfmkit.runs.checkpoint import Ledger


def test_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "progress.pt"
    ledger = Ledger(
        np.array([[1.0, np.nan]]), np.zeros((1, 0)), 1, 2, 3, {"state": {"z": torch.ones(2)}}, failures={0: "why"}
    )
    ledger.save(path)
    again = Ledger.load(path)
    np.testing.assert_array_equal(again.returns, ledger.returns)
    assert again.oracle_returns.shape == (1, 0)
    assert (again.stage, again.episode, again.rows, again.failures) == (1, 2, 3, {0: "why"})
    assert torch.equal(again.agent["state"]["z"], torch.ones(2))
    assert [file.name for file in path.parent.iterdir()] == ["progress.pt"]
