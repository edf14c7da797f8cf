"""JSON schema of recipes, from the constructors, with which editors complete and check YAML."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import PydanticUserError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.json_schema import PydanticInvalidForJsonSchema

from bfmkit.recipe.inheriting import SCHEMA_VERSION
from bfmkit.recipe.signature import (
    Signature,
    SignatureError,
    deferred_type,
    is_interface,
    is_plain,
    is_settings,
    item_types,
    members,
    signature_of,
)
from bfmkit.recipe.values import adapter
from bfmkit.registry import BrokenComponentError, UnknownComponentError, lookup, names
from bfmkit.registry.kinds import KINDS

_INTERPOLATION = {"type": "string", "pattern": r"\$\{"}
_ROOT = {
    "schema_version": {"const": SCHEMA_VERSION, "description": "Version of the recipe format."},
    "extends": {"type": "string", "description": "A recipe to start from: a file beside this one, or a shipped one."},
}


def recipe_schema() -> tuple[dict[str, Any], list[str]]:
    """JSON schema, and a line for each component left out because its file is broken.

    A recipe that extends another may leave anything out; so each component has a second, partial, form.
    """
    definitions: dict[str, Any] = {}
    broken: list[str] = []
    for kind, words in KINDS.items():
        interface = words.interface()
        complete, partial = [], []
        for name in names(interface):
            try:
                cls = lookup(interface, name)
                signature = signature_of(cls)
            except (UnknownComponentError, BrokenComponentError, SignatureError) as error:
                broken.append(str(error))
                continue
            definitions[f"{kind}.{name}"] = _node(name, cls, signature, partial=False)
            definitions[f"{kind}.{name}.partial"] = _node(name, cls, signature, partial=True)
            complete.append({"$ref": f"#/$defs/{kind}.{name}"})
            partial.append({"$ref": f"#/$defs/{kind}.{name}.partial"})
        definitions[kind] = {"oneOf": complete} if complete else False
        definitions[f"{kind}.partial"] = {"anyOf": partial} if partial else False
    root = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bfmkit recipe",
        "type": "object",
        "if": {"required": ["extends"]},
        "then": {"$ref": "#/$defs/job.partial"},
        "else": {"$ref": "#/$defs/job"},
        "$defs": definitions,
    }
    return root, broken


def _node(name: str, cls: type, signature: Signature, partial: bool) -> dict[str, Any]:
    schema = _mapping(cls, signature, partial)
    extra = _ROOT if getattr(cls, "kind", "") == "job" else {}
    schema["properties"] = {"type": {"const": name}, **extra, **schema["properties"]}
    if not partial:
        schema["required"] = ["type", *schema.get("required", [])]
    return schema


def _mapping(cls: type, signature: Signature, partial: bool) -> dict[str, Any]:
    """The arguments of a constructor, as keys of a mapping."""
    properties: dict[str, Any] = {}
    described = argument_descriptions(cls)
    for argument in signature.arguments.values():
        entry = _value(argument.annotation, partial)
        if argument.name in described:
            entry = {**entry, "description": described[argument.name]}
        if not argument.required and isinstance(argument.default, bool | int | float | str | None):
            entry = {**entry, "default": argument.default}
        properties[argument.name] = entry
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    summary = (inspect.getdoc(cls) or "").split("\n")[0]
    if summary:
        schema["description"] = summary
    required = [argument.name for argument in signature.arguments.values() if argument.required]
    return schema if partial or not required else {**schema, "required": required}


def _value(annotation: Any, partial: bool) -> dict[str, Any]:
    alternatives = members(annotation)
    if len(alternatives) > 1 and not is_plain(annotation):
        options = [{"type": "null"} if each is type(None) else _value(each, partial) for each in alternatives]
        return {"anyOf": options}
    inner = deferred_type(annotation)
    if inner is not None:
        return _value(inner, partial)
    if is_interface(annotation):
        # A whole node can be said once and used twice, too.
        return {"anyOf": [{"$ref": f"#/$defs/{annotation.kind}{'.partial' if partial else ''}"}, _INTERPOLATION]}
    if is_settings(annotation):
        return _mapping(annotation, signature_of(annotation), partial)
    items = item_types(annotation)
    if items is not None:
        return _container(*items, partial)
    try:
        plain = adapter(annotation).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError, PydanticInvalidForJsonSchema):
        return {}
    return plain if plain.get("type") == "string" or not plain else {"anyOf": [plain, _INTERPOLATION]}


def _container(container: type, inside: Any, partial: bool) -> dict[str, Any]:
    if container is dict:
        return {"type": "object", "additionalProperties": _value(inside, partial)}
    if isinstance(inside, tuple):
        parts = [_value(each, partial) for each in inside]
        return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
    return {"type": "array", "items": _value(inside, partial)}


def argument_descriptions(cls: type) -> dict[str, str]:
    """Description of each argument, from the ``Args:`` sections of a class's docstring and of those of its bases."""
    bases = reversed(cls.__mro__) if isinstance(cls, type) else [cls]
    docstrings = "\n\n".join(inspect.cleandoc(base.__doc__ or "") for base in bases)
    sections = re.findall(r"^Args:\n(.*?)(?=^\S|\Z)", docstrings, flags=re.MULTILINE | re.DOTALL)
    described: dict[str, str] = {}
    name = None
    for line in "\n".join(sections).split("\n"):
        start = re.match(r"    (\w+): (.*)", line)
        if start:
            name = start[1]
            described[name] = start[2].strip()
        elif name and line.startswith("        "):
            described[name] += f" {line.strip()}"
    return described
