"""Commands on records: ``bfmkit explain`` and ``bfmkit replay``."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path


def explain(arguments: argparse.Namespace) -> int:
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
