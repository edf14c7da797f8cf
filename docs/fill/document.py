"""Documents whose numbers, tables and pictures come from finished runs: a template of Markdown is filled in.

    {% set paper = run("paper") %}                            the run directory below the folder of runs
    {{ paper.of("opti_bfm_two_stage").relative_return }}                1.01 [0.96, 1.06]
    {{ paper.table(["opti_bfm_two_stage", "random"]) }}                 a table
    {{ returns_picture(paper, "images/rules.png", "words") }} a picture, drawn and linked
    {{ measured("online_step.json")["width_256.step_ms"] | digits(1) }}
    {{ claim(paper.of("opti_bfm_two_stage").episodes.median <= 5, "within five episodes") }}

What prose says in words is written down as a claim beside it: filling a template says which claims no longer hold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from sources import Comparison, Measured, made

from bfmkit.evaluation.comparison import curves, relative_returns
from bfmkit.report.plots.comparison import draw_profiles, draw_return_by_episode, draw_return_by_labels
from bfmkit.report.run_reader import ReportedRun, read_runs
from bfmkit.report.tables import Cell, pipe_table
from bfmkit.runs.run_directory import SUMMARY, RunDirectoryError
from bfmkit.utils.files import write_atomically


@dataclass(frozen=True)
class Filled:
    """A document.

    Args:
        text: what it says.
        pictures: PNG, by the path that the text has for each.
        broken: claims that do not hold.
    """

    text: str
    pictures: dict[str, bytes]
    broken: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Write the text, and the pictures where its links find them."""
        for link, image in self.pictures.items():
            place = path.parent / link
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, image)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.text)


def fill(template: str, runs: Path) -> Filled:
    """Fill in a template.

    Args:
        template: Markdown with the expressions of this module.
        runs: the folder of the run directories and measurements that it names.

    Raises:
        RunDirectoryError: if the template has a mistake, a run is missing, or holds not what is asked of it.
    """
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["digits"] = _digits
    shelf = _Shelf(runs)
    environment.globals |= {
        "run": shelf.run,
        "runs": shelf.runs,
        "has": lambda name: (runs / name).is_file() or (runs / name / SUMMARY).is_file(),
        "summary": shelf.summary,
        "made": shelf.made,
        "measured": lambda name: Measured(runs / name),
        "claim": shelf.claim,
        "returns_picture": shelf.returns_picture,
        "windows_picture": shelf.windows_picture,
        "labels_picture": shelf.labels_picture,
        "profiles_picture": shelf.profiles_picture,
        "own_picture": shelf.own_picture,
        "efficiency_table": shelf.efficiency_table,
    }
    try:
        text = environment.from_string(template).render()
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise RunDirectoryError(f"the template{f', line {line}' if line else ''}: {error.message}") from error
    except (TypeError, LookupError, ArithmeticError, ValueError) as error:
        raise RunDirectoryError(f"the template: {type(error).__name__}: {error}") from error
    return Filled(text, dict(shelf.pictures), tuple(shelf.broken))


@dataclass
class _Shelf:
    """What a template can ask for, each run read once."""

    folder: Path
    pictures: dict[str, bytes] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @cached_property
    def _known(self) -> dict[tuple[str, ...], Any]:
        return {}

    def _read(self, names: tuple[str, ...]) -> list[ReportedRun]:
        if ("read", *names) not in self._known:
            self._known["read", *names] = read_runs([self.folder / name for name in names])
        return self._known["read", *names]

    def run(self, name: str) -> Comparison:
        return self.runs(name)

    def runs(self, *names: str) -> Comparison:
        if ("compared", *names) not in self._known:
            self._known["compared", *names] = Comparison(self._read(names))
        return self._known["compared", *names]

    def summary(self, name: str) -> dict[str, Any]:
        return self._read((name,))[0].summary

    def made(self, name: str) -> str:
        return made(self._read((name,))[0].provenance)

    def claim(self, holds: bool, words: str) -> str:
        if not holds:
            self.broken.append(words)
        return ""

    def returns_picture(self, of: Comparison, link: str, words: str, recipes: Sequence[str] | None = None) -> str:
        return self._drawn(link, words, lambda path: draw_return_by_episode(path, of.chosen(recipes)))

    def windows_picture(self, of: Comparison, link: str, words: str) -> str:
        def draw(path: Path) -> None:
            draw_return_by_episode(path, of.windows().with_columns(pl.col("oracle_return").cast(pl.Float64)), "window")

        return self._drawn(link, words, draw)

    def labels_picture(self, of: Comparison, link: str, words: str, recipes: Sequence[str] | None = None) -> str:
        return self._drawn(link, words, lambda path: draw_return_by_labels(path, of.chosen(recipes)))

    def profiles_picture(self, of: Comparison, link: str, words: str, recipes: Sequence[str] | None = None) -> str:
        known = curves(of.chosen(recipes))
        scores = {name: relative_returns(of_recipe) for name, of_recipe in known.items()}
        return self._drawn(link, words, lambda path: draw_profiles(path, scores))

    def own_picture(self, name: str, picture: str, link: str, words: str) -> str:
        """A picture that a job drew itself, from the run's folder of figures."""
        path = self.folder / name / "figures" / picture
        if not path.is_file():
            raise RunDirectoryError(f"{path}: there is no such picture")
        return self._linked(link, words, path.read_bytes())

    def efficiency_table(self, name: str) -> str:
        """What the job ``data_efficiency`` says: relative returns by task, source and number of labels."""
        found = self.summary(name)
        if "labels" not in found or "tasks" not in found:
            raise RunDirectoryError(f"{self.folder / name}: is no run of data_efficiency")
        rows = [
            [task, f"`{source}`", *("–" if value is None else f"{value:.2f}" for value in entry["relative_return"])]
            for task, numbers in found["tasks"].items()
            for source, entry in numbers["sources"].items()
        ]
        head = ["task", "labels from", *(f"{count:,}" for count in found["labels"])]
        return pipe_table(head, [[Cell(text) for text in row] for row in rows])

    def _drawn(self, link: str, words: str, draw: Callable[[Path], object]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.png"
            draw(path)
            return self._linked(link, words, path.read_bytes())

    def _linked(self, link: str, words: str, image: bytes) -> str:
        if link in self.pictures:
            raise RunDirectoryError(f"the template: two pictures are called {link}")
        self.pictures[link] = image
        return f"![{words}]({link})"


def _digits(value: float, count: int = 2) -> str:
    return f"{value:,.{count}f}"
