"""Writes the tutorials as notebooks beside their pages: ``python docs/notebooks.py``.

The pages are the source. What a fenced block becomes follows from its words, as in ``tests/test_docs.py``: commands and
Python that are quick become cells, files are written by cells, and commands that take long stay text.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

PAGES = sorted((Path(__file__).parent / "tutorials").glob("*.md"))
FENCE = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIRST_CELL = """\
# Files and runs of this tutorial go to a folder of their own; `bfmkit` is that of this kernel's environment.
import os
import sys
import tempfile

os.chdir(tempfile.mkdtemp(prefix="bfmkit-"))
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
"""


def notebook(page: Path) -> str:
    """The text of a page's notebook."""
    text = page.read_text(encoding="utf-8")
    title, _, rest = text.partition("\n")
    about = f"This notebook is made of [{page.name}]({page.name}). bfmkit must be installed where its kernel runs."
    cells, end = [_cell("markdown", f"{title}\n\n{about}"), _cell("code", FIRST_CELL)], 0
    for match in FENCE.finditer(rest):
        code = _code(*match.groups())
        if code is not None:
            cells += [_cell("markdown", rest[end : match.start()]), _cell("code", code)]
            end = match.end()
    cells = [cell for cell in [*cells, _cell("markdown", rest[end:])] if cell["source"]]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    numbered = [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)]
    content = {"cells": numbered, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _code(language: str, words: str, text: str) -> str | None:
    """The cell of a fenced block; None for one that stays text."""
    file = re.search(r"file=(\S+)", words)
    if file:
        return f"%%writefile {file[1]}\n{text}"
    if language == "python":
        return text
    if language == "bash" and "full" not in words:
        return f"%%bash {'--no-raise-error' if 'refused' in words else '-e'}\n{text}"
    return None


def _cell(kind: str, text: str) -> dict[str, Any]:
    # Readers of a notebook need not know what tests do with the blocks that stay text.
    text = re.sub(r"^```(\w+) [^\n]*$", r"```\1", text, flags=re.MULTILINE).strip("\n")
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


if __name__ == "__main__":
    for source in PAGES:
        source.with_suffix(".ipynb").write_text(notebook(source), encoding="utf-8")
