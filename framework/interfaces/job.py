"""Jobs: the roots of recipes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch


class Job(ABC):
    """Base class of jobs, the roots of recipes; the constructor takes what a recipe says."""

    kind: ClassVar[str] = "job"
    folder: ClassVar[str] = "jobs"

    incidental: ClassVar[frozenset[str]] = frozenset()
    """Arguments that say how to work and change no result: a run may be gone on with under other ones."""

    extendable: ClassVar[frozenset[str]] = frozenset()
    """Arguments that count, and may be larger when a run is gone on with, even one that is finished."""

    logs: ClassVar[bool] = True
    """Whether it has numbers over time."""

    loggers: Sequence[Any] = ("tensorboard",)
    """Where these go; ``--logger`` sets it."""

    processes: int = 1
    """How many processes run it together; the first one writes the run directory."""

    nodes: int = 1
    """On how many machines these are."""

    @abstractmethod
    def run(
        self,
        out: Path,  # the run directory, which exists and holds recipe.yaml and provenance.json
        device: torch.device,
    ) -> dict:
        """Run the job; returns the summary, which the caller writes to ``summary.json``.

        Called again on the same directory, it resumes.

        Raises:
            JobError: when it ends without having done all of its work; the message is for the user.
        """
