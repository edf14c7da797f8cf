"""Contract of jobs."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path

import torch

from bfmkit.interfaces import Job
from bfmkit.runs.run_directory import METRICS, read_metrics
from bfmkit.utils.files import to_json


class JobContract(ABC):
    """Contract of jobs: subclass it in a test and build one that takes a few seconds in ``make``."""

    @abstractmethod
    def make(self) -> Job:
        """The job under test, not run; called more than once, it gives the same job."""

    def test_gives_a_summary_and_keeps_to_its_directory(self, tmp_path: Path) -> None:
        out = tmp_path / "run"
        out.mkdir()
        summary = self.make().run(out, torch.device("cpu"))
        assert isinstance(summary, dict)
        assert json.loads(to_json(summary))
        assert [path.name for path in tmp_path.iterdir()] == ["run"]
        assert all(isinstance(row, dict) for row in read_metrics(out))
        assert not list(out.rglob("*.tmp"))

    def test_run_again_on_its_directory_it_has_nothing_left_to_do(self, tmp_path: Path) -> None:
        first = self.make().run(tmp_path, torch.device("cpu"))
        metrics = tmp_path / METRICS
        written = metrics.read_bytes() if metrics.is_file() else b""
        again = self.make().run(tmp_path, torch.device("cpu"))
        assert set(again) == set(first)
        assert (metrics.read_bytes() if metrics.is_file() else b"") == written
