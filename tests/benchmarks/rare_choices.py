"""How rarely may OpTI-BFM choose, what does it lose, and what does an episode of inference cost beside the oracle's?

    python tests/benchmarks/rare_choices.py                      # both
    python tests/benchmarks/rare_choices.py --factors --seeds 0  # the cost alone

Loss: recipe opti_bfm, choosing at every step, beside the determinant schedule with each factor, on the same
tasks and seeds; return of the second half of ten episodes over that of choosing at every step, with a 95 % interval
over pairs. Cost: one run, episodes in turn, seconds of the fastest; the environment is part of both.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from measured import add_json, write_measured

from bfmkit.components.agents.oracle import OracleAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.components.schedules.determinant import DeterminantSchedule
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.environments.labels import labelled_transitions
from bfmkit.inference.batched_agent import SelectionInputs
from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import BFM, Agent, Schedule
from bfmkit.recipe import load_recipe

EPISODES = 10
RARE_BLOCK = 10
"""How many steps the agents with a determinant schedule learn from at once, as in opti_bfm_rare."""


class Counting(TaskInferenceAgent):
    """Counts its choices."""

    choices = 0

    def chosen(self, runs: torch.Tensor, inputs: SelectionInputs) -> None:
        super().chosen(runs, inputs)
        self.choices += int(runs.sum())


def agent_of(schedule: Schedule, update_every: int = 1) -> Counting:
    """The agent of the recipe opti_bfm, with another schedule, learning from so many steps at once."""
    said = load_recipe("opti_bfm").root.arguments["agent"].build()
    return Counting(said.posterior, said.acquisition, schedule, update_every=update_every)


def lived(
    schedule: Schedule, bfm: BFM, tasks: list[str], seeds: list[int], update_every: int = 1
) -> tuple[np.ndarray, float, float]:
    """Returns of the second half (rows,), choices an episode and run, seconds."""
    agent, environment = agent_of(schedule, update_every), DMControlEnvironment("walker", tasks[0]).with_tasks(tasks)
    agent.start(bfm, seeds)
    environment.seed(seeds)
    begun = time.perf_counter()
    returns = torch.stack([run_episode(agent, environment).returns for _ in range(EPISODES)])
    choices = agent.choices / (EPISODES * len(seeds))
    return returns[EPISODES // 2 :].mean(0).numpy(), choices, time.perf_counter() - begun


def ratio_interval(over: np.ndarray, under: np.ndarray) -> tuple[float, float, float]:
    """sum(over) / sum(under) with a 95 % bootstrap interval over pairs."""
    rows = np.random.default_rng(0).integers(len(over), size=(10_000, len(over)))
    low, high = np.quantile(over[rows].sum(1) / under[rows].sum(1), [0.025, 0.975])
    return over.sum() / under.sum(), low, high


def loss(bfm: BFM, factors: list[float], count: int) -> dict[str, float]:
    """Print what choosing rarely costs in return, and give the numbers by name."""
    names = DMControlEnvironment("walker", "stand").spec.tasks
    tasks, seeds = [name for name in names for _ in range(count)], [*range(count)] * len(names)
    often, choices, seconds = lived(EverySchedule(1), bfm, tasks, seeds)
    print(f"{'schedule':<20}{'of every step':>15}{'95 % interval':>20}{'choices/episode':>18}{'seconds':>10}")
    print(f"{'every step':<20}{1:>15.3f}{'':>20}{choices:>18.1f}{seconds:>10.0f}", flush=True)
    found = {"share.every_step": 1.0, "choices.every_step": choices}
    for factor in factors:
        returns, choices, seconds = lived(DeterminantSchedule(factor), bfm, tasks, seeds, RARE_BLOCK)
        share, low, high = ratio_interval(returns, often)
        interval = f"[{low:.3f}, {high:.3f}]"
        print(
            f"{f'determinant {factor:g}':<20}{share:>15.3f}{interval:>20}{choices:>18.1f}{seconds:>10.0f}", flush=True
        )
        numbers = {"share": share, "share_low": low, "share_high": high, "choices": choices}
        found |= {f"{key}.determinant_{factor:g}": float(value) for key, value in numbers.items()}
    return found


def cost(bfm: BFM, factor: float) -> dict[str, float]:
    """Print what an episode takes, beside one of the oracle's fixed policy, and give the ratios by name."""
    oracle: dict[str, Agent] = {"oracle": OracleAgent()}
    agents = oracle | {
        "every step": agent_of(EverySchedule(1)),
        "every 25 steps": agent_of(EverySchedule(25)),
        "the same, update_every 25": agent_of(EverySchedule(25), 25),
        f"determinant {factor:g}": agent_of(DeterminantSchedule(factor)),
        "the same, update_every 10": agent_of(DeterminantSchedule(factor), RARE_BLOCK),
    }
    environment = DMControlEnvironment("walker", "walk")
    for agent in agents.values():
        wanted = agent.labelled_transitions
        agent.start(bfm, [0], labelled_transitions(bfm, environment, ["walk"], wanted) if wanted else None)
    seconds: dict[str, list[float]] = {name: [] for name in agents}
    for _ in range(6):
        for name, agent in agents.items():
            environment.seed([0])
            begun = time.perf_counter()
            run_episode(agent, environment)
            seconds[name].append(time.perf_counter() - begun)
    for name, each in seconds.items():
        print(f"{name:<20}{min(each):>8.3f} s an episode{min(each) / min(seconds['oracle']):>8.2f} of the oracle's")
    names = {
        "the same, update_every 25": "every 25 steps, update_every 25",
        "the same, update_every 10": f"determinant {factor:g}, update_every 10",
    }
    return {
        "times_oracle." + names.get(name, name).replace(",", "").replace(" ", "_"): min(each) / min(seconds["oracle"])
        for name, each in seconds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factors", type=float, nargs="*", default=[1.2, 2.0, 4.0, 16.0])
    parser.add_argument("--seeds", type=int, default=10, help="of each of the four tasks; 0: the cost alone")
    parser.add_argument("--cost-factor", type=float, default=2.0)
    parser.add_argument("--model", default="zoo:walker-fb")
    parser.add_argument("--threads", type=int, default=2)
    add_json(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bfm = checkpoint(arguments.model)
    found = loss(bfm, arguments.factors, arguments.seeds) if arguments.seeds else {}
    write_measured(arguments.json, found | cost(bfm, arguments.cost_factor))


if __name__ == "__main__":
    main()
