"""Commands on records: ``bfmkit explain``, ``bfmkit replay`` and ``bfmkit play``."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from bfmkit.cli.browser import open_page
from bfmkit.utils.errors import CommandError

if TYPE_CHECKING:
    from bfmkit.live.film import Footage


def explain(arguments: argparse.Namespace) -> int:
    """Print the paragraph and the tables, and draw the picture."""
    from bfmkit.report.plots.explanation import draw_explanation
    from bfmkit.report.plots.style import FigureOptions, figure_options
    from bfmkit.runs.explanation import explain
    from bfmkit.runs.record import Record

    path: Path = arguments.record
    picture: Path = arguments.picture or path.with_suffix(".png")
    try:
        options = FigureOptions(tuple({picture.suffix[1:]} - {"png"}))
    except ValueError as error:
        raise CommandError(f"--picture {picture}: {error}") from error
    explanation = explain(Record.load(path))
    with figure_options(options):
        draw_explanation(picture, explanation)
    paragraph = textwrap.fill(explanation.paragraph(), 100)
    sys.stdout.write("\n".join([paragraph, "", *explanation.tables(), "", str(picture)]) + "\n")
    return 0


def replay(arguments: argparse.Namespace) -> int:
    """Work the weights out again and compare; 1 if a bit differs."""
    from bfmkit.runs.record import Record
    from bfmkit.runs.replay import replay
    from bfmkit.utils.progress_bar import ProgressBar
    from bfmkit.utils.threads import pin_threads

    path: Path = arguments.record
    record = Record.load(path)
    pin_threads(record.facts["made"]["threads"])
    with ProgressBar("replay", record.facts.get("steps", 0), "steps") as bar:
        found = replay(record, on_step=bar.advance)
    names = ", ".join(name.replace("_", " ") for name in found.differences)
    if found.same:
        sys.stdout.write(f"{path}: the same bits again: {names}\n")
        return 0
    sys.stderr.write(f"{path}: not the same bits; {_differing(found.differences)}{_reason(record, found.changed)}\n")
    return 1


def play(arguments: argparse.Namespace) -> int:
    """Write the film of a record's policy, or of the recorded episodes of a run directory."""
    from bfmkit.live.film_export import require_ending, save_film

    path: Path = arguments.path
    if path.is_dir() and (arguments.episodes, arguments.seed) != (1, 0):
        raise CommandError(f"{path}: --episodes and --seed are of records; a traced run is shown as it was")
    film: Path = arguments.out or (path / "film.html" if path.is_dir() else path.with_suffix(".html"))
    require_ending(film)
    footage = _recorded(path) if path.is_dir() else _acted(path, arguments.episodes, arguments.seed)
    save_film(film, footage)
    address = film.resolve().as_uri()
    if film.suffix == ".html":
        sys.stderr.write(f"{address}   (plays in any browser, without a server)\n")
    sys.stdout.write(f"{film}\n")
    if film.suffix == ".html" and not arguments.no_browser:
        open_page(address)
    return 0


def _recorded(directory: Path) -> Footage:
    from bfmkit.live.recorded import Recording

    recording = Recording.load(directory)
    sys.stderr.write(f"{recording.summary()}\n")
    return recording.footage()


def _acted(path: Path, episodes: int, seed: int) -> Footage:
    from bfmkit.live.play import play
    from bfmkit.runs.record import Record
    from bfmkit.utils.threads import pin_threads

    pin_threads(1)
    try:
        played = play(Record.load(path), episodes, seed)
    except ValueError as error:
        raise CommandError(str(error)) from error
    for number, value in enumerate(played.returns or [], 1):
        sys.stderr.write(f"episode {number}: {played.task}, return {value:.1f}\n")
    return played.footage


def _differing(differences: dict[str, float]) -> str:
    parts = [f"{name.replace('_', ' ')} by {value:.1e}" for name, value in differences.items() if value > 0]
    return f"relative to the largest entry, {', '.join(parts)}"


def _reason(record, changed: dict[str, tuple[str, str]]) -> str:  # type: ignore[no-untyped-def]
    """What may have made the difference."""
    reasons = [f"{name} was {then} and is {now}" for name, (then, now) in changed.items()]
    device = record.facts["made"]["device"]
    if device != "cpu":
        reasons.append(f"it was made on {device}, and this is the CPU")
    return f"; since then {', '.join(reasons)}" if reasons else "; was it made on another machine?"
