"""Merging of recipes: inheritance and overrides are the same operation."""

from __future__ import annotations

from typing import Any

from bfmkit.recipe.node import plain_copy

Path = tuple[str, ...]


class Layers:
    """Tree merged from several sources, with the source of each value.

    A mapping merges into the mapping below it, except that one with another ``type`` replaces it. Everything else
    replaces what was there.
    """

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self._origins: dict[Path, str] = {}
        self._sources: list[str] = []  # in the order in which they spoke

    def lay(self, over: dict[str, Any], source: str) -> None:
        """Merge a whole recipe over the tree."""
        self._say((), source, forget=False)
        self._merge(self.tree, over, source, ())

    def set(self, path: Path, value: Any, source: str) -> None:
        """Set one value, creating the mappings on the way to it.

        Raises:
            LookupError: if a value on the way is neither a mapping nor a list with such an index.
        """
        inside: Any = self.tree
        for depth, key in enumerate(path[:-1]):
            inside = self._step(inside, key, path[: depth + 1], source)
        if isinstance(inside, list):
            inside[_index(inside, path)] = value
            self._say(path, source)
        elif isinstance(inside, dict):
            self._merge(inside, {path[-1]: value}, source, path[:-1])
        else:
            raise LookupError(f'"{".".join(path[:-1])}" is {inside}, and has nothing inside')

    def _step(self, inside: Any, key: str, path: Path, source: str) -> Any:
        if isinstance(inside, list):
            return inside[_index(inside, path)]
        if not isinstance(inside, dict):
            raise LookupError(f'"{".".join(path[:-1])}" is {inside}, and has nothing inside')
        if inside.get(key) is None:
            self._merge(inside, {key: {}}, source, path[:-1])
        return inside[key]

    def source_of(self, path: Path) -> str:
        """Source of the value at ``path``, or of what encloses it."""
        while path and path not in self._origins:
            path = path[:-1]
        return self._origins.get(path, "")

    def last_word_on(self, path: Path) -> str:
        """Last source that set ``path`` or anything inside it."""
        inside = {source for each, source in self._origins.items() if each[: len(path)] == path and each}
        return max(inside | {self.source_of(path)}, key=self._sources.index)

    def _merge(self, below: dict[str, Any], over: dict[str, Any], source: str, path: Path) -> None:
        if "type" in over and "type" in below and over["type"] != below["type"]:
            below.clear()
            self._say(path, source)
        for key, value in over.items():
            here = (*path, key)
            if isinstance(value, dict) and isinstance(below.get(key), dict):
                self._merge(below[key], value, source, here)
            else:
                below[key] = plain_copy(value)
                self._say(here, source)

    def _say(self, path: Path, source: str, forget: bool = True) -> None:
        for known in [each for each in self._origins if len(each) > len(path) and each[: len(path)] == path]:
            if forget:
                del self._origins[known]
        self._origins[path] = source
        if source not in self._sources:
            self._sources.append(source)


def _index(inside: list, path: Path) -> int:
    if not path[-1].isdigit() or int(path[-1]) >= len(inside):
        raise LookupError(f'"{".".join(path[:-1])}" is a list of {len(inside)}; expected a number below that')
    return int(path[-1])
