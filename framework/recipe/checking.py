"""Check of a tree against constructors, before anything is built, with every problem at once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from bfmkit.recipe.deferred import Deferred
from bfmkit.recipe.node import Node
from bfmkit.recipe.problems import Problem
from bfmkit.recipe.signature import (
    Argument,
    Signature,
    SignatureError,
    deferred_type,
    is_interface,
    is_plain,
    is_settings,
    item_types,
    members,
    signature_of,
    tag_of,
)
from bfmkit.recipe.values import RecipeValueError, convert, describe
from bfmkit.registry import BrokenComponentError, UnknownComponentError, lookup, names
from bfmkit.registry.messages import did_you_mean, nearest, one_of, quoted, suggestion
from bfmkit.utils.checks import range_problem

Path = tuple[str, ...]

INVALID = object()
"""Stands for a part that has been complained about."""

_ROOT_KEYS = ("extends", "schema_version")


class Checker:
    """Turns a tree into nodes; ``problems`` has what was wrong with it.

    Args:
        source_of: says which file a path of the tree comes from.
        known_bad: paths whose value has been complained about already.
        last_word_on: says which file a node goes to the account of if its constructor refuses it.
    """

    def __init__(
        self,
        source_of: Callable[[Path], str],
        known_bad: Collection[Path] = (),
        last_word_on: Callable[[Path], str] | None = None,
    ) -> None:
        self.source_of = source_of
        self.last_word_on = last_word_on or source_of
        self.known_bad = known_bad
        self.problems: list[Problem] = []

    def node(self, interface: type, value: Any, path: Path = (), has_spec: bool = False, root: bool = False) -> Any:
        """The node that ``value`` says, or INVALID.

        Args:
            interface: what the built component must be an instance of.
            has_spec: whether an environment's spec will be at hand when it is built.
            root: whether this is the recipe itself.
        """
        kind: str = interface.kind  # type: ignore[attr-defined]
        if not isinstance(value, dict):
            hint = f"; did you mean {{type: {value}}}?" if value in names(interface) else ""
            return self._say(path, f"expected {describe(interface)}, got {quoted(value)}{hint}")
        if "type" not in value:
            return self._say_typeless(interface, value, path, root)
        name = value["type"]
        if (*path, "type") in self.known_bad:
            return INVALID
        try:
            cls = lookup(interface, name) if isinstance(name, str) else None
        except (UnknownComponentError, BrokenComponentError) as error:
            return self._say((*path, "type"), str(error))
        if cls is None:
            return self._say((*path, "type"), f"expected the name of a {kind}, got {quoted(name)}")
        if isinstance(cls, type) and not issubclass(cls, interface):
            return self._say((*path, "type"), f'"{name}" is no {interface.__name__}')
        try:
            signature = signature_of(cls)  # type: ignore[arg-type]
        except SignatureError as error:
            return self._say((*path, "type"), str(error))
        wants_spec = signature.spec_argument is not None and not has_spec
        if wants_spec:
            self._say((*path, "type"), f'"{name}" is made for one environment, whose sizes are not known here')
        others = _ROOT_KEYS if root else ()
        arguments = self._arguments(f'"{name}"', signature, value, path, has_spec, ("type", *others))
        if arguments is INVALID or wants_spec:
            return INVALID
        return Node(cls, arguments, value, self.last_word_on(path), ".".join(path), signature.spec_argument)

    def _say(self, path: Path, message: str) -> Any:
        self.problems.append(Problem(self.source_of(path), ".".join(path), message))
        return INVALID

    def _say_typeless(self, interface: type, value: dict, path: Path, root: bool) -> Any:
        if self._say_misspelt(value, ("type", *_ROOT_KEYS) if root else ("type",), path):
            return INVALID
        kind: str = interface.kind  # type: ignore[attr-defined]
        return self._say((*path, "type"), f"missing; a {kind} says which one it is {one_of(names(interface))}")

    def _say_misspelt(self, value: dict, wanted: tuple[str, ...], path: Path) -> bool:
        """Name the keys that are near those wanted; whether there are any."""
        near = [key for key in value if suggestion(key, wanted)]
        for key in near:
            self._say((*path, key), f"no such key{suggestion(key, wanted)}")
        return bool(near)

    def _arguments(
        self, owner: str, signature: Signature, given: dict, path: Path, has_spec: bool, other_keys: tuple[str, ...]
    ) -> Any:
        checked: Any = {}
        meant = set()
        for key, value in given.items():
            if key in other_keys:
                continue
            argument = signature.arguments.get(key)
            if argument is not None:
                item = self._value(argument.annotation, value, (*path, key), has_spec)
            elif key == signature.spec_argument:
                item = self._say((*path, key), f'{owner} gets "{key}" from the environment; recipes do not give it')
            else:
                allowed = [*signature.arguments, *other_keys]
                near = nearest(key, allowed)
                meant.add(near)
                hint = did_you_mean(_part_with(key, signature, given) or near)
                item = self._say((*path, key), f'{owner} has no argument "{key}"{hint} {one_of(signature.arguments)}')
            if checked is not INVALID:
                checked[key] = item
            if item is INVALID:
                checked = INVALID
        for argument in signature.arguments.values():
            if argument.required and argument.name not in given and argument.name not in meant:
                checked = self._say_missing(owner, argument, path)
        return checked

    def _say_missing(self, owner: str, argument: Argument, path: Path) -> Any:
        return self._say((*path, argument.name), f"missing; {owner} needs {describe(argument.annotation)}")

    def _value(self, annotation: Any, value: Any, path: Path, has_spec: bool) -> Any:
        if path in self.known_bad:
            return INVALID
        if value == "???":
            return self._say(path, f"must be given: {describe(annotation)}")
        alternatives = [each for each in members(annotation) if each is not type(None)]
        if value is None and len(alternatives) < len(members(annotation)):
            return None
        if len(alternatives) > 1 and not is_plain(annotation):
            return self._one_of(alternatives, annotation, value, path, has_spec)
        if len(alternatives) == 1 and not is_plain(alternatives[0]):
            return self._structured(alternatives[0], value, path, has_spec)
        if len(alternatives) == 1 and isinstance(value, list | tuple | dict) and item_types(alternatives[0]):
            return self._container(alternatives[0], value, path, has_spec)
        try:
            return convert(annotation, value)
        except RecipeValueError as error:
            return self._say(path, str(error))

    def _structured(self, annotation: Any, value: Any, path: Path, has_spec: bool) -> Any:
        later = deferred_type(annotation)
        if later is not None:
            node = self.node(later, value, path, has_spec=True)
            return INVALID if node is INVALID else Deferred(node)
        if is_interface(annotation):
            return self.node(annotation, value, path, has_spec)
        if is_settings(annotation):
            return self._settings(annotation, value, path, has_spec)
        return self._container(annotation, value, path, has_spec)

    def _settings(self, cls: type, value: Any, path: Path, has_spec: bool) -> Any:
        if not isinstance(value, dict):
            return self._say(path, f"expected a mapping {one_of(signature_of(cls).arguments)}, got {quoted(value)}")
        arguments = self._arguments(f'"{path[-1]}"', signature_of(cls), value, path, has_spec, ())
        return INVALID if arguments is INVALID else Node(cls, arguments, value, self.last_word_on(path), ".".join(path))

    def _container(self, annotation: Any, value: Any, path: Path, has_spec: bool) -> Any:
        items = item_types(annotation)
        if items is None:
            return self._say(path, f"a recipe cannot hold a {describe(annotation)}")
        container, inside = items
        if isinstance(value, dict) != (container is dict) or not isinstance(value, dict | list | tuple):
            return self._say(path, f"expected {describe(annotation)}, got {quoted(value)}")
        if isinstance(value, dict):
            checked = {key: self._value(inside, item, (*path, key), has_spec) for key, item in value.items()}
            return INVALID if any(item is INVALID for item in checked.values()) else checked
        if isinstance(inside, tuple) and len(inside) != len(value):
            return self._say(path, f"expected a list of {len(inside)} values, got {len(value)}")
        types = inside if isinstance(inside, tuple) else (inside,) * len(value)
        parts = [
            self._value(each, item, (*path, str(index)), has_spec)
            for index, (each, item) in enumerate(zip(types, value, strict=True))
        ]
        return INVALID if any(item is INVALID for item in parts) else container(parts)

    def _one_of(self, alternatives: list[Any], annotation: Any, value: Any, path: Path, has_spec: bool) -> Any:
        """The first alternative that ``value`` fits; if none does, what the one it fits best complains of."""
        tried = [each for each in alternatives if _same_shape(each, value)]
        tagged = {tag: each for each in tried if (tag := tag_of(each)) is not None}
        if tagged and isinstance(value, dict):
            return self._tagged(tagged, value, path, has_spec)
        attempts = []
        for alternative in tried:
            attempt = Checker(self.source_of, self.known_bad, self.last_word_on)
            checked = attempt._value(alternative, value, path, has_spec)
            if checked is not INVALID:
                return checked
            attempts.append(attempt)
        out_of_range = range_problem(annotation, value)
        if out_of_range is not None:
            return self._say(path, out_of_range)
        attempts.sort(key=lambda attempt: len(attempt.problems))
        if len(attempts) == 1 or (len(attempts) > 1 and len(attempts[0].problems) < len(attempts[1].problems)):
            self.problems.extend(attempts[0].problems)
            return INVALID
        return self._say(path, f"expected {describe(annotation)}, got {quoted(value)}")

    def _tagged(self, tagged: dict[str, Any], value: dict, path: Path, has_spec: bool) -> Any:
        """Settings of several kinds, told apart by their ``type``."""
        name = value.get("type")
        if name in tagged:
            return self._value(tagged[name], value, path, has_spec)
        if "type" not in value and self._say_misspelt(value, ("type",), path):
            return INVALID
        if name is None:
            return self._say((*path, "type"), f"missing; it says which one it is {one_of(tagged)}")
        return self._say(
            (*path, "type"), f"no such {path[-1]}: {quoted(name)}{suggestion(str(name), tagged)} {one_of(tagged)}"
        )


def _part_with(key: str, signature: Signature, given: dict) -> str | None:
    """``PART.KEY`` if a part of the recipe has this key, or may have it; None otherwise."""
    parts = [name for name, part in given.items() if isinstance(part, dict) and key in part]
    parts += [
        argument.name for argument in signature.arguments.values()
        for each in members(argument.annotation) if is_settings(each) and key in signature_of(each).arguments
    ]  # fmt: skip
    return f"{parts[0]}.{key}" if parts else None


def _same_shape(annotation: Any, value: Any) -> bool:
    """Whether a mapping, a list or a plain value is what this type is written as."""
    items = item_types(annotation)
    if items is not None:
        return isinstance(value, dict) if items[0] is dict else isinstance(value, list | tuple)
    return is_plain(annotation) != isinstance(value, dict)
