from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

import bfmkit
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.models.folder import resolve

FILE = Path(__file__).parents[2] / "docs" / "examples" / "opti_bfm_in_one_file.py"
STEPS, EPISODES = 20, 4  # rounding, which differs between machines, grows in a body that falls for longer


def test_the_file_is_short() -> None:
    assert len(FILE.read_text().splitlines()) <= 300


@pytest.mark.parametrize("task", ["walk", "flip"])
def test_choices_and_returns_are_those_of_the_modular_agent(task: str) -> None:
    file = runpy.run_path(str(FILE))
    returns, _ = file["run"](task, 3, EPISODES, episode_steps=STEPS)
    agent = bfmkit.load_agent("opti_bfm", "seed=3")
    environment = DMControlEnvironment("walker", task, STEPS).fitted_to(agent.bfm.environment_spec, "the model")
    environment.seed([3])
    model, belief = file["Model"](resolve("zoo:walker")), file["Ridge"](agent.bfm.dim)
    for episode in range(EPISODES):
        agent.begin_episode()
        observation, _ = environment.reset_batch()
        total = 0.0
        for step in range(STEPS):
            action = agent.act(observation)
            # On the agent's own steps.
            with torch.no_grad():
                w = file["choose"](model, belief, observation[0], 3, episode * STEPS + step)
            torch.testing.assert_close(agent.state["weights"][0], w, rtol=0, atol=1e-6)
            outcome = environment.step_batch(action)
            agent.observe(observation, action, outcome.observation, outcome.reward)
            belief.update(model.features(outcome.observation[0]), outcome.reward.item())
            observation, total = outcome.observation, total + outcome.reward.item()
        assert returns[episode] == pytest.approx(total, rel=1e-3)
