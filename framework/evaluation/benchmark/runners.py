"""Runners of groups: in this process, in several, or with Ray. The numbers are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from bfmkit.evaluation.benchmark.group import Group, GroupEvent, GroupTask, run_group
from bfmkit.evaluation.benchmark.workbench import Workbench


@dataclass(frozen=True)
class GroupDone:
    """The last that is heard of a group."""

    lost: str | None = None  # why its worker died, each time that it was tried; None: the group is done


Prepare = Callable[[Group], GroupTask]
"""How far a group is, by what has been heard of it: asked for when it is about to run, and again after a death."""

TRIES = 2
"""How often a group is started whose worker dies."""


class Runner(Protocol):
    """Runs groups, in their order as far as there are workers, and tells what happens as it happens."""

    def __call__(self, groups: Sequence[Group], prepare: Prepare) -> Iterator[tuple[Group, GroupEvent | GroupDone]]:
        """Give the news of all groups."""


class InProcess:
    """One group after another, here."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    def __call__(self, groups: Sequence[Group], prepare: Prepare) -> Iterator[tuple[Group, GroupEvent | GroupDone]]:
        """Run them."""
        threads = torch.get_num_threads()
        try:
            for group in groups:
                for news in run_group(prepare(group), self._workbench):
                    yield group, news
                yield group, GroupDone()
        finally:
            torch.set_num_threads(threads)
