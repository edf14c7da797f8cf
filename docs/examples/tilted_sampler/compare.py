"""Right and tilted candidates on small MDPs with correlated features, where the model is exact.

python compare.py     a table on standard output, tilted.csv and tilted.png beside it
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tensordict import TensorDictBase

from bfmkit.inference.episode import run_episode
from bfmkit.interfaces import BFM, Agent, Environment
from bfmkit.recipe import build_node
from bfmkit.registry import discovery, lookup
from bfmkit.report.plots import STYLE, new_figure, save_figure
from bfmkit.report.plots.style import legend_above, look_of
from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.tabular.mdp_layout import RANDOM_TASKS, MDPLayout

HERE = Path(__file__).parent
SAMPLERS = ("ellipsoid", "tilted")
MDPS, SEEDS, EPISODES, STEPS, DIM = 6, 2, 6, 40, 12
CONFIDENCE_RADIUS = 1.0
"""√λ·S for λ = 1 and weights of length 1: what theory asks for where rewards have no noise."""


@dataclass(frozen=True)
class CorrelatedLayout(MDPLayout):
    """A layout whose features share a direction along no axis, so that the precision is far from diagonal.

    φ ← (φ + c·u)/‖φ + c·u‖, u a unit vector drawn with the seed.

    Args:
        shared: c.
    """

    shared: float = 1.0

    def build(self) -> FiniteMDP:
        """The MDP of the layout, with features that correlate."""
        plain = super().build()
        common = torch.from_numpy(self._generator("shared direction").standard_normal(plain.dim))
        features = plain.features + self.shared * common / common.norm()
        return replace(plain, features=features / features.norm(dim=-1, keepdim=True))


def agent_with(sampler: str) -> Agent:
    """OpTI-BFM with candidates of one kind."""
    acquisition = {"type": "ucb", "confidence_radius": CONFIDENCE_RADIUS, "candidates": {"type": sampler}}
    return build_node(Agent, {"type": "task_inference", "posterior": {"type": "ridge"}, "acquisition": acquisition})


def returns(agent: Agent, layout: MDPLayout) -> np.ndarray:  # (runs, episodes)
    """What each run earns in each episode: every task of the MDP, with a few seeds."""
    bfm = lookup(BFM, "tabular")(layout, pool=128)
    tasks = [f"random_{index}" for index in range(RANDOM_TASKS)] * SEEDS
    seeds = list(range(len(tasks)))
    environment = lookup(Environment, "tabular")(layout, "+".join(tasks), STEPS)
    environment.seed(seeds)
    agent.start(bfm, seeds, _labelled(bfm, torch.stack([bfm.mdp.tasks[task] for task in tasks])))
    return np.stack([run_episode(agent, environment).returns.numpy() for _ in range(EPISODES)], axis=1)


def _labelled(bfm: BFM, weights: torch.Tensor) -> TensorDictBase:
    """For the agent that knows the reward; the others do not look."""
    transitions = bfm.inference_set()
    features = bfm.features(*(transitions[key] for key in ("observation", "action", ("next", "observation"))))
    return transitions.set(("next", "reward"), features.double() @ weights.mT)


def main() -> None:
    """Run both on the same MDPs, tasks and seeds."""
    discovery.add_project(HERE)
    torch.set_num_threads(1)
    regret: dict[str, list[np.ndarray]] = {sampler: [] for sampler in SAMPLERS}
    for seed in range(MDPS):
        layout = CorrelatedLayout("random", size=24, dim=DIM, slip=0.1, seed=seed, shared=2.0)
        best = returns(lookup(Agent, "oracle")(), layout)
        for sampler in SAMPLERS:
            regret[sampler].append((best - returns(agent_with(sampler), layout)) / STEPS)
        sys.stderr.write(f"MDP {seed + 1} of {MDPS}\n")
    runs = {sampler: np.concatenate(parts) for sampler, parts in regret.items()}  # (runs, episodes)
    report(runs)


def report(runs: dict[str, np.ndarray]) -> None:
    """The table, a figure and the numbers behind it."""
    for name in SAMPLERS:
        middle, error = interval(runs[name].mean(axis=1))
        sys.stdout.write(f"{name:<12} regret a step {middle:.4f} ± {error:.4f}\n")
    middle, error = interval((runs["tilted"] - runs["ellipsoid"]).mean(axis=1))
    sys.stdout.write(f"{'difference':<12} {middle:+.4f} ± {error:.4f} over {len(runs['tilted'])} paired runs\n")
    draw(runs, HERE / "tilted.png")


def draw(runs: dict[str, np.ndarray], path: Path) -> None:
    """Regret by episode with 95 % intervals, and its numbers as CSV beside it."""
    from matplotlib import rc_context

    table: list[dict[str, float]] = [{"episode": episode + 1} for episode in range(EPISODES)]
    with rc_context(STYLE):
        figure, axes = new_figure(1, 1)
        axis = axes[0, 0]
        for index, name in enumerate(SAMPLERS):
            pairs = [interval(column) for column in runs[name].T]
            middles, errors = np.array(pairs).T
            axis.errorbar(range(1, EPISODES + 1), middles, errors, capsize=2, **look_of(name, index))
            for row, (middle, error) in zip(table, pairs, strict=True):
                row |= {f"{name}_regret": middle, f"{name}_error": error}
        axis.set(xlabel="episode", ylabel="regret a step")
        legend_above(figure, [axis])
        save_figure(figure, path, table)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval."""
    return float(values.mean()), float(1.96 * values.std(ddof=1) / len(values) ** 0.5)


if __name__ == "__main__":
    main()
