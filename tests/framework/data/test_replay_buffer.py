from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchrl.data import SamplerWithoutReplacement

from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.testing.models import ball_spec


@pytest.fixture
def dataset(tmp_path: Path) -> MemoryMapDataset:
    spec = ball_spec(4, 20)
    claim(tmp_path, spec)
    for name, start in (("shard-000", 0), ("shard-001", 30)):
        rows = empty_transitions(spec, 30)
        rows["observation"].copy_(torch.arange(start, start + 30).unsqueeze(-1).expand(-1, 4))
        rows["next", "truncated"][19::20] = True
        ShardWriter(tmp_path, name, spec, 30).append(rows)
    return MemoryMapDataset(tmp_path)


def test_a_dataset_is_a_replay_buffer_of_torchrl(dataset: MemoryMapDataset) -> None:
    buffer = dataset.replay_buffer(batch_size=20, sampler=SamplerWithoutReplacement())
    assert len(buffer) == 60
    seen = torch.cat([buffer.sample()["observation"][:, 0] for _ in range(3)])
    assert seen.sort().values.tolist() == list(range(60)), "every transition of both shards, once"
    batch = buffer[:25]
    assert batch["next", "done"].shape == (25, 1)
    assert batch["next", "done"].squeeze(-1).nonzero().squeeze(-1).tolist() == [19]
    with pytest.raises(RuntimeError, match="doesn't allow writing"):
        buffer.extend(batch)
