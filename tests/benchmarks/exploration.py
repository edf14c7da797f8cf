"""Random network distillation by our three losses and by TorchRL's DDPG and RND losses, in the same processor time.

    python tests/benchmarks/exploration.py --seconds 20

Prints what each has seen of a walker: transitions, updates, cells of (height, uprightness, horizontal velocity) and
the largest reward of each task.
"""

from __future__ import annotations

import argparse
import time
import warnings

import torch
from tensordict.nn import TensorDictModule
from torch import Tensor, nn
from torchrl.modules import ValueOperator
from torchrl.objectives import DDPGLoss, RNDLoss, SoftUpdate, ValueEstimators

from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.components.explorers.random_network_distillation import RandomNetworkDistillation
from bfmkit.interfaces import EnvironmentSpec

ROWS = 8
TASKS = ("stand", "walk", "run", "flip")


class TorchRLLosses(RandomNetworkDistillation):
    """The same networks and settings, learnt by TorchRL's loss modules."""

    def __init__(self, spec: EnvironmentSpec) -> None:
        super().__init__(spec)
        actor = TensorDictModule(nn.Sequential(self._actor, nn.Tanh()), ["scaled"], ["action"])
        critic = ValueOperator(self._critic, ["scaled", "action"])
        self._ddpg = DDPGLoss(actor, critic, delay_actor=False, delay_value=True)
        self._ddpg.make_value_estimator(ValueEstimators.TD0, gamma=self._discount)
        self._rnd = RNDLoss(self._imitator, self._random, update_fraction=1.0)
        self._rnd.set_keys(observation=("next", "scaled"))
        self._soft = SoftUpdate(self._ddpg, tau=self._target_rate)
        self._optimizer = torch.optim.Adam(
            [
                {"params": list(self._ddpg.parameters()), "lr": 3e-4},
                {"params": list(self._imitator.parameters()), "lr": 1e-4},
            ],
            fused=True,
        )

    def _update(self) -> None:
        batch = self._replay.sample()
        batch["scaled"] = self._scaled(batch["observation"])
        batch["next", "scaled"] = self._scaled(batch["next", "observation"])
        with torch.no_grad():
            error = (self._imitator(batch["next", "scaled"]) - self._random(batch["next", "scaled"])).square().mean(-1)
            self._novelty_scale.update(error)
            novelty = error / self._novelty_scale.var.sqrt().clamp(min=1e-8)
            reward = novelty - self._effort * batch["action"].square().mean(-1)
        terminated = batch["next", "terminated"].unsqueeze(-1)
        batch["next"].update({"reward": reward.unsqueeze(-1), "terminated": terminated, "done": terminated})
        losses = self._ddpg(batch)
        total = losses["loss_actor"] + losses["loss_value"] + self._rnd(batch)["loss_predictor"]
        self._optimizer.zero_grad()
        total.backward()
        self._optimizer.step()
        self._soft.step()


def explored(
    explorer: RandomNetworkDistillation, environment: DMControlEnvironment, seconds: float
) -> dict[str, float]:
    """What an explorer has seen after so many seconds of the processor; a warm-up of random actions does not count."""
    environment.seed(range(ROWS))
    observation, _ = environment.reset_batch()
    physics, actions, step, begun, updates = [], [], 0, 0.0, 0
    while not begun or time.process_time() - begun < seconds:
        if not begun and explorer._seen >= explorer._warmup:
            begun = time.process_time()
        action = explorer.act(observation)
        outcome = environment.step_batch(action)
        explorer.observe(observation, action, outcome)
        physics.append(outcome.physics)
        actions.append(action)
        updates += explorer._updates if begun else 0
        step += 1
        over = outcome.truncated
        observation = environment.reset_batch(over)[0] if over.any() else outcome.observation
    return {
        "transitions": step * ROWS,
        "updates": updates,
        **coverage(environment, torch.cat(physics), torch.cat(actions)),
    }


def coverage(environment: DMControlEnvironment, physics: Tensor, action: Tensor) -> dict[str, float]:
    """Occupied cells, and the largest reward of each task."""
    seen = environment.quantities(physics, action)
    axes = {"torso_height": 0.1, "torso_upright": 0.2, "horizontal_velocity": 0.5}
    cells = torch.stack([(seen[name] / size).floor() for name, size in axes.items()], dim=-1)
    found = {"cells": len(torch.unique(cells, dim=0))}
    return found | {task: float(environment.rewards(seen, task).max()) for task in TASKS}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    environment = DMControlEnvironment("walker", ["stand"] * ROWS)
    for seed in range(given.seeds):
        for name, cls in (("ours", RandomNetworkDistillation), ("TorchRL's", TorchRLLosses)):
            torch.manual_seed(seed)
            found = explored(cls(environment.spec), environment, given.seconds)
            print(name, seed, {key: round(value, 3) for key, value in found.items()}, flush=True)


if __name__ == "__main__":
    main()
