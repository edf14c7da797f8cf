"""Figures of an inspection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bfmkit.report.plots import BLUE, GREY, VERMILION, new_figure, save_figure
from bfmkit.report.plots.style import legend_above, look, styled


@styled()
def draw_agreement(path: Path, panels: Mapping[str, Mapping[str, tuple[Tensor, Tensor]]]) -> None:
    """Figure of returns against predictions, a panel each, with the line of equality.

    Args:
        path: of the PNG file.
        panels: title -> name, which may be empty -> (predicted, actual), each (n,).
    """
    figure, axes = new_figure(1, len(panels))
    table: list[dict[str, Any]] = []
    for axis, (title, groups) in zip(axes.flat, panels.items(), strict=True):
        for index, (name, (predicted, actual)) in enumerate(groups.items()):
            # What has no name is in no legend, and so has the colour of none of those that are.
            style = {"color": look(index)["color"], "label": name} if name else {"color": GREY}
            axis.scatter(predicted, actual, s=3, alpha=0.35, linewidths=0, **style)
            table += [
                {"panel": title, "rewards": name, "predicted": float(p), "actual": float(g)}
                for p, g in zip(predicted, actual, strict=True)
            ]
        numbers = np.array([[row["predicted"], row["actual"]] for row in table if row["panel"] == title])
        if len(numbers):
            ends = [numbers.min(), numbers.max()]
            axis.plot(ends, ends, color=GREY, linewidth=0.8, linestyle="--")
        axis.set_title(title)
        axis.set_xlabel("predicted: ψᵀw")
        axis.set_ylabel("discounted return")
    legend_above(figure, axes.flat, markerscale=3, handletextpad=0.1)
    for handle in [handle for legend in figure.legends for handle in legend.legend_handles if handle is not None]:
        # Points are pale, as many lie upon each other.
        handle.set_alpha(1)
    save_figure(figure, path, table)


@styled()
def draw_spectrum(path: Path, spectrum: Tensor) -> None:  # (d,), largest first
    """Figure of the eigenvalues of the features' second moment."""
    figure, axes = new_figure(1, 1)
    values, axis = spectrum.numpy(), axes[0, 0]
    axis.plot(np.arange(1, len(values) + 1), values, color=BLUE, marker="o", markersize=2)
    if values.max() > 0:
        axis.set_yscale("log")
        # At least a decade to either side, so that an even spectrum looks even.
        axis.set_ylim(min(values.max() / 10, max(values.min(), values.max() * 1e-16) / 2), values.max() * 10)
    axis.set_xlabel("direction")
    axis.set_ylabel("eigenvalue")
    save_figure(figure, path, [{"direction": index + 1, "eigenvalue": float(v)} for index, v in enumerate(values)])


@styled()
def draw_spread(path: Path, returns: Mapping[str, tuple[Tensor, float]]) -> None:
    """Figure of the returns of random z on each task, and of the z inferred for it.

    Args:
        path: of the PNG file.
        returns: task -> (mean return of each random z (K,), mean return of the z for the task).
    """
    figure, axes = new_figure(1, 1)
    axis, table = axes[0, 0], []
    for place, (task, (values, meant)) in enumerate(returns.items()):
        first = place == 0
        shifts = np.linspace(-0.15, 0.15, len(values))
        axis.scatter(place + shifts, values, s=8, color=BLUE, alpha=0.6, linewidths=0,
                     label="a random z" if first else None)  # fmt: skip
        axis.scatter([place], [meant], s=26, color=VERMILION, marker="D", linewidths=0,
                     label="the z for the task" if first else None)  # fmt: skip
        table += [{"task": task, "z": f"random_{i}", "return": float(v)} for i, v in enumerate(values)]
        table.append({"task": task, "z": "for the task", "return": meant})
    axis.set_xticks(range(len(returns)), list(returns), rotation=20 if len(returns) > 4 else 0)
    axis.set_ylabel("return")
    axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
    legend_above(figure, [axis])
    save_figure(figure, path, table)
