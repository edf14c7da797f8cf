"""Report of an inspection, for programs and for people."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from bfmkit.evaluation.diagnostics.measure import Measure, bad_names
from bfmkit.evaluation.diagnostics.offline import LEADING_SHARE, REWARD_FIT
from bfmkit.evaluation.diagnostics.policy_diversity import share_of_latent
from bfmkit.evaluation.diagnostics.predictions import Agreement

TASKS_ARE = "The tasks are diagnostics, to be read by people; never choose a checkpoint by them."

_COLUMNS = {
    "reward_fit": "fit (R²)",
    "leading_share": "leading",
    "prediction_correlation": "correlation",
    "prediction_scale": "scale",
    "return": "return",
    "random_lowest": "random z: lowest",
    "random_median": "median",
    "random_highest": "highest",
}


@dataclass
class Report:
    """What was found: measures, what the policies do on each task, and what could not be measured."""

    measures: list[Measure] = field(default_factory=list)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_task(
        self,
        task: str,
        agreement: Agreement,
        meant: float,
        random_returns: Tensor,  # (K, R)
    ) -> None:
        """One task more: what the policy for it gets, and what policies of random z do."""
        each = random_returns.mean(1)
        self.tasks[task] = {
            "reward_fit": self._value(f"{REWARD_FIT}{task}"),
            "leading_share": self._value(f"{LEADING_SHARE}{task}"),
            "prediction_correlation": agreement.correlation,
            "prediction_scale": agreement.scale,
            "return": meant,
            "random_lowest": float(each.min()),
            "random_median": float(each.median()),
            "random_highest": float(each.max()),
            "spread_of_returns": share_of_latent(random_returns),
        }

    def _value(self, name: str) -> float | None:
        return next((measure.value for measure in self.measures if measure.name == name), None)

    def summary(self) -> dict[str, Any]:
        """As ``summary.json`` has it."""
        return {
            "measures": {measure.name: measure.to_dict() for measure in self.measures},
            "bad": bad_names(self.measures),
            "tasks": self.tasks,
            "the tasks": TASKS_ARE,
            "notes": self.notes,
        }

    def lines(self) -> Iterator[str]:
        """As people read it."""
        yield f"{'measure':<26}{'value':>12}   expected"
        for measure in self.measures:
            value = "unknown" if math.isnan(measure.value) else f"{measure.value:.4g}"
            yield f"{measure.name:<26}{value:>12}   {measure.expected}{'   BAD' if measure.is_bad else ''}"
            # What a bad fit means is much the same for every task.
            if measure.is_bad or not measure.name.startswith((REWARD_FIT, LEADING_SHARE)):
                yield from textwrap.wrap(f"if bad: {measure.meaning}", 110, initial_indent="    ",
                                         subsequent_indent="    ")  # fmt: skip
        if self.tasks:
            yield from ("", TASKS_ARE, *self._task_lines())
        yield from self.notes
        bad = bad_names(self.measures)
        yield f"bad: {', '.join(bad)}" if bad else "nothing is bad"

    def _task_lines(self) -> Iterator[str]:
        widths = [max(10, len(head) + 2) for head in _COLUMNS.values()]
        yield f"{'task':<20}" + "".join(
            f"{head:>{width}}" for head, width in zip(_COLUMNS.values(), widths, strict=True)
        )
        for task, row in self.tasks.items():
            numbers = [row[key] for key in _COLUMNS]
            cells = ["-" if one is None or math.isnan(one) else f"{one:.3g}" for one in numbers]
            yield f"{task:<20}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
