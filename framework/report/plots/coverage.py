"""Coverage of collected data: how often each value of each physics quantity was visited."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bfmkit.report.plots.style import legend_above, look, panels, save_figure, styled, title_of

BINS = 40
TAIL = 0.1
"""Per cent of the values at each end that a panel leaves out."""


@styled()
def draw_coverage(
    path: Path,
    first: Mapping[str, np.ndarray],  # quantity -> (n,), of the first half of the collection
    second: Mapping[str, np.ndarray],  # the same of the second
) -> None:
    """Figure of histograms of each quantity, first and second half of a collection.

    An explorer that goes on finding new states moves its second half away from its first. Quantities that never change
    are left out; the numbers lie in a CSV file beside the figure.
    """
    everything = {name: np.concatenate([first[name], second[name]]) for name in first}
    varying = {name: values for name, values in everything.items() if np.ptp(values) > 0}
    if not varying:
        return
    rows = []
    figure, axes = panels(len(varying))
    for axis, (name, values) in zip(axes, varying.items(), strict=True):
        low, high = np.percentile(values, [TAIL, 100 - TAIL])
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
        for number, (half, label) in enumerate(((first, "first half"), (second, "second half"))):
            share = np.histogram(half[name], edges)[0] / max(1, len(half[name]))
            axis.stairs(share, edges, color=look(number)["color"], label=label)
            rows += [
                {"quantity": name, "half": label, "from": float(low), "to": float(high), "share": float(value)}
                for low, high, value in zip(edges[:-1], edges[1:], share, strict=True)
            ]
        axis.set(title=title_of(name.replace("_", " ")), ylabel="share of transitions")
        axis.set_ylim(bottom=0.0)
    legend_above(figure, axes)
    save_figure(figure, path, rows)
