"""Episodes written as a dataset of Minari."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec

FOLDER = "MINARI_DATASETS_PATH"


def require_minari() -> None:
    """Raise unless Minari and what it writes with are installed.

    Raises:
        ValueError: with the command that installs them.
    """
    if any(find_spec(name) is None for name in ("minari", "h5py")):
        raise ValueError("layout minari needs Minari installed: pip install 'bfmkit[minari]'")


def dataset_id(spec: EnvironmentSpec, algorithm: str) -> str:
    """Minari id ``DOMAIN/ALGORITHM-v0``, in the characters that Minari allows."""
    domain, name = (re.sub(r"[^-\w]", "_", part) for part in (spec.domain, algorithm))
    return f"{domain}/{name}-v0"


def write_minari(
    folder: Path, spec: EnvironmentSpec, algorithm: str, episodes: Iterable[tuple[TensorDictBase, Tensor | None]]
) -> Path:
    """Write a dataset of Minari, found there with ``MINARI_DATASETS_PATH=FOLDER``.

    Physics are in ``infos``; that of a reset was not recorded, and repeats the first step's.

    Args:
        folder: that holds datasets.
        spec: of the data.
        algorithm: how the data were gathered.
        episodes: transitions (T,) of each, and their rewards (T,); zeros where None.

    Returns:
        The dataset's folder.
    """
    import gymnasium
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    name = dataset_id(spec, algorithm)
    buffers = [EpisodeBuffer(id=index, **_arrays(*episode)) for index, episode in enumerate(episodes)]
    box = gymnasium.spaces.Box
    with _datasets_in(folder), warnings.catch_warnings():
        # Minari would like to know more about an environment that Gymnasium need not have.
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            name,
            buffers,
            observation_space=box(-np.inf, np.inf, (spec.observation_size,), np.float32),
            action_space=box(-1.0, 1.0, (spec.action_size,), np.float32),
            algorithm_name=algorithm,
            description=f"{spec.domain}, written by bfmkit; observation: {', '.join(spec.observation_names)}",
            data_format="hdf5",
        )
    return folder / name


def _arrays(transitions: TensorDictBase, reward: Tensor | None) -> dict[str, object]:
    following = transitions["next"]
    physics = following["physics"].cpu()
    observations = torch.cat([transitions["observation"][:1], following["observation"]]).cpu()
    rewards = torch.zeros(len(transitions)) if reward is None else reward
    truncated = following["truncated"].reshape(-1).clone()
    # The last episode may have no end, which Minari does not know.
    truncated[-1] |= ~following["terminated"].reshape(-1)[-1]
    return {
        "observations": observations.numpy(),
        "actions": transitions["action"].cpu().numpy(),
        "rewards": rewards.cpu().double().numpy(),
        "terminations": following["terminated"].reshape(-1).cpu().numpy(),
        "truncations": truncated.cpu().numpy(),
        "infos": {"physics": torch.cat([physics[:1], physics]).numpy()},
    }


@contextmanager
def _datasets_in(folder: Path) -> Iterator[None]:
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[FOLDER]
        else:
            os.environ[FOLDER] = before
