from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.components.datasets.ogbench import OGBenchDataset
from bfmkit.components.environments.gymnasium import GymnasiumEnvironment
from bfmkit.data.conversion import DataError
from bfmkit.testing.dataset import DatasetContract
from bfmkit.testing.models import BallEnvironment

pytest.importorskip("gymnasium", reason="an extra: pip install 'bfmkit[gymnasium]'")

LENGTHS = (7, 4, 6)
"""States of three trajectories."""


def create(folder: Path, **changed: np.ndarray) -> Path:
    """What OGBench's scripts leave: trajectories of a pendulum, states end to end."""
    environment = GymnasiumEnvironment("Pendulum-v1")
    environment.seed([0])
    noise = torch.Generator().manual_seed(0)
    observations, actions, terminals = [], [], []
    for length in LENGTHS:
        observation, _ = environment.reset_batch()
        for step in range(length):
            action = 2 * torch.rand(1, 1, generator=noise) - 1
            observations.append(observation[0].numpy())
            actions.append(action[0].numpy())
            terminals.append(step == length - 1)
            observation = environment.step_batch(action).observation
    arrays = {
        "observations": np.stack(observations), "actions": np.stack(actions), "terminals": np.array(terminals),
        "qpos": np.zeros((sum(LENGTHS), 1)), **changed,
    }  # fmt: skip
    path = folder / "pendulum-navigate-v0.npz"
    np.savez_compressed(path, **{name: value for name, value in arrays.items() if value.size})
    return path


def dataset(path: Path, **words: object) -> OGBenchDataset:
    return OGBenchDataset(path, GymnasiumEnvironment("Pendulum-v1"), **words)


class TestOGBenchDataset(DatasetContract):
    @pytest.fixture(autouse=True)
    def _data(self, tmp_path: Path) -> None:
        self.path = create(tmp_path)

    def make(self) -> OGBenchDataset:
        return OGBenchDataset(self.path, GymnasiumEnvironment("Pendulum-v1"))


def test_it_is_what_ogbench_itself_reads(tmp_path: Path) -> None:
    ogbench = pytest.importorskip("ogbench", reason="an extra: pip install 'bfmkit[ogbench]'")
    path = create(tmp_path)
    theirs, ours = ogbench.load_dataset(str(path)), dataset(path)[:]
    assert len(ours) == sum(LENGTHS) - len(LENGTHS)
    np.testing.assert_array_equal(ours["observation"], theirs["observations"])
    np.testing.assert_array_equal(ours["action"], theirs["actions"])
    np.testing.assert_array_equal(ours["next", "observation"], theirs["next_observations"])
    np.testing.assert_array_equal(ours["next", "truncated"], theirs["terminals"].astype(bool))
    assert not ours["next", "terminated"].any()


def test_rewards_are_typed_over_its_observations(tmp_path: Path) -> None:
    rows = dataset(create(tmp_path))[:]
    typed = GymnasiumEnvironment("Pendulum-v1").relabel(rows["next", "physics"], rows["action"], "2 * observation_0")
    torch.testing.assert_close(typed, 2 * rows["next", "observation"][:, 0])


STATES = ("pointmaze-medium-v0", 2, 2), ("antmaze-medium-singletask-v0", 29, 8), ("cube-single-v0", 28, 5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "observation", "action"), STATES)
def test_ogbenchs_state_environments_are_gymnasiums(name: str, observation: int, action: int) -> None:
    pytest.importorskip("ogbench", reason="an extra: pip install 'bfmkit[ogbench]'")
    environment = GymnasiumEnvironment(f"ogbench:{name}")
    assert (environment.spec.observation_size, environment.spec.action_size) == (observation, action)
    environment.reset_batch()
    assert environment.step_batch(torch.zeros(1, action)).observation.isfinite().all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"terminals": np.zeros(0)}, "has no terminals"),
        ({"terminals": np.zeros(17)}, "terminals must be one number a state and mark the last"),
        ({"observations": np.zeros((17, 4), np.float32)}, r"trajectory 0: observations must be \(n, 3\)"),
        ({"observations": np.full((17, 3), np.nan)}, "observations are not finite in row 0"),
        ({"actions": np.full((17, 1), 2.0)}, r"actions must lie in \[-1, 1\], got 2"),
    ],
)
def test_what_is_not_of_this_layout_is_refused(tmp_path: Path, changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataset(create(tmp_path, **changed)).source


def test_other_files_and_environments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        dataset(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(ValueError, match="is no npz file"):
        dataset(tmp_path / "text.npz")
    with pytest.raises(ValueError, match="environment must be of type gymnasium"):
        OGBenchDataset(create(tmp_path), BallEnvironment())


def test_trajectories_that_cannot_be_used_may_be_left_out(tmp_path: Path) -> None:
    observations = np.load(create(tmp_path))["observations"].copy()
    observations[8] = np.inf
    path = create(tmp_path, observations=observations)
    with pytest.raises(DataError, match="trajectory 1: observations are not finite"):
        dataset(path).source
    assert len(dataset(path, skip_corrupt=True)) == sum(LENGTHS) - LENGTHS[1] - 2
