"""Replay of inferred weights from their record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import BFM, Acquisition, AcquisitionContext, Agent, Posterior
from bfmkit.models.digest import model_digest
from bfmkit.recipe import build_node
from bfmkit.runs.record import Record, RecordError
from bfmkit.utils.provenance import versions
from bfmkit.utils.rng import normal_noise

NOTHING = torch.zeros(0, dtype=torch.int64)


@dataclass(frozen=True)
class Replay:
    """Comparison of a record with its replay."""

    differences: dict[str, float]
    """Name -> largest difference of an entry relative to the largest entry; 0.0 where all bits agree."""
    updates: int  # how many steps of the belief were worked out again
    changed: dict[str, tuple[str, str]]  # what is not as it was when the record was made: package -> (then, now)

    @property
    def same(self) -> bool:
        """Whether every bit agrees."""
        return all(value == 0.0 for value in self.differences.values())


@dataclass(frozen=True)
class Parts:
    """Components that replay a record."""

    bfm: BFM
    posterior: Posterior
    acquisition: Acquisition | None


def parts_of(record: Record) -> Parts:
    """Components built from the nodes in a record.

    Raises:
        RecordError: if it does not say what they are, or the model is gone.
        RecipeError: if a part is not known here, or refuses its arguments.
    """
    facts = record.facts
    if "bfm" not in facts or not ("agent" in facts or "posterior" in facts):
        raise RecordError("the record does not say from which recipe its model and agent come: hand them over")
    bfm: BFM = build_node(BFM, facts["bfm"], source="record")
    if "posterior" in facts:
        return Parts(bfm, build_node(Posterior, facts["posterior"], source="record"), None)
    agent: Any = build_node(Agent, facts["agent"], source="record")
    return Parts(bfm, agent.posterior, agent.acquisition)


def require_same_model(record: Record, bfm: BFM) -> None:
    """Raise unless a model is the record's.

    Raises:
        RecordError: if any of its tensors, sizes or transitions has changed.
    """
    then, now = record.facts["model"]["digest"], model_digest(bfm)
    if then != now:
        where = record.facts.get("bfm", {}).get("path", "the model")
        raise RecordError(
            f"{where} is not the model of this record any more: its digest was {then[:12]} and is {now[:12]}"
        )


@torch.no_grad()
def replay(record: Record, parts: Parts | None = None, on_step: Callable[[], None] = lambda: None) -> Replay:
    """Replay of a record: its weights from its labels, and its last selection from these.

    Alone first; if a bit differs, in a batch of as many equal rows as there were runs, and in the same row, for sums in
    a batch may be split otherwise.

    Args:
        record: the record.
        parts: model, posterior and acquisition; None builds them from the record.
        on_step: called after each step of the belief.

    Raises:
        RecordError: if the model has changed, or the record does not say how to build the parts.
    """
    parts = parts or parts_of(record)
    require_same_model(record, parts.bfm)
    batch = record.facts.get("batch", {"size": 1, "row": 0})
    choice = record.facts.get("choice")
    found, updates = _follow(record, parts, 1, 0, on_step)
    differences = _differences(record, found)
    if any(differences.values()) and (batch["size"] > 1 or (choice is not None and choice["size"] > 1)):
        found, again = _follow(record, parts, batch["size"], batch["row"], on_step)
        differences, updates = _differences(record, found), updates + again
    then, now = record.facts["made"]["versions"], versions()
    changed = {name: (then.get(name, "missing"), now[name]) for name in now if then.get(name, "missing") != now[name]}
    return Replay(differences, updates, changed)


def _follow(
    record: Record, parts: Parts, size: int, row: int, on_step: Callable[[], None]
) -> tuple[dict[str, Tensor], int]:
    """The record's weights worked out in row ``row`` of ``size`` equal ones."""
    tensors, posterior = record.tensors, parts.posterior
    choice = record.facts.get("choice")
    belief: TensorDictBase = posterior.prior_for([record.facts["seed"]] * size, len(record.weights))
    if "start_features" in tensors:
        features = tensors["start_features"].expand(size, *tensors["start_features"].shape)
        rewards = tensors["start_rewards"].to(torch.float64).unsqueeze(1).repeat(1, size)
        belief = posterior.condition_on(belief, features, rewards.mT)
    at_choice: TensorDictBase | None = belief if choice is not None and choice["step"] == 0 else None
    total, begun, told = record.facts.get("steps", 0), 0, 0
    late = tensors["late_steps"].tolist() if "late_steps" in tensors else []
    for end in tensors["ends"].tolist() if "ends" in tensors else range(1, total + 1):
        belief = posterior.update_batch(belief, *_steps(tensors, begun, end, size, len(record.weights)))
        for _ in range(begun, end):
            on_step()
        if choice is not None and choice["step"] == end:
            at_choice = belief
        while told < len(late) and late[told] == end:
            belief = _label(posterior, belief, tensors, told)
            told += 1
            if choice is not None and (choice["step"], choice["late"]) == (end, told):
                at_choice = belief
        begun = end
    mean = posterior.mean(belief)
    found = {"weights": mean[row]}
    if choice is None and "z" in tensors:
        found["z"] = parts.bfm.policy_latent(mean[row].to(tensors["z"].dtype))
    if at_choice is not None and choice is not None and parts.acquisition is not None:
        found |= _choose(record, parts, at_choice[row : row + 1], *((1, 0) if size == 1 else (None, None)))
    return found, total


def _label(
    posterior: Posterior, belief: TensorDictBase, tensors: Mapping[str, Tensor], index: int
) -> TensorDictBase:  # batch (size,)
    """The belief after one late label."""
    features, reward, weight = (tensors[f"late_{name}"][index] for name in ("features", "rewards", "weights"))
    size = len(belief)
    return posterior.label(belief, features.repeat(size, 1), reward.repeat(size), float(weight))


def _steps(
    tensors: Mapping[str, Tensor], begun: int, end: int, size: int, dim: int
) -> tuple[Tensor, Tensor, Tensor]:  # (size, n, d), (size, n), (size, n) bool
    """Features, rewards and which of them there are, of the steps that were taken in at once."""
    rewards, observed = torch.zeros(end - begun, dtype=torch.float64), torch.zeros(end - begun, dtype=torch.bool)
    known = tensors.get("steps", NOTHING)
    first, last = (int(torch.searchsorted(known, edge)) for edge in (begun, end))
    places = known[first:last] - begun
    features = tensors.get("features", rewards)[first:last]
    features = features.new_zeros(end - begun, dim).index_copy(0, places, features.reshape(-1, dim))
    rewards[places], observed[places] = tensors.get("rewards", rewards)[first:last].double(), True
    return features.expand(size, -1, -1), rewards.expand(size, -1), observed.expand(size, -1)


def _choose(
    record: Record, parts: Parts, belief: TensorDictBase, size: int | None, row: int | None
) -> dict[str, Tensor]:
    """The last choice, in a batch of as many rows as chose together unless ``size`` says otherwise."""
    choice, tensors = record.facts["choice"], record.tensors
    size = choice["size"] if size is None else size
    row = choice["row"] if row is None else row
    acquisition, posterior = parts.acquisition, parts.posterior
    if acquisition is None:
        return {}
    noise = normal_noise(
        [record.facts["seed"]], "acquisition", [choice["step"]], acquisition.noise_shape(len(record.weights))
    )
    context = AcquisitionContext(
        posterior,
        belief.expand(size).clone(),
        parts.bfm,
        tensors["choice_observation"].repeat(size, 1),
        tensors["choice_previous"].repeat(size, 1),
        noise.repeat(size, *[1] * (noise.ndim - 1)),
        torch.full((size,), choice["episode"]),
    )
    weights = acquisition.propose(context)
    z = parts.bfm.policy_latent(weights.to(tensors["z"].dtype))
    return {"chosen_weights": weights[row], "z": z[row]}


def _differences(record: Record, found: dict[str, Tensor]) -> dict[str, float]:
    differences = {}
    for name, value in found.items():
        expected = record.tensors[name]
        if torch.equal(value, expected):
            differences[name] = 0.0
            continue
        scale = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
        # Not quite 0 even where a NaN or the sign of a zero is all that differs.
        differences[name] = max(float(((value - expected).abs().max() / scale).nan_to_num(nan=1.0)), 1e-300)
    return differences
