"""Explanation of inferred weights, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bfmkit.environments.relabelling import recorded_quantities
from bfmkit.inference.calibration import Calibration
from bfmkit.interfaces import BFM, Environment
from bfmkit.recipe import build_node
from bfmkit.runs.record import Record, RecordError
from bfmkit.runs.replay import require_same_model
from bfmkit.utils.linalg import second_moment

SHOWN = 5
"""How many of the best and of the least known parts of the reward are shown."""
TELLING = 0.5
"""A part of the reward is named after a quantity that it correlates with at least so far."""


@dataclass(frozen=True)
class Part:
    """One part of the reward, a direction of the weights: how much of it there is, as far as is known."""

    size: float
    deviation: float
    quantity: str | None  # of the strongest correlation over the inference set
    correlation: float


@dataclass(frozen=True)
class Explanation:
    """What a record says of the reward."""

    record: Record  # which
    parts: list[Part]
    """The reward in d parts that are uncorrelated in the posterior, best known first; a part's size is its root mean
    square over the inference set."""
    believed: np.ndarray | None = None
    """(n,), the reward believed of each transition of the inference set; none without one."""
    deviations: np.ndarray | None = None  # (n,), the belief's standard deviation of them
    true: np.ndarray | None = None  # (n,), the task's own reward of them, where the environment can tell
    correlations: dict[str, float] = field(default_factory=dict)
    """Quantity -> its correlation with the believed reward, strongest first."""

    @property
    def explained_variance(self) -> float | None:
        """1 − Σ(r − r̂)²/Σ(r − r̄)² over the inference set; None where it is not known."""
        if self.true is None or self.believed is None or self.true.var() == 0:
            return None
        return float(1 - np.square(self.true - self.believed).sum() / np.square(self.true - self.true.mean()).sum())

    def paragraph(self) -> str:
        """All of it in some sentences."""
        return " ".join([*_origin(self.record), *self._reward(), *self._certainty(), *_calibration(self.record)])

    def tables(self) -> Iterator[str]:
        """Lines of the tables: parts of the reward, and quantities."""
        yield f"{'part of the reward':<20}{'size':>12}{'± (std)':>12}   strongest correlation"
        shown = [*enumerate(self.parts[:SHOWN], 1)]
        rest = len(self.parts) - SHOWN
        shown += (
            [*enumerate(self.parts[-min(SHOWN, rest) :], len(self.parts) - min(SHOWN, rest) + 1)] if rest > 0 else []
        )
        for number, part in shown:
            words = "" if part.quantity is None else f"{part.quantity} ({part.correlation:+.2f})"
            rank = "best known" if number == 1 else "least known" if number == len(self.parts) else str(number)
            yield f"{rank:<20}{part.size:>12.4g}{part.deviation:>12.4g}   {words}".rstrip()
        if self.correlations:
            yield ""
            yield f"{'quantity':<28}{'correlation with the believed reward':>38}"
            for name, value in self.correlations.items():
                yield f"{name:<28}{value:>38.2f}"

    def _reward(self) -> Iterator[str]:
        if self.believed is None or self.deviations is None:
            yield "The model has no inference set, so the believed reward cannot be shown on transitions."
            return
        low, high = np.quantile(self.believed, [0.05, 0.95])
        yield (
            f"On the {len(self.believed):,} transitions of the model's inference set the believed reward is "
            f"{self.believed.mean():.3g} on average (90 % of them between {low:.3g} and {high:.3g}), with a standard "
            f"deviation of the posterior of {self.deviations.mean():.2g}."
        )
        strongest = list(self.correlations.items())[:2]
        if strongest:
            yield f"It correlates most with {' and '.join(f'{name} ({value:+.2f})' for name, value in strongest)}."
        if self.explained_variance is not None:
            yield f"It explains {self.explained_variance:.2f} of the variance of the task's own reward."

    def _certainty(self) -> Iterator[str]:
        first, last = self.parts[0], self.parts[-1]
        yield (
            f"Best known is {_named(first)}: {first.size:.3g} ± {first.deviation:.2g}; least known is {_named(last)}: "
            f"{last.size:.3g} ± {last.deviation:.2g}."
        )


@torch.no_grad()
def explain(record: Record, bfm: BFM | None = None, environment: Environment | None = None) -> Explanation:
    """Look at the weights through the transitions that come with their model.

    Args:
        record: the record.
        bfm: its model; None builds it from the record.
        environment: to measure quantities with, and the task's own reward; None builds it from the record, if that
            names one.

    Raises:
        RecordError: if the model has changed, or the record does not say which it is.
        RecipeError: if a part is not known here.
    """
    facts = record.facts
    if bfm is None:
        if "bfm" not in facts:
            raise RecordError("the record does not say from which recipe its model comes: hand it over")
        bfm = build_node(BFM, facts["bfm"], source="record")
    require_same_model(record, bfm)
    if environment is None and "environment" in facts:
        environment = build_node(Environment, facts["environment"], source="record")
    weights, covariance = record.weights.double(), record.tensors["covariance"].double()
    transitions = bfm.inference_set()
    if transitions is None or len(transitions) == 0:
        return Explanation(record, _parts(weights, covariance, None, {}))
    keys = ("observation", "action", ("next", "observation"))
    features = bfm.features(*(transitions.get(key) for key in keys)).double()
    quantities, true = _measured(environment, transitions, facts.get("task"))
    units = facts.get("reward_units", {"offset": 0.0, "scale": 1.0})
    believed = units["offset"] + units["scale"] * (features @ weights)
    deviations = units["scale"] * ((features @ covariance) * features).sum(-1).clamp(min=0).sqrt()
    correlations = {name: _correlation(believed, column) for name, column in quantities.items()}
    strongest = dict(sorted(correlations.items(), key=lambda pair: -abs(pair[1])))
    parts = _parts(weights, covariance, features, quantities)
    return Explanation(record, parts, believed.numpy(), deviations.numpy(), true, strongest)


def _measured(
    environment: Environment | None, transitions: Any, task: str | None
) -> tuple[dict[str, Tensor], np.ndarray | None]:
    """The physics quantities of the transitions, and the task's reward of them as an episode begins."""
    if environment is None or ("next", "physics") not in transitions.keys(True):
        return {}, None
    quantities = recorded_quantities(environment, transitions["next", "physics"], transitions["action"])
    true = None
    if task is not None and environment.spec.has_task(task):
        true = environment.rewards(quantities, task).double().numpy()
    return _different({name: column.double() for name, column in quantities.items()}), true


def _different(quantities: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without quantities that are affine maps of an earlier one, which say the same of a reward."""
    kept: dict[str, Tensor] = {}
    for name, column in quantities.items():
        if all(abs(_correlation(column, other)) < 1.0 - 1e-6 for other in kept.values()):
            kept[name] = column
    return kept


def _parts(
    weights: Tensor,  # (d,)
    covariance: Tensor,  # (d, d)
    features: Tensor | None,  # (n, d)
    quantities: Mapping[str, Tensor],
) -> list[Part]:
    r"""The eigenvectors of C^½ Σ C^½, smallest eigenvalue first, with C the second moment of the features.

    The reward along u is the function φᵀC^{-½}u, whose root mean square is 1; the belief of how much of it there is has
    the mean uᵀC^½w and the variance of the eigenvalue. Without features, C = I.
    """
    dim = len(weights)
    moment = torch.eye(dim, dtype=torch.float64) if features is None else second_moment(features)
    values, vectors = torch.linalg.eigh(moment)
    floor = values.max() * 1e-12
    root = vectors @ torch.diag(values.clamp(min=floor).sqrt()) @ vectors.mT
    inverse = vectors @ torch.diag(values.clamp(min=floor).rsqrt()) @ vectors.mT
    spread, directions = torch.linalg.eigh(root @ covariance @ root)
    sizes = directions.mT @ root @ weights
    # The sign of an eigenvector is anybody's guess: count it so that there is some of the part rather than less than
    # none.
    signs = torch.where(sizes < 0, -1.0, 1.0)
    functions = None if features is None else features @ inverse @ (directions * signs)
    parts = []
    for index in range(dim):
        name, correlation = None, 0.0
        if functions is not None and quantities:
            known = {each: _correlation(functions[:, index], column) for each, column in quantities.items()}
            name = max(known, key=lambda each: abs(known[each]))
            correlation = known[name]
        deviation = float(spread[index].clamp(min=0).sqrt())
        parts.append(Part(float(sizes[index] * signs[index]), deviation, name, correlation))
    return parts


def _correlation(one: Tensor, other: Tensor) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = torch.linalg.vector_norm(one) * torch.linalg.vector_norm(other)
    return float(one @ other / scale) if scale > 0 else 0.0


def _named(part: Part) -> str:
    if part.quantity is None:
        return "one direction of the weights"
    if abs(part.correlation) < TELLING:
        return "a part that no single quantity tells of"
    return f"the part correlated with {part.quantity} ({part.correlation:+.2f})"


def _origin(record: Record) -> Iterator[str]:
    """Which weights, of what, and from which rewards."""
    facts = record.facts
    posterior = facts.get("posterior") or facts.get("agent", {}).get("posterior", {})
    settings = ", ".join(f"{name} {value}" for name, value in posterior.items() if name != "type")
    name = f"posterior {posterior['type']}{f' ({settings})' if settings else ''}" if posterior else "posterior"
    task = f'task "{facts["task"]}"' if facts.get("task") else "an unnamed task"
    yield (
        f"Mean weights of the {name} with {len(record.weights)} features, for {task}, seed {facts['seed']}; model "
        f"{_model(facts)} (digest {facts['model']['digest'][:12]})."
    )
    yield from _rewards(facts)
    acquisition = facts.get("agent", {}).get("acquisition", {}).get("type")
    if acquisition and "choice" in facts:
        yield f"Acquisition {acquisition}; z was last selected after {facts['choice']['step']:,} steps."
    if facts.get("stopped"):
        yield f"The run was stopped: {facts['stopped']}."


def _model(facts: Mapping[str, Any]) -> str:
    """``zoo:walker``, ``whitened intercept of zoo:walker``, or ``tabular of grid`` for one that is no folder."""
    node, around = facts.get("bfm", {}), []
    while "path" not in node and "bfm" in node:
        around.append(node["type"])
        node = node["bfm"]
    inner = node.get("path") or " ".join([*filter(None, [node.get("type")]), "of", facts["model"]["domain"]])
    return " ".join([*around, "of", inner]) if around else inner


def _rewards(facts: Mapping[str, Any]) -> Iterator[str]:
    rewards = facts["rewards"]
    parts = []
    if rewards.get("start"):
        parts.append(f"{rewards['start']:,} labels at once ({rewards['start_from']})")
    if "acting" in rewards:
        parts.append(f"{rewards['acting']:,} rewards in {facts['steps']:,} steps of acting ({rewards['acting_from']})")
    if rewards.get("late"):
        parts.append(f"{rewards['late']:,} labels of steps acted earlier")
    yield f"Inferred from {' and '.join(parts)}." if parts else "Inferred from no reward."


def _calibration(record: Record) -> Iterator[str]:
    known = record.facts.get("calibration")
    if known and known["rewards"]:
        found = Calibration(**known)
        verdict = ": the posterior is overconfident" if found.is_overconfident else ""
        yield f"Predicted before they were learnt from, {found.words()}{verdict}."
