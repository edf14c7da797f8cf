from __future__ import annotations

from matplotlib import rc_context

from bfmkit.figures.style import STYLE, legend_above, look, new_figure, panels, title_of


def test_curves_can_be_told_apart() -> None:
    looks = [tuple(look(index).items()) for index in range(28)]
    assert len(set(looks)) == 28


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
    axes[0, 1].plot([0, 1], [1, 0], label="b")
    legend_above(figure, list(axes.flat))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
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
