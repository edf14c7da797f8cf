from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.cli import doctor


def lines(part) -> list[tuple[str, str]]:
    return list(part())


def test_this_machine_is_well(bfmkit, here: Path) -> None:
    outcome = bfmkit("doctor")
    assert outcome.code == 0, outcome.out
    for line in outcome.out.splitlines():
        assert line.split()[0] in ("ok", "warn"), line
    for word in ("python", "torch", "torchrl", "tensordict", "mujoco", "thread", "components"):
        assert word in outcome.out


def test_versions_that_do_not_go_together_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"mujoco": "4.0.0", "torch": "2.13.0+cpu"}

    def version(name: str) -> str:
        if name not in versions:
            raise doctor.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(
        doctor, "requires", lambda _: ["mujoco>=3.17,<4", "torch>=2.11", "rich>=13", "x; extra == 'dev'"]
    )
    monkeypatch.setattr(doctor, "version", version)
    assert lines(doctor._packages) == [
        ("fail", "mujoco 4.0.0 is not known to work here: pip install 'mujoco<4,>=3.17'"),
        ("ok", "torch 2.13.0+cpu"),
        ("fail", "rich is missing: pip install 'rich>=13'"),
    ]


def test_what_does_not_import_fails(bfmkit, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_MUST_IMPORT", ("module_that_is_not_there",))
    outcome = bfmkit("doctor")
    assert outcome.code == 1
    assert "fail  import module_that_is_not_there: ModuleNotFoundError" in outcome.out


def test_a_place_that_cannot_be_written_fails(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    assert lines(doctor._place)[0][0] == "ok"
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert lines(doctor._place)[0] == (
        "fail",
        f"{here} cannot be written (Permission denied): use --out or another directory",
    )


def test_bodies_are_missing_where_labmaze_has_no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    known = doctor.lookup

    def lookup(interface: type, name: str) -> type:
        if name == "dm_control":
            raise doctor.BrokenComponentError("dm_control cannot be imported: No module named 'dm_control'")
        return known(interface, name)

    monkeypatch.setattr(doctor, "_HAS_BODIES", False)
    monkeypatch.setattr(doctor, "lookup", lookup)
    assert any(state == "warn" and "labmaze has no wheel" in line for state, line in lines(doctor._python))
    found = lines(doctor._components)
    assert ("warn", "dm_control cannot be imported: No module named 'dm_control'") in found
    assert not any(state == "fail" for state, _ in found)
