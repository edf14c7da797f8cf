"""YAML of recipes: plain data, no tags, no duplicate keys; reading and writing."""

from __future__ import annotations

import re
from typing import Any

import yaml

from bfmkit.utils.errors import RefusedError

MOST_VALUES = 100_000  # far beyond any recipe; stops aliases that multiply


class YamlError(RefusedError, ValueError):
    """Error of a text that cannot be read; ``line`` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


_RESOLVERS = (
    # As YAML 1.2's core schema has it: `yes`, `on` and `12:30` are text, 012 is twelve, 1e-4 is a number.
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("tag:yaml.org,2002:int", re.compile(r"^(?:[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+)$"), "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:(?:[0-9][0-9_]*)(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?)$"),
        "-+0123456789.",
    ),
    ("tag:yaml.org,2002:float", re.compile(r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"), "-+."),
    ("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), "~nN\0"),
)
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}


class _Reader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict = {}


class _Writer(yaml.SafeDumper):
    yaml_implicit_resolvers: dict = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _class in (_Reader, _Writer):
    for _tag, _pattern, _first in _RESOLVERS:
        _class.add_implicit_resolver(_tag, _pattern, ["" if letter == "\0" else letter for letter in _first])


def read(text: str) -> Any:
    """Value of a YAML text.

    Raises:
        YamlError: for bad syntax, a tag, a key given twice or one that is no word, an alias inside its own anchor.
    """
    try:
        reader = _Reader(text)
        try:
            node = reader.get_single_node()
            return None if node is None else _Values(reader).of(node)
        finally:
            reader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.problem, error.context and f"({error.context})") if part)
        raise YamlError(f"not YAML: {words}", mark.line + 1 if mark else None) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise YamlError(f"not YAML: {error}".replace("\n", " ")) from error


def write(value: Any) -> str:
    """YAML text that :func:`read` turns into ``value`` again; keys keep their order."""
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)


class _Values:
    """Turns YAML nodes into values by hand, so that no constructor but these few exists."""

    def __init__(self, reader: _Reader) -> None:
        self.reader = reader
        self.count = 0
        self.open: list[yaml.Node] = []

    def of(self, node: yaml.Node) -> Any:
        self.count += 1
        line = node.start_mark.line + 1
        if node.tag not in _PLAIN_TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise YamlError(f"the tag {tag} is refused: recipes are plain data and run no code", line)
        if node in self.open or self.count > MOST_VALUES:
            raise YamlError("an alias that contains itself, or multiplies without end", line)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line)
        self.open.append(node)
        value: Any
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node)
        else:
            value = [self.of(item) for item in node.value]
        self.open.pop()
        return value

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in _PLAIN_TAGS or not key_node.value:
                raise YamlError("a key must be a word", line)
            if key_node.value in mapping:
                raise YamlError(f'the key "{key_node.value}" is given twice', line)
            if key_node.value == "<<" and key_node.style is None:
                merged = self._merged(value_node)
            else:
                mapping[key_node.value] = self.of(value_node)
        return {**merged, **mapping}

    def _merged(self, node: yaml.Node) -> dict[str, Any]:
        """The keys of one mapping or of several, of which the first wins."""
        value = self.of(node)
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            raise YamlError("<< takes a mapping, or a list of mappings", node.start_mark.line + 1)
        return {key: item for part in reversed(parts) for key, item in part.items()}

    def _scalar(self, node: yaml.ScalarNode, line: int) -> Any:
        kind = node.tag.rpartition(":")[2]
        try:
            if kind == "int":
                digits = node.value.replace("_", "")
                return int(digits, 0) if digits[:2] in ("0x", "0o") else int(digits)
            if kind == "float":
                return _number(node.value)
            if kind == "bool":
                return {"true": True, "false": False}[node.value.lower()]
        except (ValueError, KeyError) as error:
            raise YamlError(f'"{node.value}" is no {kind}', line) from error
        if kind in ("map", "seq"):
            raise YamlError(f'"{node.value}" is no {kind}', line)
        return None if kind == "null" else node.value


def _number(text: str) -> float:
    text = text.replace("_", "").lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))
