"""Report of a regret study: numbers and figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bfmkit.regret.bound import RegretBound
from bfmkit.regret.power_law import exponent
from bfmkit.report.plots import BLUE, GREY, ORANGE, SKY, VERMILION, new_figure, save_figure
from bfmkit.report.plots.style import legend_above, styled

LOOK: dict[str, tuple[str, str, str]] = {
    "ucb": (BLUE, "-", "optimism"),
    "rarely_switching": (SKY, "-", "optimism, switching rarely"),
    "ucb_returns": (BLUE, ":", "optimism, returns only"),
    "ucb_each_step": (BLUE, "--", "optimism at each step (nothing proved)"),
    "thompson": (ORANGE, "-", "Thompson sampling"),
    "greedy": (VERMILION, "-", "greedy"),
    "random": (GREY, "-", "random"),
}
"""Colour, line and words of each rule."""


@dataclass(frozen=True)
class Curves:
    """The regret of one rule in one dimension."""

    regret: np.ndarray  # (seeds, k), after each episode of the grid
    bound: RegretBound | None  # None where nothing is proved
    closest: np.ndarray  # (seeds,), largest share of the bound over all episodes; NaN without one
    inside: np.ndarray  # (seeds,) bool, whether the confidence set held the true weights throughout
    choices: np.ndarray  # (seeds,)


def summarise(
    curves: Mapping[int, Mapping[str, Curves]],
    grid: np.ndarray,  # (k,) numbers of episodes
    burn_in: int,
    largest_gaps: Mapping[int, float],
) -> dict[str, Any]:
    """``dims``: d -> rule -> its numbers; exponents are fitted to the grid from ``burn_in`` on."""
    late = grid >= burn_in
    dims: dict[str, Any] = {}
    for dim, rules in curves.items():
        dims[str(dim)] = {"largest_gap": largest_gaps[dim], "rules": {}}
        for name, found in rules.items():
            power = exponent(grid[late], found.regret[:, late])
            numbers: dict[str, Any] = {
                "seeds": len(found.regret),
                "regret": float(found.regret[:, -1].mean()),
                "regrets": found.regret[:, -1].tolist(),
                "exponent": power.value,
                "exponent_interval": [power.low, power.high],
                "choices": float(found.choices.mean()),
            }
            if found.bound is not None:
                numbers |= {
                    "bound": float(found.bound.regret(grid[-1])),
                    "share_under_bound": float((found.closest <= 1).mean()),
                    "largest_share_of_bound": float(found.closest.max()),
                    "share_inside_confidence_set": float(found.inside.mean()),
                    "bound_says_something_from": _informative_from(found.bound, int(grid[-1]), largest_gaps[dim]),
                }
            dims[str(dim)]["rules"][name] = numbers
    return {"dims": dims, "episodes": int(grid[-1]), "burn_in": burn_in}


@styled()
def draw_regret(
    path: Path,
    curves: Mapping[int, Mapping[str, Curves]],
    grid: np.ndarray,  # (k,)
    burn_in: int,
) -> None:
    """Regret by episode in log-log, a panel a dimension; exponents beyond the burn-in stand in the panels.

    The height of a panel is that of what is there after the burn-in.
    """
    columns = min(3, len(curves))
    figure, axes = new_figure(-(-len(curves) // columns), columns, panel=(3.0, 2.8))
    table: list[dict[str, Any]] = []
    for axis, (dim, rules) in zip(axes.flat, curves.items(), strict=False):
        axis.axvspan(grid[0], burn_in, color=GREY, alpha=0.08, linewidth=0)
        for name, found in rules.items():
            table += _draw_curve(axis, dim, name, found, grid, burn_in)
        if "ucb" in rules and (bound := rules["ucb"].bound) is not None:
            axis.plot(grid, bound.regret(grid), color="black", linestyle="-.", linewidth=1, label="bound on optimism")
        axis.set(xscale="log", yscale="log", title=f"d = {dim}", xlabel="episode", xlim=(grid[0], grid[-1]))
        if (ends := _ends(rules, grid, burn_in)) is not None:
            # Half as many decades again below the curves, for the exponents.
            low, high = ends[0] / 1.5, ends[1] * 1.5
            axis.set_ylim(low * (low / high) ** 0.5, high)
        place: dict[str, Any] = {"loc": "lower right", "fontsize": 6, "title_fontsize": 6, "ncols": 2}
        axis.legend(*_exponents(axis, table, dim), title="exponent", **place)
    for axis in axes[:, 0]:
        axis.set_ylabel("cumulative regret (noise of one reward = 1)")
    for axis in axes.flat[len(curves) :]:
        axis.set_visible(False)
    legend_above(figure, axes.flat)
    save_figure(figure, path, table)


CONTINUING_LOOK: dict[str, tuple[str, str, str]] = {
    "determinant": (BLUE, "-", "optimism, chosen when det V has grown"),
    "determinant_growing": (SKY, "-", "the same, radius grown by ε√t"),
    "each_step": (BLUE, "--", "optimism at each step (nothing proved)"),
    "thompson": (ORANGE, "-", "Thompson sampling"),
    "greedy": (VERMILION, "-", "greedy"),
    "random": (GREY, "-", "random"),
}
"""Colour, line and words of each rule without episodes."""


@styled()
def draw_continuing(path: Path, studies: Sequence[Mapping[str, Any]]) -> None:
    """Expected losses by step in log-log without episodes; a panel for each number of dimensions and each ε.

    Args:
        path: of the picture; its table lies beside it.
        studies: ``dim``, ``misspecification``, ``rule`` and ``curve`` of each: ``steps``, ``loss`` and ``bound``.
    """
    panels = sorted({(study["dim"], study["misspecification"]) for study in studies})
    columns = len({error for _, error in panels})
    figure, axes = new_figure(-(-len(panels) // columns), columns, panel=(3.2, 2.7))
    table: list[dict[str, Any]] = []
    for axis, (dim, error) in zip(axes.flat, panels, strict=True):
        for study in (study for study in studies if (study["dim"], study["misspecification"]) == (dim, error)):
            rule, curve = study["rule"], study["curve"]
            color, line, words = CONTINUING_LOOK[rule]
            axis.plot(curve["steps"], np.maximum(curve["loss"], 1e-1), color=color, linestyle=line, label=words)
            bound = curve["bound"] or [None] * len(curve["steps"])
            if curve["bound"]:
                axis.plot(curve["steps"], bound, color="black", linestyle="-.", linewidth=1, label="bound")
            head = {"dim": dim, "misspecification": error, "rule": rule}
            numbers = zip(curve["steps"], curve["loss"], bound, strict=True)
            table += [head | {"step": step, "loss": loss, "bound": most} for step, loss, most in numbers]
        axis.set(xscale="log", yscale="log", title=f"d = {dim}, ε = {error:g}", xlabel="step")
    for axis in axes[:, 0]:
        axis.set_ylabel("expected loss so far")
    legend_above(figure, axes.flat)
    save_figure(figure, path, table)


def _ends(rules: Mapping[str, Curves], grid: np.ndarray, burn_in: int) -> tuple[float, float] | None:
    """The least and the largest that is drawn from ``burn_in`` on; None if nothing was lost there.

    Bands are not looked at: a run that has lost next to nothing would stretch the axis by many decades.
    """
    late = grid >= burn_in
    drawn = [found.regret.mean(0)[late] for found in rules.values()]
    if "ucb" in rules and (bound := rules["ucb"].bound) is not None:
        drawn.append(bound.regret(grid[late]))
    values = np.concatenate(drawn)
    values = values[np.isfinite(values) & (values > 0)]
    return (float(values.min()), float(values.max())) if values.size else None


def _draw_curve(axis: Any, dim: int, name: str, found: Curves, grid: np.ndarray, burn_in: int) -> list[dict[str, Any]]:
    color, line, words = LOOK[name]
    mean = found.regret.mean(0)
    shown = mean > 0
    axis.plot(grid[shown], mean[shown], color=color, linestyle=line, label=words)
    late = grid >= burn_in
    power = exponent(grid[late], found.regret[:, late])
    low, high = np.quantile(found.regret, [0.05, 0.95], axis=0)
    bound = None if found.bound is None else found.bound.regret(grid)
    if name == "ucb":
        axis.fill_between(grid[shown], low[shown], high[shown], color=color, alpha=0.2, linewidth=0)
    return [
        {
            "dim": dim,
            "rule": name,
            "episode": int(episode),
            "regret": float(mean[index]),
            "regret_5_percent": float(low[index]),
            "regret_95_percent": float(high[index]),
            "bound": None if bound is None else float(bound[index]),
            "exponent": power.value,
        }
        for index, episode in enumerate(grid)
    ]


def _exponents(axis: Any, table: Sequence[Mapping[str, Any]], dim: int) -> tuple[list[Any], list[str]]:
    """For a legend inside the panel: each curve with its exponent."""
    values = {LOOK[row["rule"]][2]: row["exponent"] for row in table if row["dim"] == dim}
    handles, labels = axis.get_legend_handles_labels()
    pairs = [
        (handle, f"{values[label]:z.2f}")
        for handle, label in zip(handles, labels, strict=True)
        if label in values and math.isfinite(values[label])
    ]
    return [handle for handle, _ in pairs], [text for _, text in pairs]


def _informative_from(bound: RegretBound, most: int, largest_gap: float) -> int | None:
    """The first number of episodes, up to ``most``, at which the bound is below the worst that could happen."""
    episodes = np.arange(1, most + 1)
    below = bound.regret(episodes) < largest_gap * episodes
    return int(episodes[below.argmax()]) if below.any() else None
