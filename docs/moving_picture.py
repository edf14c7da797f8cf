"""Draws an agent's first seconds in an unknown task as an animated GIF.

python docs/moving_picture.py docs/images/walker.gif --task walk --seed 3
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

import bfmkit
from bfmkit.components.environments.dm_control import DMControlEnvironment

HEIGHT, WIDTH, COLOURS = 240, 320, 64
EVERY = 4
"""Steps from one picture to the next."""


def main(arguments: argparse.Namespace) -> None:
    """Act, draw every fourth step, and play it at the speed of the body."""
    agent = bfmkit.load_agent("opti_bfm", f"seed={arguments.seed}", "agent.schedule.steps=5")
    body = DMControlEnvironment("walker", arguments.task, arguments.steps)
    environment = body.fitted_to(agent.bfm.environment_spec, "the model")
    environment.seed([arguments.seed])
    observation, _ = environment.reset_batch()
    agent.begin_episode()
    states = []
    for _ in range(arguments.steps):
        action = agent.act(observation)
        outcome = environment.step_batch(action)
        agent.observe(observation, action, outcome.observation, outcome.reward)
        observation = outcome.observation
        states.append(outcome.physics[0])
    pictures = environment.pictures(torch.stack(states)[::EVERY], HEIGHT, WIDTH)
    if pictures is None:
        raise SystemExit("this body cannot be drawn")
    frames = [Image.fromarray(picture).quantize(COLOURS) for picture in pictures]
    duration = round(1000 * EVERY * environment.spec.control_timestep)
    frames[0].save(arguments.out, save_all=True, append_images=frames[1:], duration=duration, loop=0, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An agent's first seconds in an unknown task, as a GIF.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", default="walk")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    main(parser.parse_args())
