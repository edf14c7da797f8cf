"""Style of all figures, and their files."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bfmkit.rewards.expression import task_title
from bfmkit.utils.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette.
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#595959",
)  # fmt: skip

STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "savefig.dpi": 200,
    # Letters stay letters, which journals ask for.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}

COLUMN, PANEL_WIDTH, PANEL_HEIGHT = 3.4, 2.4, 2.3
"""Inches: a figure of one panel, and a panel of several."""
LARGEST = 100.0
"""Inches of a figure."""

ORACLE: Any = {"color": "black", "linestyle": (0, (1, 1.5)), "label": "oracle"}
FLOOR: Any = {"color": "#8c8c8c", "linestyle": (0, (4, 2)), "linewidth": 0.9, "label": "floor"}
"""The lines of the references: an agent that knows the task, and one that learns nothing."""

TASKS = (
    "stand", "walk", "run", "flip", "jump", "walk_backward", "run_backward",
    "reach_top_left", "reach_top_right", "reach_bottom_left", "reach_bottom_right",
    "speedup", "slowdown", "stand2flip", "run2flip",
)  # fmt: skip
"""The tasks of the domains that ship, each domain's in its own order; a table of results names tasks and no domain."""

_COLOURS = (
    BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY,
    "#332288", "#882255", "#999933", "#44AA99", "#7F4F24", "#EE3377", "#A6D854", "#1B5E20", "#B39DDB",
)  # fmt: skip
_DASHES = ("-", "--", "-.", ":")
_MARKERS = "osD^vPX"


def look(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of the curve of this number.

    The first 16 have a colour each, the first 7 one that can be told apart without colour vision; of the first 64, no
    two agree in colour and marker, nor in colour and dashes, which are all that a curve without markers has.
    """
    # A colour comes back with the next marker and the next dashes.
    lap, colour = divmod(index, len(_COLOURS))
    return {
        "color": _COLOURS[colour],
        "linestyle": _DASHES[(colour + lap) % len(_DASHES)],
        "marker": _MARKERS[(colour + lap) % len(_MARKERS)],
        "markersize": 3,
    }


def look_of(name: str, index: int) -> dict[str, Any]:
    """Style of the curve of a recipe, with its label; the oracle has a style of its own."""
    return dict(ORACLE) if name == ORACLE["label"] else look(index) | {"label": name}


def in_order(tasks: Iterable[str]) -> list[str]:
    """Tasks without duplicates, in the order of their domain; tasks of other domains and typed rewards last."""
    return sorted(dict.fromkeys(tasks), key=lambda task: TASKS.index(task) if task in TASKS else len(TASKS))


FORMATS = ("pdf", "svg")
"""Of figures, besides PNG: with letters as text, to any size."""


@dataclass(frozen=True)
class FigureOptions:
    """Size and formats of figures.

    Args:
        formats: to write besides PNG, of :data:`FORMATS`.
        width: of each figure, inches; None takes as much as its panels want.
        panel_height: of each row of panels, inches; None takes what the figure wants, mostly :data:`PANEL_HEIGHT`.

    Raises:
        ValueError: for another format, or a size that is not positive.
    """

    formats: tuple[str, ...] = ()
    width: float | None = None
    panel_height: float | None = None

    def __post_init__(self) -> None:
        for name in self.formats:
            if name not in FORMATS:
                raise ValueError(f'figures are written as png, {" and ".join(FORMATS)}, not as "{name}"')
        for name, inches in (("width", self.width), ("panel_height", self.panel_height)):
            if inches is not None and not 0 < inches < LARGEST:
                raise ValueError(f"{name} must be between 0 and {LARGEST} inches, got {inches}")


DEFAULT_OPTIONS = FigureOptions()
_options: ContextVar[FigureOptions] = ContextVar("options", default=DEFAULT_OPTIONS)


@contextmanager
def figure_options(options: FigureOptions) -> Iterator[None]:
    """Context in which figures have these options."""
    token = _options.set(options)
    try:
        yield
    finally:
        _options.reset(token)


@contextmanager
def styled() -> Iterator[None]:
    """Context, or decorator of a function that draws, in which matplotlib has :data:`STYLE`."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        yield


@styled()
def new_figure(
    rows: int, columns: int, panel: tuple[float, float] = (PANEL_WIDTH, PANEL_HEIGHT)
) -> tuple[Figure, np.ndarray]:
    """Empty figure and its axes (rows, columns); no display and no global state of matplotlib is used.

    Args:
        rows: of panels.
        columns: of panels.
        panel: width and height of one, inches, where :class:`FigureOptions` say nothing else.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    options = _options.get()
    width = options.width or (COLUMN if columns == 1 else panel[0] * columns)
    figure = Figure(figsize=(width, (options.panel_height or panel[1]) * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def panels(count: int, most: int = 4) -> tuple[Figure, list[Axes]]:
    """Figure with ``count`` panels, at most ``most`` a row; left-over places stay empty."""
    rows = -(-max(1, count) // most)
    figure, axes = new_figure(rows, -(-max(1, count) // rows))
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


INTERVAL, RANGE = "95 % interval", "range of seeds"
BANDS = (INTERVAL, RANGE)
"""What a band is, in the legend."""


def say_band(axis: Axes, words: str) -> None:
    """Add an entry to the legend that says what the bands of a panel are."""
    axis.fill_between([], [], [], color="#7f7f7f", alpha=0.25, linewidth=0, label=words)


def legend_above(figure: Figure, axes: Iterable[Axes], **options: Any) -> None:
    """Draw one legend for all panels above them, in as many columns as fit, the oracle last.

    Args:
        figure: that the panels are of.
        axes: the panels.
        options: of matplotlib's legend.
    """
    found: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        found |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in found}
    for label in (*BANDS, FLOOR["label"], ORACLE["label"]):
        if label in found:
            found[label] = found.pop(label)
    if found:
        # A character is about half as wide as it is high; a handle takes the room of eight.
        width = (max(map(len, found)) + 8) * 0.5 * STYLE["legend.fontsize"] / 72
        columns = max(1, min(len(found), int(figure.get_figwidth() / width)))
        # The panels keep their height: many lines of names would leave them none.
        lines = -(-len(found) // columns)
        figure.set_figheight(figure.get_figheight() + (lines - 1) * 1.6 * STYLE["legend.fontsize"] / 72)
        figure.legend(list(found.values()), list(found), loc="outside upper center", ncols=columns, **options)


def title_of(task: str, width: int = 32) -> str:
    """Title of a task, wrapped at ``width`` letters; a typed reward may be long."""
    return textwrap.fill(task_title(task), width)


@styled()
def save_figure(figure: Figure, path: Path, table: list[dict[str, Any]]) -> None:
    """Write a figure, and the numbers in it to a CSV file of the same name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in ("png", *_options.get().formats):
        image = io.BytesIO()
        figure.savefig(image, format=name)
        write_atomically(path.with_suffix(f".{name}"), image.getvalue())
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(table[0]) if table else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_atomically(path.with_suffix(".csv"), text.getvalue())
