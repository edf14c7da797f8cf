from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import pytest

from bfmkit.interfaces import Posterior, QueryRule, Schedule
from bfmkit.registry import UnknownComponentError, lookup, names, register, registry
from bfmkit.registry.kinds import KINDS
from bfmkit.testing.registry import registered


class Lamp(ABC):
    kind: ClassVar[str] = "lamp"
    folder: ClassVar[str] = "lamps"

    @abstractmethod
    def shine(self) -> None: ...


class Torch(Lamp):
    def shine(self) -> None: ...


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_the_table_of_kinds_says_what_the_interfaces_say(kind) -> None:
    interface = kind.interface()
    assert (interface.kind, interface.folder) == (kind.name, kind.folder)


def test_every_interface_with_a_kind_is_in_the_table() -> None:
    import bfmkit.interfaces

    declared = {getattr(bfmkit.interfaces, name) for name in bfmkit.interfaces.__all__}
    assert {each for each in declared if hasattr(each, "kind")} == {kind.interface() for kind in KINDS.values()}


def test_our_components_are_found_by_name() -> None:
    cls = lookup(Posterior, "ridge")
    assert cls.__module__ == "bfmkit.components.posteriors.ridge"
    assert lookup(Posterior, "ridge") is cls
    assert "ridge" in names(Posterior)
    assert names("posterior") == names(Posterior)


def test_an_unknown_name_gets_the_nearest_and_all() -> None:
    with pytest.raises(
        UnknownComponentError, match=r'no schedule "evry"; did you mean "every"\? \(.*episode, every.*\)'
    ):
        lookup(Schedule, "evry")
    with pytest.raises(UnknownComponentError, match='no schedule "../every"'):
        lookup(Schedule, "../every")
    with pytest.raises(UnknownComponentError, match='no kind "postrior"; did you mean "posterior"'):
        names("postrior")


def test_one_name_may_be_used_in_two_kinds() -> None:
    class Bright(Torch): ...

    with registered(Lamp, "every", Bright):
        assert lookup(Lamp, "every") is Bright
        assert lookup(Schedule, "every") is not Bright
    with pytest.raises(UnknownComponentError):
        lookup(Lamp, "every")


def test_registration_checks_the_class() -> None:
    class Dark(Lamp): ...

    class Untyped(Torch):
        def __init__(self, power) -> None: ...

    class Variadic(Torch):
        def __init__(self, power: float, *arguments, **more) -> None: ...

    with pytest.raises(TypeError, match="is no QueryRule"):
        register(QueryRule, "lamp")(Torch)
    with pytest.raises(TypeError, match="does not implement shine"):
        register(Lamp, "dark")(Dark)
    with pytest.raises(TypeError, match="argument power has no annotation"):
        register(Lamp, "untyped")(Untyped)
    with pytest.raises(ValueError, match="lower_snake_case"):
        register(Lamp, "Bright-Lamp")(Torch)
    assert not [key for key in registry._classes if key[0] == "lamp"]
    with registered(Lamp, "variadic", Variadic):
        assert [parameter.name for parameter in registry.constructor_parameters(Variadic)] == ["power"]


def test_a_name_is_given_once() -> None:
    class Other(Lamp):
        def shine(self) -> None: ...

    with registered(Lamp, "torch", Torch):
        register(Lamp, "torch")(Torch)  # the same class again is no second one: a module may be reloaded
        with pytest.raises(ValueError, match=r"lamp 'torch' is already .*Torch"):
            register(Lamp, "torch")(Other)
