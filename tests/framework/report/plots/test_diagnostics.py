from __future__ import annotations

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from bfmkit.report.plots import diagnostics
from bfmkit.report.plots.diagnostics import draw_agreement


def test_one_legend_stands_over_both_panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(diagnostics, "save_figure", lambda figure, *_: drawn.append(figure))
    pair = (torch.arange(3.0), torch.arange(3.0))
    draw_agreement(tmp_path / "x.png", {"random rewards": {"": pair}, "tasks": {"stand": pair, "walk": pair}})
    (figure,) = drawn
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert abs((legend.x0 + legend.x1) / 2 - figure.bbox.width / 2) < 1
    # What is in no legend has none of its colours.
    unnamed, *named = [tuple(points.get_facecolor()[0][:3]) for axis in figure.axes for points in axis.collections]
    assert len({unnamed, *named}) == 3
