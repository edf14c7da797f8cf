from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.inference.experiment import Run
from bfmkit.interfaces import Plane
from bfmkit.jobs.infer import InferJob
from bfmkit.runs.trace import TRACE, read_run
from bfmkit.runs.traced_plane import believed_rewards, read_plane, write_plane
from bfmkit.testing.models import BallEnvironment, LinearBFM


class Flat(BallEnvironment):
    """A ball of which two coordinates can be shown."""

    def with_tasks(self, tasks: list) -> Flat:
        return Flat(tasks=tasks)

    def plane(self) -> Plane:
        side = torch.linspace(-0.5, 0.5, 5, dtype=torch.float64)
        y, x = torch.meshgrid(side, side, indexing="ij")
        states = torch.stack([x.ravel(), y.ravel(), torch.zeros(25), torch.zeros(25)], -1)
        wall = ((0.1, 0.1, 0.2, 0.2),)
        return Plane(states.float(), states, 5, 5, (-0.6, 0.6, -0.6, 0.6), ("x_0", "x_1"), walls=wall)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    agent = TaskInferenceAgent(RidgePosterior(), UCBAcquisition(EllipsoidCandidates(count=16)))
    job = InferJob(LinearBFM(), Flat(), agent, episodes=2, tasks=["task_1", "x_0 - 2 * x_1"], trace_every=10)
    job.run(out, torch.device("cpu"))
    return out


def test_a_plane_is_read_as_it_was_written(traced: Path) -> None:
    found, plane = read_plane(traced), Flat().plane()
    assert found is not None
    assert (found.plane.rows, found.plane.extent, found.plane.axes) == (5, plane.extent, plane.axes)
    assert (found.plane.walls, found.plane.coordinates) == (plane.walls, (0, 1))
    np.testing.assert_allclose(found.rewards["task_1"], plane.physics[:, 1], atol=1e-6)
    np.testing.assert_allclose(found.rewards["x_0 - 2 * x_1"], plane.physics[:, 0] - 2 * plane.physics[:, 1], atol=1e-6)
    # The features of this world are its coordinates.
    np.testing.assert_allclose(found.believed(np.array([1.0, -2, 5, 5])), found.rewards["x_0 - 2 * x_1"], atol=1e-6)


def test_the_believed_reward_comes_to_be_the_true_one(traced: Path) -> None:
    plane, run = read_plane(traced), read_run(traced, Run("task_1", 0))
    assert plane is not None and run is not None
    beliefs = believed_rewards(plane, run)
    # At the milestones, and at the end of the second episode.
    assert [belief.labels for belief in beliefs] == [1, 5, 20, 40]
    truth = plane.rewards["task_1"]
    errors = [np.abs(belief.reward - truth).max() for belief in beliefs]
    assert errors[-1] < errors[0]
    assert errors[-1] < 0.3
    # Entries at steps 1, 5, 10 and 20.
    assert [[len(way) for way in belief.path] for belief in beliefs] == [[1], [2], [4], [4, 4]]
    np.testing.assert_allclose(beliefs[0].path[0], run.arrays["physics"][:1, :2])


def test_rewards_that_were_standardized_are_shown_in_their_own_unit(traced: Path) -> None:
    plane, run = read_plane(traced), read_run(traced, Run("task_1", 0))
    assert plane is not None and run is not None
    units = {"reward_offset": np.full(len(run.step), -3.0), "reward_scale": np.full(len(run.step), 2.0)}
    plain, scaled = (believed_rewards(plane, replace(run, arrays=run.arrays | more)) for more in ({}, units))
    np.testing.assert_allclose(scaled[-1].reward, 2.0 * plain[-1].reward - 3.0)


def test_the_run_leaves_its_pictures(traced: Path) -> None:
    names = {path.name for path in (traced / "figures").glob("*.png")}
    assert {"return.png", "belief.png", "believed_reward_task_1.png"} <= names
    assert len([name for name in names if name.startswith("believed_reward_")]) == 2


def test_a_world_without_a_plane_leaves_none(tmp_path: Path) -> None:
    assert not write_plane(tmp_path, BallEnvironment(), LinearBFM(), ["task_0"])
    assert read_plane(tmp_path) is None
    (tmp_path / TRACE).mkdir()
    (tmp_path / TRACE / "plane.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="plane"):
        read_plane(tmp_path)
