"""Job ``inspect``: diagnostics of a model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.environments.labels import label
from bfmkit.environments.relabelling import recorded_quantities
from bfmkit.evaluation.diagnostics.features import feature_spectrum
from bfmkit.evaluation.diagnostics.offline import offline_measures, random_weights
from bfmkit.evaluation.diagnostics.online import prediction_measures, spread_measures
from bfmkit.evaluation.diagnostics.policy_evaluation import PolicyEvaluation, evaluate_policies
from bfmkit.evaluation.diagnostics.predictions import compare
from bfmkit.evaluation.diagnostics.report import Report
from bfmkit.inference.experiment import fitted_environment
from bfmkit.interfaces import BFM, Environment, Job
from bfmkit.recipe.deferred import Deferred
from bfmkit.registry import register
from bfmkit.report.plots.diagnostics import draw_agreement, draw_spectrum, draw_spread
from bfmkit.runs.metric_log import MetricLog
from bfmkit.utils.linalg import least_squares_weights
from bfmkit.utils.progress_bar import ProgressBar
from bfmkit.utils.rng import generator, normal_noise


@register(Job, "inspect")
class InspectJob(Job):
    """Measurements of a trained model: its features, its successor features and its policies.

    Rank, conditioning and Bellman consistency come from the model's inference set, or from the steps of its own
    policies where it brings none. Policies of random rewards then act in an environment: their returns show whether
    predictions hold, and whether it matters which policy acts. Tasks are looked at beside, to be read by people. Each
    number in the summary says what is expected, and what a bad value means.

    Args:
        bfm: the model.
        environments: the first of the model's body is taken; with none given, only what needs no environment is
            measured.
        transitions: how many of the inference set to use at most.
        policies: random rewards whose policies act.
        episodes: of each policy.
        seed: of random rewards and episodes.

    Raises:
        ValueError: if a number is too small, no environment is of the model's body, or there is neither an environment
            nor an inference set.

    Example:
        ``bfmkit run inspect bfm.path=zoo:walker``
    """

    def __init__(
        self,
        bfm: BFM,
        environments: list[Deferred[Environment]] | None = None,
        transitions: Annotated[int, Ge(100)] = 10_000,
        policies: Annotated[int, Ge(2)] = 16,
        episodes: Annotated[int, Ge(2)] = 2,
        seed: int = 0,
    ) -> None:
        self.bfm, self.environment = bfm, _fitting(environments, bfm) if environments else None
        if self.environment is None and bfm.inference_set() is None:
            raise ValueError("this model brings no inference set; give an environment for its policies to act in")
        self.transitions, self.policies, self.episodes, self.seed = transitions, policies, episodes, seed

    def run(self, out: Path, device: torch.device) -> dict[str, Any]:
        """Measure, draw the figures, and print the table."""
        self.bfm.to(device)
        report, figures = Report(), out / "figures"
        if self.environment is None:
            report.notes.append("No environment: predictions and the spread of returns were not measured.")
            self._look_at_features(report, figures, self.bfm.inference_set(), {}, device)
        else:
            with ProgressBar("inspect", 2 * self.environment.spec.episode_steps) as bar:
                self._look_at_policies(report, figures, self.environment, device, bar)
        _log(out, report, self.loggers)
        sys.stderr.write("".join(f"{line}\n" for line in report.lines()))
        facts = {"domain": self.bfm.environment_spec.domain, "dim": self.bfm.dim, "discount": self.bfm.discount}
        return report.summary() | facts

    def _look_at_features(
        self, report: Report, figures: Path, transitions: Any, rewards: dict[str, Tensor], device: torch.device
    ) -> Tensor:  # (n, d)
        transitions = self._thinned(transitions).to(device)
        keys = ("observation", "action", ("next", "observation"))
        with torch.no_grad():
            features = self.bfm.features(*(transitions.get(key) for key in keys))
        report.measures += offline_measures(self.bfm, transitions, rewards, self.seed)
        draw_spectrum(figures / "spectrum.png", feature_spectrum(self.bfm, features).cpu())
        return features

    def _look_at_policies(
        self, report: Report, figures: Path, environment: Environment, device: torch.device, bar: ProgressBar
    ) -> None:
        tasks = environment.spec.tasks
        given, trial = self.bfm.inference_set(), None
        if given is None:
            report.notes.append("The model brings no inference set: its features are measured where its policies go.")
            # Isotropic weights, for want of features to measure them by.
            weights = normal_noise([self.seed], "random rewards", [0], (self.policies, self.bfm.dim))[0].to(device)
            trial = self._attempt(environment, [tasks[0]] * self.policies, weights, False, bar)
            given = trial.transitions()
        rewards = _rewards(self._thinned(given), environment)
        features = self._look_at_features(report, figures, given, rewards, device)
        if trial is None:
            weights = random_weights(features, self.policies, self.seed)
            trial = self._attempt(environment, [tasks[0]] * self.policies, weights, False, bar)
        predictions = prediction_measures(trial)
        report.measures += predictions + spread_measures(trial, weights, features)
        if not predictions:
            report.notes.append(
                f"Episodes are too short to compare predictions with returns at a discount of {self.bfm.discount}."
            )
        meant = least_squares_weights(features, torch.stack(list(rewards.values()), dim=-1).to(device))
        of_tasks = self._attempt(environment, tasks, meant, True, bar)
        random_returns = self._random_returns(environment, trial)
        points, marks = {}, {}
        for index, task in enumerate(tasks):
            mine = of_tasks.row // self.episodes == index
            points[task] = (of_tasks.predicted[mine], of_tasks.returns[mine])
            rows = slice(index * self.episodes, (index + 1) * self.episodes)
            got = float(of_tasks.rollouts.reward[:, rows].sum(0).mean())
            report.add_task(task, compare(*points[task]), got, random_returns[task])
            marks[task] = (random_returns[task].mean(1), got)
        if predictions:
            panels = {"random rewards": {"": (trial.predicted, trial.returns)}, "tasks": points}
            draw_agreement(figures / "agreement.png", panels)
        draw_spread(figures / "spread.png", marks)

    def _thinned(self, transitions: TensorDictBase) -> TensorDictBase:
        chosen = generator(self.seed, "inspected transitions", 0).permutation(len(transitions))[: self.transitions]
        return transitions[torch.from_numpy(chosen).sort().values]

    def _attempt(
        self, environment: Environment, tasks: Any, weights: Tensor, real_rewards: bool, bar: ProgressBar
    ) -> PolicyEvaluation:
        rows = [task for task in tasks for _ in range(self.episodes)]
        # The same starts for every policy: what differs between policies is not the luck of the start.
        seeds = [self.seed + row % self.episodes for row in range(len(rows))]
        each = weights.repeat_interleave(self.episodes, 0)
        return evaluate_policies(self.bfm, environment, rows, each, seeds, real_rewards, bar.advance)

    def _random_returns(self, environment: Environment, trial: PolicyEvaluation) -> dict[str, Tensor]:  # task -> (K, R)
        steps, running = trial.transitions(), trial.rollouts.running
        quantities = recorded_quantities(environment, steps["next", "physics"], steps["action"])
        found = {}
        for task in environment.spec.tasks:
            rewards = torch.zeros(running.shape, dtype=torch.float64)
            rewards[running] = environment.rewards(quantities, task).double()
            found[task] = rewards.sum(0).reshape(self.policies, self.episodes)
        return found


def _log(out: Path, report: Report, loggers: Sequence[str]) -> None:
    """The measures, called as in the log of a training, to be looked at beside it."""
    with MetricLog(out, loggers) as log:
        log.log_metrics({f"health/{measure.name}": measure.value for measure in report.measures}, 0)


def _fitting(environments: list[Deferred[Environment]], bfm: BFM) -> Environment:
    refusals = []
    for each in environments:
        environment = each.build()
        try:
            environment = fitted_environment(environment, bfm)
        except ValueError as error:
            refusals.append(str(error))
            continue
        return environment
    raise ValueError(f"no environment is of the model's body: {'; '.join(refusals)}")


def _rewards(transitions: TensorDictBase, environment: Environment) -> dict[str, Tensor]:  # task -> (n,)
    tasks = environment.spec.tasks
    table = label(transitions, environment, tasks)["next", "reward"]
    return dict(zip(tasks, table.unbind(-1), strict=True))
