from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib import rc_context

from bfmkit.components.environments.domains.cheetah import Cheetah
from bfmkit.components.environments.domains.point_mass_maze import PointMassMaze
from bfmkit.components.environments.domains.quadruped import Quadruped
from bfmkit.components.environments.domains.walker import Walker
from bfmkit.report.plots.style import (
    ORACLE,
    STYLE,
    FigureOptions,
    figure_options,
    in_order,
    legend_above,
    look,
    look_of,
    new_figure,
    panels,
    save_figure,
    title_of,
)


def test_curves_can_be_told_apart() -> None:
    for one, other in (("color", "marker"), ("color", "linestyle")):
        assert len({(look(index)[one], look(index)[other]) for index in range(64)}) == 64
    assert len({look(index)["color"] for index in range(16)}) == 16


def test_the_oracle_looks_the_same_wherever_it_stands() -> None:
    assert look_of("oracle", 2) == look_of("oracle", 0) == ORACLE
    assert look_of("greedy", 2) == look(2) | {"label": "greedy"}
    assert all(look(index)["color"] != ORACLE["color"] for index in range(64))


def test_tasks_come_in_the_order_of_their_domain() -> None:
    for domain in (Walker, Cheetah, Quadruped, PointMassMaze):
        assert in_order(sorted(domain.tasks)) == list(domain.tasks)
    assert in_order(sorted(Walker.changing_tasks)) == list(Walker.changing_tasks)
    assert in_order(["upright", "walk", "a * b", "stand", "walk"]) == ["stand", "walk", "upright", "a * b"]


def test_panels_fill_their_rows() -> None:
    for count, shape in ((0, 0), (1, 1), (4, 4), (5, 5), (9, 9)):
        figure, axes = panels(count)
        assert len(axes) == shape
        assert sum(axis.get_visible() for axis in figure.axes) == max(shape, 0)
    figure, _ = panels(5)
    assert len({round(axis.get_subplotspec().colspan.start) for axis in figure.axes}) == 3


def test_one_legend_names_each_curve_once() -> None:
    figure, axes = new_figure(1, 2)
    for axis in axes.flat:
        axis.plot([0, 1], [0, 1], label="a")
        axis.axhline(1.0, **ORACLE)
    axes[0, 1].plot([0, 1], [1, 0], label="b")
    legend_above(figure, list(axes.flat))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "oracle"]
    bare, axes = new_figure(1, 1)
    legend_above(bare, list(axes.flat))
    assert not bare.legends


def test_long_titles_are_broken() -> None:
    assert all(len(line) <= 32 for line in title_of("2 * upright + tolerance(velocity, 2, 3, margin=1)").split("\n"))


def test_many_names_leave_the_panel_its_height() -> None:
    heights = []
    for count in (1, 14):
        with rc_context(STYLE):
            figure, axes = new_figure(1, 1)
            for index in range(count):
                axes[0, 0].plot([0, 1], [0, index], label=f"a recipe with a long name, number {index}")
            legend_above(figure, [axes[0, 0]])
            figure.draw_without_rendering()
            heights.append(axes[0, 0].get_position().height * figure.get_figheight())
            legend = figure.legends[0].get_window_extent()
            assert legend.y0 >= axes[0, 0].get_window_extent().y1
    assert heights[1] > 0.9 * heights[0]


def test_figures_are_written_in_other_formats_too(tmp_path: Path) -> None:
    with figure_options(FigureOptions(("pdf", "svg"))):
        figure, axes = new_figure(1, 1)
        axes[0, 0].set_title("a title")
        save_figure(figure, tmp_path / "x.png", [{"y": 1}])
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
    # Letters are text, and not shapes.
    assert "a title" in (tmp_path / "x.svg").read_text()
    save_figure(figure, tmp_path / "y.png", [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv", "x.pdf", "x.png", "x.svg", "y.csv", "y.png"]
    with pytest.raises(ValueError, match="pdf and svg"):
        FigureOptions(("jpg",))


def test_figures_are_as_large_as_asked_for() -> None:
    with figure_options(FigureOptions(width=5.5, panel_height=1.5)):
        assert tuple(new_figure(2, 3)[0].get_size_inches()) == (5.5, 3.0)
        assert tuple(new_figure(1, 1)[0].get_size_inches()) == (5.5, 1.5)
    assert new_figure(1, 3)[0].get_size_inches()[0] == pytest.approx(7.2)
    for size in ({"width": 0.0}, {"width": 1e9}, {"panel_height": float("nan")}):
        with pytest.raises(ValueError, match="between 0 and 100.0 inches"):
            FigureOptions(**size)
