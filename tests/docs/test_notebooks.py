"""The tutorials as notebooks: made of their pages, and executable."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[2] / "docs"
SPEC = util.spec_from_file_location("notebooks", DOCS / "notebooks.py")
notebooks = util.module_from_spec(SPEC)
SPEC.loader.exec_module(notebooks)


@pytest.mark.parametrize("page", notebooks.PAGES, ids=lambda page: page.stem)
def test_a_notebook_is_that_of_its_page(page: Path) -> None:
    text = notebooks.notebook(page)
    nbformat.validate(nbformat.reads(text, as_version=4))
    written = page.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert written == text, "python docs/notebooks.py writes it anew"


def test_what_becomes_a_cell(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(
        "# Title\n\nText.\n\n```yaml file=a.yaml\nx: 1\n```\n\n```bash quick\nbfmkit list\n```\n\n```bash refused\n"
        "bfmkit lst\n```\n\n```bash full\nbfmkit run opti_bfm\n```\n\n```python quick\nx = 1\n```\n"
    )
    cells = nbformat.reads(notebooks.notebook(tmp_path / "page.md"), as_version=4).cells[2:]
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        ("markdown", "Text."),
        ("code", "%%writefile a.yaml\nx: 1"),
        ("code", "%%bash -e\nbfmkit list"),
        ("code", "%%bash --no-raise-error\nbfmkit lst"),
        ("markdown", "```bash\nbfmkit run opti_bfm\n```"),
        ("code", "x = 1"),
    ]


def test_a_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    """The other pages' commands are the same as in tests/test_docs.py, which runs them faster."""
    made = nbformat.read(DOCS / "tutorials" / "1_compose_a_variant.ipynb", as_version=4)
    NotebookClient(made, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = ["".join(part.get("text", "") for part in cell.outputs) for cell in made.cells if cell.cell_type == "code"]
    assert "ok frugal.yaml" in said[3]
    assert "relative return" in said[4] or "frugal_try" in said[4]
    assert 'agent.schedule.steps: "episode" has no argument "steps"' in said[5]
