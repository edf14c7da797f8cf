"""Documents whose numbers, tables and pictures come from finished runs: a template of Markdown is filled in.

    {% set paper = run("paper") %}                            what is kept of a run
    {{ paper.of("opti_bfm_two_stage").relative_return }}                1.01 [0.96, 1.06]
    {{ paper.table(["opti_bfm_two_stage", "random"]) }}                 a table
    {{ returns_picture(paper, "images/rules.png", "words") }} a picture, drawn and linked
    {{ measured("online_step.json")["width_256.step_ms"] | digits(1) }}
    {{ claim(paper.of("opti_bfm_two_stage").episodes.median <= 5, "within five episodes") }}

What prose says in words is written down as a claim beside it: filling a template says which claims no longer hold.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from kept import KeptRun, is_finished, keep
from predictors import Predictors
from sources import Comparison, Measured, average, error_of_mean, over_oracle, ratio_of_means

from bfmkit.evaluation.comparison import curves, relative_returns
from bfmkit.regret.report import draw_continuing
from bfmkit.report.plots.comparison import draw_profiles, draw_return_by_episode, draw_return_by_labels
from bfmkit.report.plots.data_efficiency import draw_data_efficiency
from bfmkit.report.tables import Cell, pipe_table
from bfmkit.runs.run_directory import RunDirectoryError
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


def fill(template: str, data: Path, runs: Path | None = None) -> Filled:
    """Fill in a template.

    Args:
        template: Markdown with the expressions of this module.
        data: the folder of what is kept of runs and measurements.
        runs: the folder of the run directories and measurements themselves; what is kept of one that the template
            names and that is there is written anew first.

    Raises:
        RunDirectoryError: if the template has a mistake, a run is missing, or holds not what is asked of it.
    """
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"digits": _digits, "mean": statistics.fmean}
    shelf = _Shelf(data, runs)
    environment.globals |= {
        "run": shelf.run,
        "has": shelf.has,
        "made": lambda name: shelf.kept(name).made,
        "content": lambda name: shelf.kept(name).content,
        "measured": shelf.measured,
        "claim": shelf.claim,
        "returns_picture": shelf.returns_picture,
        "windows_picture": shelf.windows_picture,
        "labels_picture": shelf.labels_picture,
        "profiles_picture": shelf.profiles_picture,
        "efficiency_picture": shelf.efficiency_picture,
        "efficiency_table": shelf.efficiency_table,
        "average": average,
        "error_of_mean": error_of_mean,
        "over_oracle": over_oracle,
        "ratio_of_means": ratio_of_means,
        "continuing_picture": shelf.continuing_picture,
        "predictors": shelf.predictors,
        "predictors_picture": shelf.predictors_picture,
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

    data: Path
    runs: Path | None
    pictures: dict[str, bytes] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    known: dict[Any, Any] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        self._renew(name)
        return any((self.data / file).is_file() for file in (name, f"{name}.json"))

    def kept(self, name: str) -> KeptRun:
        if name not in self.known:
            self._renew(name)
            self.known[name] = KeptRun(self.data, name)
        return self.known[name]

    def measured(self, name: str) -> Measured:
        self._renew(name)
        return Measured(self.data / name)

    def run(self, *names: str) -> Comparison:
        if names not in self.known:
            self.known[names] = Comparison([self.kept(name) for name in names])
        return self.known[names]

    def _renew(self, name: str) -> None:
        if self.runs is not None and is_finished(self.runs / name):
            keep(self.runs / name, self.data)

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

    def efficiency_picture(self, name: str, link: str, words: str) -> str:
        """What the job ``data_efficiency`` draws."""
        found = self.kept(name).content
        return self._drawn(link, words, lambda path: draw_data_efficiency(path, found["tasks"], found["labels"]))

    def efficiency_table(self, name: str) -> str:
        """What the job ``data_efficiency`` says: relative returns by task, source and number of labels."""
        found = self.kept(name).content
        if "labels" not in found or "tasks" not in found:
            raise RunDirectoryError(f"{name}: is no run of data_efficiency")
        rows = [
            [task, f"`{source}`", *("–" if value is None else f"{value:.2f}" for value in entry["relative_return"])]
            for task, numbers in found["tasks"].items()
            for source, entry in numbers["sources"].items()
        ]
        head = ["task", "labels from", *(f"{count:,}" for count in found["labels"])]
        return pipe_table(head, [[Cell(text) for text in row] for row in rows])

    def continuing_picture(self, name: str, link: str, words: str) -> str:
        """What the job ``continuing_regret`` draws."""
        studies = self.kept(name).content["studies"]
        return self._drawn(link, words, lambda path: draw_continuing(path, studies))

    def predictors(self, models: Sequence[str]) -> Predictors:
        """What goes with inference, of the runs ``inspect_NAME`` and ``inference_NAME`` of each model."""
        return Predictors({name: (self.kept(f"inspect_{name}"), self.kept(f"inference_{name}")) for name in models})

    def predictors_picture(self, of: Predictors, link: str, words: str) -> str:
        return self._drawn(link, words, of.draw)

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
    return f"{value:z,.{count}f}"
