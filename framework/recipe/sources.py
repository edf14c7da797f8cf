"""Locations of recipes: files, and shipped ones by name."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bfmkit.recipe.problems import refuse
from bfmkit.registry.messages import suggestion
from bfmkit.utils.files import expand_home

MOST_NAMES = 8
"""Of recipes in a message."""


@cache
def shipped() -> dict[str, Path]:
    """Shipped recipes: name -> file; a name is the file's, without folder and ending."""
    return {path.stem: path for path in sorted(recipes_folder().glob("*/*.yaml"))}


def recipes_folder() -> Path:
    """Folder of the package ``bfmkit.recipes``."""
    spec = find_spec("bfmkit.recipes")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package bfmkit.recipes is missing from this installation")
    return Path(next(iter(spec.submodule_search_locations)))


def label(path: Path) -> str:
    """Name of a file in messages: relative to the working directory, or ``recipes/...`` for a shipped one."""
    path = path.absolute()
    for start, prefix in ((Path.cwd(), Path()), (recipes_folder().absolute(), Path("recipes"))):
        try:
            return str(prefix / path.relative_to(start))
        except ValueError:
            continue
    return str(path)


def locate(reference: str | Path, beside: Path | None = None, told_by: tuple[str, str] = ("", "")) -> Path:
    """File of a reference: a path (from ``beside``, or from the working directory), else a shipped recipe.

    Args:
        reference: ``my/recipe.yaml``, ``opti_bfm``, or ``infer/opti_bfm``. A bare name means a
            file of that name too, but not where a shipped recipe has the same name: ``./opti_bfm`` or ``opti_bfm.yaml``
            is the file then, and ``infer/opti_bfm`` the shipped one.
        beside: the folder that relative paths start from.
        told_by: file and path of whoever asks, for the message.

    Raises:
        RecipeError: if there is no such file and no such shipped recipe, or there are both.
    """
    file_word, where = told_by
    reference = str(reference)
    path = (beside or Path()) / expand_home(reference)
    for candidate in (path, path.with_name(path.name + ".yaml")) if path.name else ():
        if candidate.is_file():
            namesake = shipped().get(reference)
            if namesake is not None and not candidate.samefile(namesake):
                both = f"there is the file {label(candidate)}, and a shipped recipe has this name"
                choose = f"say ./{reference} or {namesake.parent.name}/{reference}"
                raise refuse(file_word or reference, where, f"{both}; {choose}")
            return candidate
    name = reference.removesuffix(".yaml")
    for known, file in shipped().items():
        if name in (known, f"{file.parent.name}/{known}"):
            return file
    if path.is_dir():
        raise refuse(file_word or reference, where, "expected a recipe, and this is a folder")
    looks_like_file = reference != name or "/" in reference
    message = "there is no such file" if looks_like_file else "there is neither such a file nor such a shipped recipe"
    if where:
        message = f'"{reference}": {message}'
    raise refuse(file_word or reference, where, f"{message}{_likely(Path(name).name)}")


def _likely(name: str) -> str:
    """Shipped recipes that may be meant by ``name``, or how to see all of them."""
    same_words = [each for each in shipped() if name in each] if len(name) > 2 else []
    if same_words:
        return f"; shipped: {', '.join(same_words[:MOST_NAMES])}"
    return suggestion(name, shipped()) or "; bfmkit list recipe"
