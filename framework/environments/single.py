"""One row of an environment, without a batch dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensordict import TensorDictBase
from torchrl.envs import EnvBase

from bfmkit.interfaces import Environment


class SingleEnvironment(EnvBase):
    """First row of an environment as a single TorchRL environment, of batch size ().

    ``SerialEnv(2, lambda: SingleEnvironment(environment))`` is then a batch of (2,).

    ``reset(seed=3, episode=2)`` begins that episode of the row with that seed.

    Args:
        environment: its first row's task is the reward.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(batch_size=())
        self._row = environment.with_tasks(environment.tasks[:1])
        self.observation_spec = self._row.observation_spec[0]
        self.action_spec = self._row.action_spec[0]
        self.reward_spec = self._row.reward_spec[0]
        self.full_done_spec = self._row.full_done_spec[0]

    def render(self, height: int = 240, width: int = 320) -> np.ndarray:  # (height, width, 3) uint8
        """Picture of the present state; errors as in :meth:`bfmkit.interfaces.Environment.render`."""
        return self._row.render(height, width)[0]

    def close(self, *, raise_if_closed: bool = True) -> None:
        """Close the row."""
        super().close(raise_if_closed=raise_if_closed)
        self._row.close(raise_if_closed=False)

    def _reset(
        self, tensordict: TensorDictBase | None = None, seed: int | None = None, episode: int = 0, **_: Any
    ) -> TensorDictBase:
        if seed is not None:
            self._row.seed([seed], episode)
        return self._row._reset()[0]

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        return self._row._step(tensordict.select("action").unsqueeze(0))[0]

    def _set_seed(self, seed: int | None) -> None:
        self._row._set_seed(seed)
