"""D4RL's class reads what lies in its folder as it would lie there after a download."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from bfmkit.components.datasets.torchrl import TorchRLDataset
from bfmkit.data.conversion import DataError
from bfmkit.testing.dataset import DatasetContract

# Of TorchRL and of what it reads with, on themselves.
pytestmark = pytest.mark.filterwarnings("ignore")

STEPS = (6, 4, 5)


def create(folder: Path, largest: float = 1.0, bad: int | None = None, lost_reward: bool = False) -> TensorDict:
    """Three episodes, the second of which terminates; the last has no end."""
    generator = torch.Generator().manual_seed(0)
    episodes = []
    for index, steps in enumerate(STEPS):
        place = torch.randn(steps + 1, 3, generator=generator)
        if index == bad:
            place[2, 0] = torch.nan
        last = (torch.arange(steps) == steps - 1).unsqueeze(-1)
        following = TensorDict(
            {
                "observation": place[1:],
                "reward": torch.arange(steps).unsqueeze(-1) / 10,
                "terminated": last & (index == 1),
                "done": last & (index < 2),
            },
            [steps],
        )
        action = (2 * torch.rand(steps, 2, generator=generator) - 1) * largest
        episodes.append(TensorDict({"observation": place[:-1], "action": action, "next": following}, [steps]))
    stored = torch.cat(episodes)
    if lost_reward:
        del stored["next", "reward"]
    stored.memmap(folder / "joints-v0")
    return stored


def dataset(folder: Path, **settings: object) -> TorchRLDataset:
    local = {"dataset_id": "joints-v0", "root": str(folder), "download": False, "direct_download": True}
    settings = {"domain": "joints", "cache": folder / "cache", **settings}
    return TorchRLDataset("D4RLExperienceReplay", local, **settings)


class TestTorchRLDataset(DatasetContract):
    @pytest.fixture(autouse=True)
    def _data(self, tmp_path: Path) -> None:
        self.folder, self.stored = tmp_path, create(tmp_path)

    def make(self) -> TorchRLDataset:
        return dataset(self.folder)

    def test_what_is_read_is_what_was_stored(self) -> None:
        made = self.make()
        assert made.spec.observation_names == ("observation_0", "observation_1", "observation_2")
        assert len(made) == 15 and made.spec.episode_steps == 6
        rows = made.read(torch.arange(15))
        for key in ("observation", "action", ("next", "observation")):
            torch.testing.assert_close(rows[key], self.stored[key])
        torch.testing.assert_close(rows["next", "physics"][:, :3].float(), self.stored["next", "observation"])
        torch.testing.assert_close(rows["next", "physics"][:, 3:].float(), self.stored["next", "reward"])
        assert rows["next", "terminated"].nonzero().flatten().tolist() == [9]
        assert rows["next", "truncated"].nonzero().flatten().tolist() == [5, 14]
        assert made.source["checksum"] == made.provenance()[0]["checksum"]


def test_actions_of_other_bounds_are_scaled_or_refused(tmp_path: Path) -> None:
    stored = create(tmp_path, largest=2.0)
    with pytest.raises(DataError, match=r"episode 0: actions lie in .*, beyond \[-1, 1\]; action_bounds says"):
        len(dataset(tmp_path))
    scaled = dataset(tmp_path, action_bounds=(-2.0, 2.0))
    torch.testing.assert_close(scaled.read(torch.arange(15))["action"], stored["action"] / 2)
    # The same memory map with other bounds is made anew.
    wider = dataset(tmp_path, action_bounds=(-4.0, 4.0))
    torch.testing.assert_close(wider.read(torch.arange(15))["action"], stored["action"] / 4)


def test_an_episode_that_is_not_finite_is_named_or_skipped(tmp_path: Path) -> None:
    create(tmp_path, bad=2)
    with pytest.raises(DataError, match="joints episode 2: next observations are not finite|observations are not fin"):
        len(dataset(tmp_path))
    assert len(dataset(tmp_path, skip_corrupt=True)) == 10


def test_data_without_rewards_have_none(tmp_path: Path) -> None:
    create(tmp_path, lost_reward=True)
    assert not dataset(tmp_path).read(torch.arange(15))["next", "physics"][:, 3].any()


def test_what_torchrl_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match='has no dataset "MinariExperienceReply"; did you mean "MinariExp'):
        TorchRLDataset("MinariExperienceReply")
    with pytest.raises(ValueError, match="D4RLExperienceReplay cannot be made: TypeError"):
        TorchRLDataset("D4RLExperienceReplay", {"nonsense": 1})
    with pytest.raises(ValueError, match="action_bounds must be two numbers"):
        TorchRLDataset("MinariExperienceReplay", action_bounds=(1.0, 1.0))


def test_data_that_torchrl_loses_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gymnasium = pytest.importorskip("gymnasium", reason="an extra: pip install 'bfmkit[gymnasium]'")
    minari = pytest.importorskip("minari", reason="an extra: pip install 'bfmkit[minari]'")
    pytest.importorskip("h5py", reason="minari's files are read by h5py")
    from minari.data_collector.episode_buffer import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    ends = np.arange(4) == 3
    episodes = [EpisodeBuffer(
        id=index, observations=np.ones((5, 2)), actions=np.ones((4, 1), np.float32), rewards=np.ones(4),
        terminations=ends & False, truncations=ends,
    ) for index in range(2)]  # fmt: skip
    box = gymnasium.spaces.Box
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            "ones/noise-v0", episodes, observation_space=box(-2, 2, (2,), np.float64), description="ones",
            action_space=box(-1, 1, (1,), np.float32), author="nobody", author_email="nobody@example.com",
            code_permalink="none", algorithm_name="noise", data_format="hdf5",
        )  # fmt: skip
    local = {"dataset_id": "ones/noise-v0", "root": str(tmp_path), "download": False, "load_from_local_minari": True}
    with pytest.raises(ValueError, match="all that TorchRL made of it is zero.*type: minari"):
        TorchRLDataset("MinariExperienceReplay", local)
