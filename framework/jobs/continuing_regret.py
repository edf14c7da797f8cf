"""Job ``continuing_regret``: regret without episodes, policies being selected at single steps."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from annotated_types import Ge, Gt

from bfmkit.interfaces import Job
from bfmkit.registry import register
from bfmkit.regret.continuing_bound import ContinuingBound
from bfmkit.regret.power_law import exponent
from bfmkit.regret.report import draw_continuing
from bfmkit.regret.simulate_continuing import CONTINUING_RULES, simulate_continuing
from bfmkit.runs.run_directory import append_metrics, read_metrics, write_summary
from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.tabular.stationary_pool import StationaryPool
from bfmkit.utils.checks import (
    Finite,
    NonNegativeFloat,
    NonNegativeInt,
    OpenShare,
    PositiveFloat,
    PositiveInt,
    check_ranges,
)
from bfmkit.utils.processes import results_in_processes
from bfmkit.utils.progress_bar import ProgressBar
from bfmkit.utils.rng import generator, normal_noise

POINTS = 40
"""About how many numbers of steps the curves are kept at."""


@check_ranges
@dataclass(frozen=True)
class SeedsPerContinuingRule:
    """Number of seeds of each rule; 0 leaves it out.

    Args:
        determinant: the largest upper confidence bound, chosen again when det V has grown by a factor.
        determinant_growing: the same with a radius that grows by ε√t; only played where there is an ε.
        each_step: the largest upper confidence bound of every step; nothing is proved about it.
        thompson: the best policy for weights drawn from the belief, when det V has grown.
        greedy: the best policy for the belief's mean, when det V has grown.
        random: the best policy for a random direction, at every step.
    """

    determinant: NonNegativeInt = 200
    determinant_growing: NonNegativeInt = 200
    each_step: NonNegativeInt = 20
    thompson: NonNegativeInt = 40
    greedy: NonNegativeInt = 40
    random: NonNegativeInt = 40


class Study(NamedTuple):
    """Dimension, misspecification and rule of one simulation."""

    dim: int
    misspecification: float
    rule: str


@register(Job, "continuing_regret")
class ContinuingRegretJob(Job):
    r"""Regret against the best policy of a pool in a problem without episodes, compared with a bound.

    regret after T steps = Σ_{t≤T} (max_π g_π − r_t),  g_π the average reward of a policy, r_t without noise

    Beside it the expected losses Σ_t (g* + h(s_t) − E[r_t + h(s_{t+1}) | s_t, a_t]), h the bias of the best policy of
    the pool: the regret in expectation, but for at most the span of h, and without the chance of where steps led.
    Exponents are of these.

    Average features are exact and the pool finite. Rewards are φ(s')ᵀw + ε(s') and standard normal noise, w being one
    of the directions that the pool has policies for, S long, and ε(s') drawn as ±ε once for each state. All rules meet
    the same random numbers. An interrupted run goes on with the study it was at.

    Args:
        mdp: what the MDP looks like; d of its features is taken from ``dims``. Its ``slip`` must make every policy's
            average independent of where it starts.
        dims: numbers of features.
        misspecification: values of ε, one study each.
        seeds: how many for each rule.
        steps: T.
        burn_in: exponents are fitted from this many steps on; none given: a hundredth of ``steps``.
        policies: how many the pool has.
        weight_scale: S/√d.
        regularization: λ.
        delta: δ, how likely the bound may fail.
        switching_factor: c > 1.
        seed: of the first run, and of the pool.

    Raises:
        ValueError: if a number is out of its range, no rule has a seed, or a policy's average depends on its start.

    Example:
        ``bfmkit run continuing_regret_tiny``
    """

    def __init__(
        self,
        mdp: MDPLayout,
        dims: list[PositiveInt],
        misspecification: list[NonNegativeFloat] | None = None,
        seeds: SeedsPerContinuingRule | None = None,
        steps: Annotated[int, Ge(100)] = 1_000_000,
        burn_in: int | None = None,
        policies: PositiveInt = 64,
        weight_scale: PositiveFloat = 0.5,
        regularization: PositiveFloat = 10.0,
        delta: OpenShare = 0.05,
        switching_factor: Annotated[float, Gt(1), Finite] = 2.0,
        seed: int = 0,
    ) -> None:
        values = [0.0] if misspecification is None else misspecification
        for name, numbers in (("dims", dims), ("misspecification", values)):
            if not numbers or len(set(numbers)) != len(numbers):
                raise ValueError(f"{name} must be different numbers, at least one, got {numbers}")
        burn_in = steps // 100 if burn_in is None else burn_in
        if not 1 <= burn_in < steps:
            raise ValueError(f"burn_in must lie between 1 and {steps - 1}, got {burn_in}")
        seeds = seeds or SeedsPerContinuingRule()
        self.seeds = {field.name: getattr(seeds, field.name) for field in fields(seeds)}
        if not any(self.seeds.values()):
            raise ValueError("no rule has a seed")
        self.mdp, self.dims, self.misspecification = mdp, tuple(dims), tuple(values)
        self.steps, self.burn_in, self.policies, self.weight_scale = steps, burn_in, policies, weight_scale
        self.regularization, self.delta, self.factor, self.seed = regularization, delta, switching_factor, seed
        grid = np.geomspace(1, steps, POINTS).round().astype(int)
        self.grid = np.unique(np.append(grid, burn_in))

    def studies(self) -> list[Study]:
        """Studies of the job; a growing radius is left out where ε is 0."""
        return [
            Study(dim, error, rule)
            for dim in self.dims
            for error in self.misspecification
            for rule, seeds in self.seeds.items()
            if seeds > 0 and not (CONTINUING_RULES[rule].grows and error == 0)
        ]

    def bound(self, dim: int, error: float) -> ContinuingBound:
        """Regret bound with the constants of this study."""
        _, pool, directions = self._pool(dim)
        return self._bound(pool, directions, error)

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Run the studies that are missing, in as many processes as torch has threads; on the CPU."""
        rows: dict[Study, dict[str, Any]] = {
            Study(row["dim"], row["misspecification"], row["rule"]): row for row in read_metrics(out)
        }
        studies = self.studies()
        waiting = [study for study in studies if study not in rows]
        with ProgressBar("regret", len(studies) * self.steps, "steps", len(rows) * self.steps) as bar:

            def show(study: Study, steps: int) -> None:
                bar.advance(steps, d=study.dim, rule=study.rule)

            for study, row in results_in_processes(waiting, self._play, torch.get_num_threads(), show):
                rows[study] = row
                append_metrics(out, [row])
        ordered = [rows[study] for study in studies]
        numbers = [self._summary(row) for row in ordered]
        draw_continuing(out / "figures" / "continuing_regret.png", numbers)
        summary = {"steps": self.steps, "burn_in": self.burn_in, "studies": numbers}
        write_summary(out, summary)
        sys.stderr.write("".join(f"{line}\n" for line in _table(numbers)))
        return summary

    def _play(self, study: Study, tell: Callable[[int], None]) -> dict[str, Any]:
        mdp, pool, directions = self._pool(study.dim)
        bound, rule = self._bound(pool, directions, study.misspecification), CONTINUING_RULES[study.rule]
        seeds = range(self.seed, self.seed + self.seeds[study.rule])
        tasks = [int(generator(seed, "regret task", 0).integers(self.policies)) for seed in seeds]
        weights = (bound.weight_norm * directions[tasks]).numpy()
        signs = np.where(generator(self.seed, "regret errors", 0).random(mdp.states) < 0.5, -1.0, 1.0)
        errors = study.misspecification * signs
        runs = simulate_continuing(mdp, pool, rule, bound, weights, errors, seeds, self.grid, tell)
        covered = rule.index == "ucb" and not rule.each_step and (rule.grows or study.misspecification == 0)
        return {
            **study._asdict(),
            "seeds": len(seeds),
            "steps": self.grid.tolist(),
            "regret": runs.regret.mean(0).tolist(),
            "regrets": runs.regret[:, -1].tolist(),
            "losses": runs.losses.tolist(),
            "loss": runs.losses.mean(0).tolist(),
            "bound": bound.regret(self.grid).tolist() if covered else None,
            "share_under_bound": float((runs.closest <= 1).mean()) if covered else None,
            "largest_share_of_bound": float(runs.closest.max()) if covered else None,
            "share_inside_confidence_set": float(runs.inside.mean()),
            "choices": float(runs.choices.mean()),
        }

    def _summary(self, row: dict[str, Any]) -> dict[str, Any]:
        late = self.grid >= self.burn_in
        losses = np.array(row["losses"])
        power = exponent(self.grid[late], losses[:, late])
        kept = {key: value for key, value in row.items() if key != "steps"}
        last = {key: row[key] and row[key][-1] for key in ("regret", "loss", "bound")} | {
            "losses": losses[:, -1].tolist()
        }
        curve = {key: row[key] for key in ("steps", "loss", "bound")}
        return kept | last | {"exponent": power.value, "exponent_interval": [power.low, power.high], "curve": curve}

    def _pool(self, dim: int) -> tuple[FiniteMDP, StationaryPool, torch.Tensor]:
        mdp = replace(self.mdp, dim=dim).build()
        directions = normal_noise([self.seed], "regret pool", [0], (self.policies, dim))[0]
        directions = torch.nn.functional.normalize(directions, dim=-1)
        return mdp, StationaryPool.solve(mdp, directions), directions

    def _bound(self, pool: StationaryPool, directions: torch.Tensor, error: float) -> ContinuingBound:
        norm = self.weight_scale * math.sqrt(directions.shape[-1])
        span = float(pool.value_span(norm * directions).max())
        args = (self.regularization, norm, self.delta, self.factor, pool.feature_span, span, error)
        return ContinuingBound(directions.shape[-1], *args)


def _table(studies: list[dict[str, Any]]) -> Iterator[str]:
    heads = f"{'seeds':>6}{'loss':>12}{'exponent':>10}{'bound':>12}{'under':>8}{'choices':>10}"
    yield f"{'d':>4}{'eps':>6}  {'rule':<20}{heads}"
    for row in studies:
        proved = row["bound"] is not None
        cells = (f"{row['bound']:,.0f}", f"{row['share_under_bound']:.3f}") if proved else ("-", "-")
        yield (
            f"{row['dim']:>4}{row['misspecification']:>6g}  {row['rule']:<20}{row['seeds']:>6}{row['loss']:>12,.0f}"
            f"{row['exponent']:>z10.3f}{cells[0]:>12}{cells[1]:>8}{row['choices']:>10,.0f}"
        )
