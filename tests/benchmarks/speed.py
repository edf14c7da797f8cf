"""The table of speed: each piece of work beside the least it could be, in one process, by turns.

    python tests/benchmarks/speed.py                     all rows, 4 minutes on an idle core
    python tests/benchmarks/speed.py --busy              the same beside four busy processes, by the wall clock
    python tests/benchmarks/speed.py --rows ucb start    some of them
    python tests/benchmarks/speed.py --growth            how a step grows with runs, candidates, d, width and length

A step and an update stand beside their own matrix products, an episode beside bare dm_control with the same number of
steps, many runs beside one, the start beside ``import torch``. Milliseconds are medians over rounds; so is the ratio,
which is taken within each round and holds where the milliseconds do not. Times are those of the processor unless
``--busy`` or ``--threads`` above 1 say otherwise. ``--smallest`` only shows that everything runs.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from subprocess import Popen

import numpy as np
import torch
from dm_control import suite
from fb_update import Noise, Products, alone
from measured import add_json, write_measured
from online_step import WALKER

from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.agents.fine_tuning import FineTuningAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.components.improvers.adapters import AdaptersImprover
from bfmkit.components.improvers.gpi import GPIImprover
from bfmkit.components.improvers.latent_search import LatentSearchImprover
from bfmkit.components.improvers.residual import ResidualImprover
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.inference.episode import run_episode
from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.interfaces import Acquisition, Agent, Improver
from bfmkit.training.allocator import keep_freed_memory

Work = Callable[[], object]
START = """
import bfmkit, torch
agent = bfmkit.load_agent("opti_bfm")
agent.begin_episode()
agent.act(torch.zeros(1, agent.bfm.environment_spec.observation_size))
"""
BUSY = "while True: sum(range(1000))"


@dataclass(frozen=True)
class Row:
    """One line of the table: the time of ``ours`` over that of ``bare``, both built when the line is measured."""

    name: str
    title: str
    ours: Callable[[], Work]
    bare: Callable[[Work], Work]
    rounds: int = 9
    repeats: int = 1
    unit: float = 1000.0  # milliseconds


@dataclass(frozen=True)
class Sizes:
    """How large the work of the table is."""

    updates: tuple[tuple[int, int], ...] = ((256, 512),)  # width, batch
    widths: tuple[int, ...] = (256,)  # of a step
    dim: int = 50
    candidates: int = 128
    runs: int = 32
    steps: int = 200  # of an episode; the times given are those of 1,000
    stored: int = 300  # steps in a replay buffer before an improver's are measured


WIDE = Sizes(updates=((256, 512), (512, 512), (1024, 1024)), widths=(256, 1024))
SMALLEST = Sizes(updates=((16, 16),), widths=(16,), dim=4, candidates=4, runs=2, steps=5, stored=5)


def model(width: int = 256, dim: int = 50) -> ForwardBackward:
    """A walker's model with random weights."""
    torch.manual_seed(0)
    return ForwardBackward(WALKER, TwoStreamNetworks(width=width), dim=dim).eval().requires_grad_(False)


def ucb(candidates: int = 128) -> UCBAcquisition:
    """The rule of OpTI-BFM."""
    return UCBAcquisition(EllipsoidCandidates(count=candidates), confidence_radius=0.1)


def online(rule: Acquisition, width: int = 256, runs: int = 1, dim: int = 50) -> Work:
    """One step of an agent that infers, without environment."""
    return stepping(inferring(rule), width, runs, dim)


def stepping(agent: Agent, width: int, runs: int = 1, dim: int = 50) -> Work:
    """One step of an agent, without environment."""
    agent.start(model(width, dim), list(range(runs)))
    observations, rewards = torch.randn(16, runs, 24), torch.rand(runs)
    number = 0

    def step() -> None:
        nonlocal number
        number += 1
        observation, following = observations[number % 16], observations[(number + 1) % 16]
        agent.observe(observation, agent.act(observation), following, rewards)

    return step


def improving(improver: Improver, sizes: Sizes) -> Work:
    """One step of an agent that goes on learning, its replay buffer filled."""
    agent = FineTuningAgent(inferring(ucb(sizes.candidates), 25), improver, fallback=None)
    step = stepping(agent, sizes.widths[0], dim=sizes.dim)
    for _ in range(sizes.stored):
        step()
    return step


def update(width: int, batch: int) -> Work:
    """One update of forward-backward training."""
    torch.manual_seed(0)
    objective = ForwardBackwardObjective(ForwardBackward(WALKER, TwoStreamNetworks(width=width), dim=50))
    parameters = [each for group in objective.parameter_groups().values() for each in group]
    optimizer = torch.optim.Adam(parameters, lr=1e-4, fused=True)
    transitions = Noise(batch).read(torch.arange(batch))

    def make() -> None:
        losses = objective(transitions)
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
        optimizer.step()
        objective.update_targets()

    return make


def products(work: Work) -> Work:
    """Every matrix product of a piece of work, alone."""
    work()
    with Products() as found:
        work()
    return alone(found.found, torch.device("cpu"))


def episode(agent: Agent, sizes: Sizes) -> Work:
    """A walker's episode."""
    environment = DMControlEnvironment("walker", "run", episode_steps=sizes.steps)
    environment.seed([0])
    agent.start(model(sizes.widths[0], sizes.dim), [0])
    return lambda: run_episode(agent, environment)


def bare_episode(steps: int) -> Work:
    """As many steps of dm_control's own walker."""
    environment = suite.load("walker", "run", task_kwargs={"random": 0})
    controls = np.random.RandomState(0).uniform(-1, 1, (steps, 6))

    def run() -> None:
        environment.reset()
        for control in controls:
            environment.step(control)

    return run


def process(code: str) -> Work:
    """A new Python that runs ``code``."""
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def inferring(rule: Acquisition, every: int = 1) -> TaskInferenceAgent:
    """An agent that learns and chooses every so many steps."""
    schedule = None if every == 1 else EverySchedule(every)
    return TaskInferenceAgent(RidgePosterior(), rule, schedule, update_every=every)


def table(sizes: Sizes) -> Iterator[Row]:
    """The rows of the table."""
    rule, thompson = ucb(sizes.candidates), ThompsonAcquisition()
    for width, batch in sizes.updates:
        title = f"FB update, width {width}, batch {batch} / its products"
        yield Row(f"fb_{width}", title, partial(update, width, batch), products)
    for width in sizes.widths:
        for name, acquisition, repeats in (("UCB", rule, 5120 // width), ("Thompson", thompson, 40)):
            title = f"{name} step, width {width} / its products"
            step = partial(online, acquisition, width, dim=sizes.dim)
            yield Row(f"{name.lower()}_{width}", title, step, products, 15, repeats)
    one = partial(online, rule, sizes.widths[0], dim=sizes.dim)
    title = f"UCB step of {sizes.runs} runs / of one"
    yield Row(f"runs_{sizes.runs}", title, partial(one, runs=sizes.runs), lambda _: one(), 7, 2)
    agents: dict[str, Agent] = {
        "fixed policy": FixedWeightsAgent(torch.ones(sizes.dim)),
        "UCB every step": inferring(rule),
        "UCB every 25": inferring(rule, 25),
        "Thompson every 25": inferring(thompson, 25),
    }
    for name, agent in agents.items():
        title, unit = f"episode of 1,000, {name} / bare dm_control", 1000.0 * 1000 / sizes.steps
        key = f"episode_{name.lower().replace(' ', '_')}"
        yield Row(key, title, partial(episode, agent, sizes), lambda _: bare_episode(sizes.steps), unit=unit)
    inference = partial(stepping, inferring(rule, 25), sizes.widths[0], dim=sizes.dim)
    improvers: dict[str, Improver] = {
        "gpi": GPIImprover(),
        "latent_search": LatentSearchImprover(),
        "adapters": AdaptersImprover(),
        "residual": ResidualImprover(),
    }
    for name, improver in improvers.items():
        title = f"step of {name} / of inference alone, choices every 25"
        yield Row(name, title, partial(improving, improver, sizes), lambda _: inference(), 7, 50)
    title = "start to the first action / import torch"
    yield Row("start", title, lambda: process(START), lambda _: process("import torch"), 5)


def growth() -> Iterator[Row]:
    """One thing grown at a time, from one run, 128 candidates, d = 50 and width 256."""

    def row(what: str, size: int, work: Callable[[], Work], repeats: int) -> Row:
        return Row(f"{what}_{size}".replace(" ", "_"), f"{what} {size:,} / its products", work, products, 5, repeats)

    thompson = ThompsonAcquisition()
    for runs in (1, 32, 256, 1024):
        yield row("UCB runs", runs, partial(online, ucb(), runs=runs), max(1, 32 // runs))
    for runs in (1, 32, 256, 1024):
        yield row("Thompson runs", runs, partial(online, thompson, runs=runs), max(1, 64 // runs))
    for candidates in (1, 32, 128, 512, 2048):
        yield row("UCB candidates", candidates, partial(online, ucb(candidates)), max(1, 2048 // (candidates + 64)))
    for dim in (8, 50, 128, 256, 512):
        yield row("UCB d", dim, partial(online, ucb(), dim=dim), max(1, 1024 // dim))
    for dim in (8, 50, 128, 256, 512):
        yield row("Thompson d", dim, partial(online, thompson, dim=dim), max(1, 2048 // dim))
    for width in (128, 256, 512, 1024):
        yield row("UCB width", width, partial(online, ucb(), width), max(1, 4096 // width))
    for steps in (100, 1000, 10_000):
        yield row("Thompson after steps", steps, partial(later, thompson, steps), 50)


def later(rule: Acquisition, steps: int) -> Work:
    """A step after so many."""
    work = online(rule)
    for _ in range(steps):
        work()
    return work


def measure(row: Row, clock: Callable[[], float]) -> tuple[float, float, float]:
    """Medians over rounds: ours and bare in the row's unit, and their ratio."""
    ours = row.ours()
    bare = row.bare(ours)

    def timed(work: Work) -> float:
        begun = clock()
        for _ in range(row.repeats):
            work()
        return row.unit * (clock() - begun) / row.repeats

    if row.rounds > 1:
        timed(ours), timed(bare)
    pairs = [(timed(ours), timed(bare)) for _ in range(row.rounds)]
    return median(one for one, _ in pairs), median(two for _, two in pairs), median(one / two for one, two in pairs)


def processor_time() -> float:
    """Seconds that this process and its ended children have worked."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in spent)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Beside so many processes that do nothing but work."""
    others = [Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", action="store_true", help="beside four busy processes")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--wide", dest="sizes", action="store_const", const=WIDE, help="widths 512 and 1024, too")
    parser.add_argument("--smallest", dest="sizes", action="store_const", const=SMALLEST, help="one small round")
    parser.set_defaults(sizes=Sizes())
    parser.add_argument("--rows", nargs="+", help="only rows whose names begin so")
    parser.add_argument("--threads", type=int, default=1)
    add_json(parser)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # as the jobs do
    clock = time.perf_counter if given.busy or given.threads > 1 else processor_time
    numbers: dict[str, float] = {}
    print(f"{'':<50}{'ours, ms':>12}{'bare, ms':>12}{'ratio':>8}")
    with busy(4 if given.busy else 0):
        for row in growth() if given.growth else table(given.sizes):
            if given.rows and not row.name.startswith(tuple(given.rows)):
                continue
            if given.sizes is SMALLEST:
                row = replace(row, rounds=1, repeats=1)
            ours, bare, ratio = measure(row, clock)
            print(f"{row.title:<50}{ours:>12.2f}{bare:>12.2f}{ratio:>8.2f}", flush=True)
            numbers |= {f"{row.name}.ms": ours, f"{row.name}.bare_ms": bare, f"{row.name}.ratio": ratio}
    write_measured(given.json, numbers)


if __name__ == "__main__":
    main()
