from __future__ import annotations

from pathlib import Path

import polars as pl
import torch

from bfmkit.jobs.benchmark import BenchmarkJob

MDP = "{layout: random, size: 8, dim: 3, actions: 3}"
TABULAR = (
    f"bfm={{type: tabular, pool: 12, mdp: {MDP}}}",
    f"environment={{type: tabular, task: random_0, episode_steps: 30, mdp: {MDP}}}",
)


def test_processes_give_the_same_numbers(tmp_path: Path) -> None:
    tables = []
    for name, settings in (("here", {}), ("there", {"runner": "processes", "workers": 2})):
        out = tmp_path / name
        out.mkdir()
        recipes, tasks = ["opti_bfm_ts", "random"], ["random_0", "random_3"]
        made = BenchmarkJob(recipes, tasks, seeds=3, episodes=3, overrides=TABULAR, batch_size=4, **settings)
        made.run(out, torch.device("cpu"))
        tables.append(pl.read_parquet(out / "results.parquet"))
    assert tables[0].equals(tables[1])
