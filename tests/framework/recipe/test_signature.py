from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from bfmkit.interfaces import EnvironmentSpec, Posterior
from bfmkit.recipe.deferred import Deferred
from bfmkit.recipe.signature import (
    REQUIRED,
    SignatureError,
    deferred_type,
    is_interface,
    is_plain,
    item_types,
    members,
    signature_of,
    tag_of,
)


@dataclass(frozen=True)
class Settings:
    type: Literal["plain"]
    sizes: list[int] = field(default_factory=lambda: [3])


class Component:
    def __init__(
        self, spec: EnvironmentSpec, posterior: Posterior, size: int = 3, *args: Any, **kwargs: Any
    ) -> None: ...


class Unresolved:
    def __init__(self, size: NoSuchType) -> None: ...  # noqa: F821


def test_the_arguments_of_a_constructor() -> None:
    signature = signature_of(Component)
    assert signature.spec_argument == "spec"
    assert list(signature.arguments) == ["posterior", "size"]
    assert signature.arguments["posterior"].required and signature.arguments["size"].default == 3


def test_the_default_of_a_factory_is_what_it_makes() -> None:
    arguments = signature_of(Settings).arguments
    assert arguments["sizes"].default == [3] and arguments["type"].default is REQUIRED
    assert tag_of(Settings) == "plain" and tag_of(Component) is None


def test_annotations_that_do_not_resolve_are_named() -> None:
    with pytest.raises(SignatureError, match=r"Unresolved has annotations that do not resolve: .*NoSuchType"):
        signature_of(Unresolved)


def test_kinds_of_types() -> None:
    assert is_interface(Posterior) and not is_interface(Component)
    assert deferred_type(Deferred[Posterior]) is Posterior and deferred_type(int) is None
    assert members(int | None | Literal["a"]) == (int, type(None), Literal["a"])
    assert is_plain(dict[str, list[int]]) and not is_plain(list[Posterior]) and not is_plain(Settings | None)
    assert item_types(tuple[int, str]) == (tuple, (int, str)) and item_types(tuple[int, ...]) == (tuple, int)
    assert item_types(dict[str, float]) == (dict, float) and item_types(int) is None
