"""What README and docs tell people to type works.

A fenced block's words after the language say what is done with it, in one temporary folder a document, top to bottom:

    bash quick      run, line by line; each line must succeed
    bash refused    run; each line must be refused with exit code 2
    bash full       not run, for it takes long; every recipe, override and target it names is checked
    text output     what the block before it printed
    python quick    run
    LANGUAGE file=PATH   written to PATH
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from bfmkit.cli.main import build_parser, main
from bfmkit.models import zoo
from bfmkit.recipe import load_recipe
from bfmkit.recipe.yaml_text import read
from bfmkit.registry import discovery, registry
from bfmkit.registry.kinds import KINDS

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
IDS = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
MARKS = {"quick", "full", "refused"}
OTHER_PROGRAMS = {"make", "git", "cd", "source", "python", "pytest", "tensorboard", "export", "pip", "mkdir"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    language: str
    words: tuple[str, ...]
    text: str
    place: str

    @property
    def file(self) -> str | None:
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)

    @property
    def lines(self) -> list[str]:
        """Commands, those that go on after a backslash as one; comments left out."""
        joined = self.text.replace("\\\n", " ").split("\n")
        return [line for line in joined if shlex.split(line, comments=True)]


def blocks(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for match in re.finditer(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", text, flags=re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start()) + 1
        body = re.sub(rf"^{match[1]}", "", match[4], flags=re.MULTILINE)
        yield Block(match[2], tuple(match[3].split()), body, f"{path.name}:{line}")


class Session:
    """Follows one document in the working directory."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.printed = ""
        self.left_out: list[str] = []

    def follow(self, document: Path) -> None:
        for block in blocks(document):
            self._follow(block)

    def _follow(self, block: Block) -> None:
        if block.file is not None:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text, encoding="utf-8")
        if block.language == "yaml":
            read(block.text)
        elif block.language == "python":
            self._python(block)
        elif block.language == "bash":
            self._bash(block)
        elif "output" in block.words:
            assert self.printed.strip() == block.text.strip(), block.place

    def _python(self, block: Block) -> None:
        code = compile(block.text, block.place, "exec")
        if "quick" in block.words and not self._needs_a_model(block):
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, self.names)

    def _bash(self, block: Block) -> None:
        assert MARKS & set(block.words), f"{block.place}: say whether its commands are quick, full or refused"
        self.printed = ""
        for line in block.lines:
            if {"quick", "refused"} & set(block.words):
                if "refused" in block.words or not self._needs_a_model(block):
                    self._run(line, block)
            else:
                check_command(line, block.place)

    def _needs_a_model(self, block: Block) -> bool:
        missing = re.search(r"bfmkit run|bfmkit\.load", block.text) is not None and "walker-fb" not in zoo.names()
        if missing:
            self.left_out.append(block.place)
        return missing

    def _run(self, line: str, block: Block) -> None:
        words = shlex.split(line, comments=True)
        if words[0] == "bfmkit" and not set(line) & set("|<>&;$"):
            # In this process: starting Python and torch anew for each line would take most of the time.
            stream = io.StringIO()
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
                code = main(words[1:])
            said = stream.getvalue()
        else:
            programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", line],
                env={**os.environ, "PATH": programs, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
            )  # fmt: skip
            code, said = done.returncode, done.stdout
        assert code == (2 if "refused" in block.words else 0), f"{block.place}: {line}\n{said}"
        self.printed += said


def check_command(line: str, place: str) -> None:
    """A command that is not run: its words must mean something."""
    words = shlex.split(line, comments=True)
    while "=" in words[0]:  # VARIABLE=value before a command
        words.pop(0)
    if words[0] == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
        assert {word for word in words[1:] if "=" not in word} <= targets, f"{place}: {line}"
        return
    if words[0] != "bfmkit":
        assert words[0] in OTHER_PROGRAMS, f"{place}: {line}"
        return
    arguments, rest = build_parser().parse_known_args(words[1:])
    assert not [word for word in rest if word.startswith("-")], f"{place}: {line}"
    if arguments.command == "run":
        load_recipe(arguments.recipe, [*arguments.overrides, *rest])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what is registered there is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(discovery, "_project_packages", [])
    threads, variables = torch.get_num_threads(), dict(os.environ)
    # Other tests write packages of the same names into folders of their own.
    forget_modules_below(tmp_path.parent)
    yield tmp_path
    torch.set_num_threads(threads)
    forget_modules_below(tmp_path)
    os.environ.clear()
    os.environ.update(variables)


def forget_modules_below(folder: Path) -> None:
    """As if nothing in ``folder`` had been imported or registered."""

    files = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
    tops = {name.split(".")[0] for name, file in files.items() if file.startswith(str(folder))}
    # With a package goes what is below it, folders without a file of their own too.
    written = {name for name in files if name.split(".")[0] in tops - {"tests"}}
    for key in [key for key, cls in registry._classes.items() if cls.__module__ in written]:
        del registry._classes[key]
    for name in written:
        del sys.modules[name]


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_following_a_document_works(document: Path, folder: Path) -> None:
    session = Session()
    session.follow(document)
    if session.left_out:
        pytest.skip(f"not run, for the zoo has no walker-fb yet: {', '.join(session.left_out)}")


def test_snippets_of_the_readme_pass_mypy(tmp_path: Path) -> None:
    snippets = [block for block in blocks(ROOT / "README.md") if block.language == "python"]
    assert len(snippets) > 3
    for index, block in enumerate(snippets):
        (tmp_path / f"snippet_{index}.py").write_text(block.text, encoding="utf-8")
    # Laid out as `make lint` does; what other libraries lack, and what the library itself has, is not asked here.
    (tmp_path / "bfmkit").mkdir()
    for source in [*(ROOT / "framework").iterdir(), ROOT / "components", ROOT / "recipes"]:
        (tmp_path / "bfmkit" / source.name).symlink_to(source)
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nfollow_imports = silent\nignore_missing_imports = true\ncheck_untyped_defs = true\n"
        "disable_error_code = type-abstract\n"
    )
    # Reading torch's types takes a minute, once.
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache" / "readme")]
    files = sorted(path.name for path in tmp_path.glob("snippet_*.py"))
    done = subprocess.run([*command, *files], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^( *)```.*?^\1```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", text)
    lost = [link for link in links if "://" not in link and not (document.parent / link.split("#")[0]).exists()]
    assert lost == []


def test_the_readme_names_every_kind_and_nothing_that_is_not_there() -> None:
    """Names may be missing from its table: adding a component edits no other file."""
    rows = re.findall(r"^\| `(\w+)` \|([^|\n]*)\|([^|\n]*)\|$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    table = {kind: re.findall(r"`(\w+)`", names) for kind, _, names in rows}
    assert list(table) == [*KINDS]
    for kind, names in table.items():
        assert set(names) <= set(registry.names(kind)), kind


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```bash full\nbfmkit run opti_bfm seeed=1\n```", "seeed"),
        ("```bash full\nbfmkit run opti_bfn\n```", "opti_bfn"),
        ("```bash full\nbfmkit run opti_bfm --owt x\n```", "--owt"),
        ("```bash full\nmake dmeo\n```", "dmeo"),
        ("```bash full\nmkae demo\n```", "mkae"),
        ("```bash\nbfmkit list\n```", "quick, full or refused"),
        ("```bash quick\nbfmkit lst\n```", "lst"),
        ("```bash quick\nbfmkit list | grep nothing_of_the_kind\n```", "nothing_of_the_kind"),
        ("```bash refused\nbfmkit list query_rule\n```", "list query_rule"),
        ("```bash quick\nbfmkit list query_rule\n```\n\n```text output\nquery_rule:\n```", "always"),
        ("```python quick\nraise ValueError('told so')\n```", "told so"),
        ("```python\nx = = 1\n```", "invalid syntax"),
        ("```yaml\na: [1\n```", "YAML"),
    ],
)
def test_what_does_not_work_is_noticed(folder: Path, text: str, wrong: str) -> None:
    (folder / "x.md").write_text(f"Text.\n\n{text}\n")
    session = Session()
    with pytest.raises((AssertionError, ValueError, SyntaxError), match=re.escape(wrong)):
        session.follow(folder / "x.md")


@pytest.mark.parametrize("name", ["results", "results_models", "results_fine_tuning", "theory"])
def test_a_filled_page_is_made_of_its_template(name: str) -> None:
    """Its prose stands in the template word for word; a chapter whose runs were missing may be left out."""
    template = (ROOT / "docs" / f"{name}.md.jinja").read_text(encoding="utf-8")
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    # What is filled in may be anything, tables and figures of several lines as well.
    spaces = [re.split(r"{[{%].*?[}%]}", line) for line in template.splitlines()]
    known = re.compile("|".join(".*".join(map(re.escape, parts)) for parts in spaces if any(map(str.strip, parts))))
    made = ("|", "![", "(")
    lines = [line for line in page.splitlines() if line and not line.startswith(made)]
    assert [line for line in lines if not known.fullmatch(line)] == []
    assert not known.fullmatch("A sentence that nobody has put into the template.")
