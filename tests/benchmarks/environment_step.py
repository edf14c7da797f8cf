"""How much our environment adds to the physics: steps a second, and as shares of bare dm_control.

python tests/benchmarks/environment_step.py [domain] [task]

Everything runs in one process on one thread, by turns and from the same states with the same actions, so the shares
hold where the rates do not. Wanted on the walker: advance 0.85, env.step 0.55.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from dm_control import suite
from tensordict import TensorDict

from bfmkit.components.environments.dm_control import DMControlEnvironment

STEPS = 500
ROUNDS = 9


def main(domain: str = "walker", task: str = "run") -> None:
    """Print one line for each way of stepping."""
    torch.set_num_threads(1)
    bare = suite.load(domain, task, task_kwargs={"random": 0})
    ours = DMControlEnvironment(domain, task)
    limits = bare.action_spec()
    scaled = np.random.RandomState(0).uniform(-1, 1, (STEPS, *limits.shape))
    controls = (limits.maximum + limits.minimum) / 2 + scaled * (limits.maximum - limits.minimum) / 2
    actions = torch.from_numpy(scaled).float().unsqueeze(1)

    def step_bare() -> None:
        for control in controls:
            bare.step(control)

    def advance() -> None:
        for action in actions:
            ours.step_batch(action)

    def step() -> None:
        for action in actions:
            ours.step(TensorDict({"action": action}, ours.batch_size))

    def rollout() -> None:
        # Includes drawing random actions, and stacking the steps.
        ours.rollout(STEPS, auto_reset=False, tensordict=current)

    ways: dict[str, Callable[[], None]] = {
        "dm_control": step_bare, "advance": advance, "env.step": step, "rollout": rollout,
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(ROUNDS):
        for name, way in ways.items():
            bare.reset()
            ours.seed([round_number])
            current = ours.reset()
            with bare.physics.reset_context():
                bare.physics.set_state(current.get("physics")[0].numpy())
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
    reference = np.array(seconds["dm_control"])
    for name, taken in seconds.items():
        print(f"{name:12s} {STEPS / np.median(taken):7.0f} steps/s   {np.median(reference / taken):.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
