from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from dm_control import suite

from bfmkit.components.environments.domains import make_domain


@pytest.fixture
def compare_with_suite() -> Callable[[str, str, int], None]:
    """Step a domain and the suite's task side by side: the same start, observations and rewards."""

    def compare(name: str, task: str, steps: int = 120) -> None:
        theirs = suite.load(name, task, task_kwargs={"random": np.random.RandomState(5)})
        ours = make_domain(name)
        physics = ours.load()
        with physics.reset_context():
            ours.initialize(physics, np.random.RandomState(5))
        timestep = theirs.reset()
        limits = theirs.action_spec()
        random = np.random.RandomState(1)
        rewards = []
        assert theirs.control_timestep() == pytest.approx(ours.control_timestep)
        for step in range(steps):
            expected = np.concatenate([np.ravel(part) for part in timestep.observation.values()])
            np.testing.assert_allclose(ours.observe(physics), expected, rtol=0, atol=1e-9, err_msg=f"step {step}")
            np.testing.assert_allclose(physics.get_state(), theirs.physics.get_state(), rtol=0, atol=1e-9)
            # Random actions alone would hardly leave the floor: hold them for a while.
            if step % 10 == 0:
                control = random.uniform(limits.minimum, limits.maximum)
            timestep = theirs.step(control)
            physics.set_control(control)
            physics.step(round(ours.control_timestep / physics.timestep()))
            quantities = dict(zip(ours.quantity_names, ours.quantities(physics), strict=True))
            reward = float(ours.tasks[task](quantities))
            assert reward == pytest.approx(timestep.reward, abs=1e-9)
            rewards.append(reward)
        assert np.ptp(rewards) > 1e-3, "a reward that does not move shows nothing"

    return compare
