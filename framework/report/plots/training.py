"""Figures of a training: returns and diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bfmkit.report.plots.style import FLOOR, GREY, legend_above, look, panels, save_figure, styled, title_of


def draw_training(
    folder: Path,
    rows: Iterable[Mapping[str, Any]],  # of the run's metrics.jsonl
    floors: Mapping[str, float],  # task -> mean return of random policies
) -> None:
    """Draw ``return.png``, the oracle's return on each task by update, and ``health.png``, each measure by update.

    A figure that has nothing to show is not drawn. The numbers lie in a CSV file beside each.
    """
    rows = list(rows)
    evaluations = [row for row in rows if "oracle_return" in row]
    returns = [
        {"panel": task, "update": row["update"], "value": value}
        for row in evaluations
        for task, value in row["oracle_return"].items()
    ]
    health = [
        {"panel": name, "update": row["update"], "value": value, "bad": name in row["bad"]}
        for row in rows
        if "health" in row
        for name, value in row["health"].items()
    ]
    _draw(folder / "return.png", returns, "oracle's return", floors)
    _draw(folder / "health.png", health, "value", {})


@styled()
def _draw(path: Path, rows: list[dict[str, Any]], quantity: str, floors: Mapping[str, float]) -> None:
    if not rows:
        return
    names = list(dict.fromkeys(row["panel"] for row in rows))
    figure, axes = panels(len(names))
    style = look(0) | {"label": quantity}
    for axis, name in zip(axes, names, strict=True):
        mine = [row for row in rows if row["panel"] == name]
        axis.plot([row["update"] for row in mine], [row["value"] for row in mine], **style)
        bad = [row for row in mine if row.get("bad")]
        if bad:
            where = [row["update"] for row in bad], [row["value"] for row in bad]
            axis.plot(*where, linestyle="", marker="x", color="#D55E00", label="bad")
        if name in floors:
            axis.axhline(floors[name], **FLOOR)
        axis.set(title=title_of(name.replace("_", " ")), xlabel="update", ylabel=quantity)
        axis.ticklabel_format(axis="x", scilimits=(-3, 4))
        axis.axhline(0.0, color=GREY, linewidth=0.4)
    legend_above(figure, axes)
    save_figure(figure, path, rows)
