"""Fills in a template from finished runs: ``python docs/fill TEMPLATE``; exit code 1 for a claim that fails."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from document import fill

from bfmkit.utils.errors import BfmkitError


def main(words: list[str]) -> int:
    """Fill in the template, and write the document and its pictures."""
    parser = argparse.ArgumentParser(prog="python docs/fill", description=__doc__)
    parser.add_argument("template", type=Path, help="Markdown, such as docs/results.md.jinja")
    parser.add_argument("--data", type=Path, help="the folder of what is kept of runs (named as the document is)")
    parser.add_argument("--runs", type=Path, help="a folder of run directories, from which the data are renewed first")
    parser.add_argument("--to", type=Path, help="the document (the template without its suffix .jinja)")
    arguments = parser.parse_args(words)
    to = arguments.to or arguments.template.with_suffix("")
    if to == arguments.template:
        parser.error(f"{to}: say with --to where the document goes")
    try:
        data = arguments.data or to.with_suffix("")
        filled = fill(arguments.template.read_text(encoding="utf-8"), data, arguments.runs)
        filled.write(to)
    except (BfmkitError, OSError, UnicodeDecodeError) as error:
        parser.error(f"{arguments.template}: {error}")
    sys.stdout.write(f"{to}\n")
    sys.stderr.write("".join(f"no longer true: {words}\n" for words in filled.broken))
    return 1 if filled.broken else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
