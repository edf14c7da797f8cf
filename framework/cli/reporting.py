"""``bfmkit report``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bfmkit.cli.refused import Refused


def run(arguments: argparse.Namespace) -> int:
    """Check every directory, then write the report; nothing is written if one of them is refused."""
    out: Path = arguments.out
    if out.is_dir():
        raise Refused(f"--out {out}: is a folder; name the file, such as {out / 'report.html'}")
    if arguments.videos < 0:
        raise Refused(f"--videos {arguments.videos}: must not be negative")
    from bfmkit.report.page import write_report
    from bfmkit.report.reported_run import read_runs

    runs = read_runs(arguments.run_dirs)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        written = write_report(runs, out, arguments.videos, _say)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise Refused(f"--out {out}: cannot be written: {error.strerror}") from error
    beside = ", ".join(each.name for each in (written.markdown, written.latex, written.figures))
    sys.stderr.write(f"beside it: {beside}\n")
    sys.stdout.write(f"{out}\n")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"report: {text}\n")
