from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.environments.relabelling import CHUNK, KEPT_FROM, SHOWN_FROM, cache_folder, recorded_quantities
from bfmkit.testing.models import BallEnvironment


class Counted(BallEnvironment):
    """Counts how many steps it is asked to measure."""

    measurement = "ball 1"
    measured = 0

    def quantities(self, physics: Tensor, action: Tensor) -> dict[str, Tensor]:
        Counted.measured += len(physics)
        return super().quantities(physics, action)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BFMKIT_CACHE", str(tmp_path / "cache"))
    Counted.measured = 0
    return tmp_path / "cache" / "quantities"


def steps(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 4, generator=generator).double(), torch.rand(count, 4, generator=generator)


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert torch.equal(found[name], column)


def test_a_second_time_nothing_is_measured(cache: Path) -> None:
    data, count = steps(KEPT_FROM), KEPT_FROM
    first = recorded_quantities(Counted(), *data)
    same(first, BallEnvironment().quantities(*data))
    assert Counted.measured == count
    same(recorded_quantities(Counted(), *data), first)
    assert Counted.measured == count
    assert len(list(cache.glob("*.safetensors"))) == 1


def test_other_data_or_another_engine_are_measured_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    physics, action = steps(KEPT_FROM)
    recorded_quantities(Counted(), physics, action)
    physics[7, 1] += 1e-9
    found = recorded_quantities(Counted(), physics, action)
    assert found["x_1"][7] == physics[7, 1]
    recorded_quantities(Counted(), physics, action + 1)
    monkeypatch.setattr(Counted, "measurement", "ball 2")
    recorded_quantities(Counted(), physics, action)
    assert Counted.measured == 4 * KEPT_FROM
    assert len(list(cache.iterdir())) == 4


@pytest.mark.parametrize("damage", [b"", b"not at all", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_file_is_measured_and_written_anew(cache: Path, damage: bytes) -> None:
    data = steps(KEPT_FROM)
    first = recorded_quantities(Counted(), *data)
    [file] = cache.iterdir()
    file.write_bytes(damage)
    same(recorded_quantities(Counted(), *data), first)
    same(recorded_quantities(Counted(), *data), first)
    assert Counted.measured == 2 * KEPT_FROM


def test_few_steps_and_those_of_an_unknown_engine_are_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded_quantities(Counted(), *steps(KEPT_FROM - 1))
    monkeypatch.setattr(Counted, "measurement", None)
    recorded_quantities(Counted(), *steps(KEPT_FROM))
    assert not cache.exists()


def test_a_folder_that_cannot_be_written_costs_a_warning_and_no_more(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.write_text("a file, not a folder")
    data = steps(KEPT_FROM)
    same(recorded_quantities(Counted(), *data), BallEnvironment().quantities(*data))
    assert "not kept" in caplog.text


def test_the_folder_is_the_users_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BFMKIT_CACHE", "off")
    assert cache_folder() is None
    monkeypatch.delenv("BFMKIT_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "bfmkit" / "quantities"


def test_many_steps_come_with_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    recorded_quantities(Counted(), *steps(SHOWN_FROM - 1))
    assert capsys.readouterr().err == ""
    recorded_quantities(Counted(), *steps(SHOWN_FROM))
    assert f"relabel: {SHOWN_FROM:,}/{SHOWN_FROM:,} steps" in capsys.readouterr().err


def test_sizes_that_do_not_fit_are_refused() -> None:
    physics, action = steps(10)
    with pytest.raises(ValueError, match="must be"):
        recorded_quantities(BallEnvironment(), physics[:, 1:], action)
    with pytest.raises(ValueError, match="must be"):
        recorded_quantities(BallEnvironment(), physics, action[1:])


def test_several_processes_measure_what_one_does() -> None:
    environment = DMControlEnvironment("point_mass_maze", reward="velocity_x")
    generator = torch.Generator().manual_seed(1)
    physics = 0.2 * torch.rand(CHUNK + 3, 4, generator=generator).double()
    action = 2 * torch.rand(CHUNK + 3, 2, generator=generator) - 1
    alone = environment.quantities(physics, action)
    same(recorded_quantities(environment, physics, action, workers=2), alone)
    assert torch.equal(alone["velocity_x"], physics[:, 2])
