"""Times one online step of OpTI-BFM: features, update, candidates and their bounds, act. No environment.

    python tests/benchmarks/online_step.py

Random weights, for the time does not depend on them; the sizes are the walker's (24 observations, 6 actions, d = 50,
128 candidates). "step" is what the agent's public methods take together; its parts are timed apart, on the same data.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.candidates.ellipsoid import EllipsoidCandidates
from bfmkit.components.networks.simple import SimpleNetworks
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.interfaces import EnvironmentSpec, Situation

WALKER = EnvironmentSpec("walker", 24, 6, 18, 1000, 0.025, ("stand", "walk", "run", "flip"))
TARGETS = {256: 4.0, 1024: 18.0}


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """The median time of one call."""
    for _ in range(max(3, repeats // 10)):
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000.0 * median(times)


@torch.no_grad()
def measure(width: int, repeats: int, runs: int = 1) -> dict[str, float]:
    """Milliseconds of a step and of its parts, for ``runs`` runs in a batch."""
    torch.manual_seed(0)
    bfm = ForwardBackward(WALKER, SimpleNetworks(width=width), dim=50).eval().requires_grad_(False)
    posterior, candidates = RidgePosterior(), EllipsoidCandidates(count=128, inflation=2.0)
    rule = UCBAcquisition(candidates, confidence_radius=0.1)
    agent = TaskInferenceAgent(posterior, rule)
    agent.start(bfm, list(range(runs)))
    seen = iter(torch.randn(4 * repeats + 100, runs, 24))
    rewards = torch.rand(runs)
    observation = next(seen)

    def step() -> None:
        nonlocal observation
        action = agent.act(observation)
        following = next(seen)
        agent.observe(observation, action, following, rewards)
        observation = following

    whole = milliseconds(step, repeats)
    observed = torch.ones(runs, dtype=torch.bool)
    belief, weights, z = agent.belief, agent.state["weights"], agent.state["z"]
    action, features = bfm.act(observation, z), bfm.features(observation, torch.zeros(runs, 6), observation)
    noise = agent.noise("acquisition", rule.noise_shape(50), None)
    situation = Situation(posterior, belief, bfm, observation, weights, noise, torch.zeros(1, dtype=torch.int64), 0.1)
    drawn = candidates.draw(situation)
    latents = bfm.policy_latent(drawn.float())
    successor_features = bfm.candidate_successor_features(observation, latents)
    return {
        "step": whole,
        "features": milliseconds(lambda: bfm.features(observation, action, observation), repeats),
        "update": milliseconds(lambda: posterior.update(belief, features, rewards, observed), repeats),
        "noise": milliseconds(lambda: agent.noise("acquisition", rule.noise_shape(50), None), repeats),
        "candidates": milliseconds(lambda: bfm.policy_latent(candidates.draw(situation).float()), repeats),
        "successor features": milliseconds(lambda: bfm.candidate_successor_features(observation, latents), repeats),
        "bounds": milliseconds(lambda: posterior.ucb(belief, successor_features, 0.1).amin(-1).argmax(-1), repeats),
        "act": milliseconds(lambda: bfm.act(observation, z), repeats),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=list(TARGETS))
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    columns = {width: measure(width, arguments.repeats, arguments.runs) for width in arguments.widths}
    print(f"{'ms, median':<20}" + "".join(f"{f'width {width}':>14}" for width in columns))
    for part in next(iter(columns.values())):
        print(f"{part:<20}" + "".join(f"{numbers[part]:>14.3f}" for numbers in columns.values()))
    targets = "".join(f"{TARGETS.get(width, float('nan')):>14.1f}" for width in columns)
    print(f"{'target for the step':<20}" + targets)


if __name__ == "__main__":
    main()
