"""Figure of an inference record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bfmkit.report.plots.style import BLUE, GREY, ORANGE, VERMILION, new_figure, save_figure, styled

if TYPE_CHECKING:
    from bfmkit.runs.explanation import Explanation

QUANTITIES_SHOWN = 8


@styled()
def draw_explanation(path: Path, explanation: Explanation) -> None:
    """Figure of three panels: believed reward, its parts with standard deviations, correlations with quantities.

    Args:
        path: of the PNG file; the numbers go into a CSV file beside it.
        explanation: of a record.
    """
    figure, axes = new_figure(1, 3)
    _draw_reward(axes[0, 0], explanation)
    table = _draw_parts(axes[0, 1], explanation)
    table += _draw_quantities(axes[0, 2], explanation)
    save_figure(figure, path, table)


def _draw_reward(axis: Any, explanation: Explanation) -> None:
    believed, true = explanation.believed, explanation.true
    axis.set_title("reward over the inference set")
    if believed is None:
        axis.text(0.5, 0.5, "no inference set", ha="center", va="center", transform=axis.transAxes)
        return
    if true is None or np.ptp(true) == 0:
        axis.hist(believed, bins=50, color=BLUE)
        axis.set(xlabel="believed reward", ylabel="transitions")
        return
    axis.hexbin(true, believed, gridsize=40, bins="log", cmap="Blues", linewidths=0.1)
    ends = [min(true.min(), believed.min()), max(true.max(), believed.max())]
    axis.plot(ends, ends, color=VERMILION, linestyle="--", linewidth=1)
    axis.set(xlabel="the task's reward", ylabel="believed reward")


def _draw_parts(axis: Any, explanation: Explanation) -> list[dict[str, Any]]:
    parts = explanation.parts
    numbers = np.arange(1, len(parts) + 1)
    sizes = np.array([part.size for part in parts])
    deviations = np.array([part.deviation for part in parts])
    axis.errorbar(numbers, sizes, yerr=2 * deviations, fmt="o", markersize=2, color=BLUE, ecolor=ORANGE, elinewidth=0.8)
    axis.axhline(0.0, color=GREY, linewidth=0.6)
    axis.set(title="parts of the reward", xlabel="part, best known first", ylabel="size, ± 2 deviations")
    return [
        _row("part", f"{number} {part.quantity or ''}".strip(), part.size, part.deviation)
        for number, part in zip(numbers, parts, strict=True)
    ]


def _draw_quantities(axis: Any, explanation: Explanation) -> list[dict[str, Any]]:
    axis.set_title("correlation with quantities")
    shown = list(explanation.correlations.items())[:QUANTITIES_SHOWN][::-1]
    if not shown:
        axis.text(0.5, 0.5, "no environment to measure with", ha="center", va="center", transform=axis.transAxes)
        return []
    axis.barh([name.replace("_", " ") for name, _ in shown], [value for _, value in shown], color=BLUE)
    axis.set(xlim=(-1, 1), xlabel="correlation")
    axis.axvline(0.0, color=GREY, linewidth=0.6)
    return [_row("quantity", name, value, None) for name, value in explanation.correlations.items()]


def _row(kind: str, name: str, value: float, deviation: float | None) -> dict[str, Any]:
    return {"kind": kind, "name": name, "value": value, "deviation": deviation}
