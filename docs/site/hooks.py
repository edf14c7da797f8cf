"""Hooks of the documentation site: generated pages, code fences of the document tests, links to source files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from bfmkit.registry.discovery import find
from bfmkit.registry.kinds import KINDS

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "framework" / "models" / "zoo"
FENCE = re.compile(r"^(\s*```)(\w+) ([^\n`]+)$", re.MULTILINE)
OUTSIDE = re.compile(r"\]\((?:\.\./)+((?:framework|components|recipes|tests)/[^)#]*|README\.md)(#[^)]*)?\)")

OPTIONS = "heading_level: 4, show_root_heading: false, show_root_toc_entry: false"


def on_startup(command: str, dirty: bool) -> None:
    """Lay out the source as the package is, for the API reference."""
    place = ROOT / "build" / "site_source" / "bfmkit"
    place.mkdir(parents=True, exist_ok=True)
    sources = [*(ROOT / "framework").iterdir(), ROOT / "components", ROOT / "recipes"]
    for source in sources:
        link = place / source.name
        if not link.exists():
            link.symlink_to(source)


def on_files(files: Files, config: Any) -> Files:
    """Add the model cards."""
    for card in sorted(CARDS.glob("*/README.md")):
        files.append(File.generated(config, f"cards/{card.parent.name}.md", content=card.read_text(encoding="utf-8")))
    return files


def components() -> str:
    """A section for each kind, an entry for each of its components that ship."""
    parts = []
    for kind in KINDS.values():
        found = [each for each in find(kind.folder) if each.package.split(".")[0] == "bfmkit"]
        parts.append(f"\n## {kind.name}\n")
        parts += [f"\n### `{each.name}`\n\n::: {each.module}\n    options: {{{OPTIONS}}}\n" for each in found]
    return "".join(parts)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Fences say what the document tests do with them; readers see the language, and the name of a file."""
    if page.file.src_uri == "reference/components.md":
        markdown += components()
    if page.file.src_uri.startswith("tutorials/"):
        name = Path(page.file.src_uri).with_suffix(".ipynb").name
        markdown = markdown.replace("\n", f"\n\n[This page as a Jupyter notebook]({name})\n", 1)
    markdown = FENCE.sub(_fence, markdown)
    return OUTSIDE.sub(lambda match: _link(match, page), markdown)


def _fence(match: re.Match[str]) -> str:
    opening, language, words = match.groups()
    file = next((word.removeprefix("file=") for word in words.split() if word.startswith("file=")), None)
    return f'{opening}{language} title="{file}"' if file else f"{opening}{language}"


def _link(match: re.Match[str], page: Any) -> str:
    path, up = match.group(1), "../" * page.file.src_uri.count("/")
    card = re.fullmatch(r"framework/models/zoo/([\w-]+)/README\.md", path)
    if card:
        return f"]({up}cards/{card.group(1)}.md)"
    return f"]({up}index.md)" if path == "README.md" else "](#)"
