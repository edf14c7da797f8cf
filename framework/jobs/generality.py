"""Job ``generality``: oracle returns of models on rewards that they were not chosen by."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bfmkit.evaluation.diagnostics.rollouts import rollout
from bfmkit.inference.oracle_returns import oracle_returns
from bfmkit.interfaces import BFM, Environment, Job
from bfmkit.registry import register
from bfmkit.rewards.expression import STEP, task_title
from bfmkit.runs.run_directory import append_metrics
from bfmkit.utils.checks import PositiveInt
from bfmkit.utils.placement import placement
from bfmkit.utils.progress_bar import ProgressBar
from bfmkit.utils.rng import normal_noise

SEARCH_SEED = 1_000_003
"""Where the seeds of the search over latents begin, apart from those of the returns that are reported."""


@dataclass(frozen=True)
class NamedModel:
    """Model to compare, with the name it has in tables.

    Args:
        name: what it is called in the results.
        bfm: the model.
    """

    name: str
    bfm: BFM


@register(Job, "generality")
class GeneralityJob(Job):
    """Comparison of models by oracle returns on typed rewards, with the best of many random latents.

    A model that is made for a few named tasks fails here: its inferred latent does no better than the best one found by
    chance. The search runs one episode for each random z, relabels it with every reward, and keeps the best z for each;
    both it and the oracle's z then run on the same fresh episodes. One row a model and reward is written to
    ``metrics.jsonl``: ``oracle_return``, ``random_return``, and their standard errors over episodes.

    Args:
        models: each with an inference set.
        environment: of their body; its task is not read.
        rewards: typed rewards, best with names: ``low = torso_height < 0.5``.
        episodes: of the oracle and of the best random z, for each reward.
        random_latents: how many z the search tries.
        batch_size: episodes of the search that are run together.
        seed: of latents and episodes.

    Raises:
        ValueError: if a number is not positive, there is no model or reward, a reward cannot be parsed or depends on
            the step, or a model is of another body or brings no inference set.

    Example:
        ``bfmkit run generality_walker``
    """

    logs = False

    def __init__(
        self,
        models: list[NamedModel],
        environment: Environment,
        rewards: list[str],
        episodes: PositiveInt = 10,
        random_latents: PositiveInt = 256,
        batch_size: PositiveInt = 32,
        seed: int = 0,
    ) -> None:
        if not models or not rewards:
            raise ValueError("generality compares at least one model on at least one reward")
        for reward in rewards:
            environment.spec.require_task(reward)
            if STEP in re.findall(r"\w+", reward):
                raise ValueError(f'reward "{reward}" depends on the step, which no linear reward does')
        for model in models:
            environment.fitted_to(model.bfm.environment_spec, f"the model {model.name}")
            if model.bfm.inference_set() is None:
                raise ValueError(f"the model {model.name} brings no inference set for the oracle to label")
        self.models = {model.name: model.bfm for model in models}
        self.rewards = {task_title(reward): reward for reward in rewards}
        if len(self.models) < len(models) or len(self.rewards) < len(rewards):
            raise ValueError("two models or two rewards have one name")
        self.environment = environment
        self.episodes, self.random_latents = episodes, random_latents
        self.batch_size, self.seed = batch_size, seed

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Run the oracle and the search for every model."""
        (out / "metrics.jsonl").unlink(missing_ok=True)
        summary: dict[str, Any] = {}
        with ProgressBar("generality", len(self.models) * len(self.rewards), unit="rewards") as bar:
            for name, bfm in self.models.items():
                rows = list(self._rows(name, bfm.to(device)))
                for row in rows:
                    append_metrics(out, row)
                bar.advance(len(rows))
                summary[name] = {
                    "oracle_return": sum(row["oracle_return"] for row in rows) / len(rows),
                    "random_return": sum(row["random_return"] for row in rows) / len(rows),
                    "above_random": sum(row["oracle_return"] > row["random_return"] for row in rows),
                    "rewards": {row["reward"]: row for row in rows},
                }
        sys.stderr.write("".join(f"{line}\n" for line in _table(summary)))
        return {"models": summary}

    def _rows(self, name: str, bfm: BFM) -> Iterator[dict[str, Any]]:
        environment = self.environment.fitted_to(bfm.environment_spec, f"the model {name}")
        transitions, formulas = bfm.inference_set(), list(self.rewards.values())
        seeds = range(self.seed, self.seed + self.episodes)
        known = oracle_returns(bfm, environment, transitions, formulas, seeds)
        found = self._returns(bfm, environment, formulas, self._search(bfm, environment, formulas), seeds)
        for reward, formula, by_chance in zip(self.rewards, formulas, found, strict=True):
            row: dict[str, Any] = {"model": name, "reward": reward, "formula": formula}
            yield row | _statistics("oracle", known[formula]) | _statistics("random", by_chance)

    def _search(self, bfm: BFM, environment: Environment, formulas: list[str]) -> Tensor:  # (rewards, d)
        """The z of the highest return among random ones, for each reward."""
        weights = normal_noise([self.seed], "random latents", [0], (self.random_latents, bfm.dim))[0]
        latents = bfm.policy_latent(weights.to(*placement(bfm))).cpu()
        returns = []
        for first in range(0, self.random_latents, self.batch_size):
            z = latents[first : first + self.batch_size]
            with closing(environment.with_tasks([formulas[0]] * len(z))) as rows:
                rows.seed([SEARCH_SEED + first + row for row in range(len(z))])
                returns.append(self._relabelled(rows, rollout(bfm, rows, z), formulas))
        return latents[torch.cat(returns, dim=1).argmax(1)]

    def _relabelled(self, rows: Environment, episodes: Any, formulas: list[str]) -> Tensor:  # (rewards, B) float64
        steps, batch, _ = episodes.action.shape
        quantities = rows.quantities(episodes.physics.flatten(0, 1), episodes.action.flatten(0, 1))
        clock = torch.arange(1, steps + 1).repeat_interleave(batch)
        rewards = [rows.rewards(quantities, formula, clock).double().reshape(steps, batch) for formula in formulas]
        return (torch.stack(rewards) * episodes.running).sum(1)

    def _returns(
        self, bfm: BFM, environment: Environment, formulas: list[str], z: Tensor, seeds: range
    ) -> tuple[Tensor, ...]:  # for each reward (episodes,)
        with closing(environment.with_tasks([formula for formula in formulas for _ in seeds])) as rows:
            rows.seed(list(seeds) * len(formulas))
            episodes = rollout(bfm, rows, z.repeat_interleave(len(seeds), 0))
        return episodes.reward.sum(0).split(len(seeds))


def _statistics(name: str, returns: Tensor) -> dict[str, float]:  # (episodes,)
    error = float(returns.std() / len(returns) ** 0.5) if len(returns) > 1 else float("nan")
    return {f"{name}_return": float(returns.mean()), f"{name}_standard_error": error}


def _table(summary: dict[str, Any]) -> Iterator[str]:
    for name, model in summary.items():
        yield _line(name, model)
        yield from (_line(f"  {reward}", row) for reward, row in model["rewards"].items())


def _line(name: str, row: dict[str, Any]) -> str:
    return f"{name:34} oracle {row['oracle_return']:7.1f}   best random latent {row['random_return']:7.1f}"
