from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch

from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.testing.models import BallEnvironment
from bfmkit.training.data_module import TransitionData
from bfmkit.training.self_collection import SelfCollection


def data(folder: Path, rank: int, resumes: bool = False) -> TransitionData:
    environment = BallEnvironment(dim=3, episode_steps=5)
    if not (folder / "data").exists():
        claim(folder / "data", environment.spec)
        rows = empty_transitions(environment.spec, 40)
        rows["action"].uniform_(-1, 1)
        ShardWriter(folder / "data", "shard-000", environment.spec, 40).append(rows)
    made = TransitionData(
        MemoryMapDataset(folder / "data"), updates=20, batch_size=8, seed=3, out=folder, epoch=10, updates_per_step=4,
        stops=[6], self_collection=SelfCollection(environment, every=6, rows=2), resumes=resumes,
    )  # fmt: skip
    made.trainer = SimpleNamespace(
        global_rank=rank, world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu")),
        lightning_module=SimpleNamespace(update=0),
    )  # fmt: skip
    made.setup("fit")
    return made


def test_processes_draw_their_parts_of_one_batch_and_noise_of_their_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = (data(tmp_path, rank) for rank in (0, 1))
    assert torch.initial_seed() != 0
    parts = torch.cat([each.batches.chunk(0, 1)[0]["action"] for each in (first, second)])
    assert torch.equal(parts, first.batches.whole(0)["action"])


def test_a_loader_ends_with_the_epoch(tmp_path: Path) -> None:
    made = data(tmp_path, 0)
    groups = made.train_dataloader()
    assert list(groups) == [(0, 4), (4, 2), (6, 4)]
    made.trainer.lightning_module.update = 10
    assert list(groups) == [(10, 2), (12, 4), (16, 2), (18, 2)]


def test_what_was_collected_is_kept_where_a_state_says_how_much_of_it(tmp_path: Path) -> None:
    made = data(tmp_path, 0)
    made.pool.add(empty_transitions(made.dataset.spec, 10))
    resumed = data(tmp_path, 0, resumes=True)
    resumed.pool.rewind(10)
    assert len(resumed.pool) == 50
    assert len(data(tmp_path, 0).pool) == 40
