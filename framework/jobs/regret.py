"""Job ``regret``: regret of acquisition rules in finite MDPs, against its bound."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt

from bfmkit.interfaces import Job, Posterior
from bfmkit.registry import lookup, register
from bfmkit.regret.bound import RegretBound
from bfmkit.regret.report import Curves, draw_regret, summarise
from bfmkit.regret.rules import RULES
from bfmkit.regret.simulate import Runs, simulate
from bfmkit.runs.metric_log import MetricLog
from bfmkit.runs.run_directory import append_metrics, read_metrics, rewrite_metrics, write_summary
from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.tabular.policy_pool import PolicyPool
from bfmkit.utils.checks import Discount, Finite, NonNegativeInt, OpenShare, PositiveFloat, PositiveInt, check_ranges
from bfmkit.utils.processes import results_in_processes
from bfmkit.utils.progress_bar import ProgressBar
from bfmkit.utils.rng import normal_noise

POINTS = 40
"""About how many numbers of episodes the curves are kept at."""


@check_ranges
@dataclass(frozen=True)
class SeedsPerRule:
    """Number of seeds of each rule; 0 leaves it out.

    Args:
        ucb: the largest upper confidence bound with the theoretical radius, for a whole episode.
        rarely_switching: the same, kept until det V has grown by a factor.
        ucb_returns: the same as ``ucb``, told an episode's return and no reward.
        ucb_each_step: the same as ``ucb``, but choosing and learning at each step; nothing is proved about it.
        thompson: the best policy for weights drawn from the belief.
        greedy: the best policy for the belief's mean.
        random: the best policy for a random direction.
    """

    ucb: NonNegativeInt = 200
    rarely_switching: NonNegativeInt = 40
    ucb_returns: NonNegativeInt = 40
    ucb_each_step: NonNegativeInt = 10
    thompson: NonNegativeInt = 40
    greedy: NonNegativeInt = 40
    random: NonNegativeInt = 40


@register(Job, "regret")
class RegretJob(Job):
    r"""Regret of several rules against the best policy of a finite pool, compared with a bound.

    regret after N episodes = Σ_{n≤N} (max_π ψ_πᵀw − ψ_{π_n}ᵀw),  ψ_π = E_π[Σ_{t<H} γᵗ φ(s_{t+1})]

    ψ is exact and the pool finite, so each rule's maximum is exact too. Rewards are φᵀw plus standard normal noise, w
    is drawn from the directions that the pool has the best policies for, and S long: rewards are measured in
    standard deviations of their noise. The posterior is ``ridge``. A seed draws the same task, moves and noise
    whatever the rule. An interrupted run goes on with the rule and dimension it was at.

    Args:
        mdp: what the MDP looks like; d of its features is taken from ``dims``.
        dims: numbers of features, one study each.
        seeds: how many for each rule.
        episodes: N.
        burn_in: exponents are fitted from this many episodes on; none given: a quarter of ``episodes``.
        horizon: H, steps an episode.
        discount: γ.
        policies: how many the pool has.
        weight_scale: S/√d, so that a weight is about as large in any dimension.
        regularization: λ.
        delta: δ, how likely the bound may fail.
        switching_factor: c > 1, by which det V grows before ``rarely_switching`` chooses again.
        seed: of the first run, and of the pool.

    Raises:
        ValueError: if a number is out of its range, or no rule has a seed.

    Example:
        ``bfmkit run regret_tiny``
    """

    def __init__(
        self,
        mdp: MDPLayout,
        dims: list[PositiveInt],
        seeds: SeedsPerRule | None = None,
        episodes: Annotated[int, Ge(2)] = 3000,
        burn_in: int | None = None,
        horizon: PositiveInt = 10,
        discount: Discount = 0.9,
        policies: PositiveInt = 64,
        weight_scale: PositiveFloat = 0.5,
        regularization: PositiveFloat = 10.0,
        delta: OpenShare = 0.05,
        switching_factor: Annotated[float, Gt(1), Finite] = 2.0,
        seed: int = 0,
    ) -> None:
        if not dims or len(set(dims)) != len(dims):
            raise ValueError(f"dims must be different numbers, at least one, got {dims}")
        burn_in = max(1, episodes // 4) if burn_in is None else burn_in
        if not 1 <= burn_in < episodes:
            raise ValueError(f"burn_in must lie between 1 and {episodes - 1}, got {burn_in}")
        self.seeds = _numbers_of_seeds(seeds or SeedsPerRule())
        self.mdp, self.dims, self.episodes, self.burn_in = mdp, tuple(dims), episodes, burn_in
        self.horizon, self.discount, self.policies = horizon, discount, policies
        self.weight_scale, self.regularization, self.delta = weight_scale, regularization, delta
        self.switching_factor, self.seed = switching_factor, seed
        self.posterior: Posterior = lookup(Posterior, "ridge")(regularization=regularization)
        grid = np.geomspace(1, episodes, POINTS).round().astype(int)
        self.grid = np.unique(np.append(grid, burn_in))

    def bound(self, rule: str, dim: int) -> RegretBound:
        """Regret bound of a rule with the constants of this study."""
        return RegretBound(
            dim=dim,
            horizon=self.horizon,
            discount=self.discount,
            regularization=self.regularization,
            weight_norm=self.weight_scale * math.sqrt(dim),
            delta=self.delta,
            factor=self.switching_factor if RULES[rule].schedule == "determinant" else 1.0,
            returns_only=RULES[rule].returns_only,
        )

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Run the studies that are missing, in as many processes as torch has threads; always on the CPU."""
        done = self._done(out)
        studies = [(dim, name) for dim in self.dims for name in self.seeds]
        waiting = [study for study in studies if study not in done]
        bar = ProgressBar("regret", len(studies) * self.episodes, "episodes", len(done) * self.episodes)
        with MetricLog(out, self.loggers) as log, bar:

            def show(study: tuple[int, str], episodes: int) -> None:
                bar.advance(episodes, d=study[0], rule=study[1])

            for study, rows in results_in_processes(waiting, self._play, torch.get_num_threads(), show):
                done[study] = rows
                self._log(log, study, rows)
                append_metrics(out, rows)
        curves = {dim: {name: self._curves(dim, name, done[dim, name]) for name in self.seeds} for dim in self.dims}
        gaps = {dim: self._largest_gap(dim) for dim in self.dims}
        summary = summarise(curves, self.grid, self.burn_in, gaps)
        draw_regret(out / "figures" / "regret.png", curves, self.grid, self.burn_in)
        write_summary(out, summary)
        sys.stderr.write("".join(f"{line}\n" for line in _table(summary)))
        return summary

    def _log(self, log: MetricLog, study: tuple[int, str], rows: list[dict[str, Any]]) -> None:
        """The mean regret over seeds of one rule in one dimension, after each episode of the grid."""
        dim, name = study
        for episode, value in zip(self.grid, np.mean([row["regret"] for row in rows], axis=0), strict=True):
            log.log_metrics({f"regret/d_{dim}/{name}": float(value)}, episode)

    def _play(self, study: tuple[int, str], tell: Callable[[int], None]) -> list[dict[str, Any]]:
        """The rows of one rule in one dimension."""
        dim, name = study
        seeds = range(self.seed, self.seed + self.seeds[name])
        mdp, pool = self._pool(dim)
        bound = self.bound(name, dim)
        runs = simulate(mdp, pool, self.posterior, RULES[name], bound, seeds, self.episodes, lambda: tell(1))
        return list(self._rows(dim, name, runs))

    def _pool(self, dim: int) -> tuple[FiniteMDP, PolicyPool]:
        mdp = replace(self.mdp, dim=dim).build()
        directions = normal_noise([self.seed], "regret pool", [0], (self.policies, dim))[0]
        directions = torch.nn.functional.normalize(directions, dim=-1)
        return mdp, PolicyPool.solve(mdp, directions, self.horizon, self.discount)

    def _largest_gap(self, dim: int) -> float:
        """The most that an episode can lose, over all tasks."""
        pool = self._pool(dim)[1]
        values = pool.start_features @ pool.directions.mT
        return self.weight_scale * math.sqrt(dim) * float((values.amax(0) - values.amin(0)).max())

    def _done(self, out: Path) -> dict[tuple[int, str], list[dict[str, Any]]]:
        """The rows of what is finished; those of the rest are dropped."""
        found: dict[tuple[int, str], list[dict[str, Any]]] = {}
        for row in read_metrics(out):
            found.setdefault((row["dim"], row["rule"]), []).append(row)
        whole = {key: rows for key, rows in found.items() if len(rows) == self.seeds.get(key[1])}
        if len(whole) < len(found):
            kept = [row for rows in whole.values() for row in rows]
            rewrite_metrics(out, kept)
        return whole

    def _rows(self, dim: int, name: str, runs: Runs) -> Iterator[dict[str, Any]]:
        total = runs.regret.cumsum(axis=1)
        closest = np.full(len(total), np.nan)
        if RULES[name].is_covered:
            closest = (total / self.bound(name, dim).regret(np.arange(1, self.episodes + 1))).max(axis=1)
        for index, curve in enumerate(total):
            yield {
                "dim": dim,
                "rule": name,
                "seed": self.seed + index,
                "episodes": self.grid.tolist(),
                "regret": curve[self.grid - 1].tolist(),
                "largest_share_of_bound": float(closest[index]),
                "inside_confidence_set": bool(runs.inside[index]),
                "choices": int(runs.choices[index]),
            }

    def _curves(self, dim: int, name: str, rows: list[dict[str, Any]]) -> Curves:
        closest = [row["largest_share_of_bound"] for row in rows]
        return Curves(
            regret=np.array([row["regret"] for row in rows]),
            bound=self.bound(name, dim) if RULES[name].is_covered else None,
            closest=np.array([math.nan if share is None else share for share in closest]),
            inside=np.array([row["inside_confidence_set"] for row in rows]),
            choices=np.array([row["choices"] for row in rows]),
        )


def _numbers_of_seeds(seeds: SeedsPerRule) -> dict[str, int]:
    numbers = {field.name: getattr(seeds, field.name) for field in fields(seeds)}
    if not any(numbers.values()):
        raise ValueError("no rule has a seed")
    return {name: number for name, number in numbers.items() if number > 0}


def _table(summary: dict[str, Any]) -> Iterator[str]:
    yield f"{'d':>4}  {'rule':<18}{'seeds':>6}{'regret':>12}{'exponent':>10}{'bound':>12}{'under it':>10}{'choices':>9}"
    for dim, study in summary["dims"].items():
        for name, numbers in study["rules"].items():
            proved = "share_under_bound" in numbers
            cells = (f"{numbers['bound']:,.0f}", f"{numbers['share_under_bound']:.3f}") if proved else ("-", "-")
            yield (
                f"{dim:>4}  {name:<18}{numbers['seeds']:>6}{numbers['regret']:>12,.1f}{numbers['exponent']:>z10.3f}"
                f"{cells[0]:>12}{cells[1]:>10}{numbers['choices']:>9.0f}"
            )
