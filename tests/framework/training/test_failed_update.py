from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tensordict import TensorDict

from bfmkit.training.failed_update import FailedUpdate
from bfmkit.training.rng_state import generator_states


def test_a_saved_update_is_read_again_without_pickle(tmp_path: Path) -> None:
    batch = TensorDict({"action": torch.full((4, 2), torch.nan), "next": {"observation": torch.ones(4, 3)}}, [4])
    update = FailedUpdate(
        7,
        batch,
        {"w": torch.eye(2)},
        generator_states(torch.device("cpu")),
        "bf16",
        {"type": "td_jepa"},
        {"domain": "ball"},
    )
    file = update.save(tmp_path)
    assert file.name == "failed_update_7.pt"
    again = FailedUpdate.load(file)
    assert again.batch.batch_size == (4,) and again.batch["action"].isnan().all()
    assert torch.equal(again.weights["w"], torch.eye(2))
    assert (again.number, again.precision, again.objective) == (7, "bf16", {"type": "td_jepa"})
    assert FailedUpdate.command(file) == f"bfmkit run replay_update file={file}"


@pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "another file of torch"])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "x.pt"
    if content is None:
        torch.save({"number": 3}, file)
    else:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.pt is no saved update"):
        FailedUpdate.load(file)
