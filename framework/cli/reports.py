"""``bfmkit report``: one page about finished runs."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bfmkit.utils.errors import CommandError


def run(arguments: argparse.Namespace) -> int:
    """Check every directory, then write the report; nothing is written if one of them is refused."""
    out: Path = arguments.out
    if os.path.isdir(out):  # a path that cannot be is none; Path.is_dir raises
        raise CommandError(f"--out {out}: is a folder; name the file, such as {out / 'report.html'}")
    if arguments.videos < 0:
        raise CommandError(f"--videos {arguments.videos}: must not be negative")
    from bfmkit.report.page import write_report
    from bfmkit.report.plots.style import FigureOptions, figure_options
    from bfmkit.report.run_reader import chosen, read_runs

    try:
        options = FigureOptions(tuple(arguments.formats), arguments.width, arguments.panel_height)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if out.suffix in (".md", ".tex"):
        raise CommandError(f"--out {out}: names the page, *.html; tables are written beside it as .md and .tex")
    runs = chosen(read_runs(arguments.run_dirs), arguments.recipes, arguments.tasks, _labels(arguments.labels))
    try:
        _require_writable(out)
        with figure_options(options):
            written = write_report(runs, out, arguments.videos, _say)
    except BrokenPipeError:  # whoever read our words has closed them; the page is not to blame
        raise
    except OSError as error:
        raise CommandError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    beside = ", ".join(each.name for each in (written.markdown, written.latex, written.figures) if each.exists())
    sys.stderr.write(f"beside it: {beside}\n" if beside else "")
    sys.stdout.write(f"{out}\n")
    return 0


def _labels(given: list[str]) -> dict[str, str]:
    labels = dict(word.partition("=")[::2] for word in given)
    for name, label in labels.items():
        if not name or not label:
            raise CommandError(f"--labels {name}: expected NAME=LABEL, such as opti_bfm_ts=Thompson")
    return labels


def _require_writable(out: Path) -> None:
    """Before anything is drawn, which may take minutes; nothing is left behind but the folder."""
    out.parent.mkdir(parents=True, exist_ok=True)
    was_there = out.exists()
    out.open("ab").close()
    if not was_there:
        out.unlink()


def _say(text: str) -> None:
    sys.stderr.write(f"report: {text}\n")
