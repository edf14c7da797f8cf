"""Inference records of a run directory: one a task and seed, in ``records/``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bfmkit.inference.experiment import Run
from bfmkit.interfaces import Agent
from bfmkit.runs.label_log import LabelLog
from bfmkit.runs.record import FOLDER, record_name
from bfmkit.runs.recording import describe, record_of
from bfmkit.runs.run_directory import own_recipe


class RunRecords:
    """Writer of a run's records, from the label log that its agent keeps.

    Args:
        out: the run directory. What the records say of model, agent and environment is what its ``recipe.yaml`` says.
        stage: of the job; each has a label log of its own.
    """

    def __init__(self, out: Path, stage: str) -> None:
        self.out = out
        self._pages = out / "checkpoints" / f"labels-{stage}"

    def label_log(self) -> LabelLog:
        """New label log, whose pages lie among the run's checkpoints."""
        return LabelLog(self._origin(), self._pages)

    def write(self, agent: Agent, runs: Sequence[Run]) -> None:
        """Write a record for each run of an agent with a belief; nothing for other agents."""
        if "belief" not in agent.state.keys():
            return
        shared_by_all: Any = agent
        surroundings = describe(shared_by_all.bfm, shared_by_all.device)
        for row, run in enumerate(runs):
            record = record_of(agent, row, run.task, surroundings)
            record.save(self.out / FOLDER / record_name(run.task, run.seed))

    def _origin(self) -> dict[str, Any]:
        said = own_recipe(self.out)
        known = {name: said[name] for name in ("bfm", "agent", "environment") if name in said}
        return known | {
            "labels": "the environment, while acting",
            "start_labels": "the model's inference set, labelled by the environment before the first step",
        }
