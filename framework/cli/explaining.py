"""``bfmkit explain``."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path


def run(arguments: argparse.Namespace) -> int:
    """Print the paragraph and the tables, and draw the picture."""
    from bfmkit.report.plots.explanation import draw_explanation
    from bfmkit.runs.explanation import explain
    from bfmkit.runs.record import Record

    path: Path = arguments.record
    picture: Path = arguments.picture or path.with_suffix(".png")
    explanation = explain(Record.load(path))
    draw_explanation(picture, explanation)
    paragraph = textwrap.fill(explanation.paragraph(), 100)
    sys.stdout.write("\n".join([paragraph, "", *explanation.tables(), "", str(picture)]) + "\n")
    return 0
