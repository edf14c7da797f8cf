"""Job ``data_efficiency``: returns by the number and source of labels."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bfmkit.environments.labels import label
from bfmkit.evaluation.benchmark.entry import RecipeEntry, benchmark_recipes
from bfmkit.evaluation.relative_return import TaskReturns
from bfmkit.inference.episode import Step, run_episode
from bfmkit.inference.experiment import Run, chosen_tasks, fitted_environment, run_episodes
from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.interfaces import BFM, Agent, Environment, Job, JobError, Posterior
from bfmkit.registry import lookup, register
from bfmkit.report.plots.data_efficiency import draw_data_efficiency
from bfmkit.runs.label_log import LabelLog
from bfmkit.runs.metric_log import MetricLog
from bfmkit.runs.run_directory import append_metrics, read_metrics, rewrite_metrics, write_summary
from bfmkit.utils.checks import PositiveInt
from bfmkit.utils.placement import placement
from bfmkit.utils.progress_bar import ProgressBar
from bfmkit.utils.rng import generator

ORACLE, FLOOR, INFERENCE_SET = "oracle", "floor", "inference_set"

RELATIVE = ("relative_return", "relative_return_interval", "no_relative_return")

LATER = 1_000_000
"""The number of the first episode that inferred weights are tried in, far from those that labels were gathered in."""


@register(Job, "data_efficiency")
class DataEfficiencyJob(Job):
    """Offline inference from labels that agents gathered, against as many from the model's inference set.

    For each task and seed, every agent acts until it has taken in the largest number of labels. The posterior is then
    given the first n of them at once, for each n, and its mean is acted for in episodes that nobody has seen. So are
    weights from n labelled transitions of the inference set, which comes from the data that the model was trained on,
    and the oracle's; an agent that draws policies at random is the floor. An interrupted job goes on with the task it
    was at.

    Args:
        bfm: the model whose policies to act with; it must bring an inference set.
        environment: where; its rewards are the labels.
        gatherers: whose agents gather labels: shipped inference recipes by name, files, or either with a ``name`` and
            ``overrides``. They must keep a belief; of the recipes, nothing but the agent is looked at.
        posterior: which makes weights of labels.
        labels: how many to compare at.
        episodes: that each weights are tried in.
        tasks: their names, or ``all``; none given: those of the environment.
        seed: of the first run.
        seeds: how many, counted on from ``seed``.

    Raises:
        ValueError: if a number is not positive, a recipe is not one of inference, a task does not exist, the model was
            made for another body or brings no inference set, or one smaller than the largest number of labels.

    Example:
        ``bfmkit run data_efficiency``
    """

    def __init__(
        self,
        bfm: BFM,
        environment: Environment,
        gatherers: list[str | RecipeEntry],
        posterior: Posterior,
        labels: list[int],
        episodes: PositiveInt = 1,
        tasks: str | list[str] | None = None,
        seed: int = 0,
        seeds: PositiveInt = 1,
    ) -> None:
        if not labels or sorted(set(labels)) != list(labels) or labels[0] < 1:
            raise ValueError(f"labels must be numbers from 1 on, each larger than the one before, got {labels}")
        agents = {each.name: each.arguments["agent"].build() for each in benchmark_recipes(gatherers, ())}
        taken = {ORACLE, FLOOR, INFERENCE_SET} & set(agents)
        if taken:
            raise ValueError(f"gatherers: {sorted(taken)[0]} is compared with anyway; choose another name")
        environment = fitted_environment(environment, bfm)
        known = bfm.inference_set()
        if known is None or len(known) < labels[-1]:
            held = 0 if known is None else len(known)
            raise ValueError(f"labels: the model's inference set holds {held} transitions, too few for {labels[-1]}")
        self.bfm, self.environment, self.gatherers, self.posterior = bfm, environment, agents, posterior
        self.labels, self.episodes = list(labels), episodes
        self.tasks, self.seeds = chosen_tasks(environment, tasks), list(range(seed, seed + seeds))

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Run the tasks that are left."""
        self.bfm.to(device)
        done = self._finished(out)
        steps = self.environment.spec.episode_steps
        gathering = math.ceil(self.labels[-1] / steps) * len(self.gatherers)
        trying = 3 * self.episodes
        total = (gathering + trying) * steps * len(self.tasks)
        bar = ProgressBar("data_efficiency", total, "steps", (gathering + trying) * steps * len(done))
        with MetricLog(out, self.loggers) as log, bar:
            for task in self.tasks:
                if task not in done:
                    rows = list(self._study(task, bar))
                    self._log(log, rows)
                    append_metrics(out, rows)
                    bar.say(f"{task}: done")
        return self._finish(out)

    def _log(self, log: MetricLog, rows: list[dict[str, Any]]) -> None:
        """The mean return over seeds of each source, at each number of labels; the oracle's is the same at all."""
        for task, numbers in summarise(rows).items():
            returns = {source: entry["return"] for source, entry in numbers["sources"].items()}
            for reference in (ORACLE, FLOOR):
                returns[reference] = [numbers[f"{reference}_return"]] * len(self.labels)
            for source, values in returns.items():
                for count, value in zip(self.labels, values, strict=True):
                    log.log_metrics({f"return/{task}/{source}": value}, count)

    def _study(self, task: str, bar: ProgressBar) -> Iterator[dict[str, Any]]:
        """Rows: task, source, labels, seed, return."""
        weights = {name: self._gathered(name, agent, task, bar) for name, agent in self.gatherers.items()}
        weights[INFERENCE_SET] = self._drawn(task)
        cells = [
            (source, count, seed) for source in weights for count in self.labels for seed in range(len(self.seeds))
        ]
        rows = torch.stack([weights[source][count][seed] for source, count, seed in cells])
        returns = self._tried(FixedWeightsAgent(rows), task, [self.seeds[seed] for _, _, seed in cells], bar)
        for (source, count, seed), value in zip(cells, returns, strict=True):
            yield {"task": task, "source": source, "labels": count, "seed": self.seeds[seed], "return": value}
        for reference, name in ((ORACLE, "oracle"), (FLOOR, "random")):
            values = self._tried(lookup(Agent, name)(), task, self.seeds, bar)
            for seed, value in zip(self.seeds, values, strict=True):
                yield {"task": task, "source": reference, "labels": None, "seed": seed, "return": value}

    def _gathered(self, name: str, agent: Agent, task: str, bar: ProgressBar) -> dict[int, Tensor]:  # n -> (seeds, d)
        """Weights from what an agent gathers, the first n labels of each seed."""
        book = LabelLog()
        agent.label_log = book
        runs = [Run(task, seed) for seed in self.seeds]

        def watch(_: Step) -> None:
            bar.advance()

        most, count = self.labels[-1], math.ceil(self.labels[-1] / self.environment.spec.episode_steps)
        # An agent that asks for few labels may need more episodes than that.
        episodes = run_episodes(agent, self.bfm, self.environment, runs, 100 * count, lambda _: nullcontext(watch))
        for _ in episodes:
            if "belief" not in agent.state.keys():
                raise JobError(f"{name}: keeps no belief, so it gathers no labels")
            if agent.failures:
                raise JobError(f"{name}, task {task}: {'; '.join(agent.failures.values())}")
            if int(agent.state["labels"].min()) >= most:
                break
        known = [book.labels(run) for run in range(len(runs))]
        short = min(len(each.rewards) for each in known)
        if short < most:
            raise JobError(f"{name}, task {task}: gathers only {short} labels, and {most} were asked for")
        return {
            count: self._weights(
                torch.stack([each.features[:count] for each in known]),
                torch.stack([each.rewards[:count] for each in known]),
            )
            for count in self.labels
        }

    def _drawn(self, task: str) -> dict[int, Tensor]:  # n -> (seeds, d)
        """Weights from transitions of the inference set, drawn anew for each seed."""
        transitions = self.bfm.inference_set()
        if transitions is None:
            raise JobError("the model brings no inference set")
        labelled = label(transitions, self.environment, [task])
        keys = ("observation", "action", ("next", "observation"))
        features = self._features(*(labelled[key] for key in keys))
        rewards = labelled["next", "reward"][:, 0].double()
        orders = [generator(seed, "data efficiency", 0).permutation(len(features)) for seed in self.seeds]
        rows = torch.stack([torch.from_numpy(order)[: self.labels[-1]] for order in orders])
        return {count: self._weights(features[rows[:, :count]], rewards[rows[:, :count]]) for count in self.labels}

    @torch.no_grad()
    def _features(self, *parts: Tensor) -> Tensor:
        return self.bfm.features(*(part.to(*placement(self.bfm)) for part in parts)).cpu()

    def _weights(self, features: Tensor, rewards: Tensor) -> Tensor:  # (seeds, n, d), (seeds, n) -> (seeds, d)
        belief = self.posterior.prior_for(self.seeds, self.bfm.dim)
        return self.posterior.mean(self.posterior.condition_on(belief, features, rewards))

    def _tried(self, agent: Agent, task: str, seeds: list[int], bar: ProgressBar) -> list[float]:
        """Mean return of each row over the episodes."""
        labelled = None
        if agent.labelled_transitions > 0:
            known = self.bfm.inference_set()
            labelled = None if known is None else label(known, self.environment, [task] * len(seeds))
        agent.start(self.bfm, seeds, labelled)
        with closing(self.environment.with_tasks([task] * len(seeds))) as rows:
            rows.seed(seeds, LATER)
            returns = [run_episode(agent, rows, lambda _: bar.advance()).returns for _ in range(self.episodes)]
        if agent.failures:
            raise JobError("; ".join(agent.failures.values()))
        return torch.stack(returns).mean(0).tolist()

    def _finished(self, out: Path) -> set[str]:
        """The tasks whose rows are all there; rows of others are dropped."""
        rows = read_metrics(out)
        each = len(self.seeds) * ((len(self.gatherers) + 1) * len(self.labels) + 2)
        done = {task for task in self.tasks if sum(row["task"] == task for row in rows) == each}
        kept = [row for row in rows if row["task"] in done]
        if len(kept) < len(rows):
            rewrite_metrics(out, kept)
        return done

    def _finish(self, out: Path) -> dict[str, Any]:
        rows = read_metrics(out)
        tasks = summarise(rows)
        summary = {"labels": self.labels, "seeds": self.seeds, "tasks": tasks}
        draw_data_efficiency(out / "figures" / "data_efficiency.png", tasks, self.labels)
        write_summary(out, summary)
        sys.stderr.write("".join(f"{line}\n" for line in _table(tasks, self.labels)))
        return summary


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Summary ``{task: {"oracle_return": ..., "floor_return": ..., "sources": {source: {"return": [...], ...}}}}``.

    Means over seeds, an entry a number of labels; ``relative_return`` and its interval are those of
    :class:`~bfmkit.evaluation.relative_return.TaskReturns`.
    """
    found: dict[str, dict[tuple[str, int | None], list[float]]] = {}
    for row in rows:
        found.setdefault(row["task"], {}).setdefault((row["source"], row["labels"]), []).append(row["return"])
    summary: dict[str, Any] = {}
    for task, returns in found.items():
        oracle, floor = (np.array(returns[name, None])[:, None] for name in (ORACLE, FLOOR))
        sources: dict[str, dict[str, list[Any]]] = {}
        for (source, count), values in returns.items():
            if count is None:
                continue
            entry = sources.setdefault(source, {name: [] for name in ("return", *RELATIVE, "standard_error")})
            entry["return"].append(float(np.mean(values)))
            told = TaskReturns.of(np.array(values)[:, None], oracle, floor).summary()
            for name in RELATIVE:
                entry[name].append(told[name])
            error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
            entry["standard_error"].append(error)
        summary[task] = {"oracle_return": float(oracle.mean()), "floor_return": float(floor.mean()), "sources": sources}
    return summary


def _table(tasks: Mapping[str, Any], labels: list[int]) -> Iterator[str]:
    yield (
        f"{'task':<16}{'labels from':<18}"
        + "".join(f"{count:>9,}" for count in labels)
        + f"{'oracle':>10}{'floor':>10}"
    )
    for task, numbers in tasks.items():
        for source, entry in numbers["sources"].items():
            cells = "".join(f"{value:>9.1f}" for value in entry["return"])
            yield f"{task:<16}{source:<18}{cells}{numbers['oracle_return']:>10.1f}{numbers['floor_return']:>10.1f}"
