from __future__ import annotations

import numpy as np
import pytest
from dm_control import suite

from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.rewards.quantity import listed_quantities


@pytest.mark.parametrize(
    ("domain", "sizes"),
    [("walker", (24, 6, 18)), ("cheetah", (17, 6, 18)), ("quadruped", (78, 12, 57)), ("point_mass_maze", (4, 2, 4))],
)
def test_sizes(domain: str, sizes: tuple[int, int, int]) -> None:
    task = "reach_top_left" if domain == "point_mass_maze" else "walk"
    spec = DMControlEnvironment(domain, task).spec
    assert (spec.observation_size, spec.action_size, spec.physics_size) == sizes
    assert spec.episode_steps == 1000
    assert len(spec.tasks) == 4


@pytest.mark.parametrize(("domain", "task"), [("walker", "stand"), ("cheetah", "run"), ("quadruped", "walk")])
def test_entries_of_the_observation_are_called_as_in_the_suite(domain: str, task: str) -> None:
    environment, theirs = DMControlEnvironment(domain, task), suite.load(domain, task)
    parts = theirs.task.get_observation(theirs.physics).items()
    names = [name if np.size(part) == 1 else f"{name}_{i}" for name, part in parts for i in range(np.size(part))]
    assert list(environment.spec.observation_names) == names


@pytest.mark.parametrize("domain", ["walker", "cheetah", "quadruped", "point_mass_maze"])
def test_measurement_is_that_of_the_model_and_not_of_the_task(domain: str) -> None:
    first = DMControlEnvironment(domain, reward="1")
    assert first.measurement == first.with_tasks(["2", "3"]).measurement
    assert first.measurement.startswith(f"{domain}, mujoco 3.")


def test_quantities_are_described() -> None:
    for domain in ("walker", "cheetah", "quadruped", "point_mass_maze"):
        listed = [each.name for each in listed_quantities()[domain]]
        assert tuple(listed) == DMControlEnvironment(domain, reward="1").spec.quantities
