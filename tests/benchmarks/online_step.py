"""Times one online step of OpTI-BFM: features, update, candidates and their bounds, act. No environment.

    python tests/benchmarks/online_step.py

Random weights, for the time does not depend on them; the sizes are the walker's (24 observations, 6 actions, d = 50,
128 candidates). "step" is what the agent's public methods take together; its parts are timed apart, on the same data.
On a GPU also its arithmetic alone, recorded as a CUDA graph.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import count
from statistics import median, quantiles

import torch
from measured import add_json, write_measured

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.interfaces import Acquisition, AcquisitionContext, EnvironmentSpec
from bfmkit.utils.rng import normal_noise

WALKER = EnvironmentSpec("walker", 24, 6, 18, 1000, 0.025, ("stand", "walk", "run", "flip"))
TARGETS = {256: 3.0, 1024: 15.0}
RECORDED = {1: 0.5, 256: 5.0}
"""Runs -> milliseconds wanted of a step as a CUDA graph, at width 1024."""


def times_of(work: Callable[[], object], repeats: int, device: str = "cpu") -> list[float]:
    """Milliseconds of each call."""
    for _ in range(max(3, repeats // 10)):
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(1000.0 * (time.perf_counter() - start))
    return times


def stepping(
    width: int, repeats: int, runs: int, acquisition: Acquisition, device: str = "cpu"
) -> tuple[TaskInferenceAgent, list[float]]:
    """An agent of ``runs`` runs that has taken steps, and the milliseconds of each."""
    torch.manual_seed(0)
    bfm = ForwardBackward(WALKER, TwoStreamNetworks(width=width), dim=50).eval().requires_grad_(False).to(device)
    agent = TaskInferenceAgent(RidgePosterior(), acquisition)
    agent.start(bfm, list(range(runs)))
    seen = iter(torch.randn(2 * repeats + 100, runs, 24, device=device))
    rewards = torch.rand(runs, device=device)
    observation = next(seen)

    def step() -> None:
        nonlocal observation
        action = agent.act(observation)
        following = next(seen)
        agent.observe(observation, action, following, rewards)
        observation = following

    return agent, times_of(step, repeats, device)


class PlainStep:
    """The arithmetic of a step that chooses, on memory that stays where it is, so that a CUDA graph can record it.

    It leaves out what an agent does besides: looking for numbers that are not finite, counting, masks. What it computes
    is what the agent computes.
    """

    def __init__(self, bfm: ForwardBackward, rule: UCBAcquisition, runs: int, device: str = "cpu") -> None:
        self.posterior, self.bfm, self.rule = RidgePosterior(), bfm, rule
        self.belief = self.posterior.prior(runs, bfm.dim, device)
        noise = rule.noise_shape(bfm.dim)
        self.noise = torch.zeros(runs, *noise, dtype=torch.float64, device=device)
        self.observation = torch.zeros(runs, WALKER.observation_size, device=device)
        self.next_observation = torch.zeros_like(self.observation)
        self.reward = torch.zeros(runs, dtype=torch.float64, device=device)
        self.action = torch.zeros(runs, WALKER.action_size, device=device)
        self._weights = torch.zeros(runs, bfm.dim, dtype=torch.float64, device=device)
        self._labels = torch.zeros(runs, dtype=torch.int64, device=device)

    def choose(self) -> None:
        """Put the action for ``observation`` into ``action``."""
        context = AcquisitionContext(
            self.posterior, self.belief, self.bfm, self.observation, self._weights, self.noise, self._labels
        )
        self._weights.copy_(self.rule.propose(context))
        z = self.bfm.policy_latent(self._weights.to(self.observation.dtype))
        self.action.copy_(self.bfm.act(self.observation, z))

    def learn(self) -> None:
        """Take in what followed, in ``next_observation`` and ``reward``."""
        features = self.bfm.features(self.observation, self.action, self.next_observation)
        self.belief.update_(self.posterior.condition_on(self.belief, features.unsqueeze(1), self.reward.unsqueeze(1)))

    def record(self) -> Callable[[], None]:
        """Both as one CUDA graph, to be replayed."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.choose()
                self.learn()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.choose()
            self.learn()
        return graph.replay


@torch.no_grad()
def recorded(width: int, repeats: int, runs: int) -> list[float]:
    """Milliseconds of each step as a CUDA graph, with noise drawn and brought over for each."""
    torch.manual_seed(0)
    bfm = ForwardBackward(WALKER, TwoStreamNetworks(width=width), dim=50).eval().requires_grad_(False).to("cuda")
    rule = UCBAcquisition(EllipsoidCandidates(count=128, inflation=2.0), confidence_radius=0.1)
    step = PlainStep(bfm, rule, runs, "cuda")
    step.observation.normal_()
    step.next_observation.normal_()
    replay, numbers = step.record(), count()

    def once() -> None:
        noise = normal_noise(range(runs), "acquisition", [next(numbers)] * runs, rule.noise_shape(50))
        step.noise.copy_(noise)
        replay()

    return times_of(once, repeats, "cuda")


def products(width: int, repeats: int, runs: int, device: str = "cpu") -> float:
    """The median time of a step's large matrix products alone: actor and two critics, for all candidates."""
    rows, half = 128 * runs, width // 2
    # Rows by inner by columns: z or action into an embedding, its halving, the trunk's two halves, the output.
    actor = [(50, width), (width, half), (half, width), (width, 6)]
    critic = [(6, width), (width, half), (50, width), (width, half), (half, width), (half, width), (width, 50)]
    shapes = actor + 2 * critic
    pairs = [
        (torch.randn(rows, inner, device=device), torch.randn(inner, columns, device=device))
        for inner, columns in shapes
    ]

    def multiply() -> None:
        for left, right in pairs:
            torch.mm(left, right)

    return median(times_of(multiply, repeats, device))


@torch.no_grad()
def measure(width: int, repeats: int, runs: int = 1, device: str = "cpu") -> dict[str, float]:
    """Milliseconds of a step and of its parts, for ``runs`` runs in a batch."""
    candidates = EllipsoidCandidates(count=128, inflation=2.0)
    rule = UCBAcquisition(candidates, confidence_radius=0.1)
    agent, whole = stepping(width, repeats, runs, rule, device)
    bfm, posterior = agent.bfm, agent.posterior

    def milliseconds(work: Callable[[], object], repeats: int) -> float:
        return median(times_of(work, repeats, device))

    observation, rewards = torch.randn(runs, 24, device=device), torch.rand(runs, device=device)
    observed = torch.ones(runs, dtype=torch.bool, device=device)
    belief, weights, z = agent.belief, agent.state["weights"], agent.state["z"]
    action, features = (
        bfm.act(observation, z),
        bfm.features(observation, torch.zeros(runs, 6, device=device), observation),
    )
    noise = agent.noise("acquisition", rule.noise_shape(50), agent.indices)
    context = AcquisitionContext(
        posterior, belief, bfm, observation, weights, noise, torch.zeros(runs, dtype=torch.int64), 0.1
    )
    drawn = candidates.draw(context)
    latents = bfm.policy_latent(drawn.float())
    successor_features = bfm.candidate_successor_features(observation, latents)
    return {
        "step": median(whole),
        "step, 99th percentile": quantiles(whole, n=100)[-1],
        "its matrix products": products(width, repeats, runs, device),
        "features": milliseconds(lambda: bfm.features(observation, action, observation), repeats),
        "update": milliseconds(lambda: posterior.update(belief, features, rewards, observed), repeats),
        "noise": milliseconds(lambda: agent.noise("acquisition", rule.noise_shape(50), agent.indices), repeats),
        "candidates": milliseconds(lambda: bfm.policy_latent(candidates.draw(context).float()), repeats),
        "successor features": milliseconds(lambda: bfm.candidate_successor_features(observation, latents), repeats),
        "bounds": milliseconds(lambda: posterior.ucb(belief, successor_features, 0.1).amin(-1).argmax(-1), repeats),
        "act": milliseconds(lambda: bfm.act(observation, z), repeats),
    }


def report(widths: list[int], repeats: int, runs: int, device: str) -> dict[str, float]:
    """Print it for one device, and give the numbers by name."""
    columns = {width: measure(width, repeats, runs, device) for width in widths}
    title = f"ms on {device}, runs: {runs}"
    print(f"{title:<24}" + "".join(f"{f'width {width}':>14}" for width in columns))
    for part in next(iter(columns.values())):
        print(f"{part:<24}" + "".join(f"{numbers[part]:>14.3f}" for numbers in columns.values()))
    ratios = [numbers["step"] / numbers["its matrix products"] for numbers in columns.values()]
    print(f"{'step / products':<24}" + "".join(f"{ratio:>14.2f}" for ratio in ratios))
    if runs == 1:
        targets = "".join(f"{TARGETS.get(width, float('nan')):>14.1f}" for width in columns)
        print(f"{'target for the step':<24}" + targets)
    return {f"width_{width}.{part}": value for width, parts in columns.items() for part, value in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=list(TARGETS))
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32, help="compared with one run at the first width; 0: not")
    parser.add_argument("--threads", type=int, default=2)
    add_json(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    width, repeats = arguments.widths[0], arguments.repeats
    numbers: dict[str, float] = {}
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        found = report(arguments.widths, repeats, arguments.runs, device)
        print(f"\nwidth {width}: ms of a step, median and 99th percentile")
        rule = UCBAcquisition(EllipsoidCandidates(count=128, inflation=2.0), confidence_radius=0.1)
        _, alone = stepping(width, repeats, 1, rule, device)
        rules: dict[str, Acquisition] = {"thompson": ThompsonAcquisition(), "greedy": GreedyAcquisition()}
        for name, acquisition in rules.items():
            _, times = stepping(width, repeats, 1, acquisition, device)
            print(f"{name:<24}{median(times):>14.3f}{quantiles(times, n=100)[-1]:>14.3f}   target 0.7")
            found[f"width_{width}.{name}"] = median(times)
        if arguments.batch:
            _, together = stepping(width, max(20, repeats // 5), arguments.batch, rule, device)
            ratio = median(together) / median(alone)
            print(f"{f'{arguments.batch} runs':<24}{median(together):>14.3f}   {ratio:.1f} times one run, target 20\n")
            found |= {f"{arguments.batch}_runs": median(together), f"{arguments.batch}_runs_over_one": ratio}
        if device == "cuda":
            for runs, target in RECORDED.items():
                times = recorded(1024, repeats, runs)
                name = f"width 1024, CUDA graph, {runs} run{'' if runs == 1 else 's'}"
                print(f"{name:<40}{median(times):>14.3f}{quantiles(times, n=100)[-1]:>14.3f}   target {target}")
                found[f"recorded.{runs}_runs"] = median(times)
        numbers |= {f"{device}.{name}": value for name, value in found.items()}
    write_measured(arguments.json, numbers)


if __name__ == "__main__":
    main()
