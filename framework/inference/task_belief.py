"""Task belief of B runs: the posterior's belief, steps buffered for it, and its calibration."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference import calibration, recent_features
from bfmkit.inference.batched_agent import Transitions
from bfmkit.inference.calibration import RESIDUALS, Calibration, Predictions
from bfmkit.inference.recent_features import Stretch
from bfmkit.interfaces import BFM, Posterior, QueryRule

logger = logging.getLogger(__name__)

S = TypeVar("S", Transitions, "_Labelled")

LARGEST_REWARD = 1e100
"""The square of a larger one, times that of a feature, need not be a number any more."""

TOO_LARGE = "reward or features are too large to learn from: the belief would no longer be finite"

CHECKED_EVERY = 1000
"""Updates at most between two looks at whether the belief's intervals hold."""


class _Labelled(NamedTuple):
    """n steps of each of m runs, as the posterior sees them; batch (m, n)."""

    features: Tensor  # (m, n, d), NaN where the model gives another shape
    reward: Tensor  # (m, n) float64
    observed: Tensor  # (m, n) bool on the CPU


@dataclass(frozen=True)
class _Update:
    """What n steps make of the beliefs of m runs."""

    belief: TensorDictBase  # batch (m,)
    predictions: Predictions
    information: Tensor | None  # (m,), what the rewards told; None if it is not counted
    broken: Tensor | None  # (m,) bool, runs with a step that cannot be learnt from; None: there is none


class TaskBelief:
    """Belief of B runs with its step buffer and calibration, kept as entries of an agent's state.

    ``belief``; ``residuals`` (B, 5), the sums of :mod:`bfmkit.inference.calibration`; with ``update_every`` above 1
    ``pending``, the steps to be learnt from later, whose ``count`` (B,) says how many they are; ``information`` (B,),
    the growth of the log determinant of the precision since somebody set it to zero; ``recent_features`` (B, H, d).

    Nothing has changed until an update is worked out: whatever goes wrong leaves every run as it was. A run with a
    step that cannot be learnt from learns those before it, and is stopped as of that step.

    Args:
        posterior: of the beliefs.
        bfm: whose features to learn with.
        seeds: of the runs.
        stop: stops the runs of a (B,) mask, for a reason; may raise.
        log: where to write what the beliefs take in; None: nowhere.
        query_rule: which rewards to learn from; None: all of them.
        update_every: how many steps to learn from at once, at most.
        label_memory: how many past steps' features to keep, for labels that come late.
        counts_information: whether to count how much rewards tell.
    """

    entries: dict[str, Any]
    """Of the agent's state; those of :meth:`prior` are among them."""

    def __init__(
        self,
        posterior: Posterior,
        bfm: BFM,
        seeds: Sequence[int],
        stop: Callable[[Tensor, str], None],
        log: Any = None,
        query_rule: QueryRule | None = None,
        update_every: int = 1,
        label_memory: int = 0,
        counts_information: bool = False,
    ) -> None:
        self.posterior, self.bfm, self.seeds, self.stop, self.log = posterior, bfm, seeds, stop, log
        self.query_rule, self.update_every, self.label_memory = query_rule, update_every, label_memory
        self.given = 0  # labels that no query rule was asked about
        self.counts_information = counts_information
        self._uncounted: list[tuple[Tensor, Predictions]] = []
        self._broken: dict[int, tuple[str, int]] = {}  # run -> why, and how many counted steps it did not learn from
        self._warned = False

    def prior(self, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor | TensorDict]:
        """Initial entries of the state."""
        runs, example = len(self.seeds), torch.zeros(0, dtype=dtype, device=device)
        entries: dict[str, Tensor | TensorDict] = {
            "belief": self.posterior.prior_for(self.seeds, self.bfm.dim, device),
            RESIDUALS: calibration.blank(runs, device),
        }
        if self.counts_information:
            entries["information"] = torch.zeros(runs, dtype=torch.float64)
        if self.update_every > 1:
            spec = self.bfm.environment_spec
            entries["pending"] = _no_steps(runs, self.update_every, spec.observation_size, spec.action_size, example)
        if self.label_memory > 0:
            entries["recent_features"] = example.new_zeros(runs, self.label_memory, self.bfm.dim)
        if self.log is not None:
            self.log.begin(None, None)
        return entries

    def condition_on(self, belief: TensorDict, features: Tensor, reward: Tensor) -> TensorDict:  # (n, d), (n, B)
        """Belief after n labelled transitions, the same for all runs, each with its own rewards."""
        if not (features.isfinite().all() and reward.isfinite().all()):
            raise ValueError("a labelled transition has features or a reward that is not finite")
        if self.log is not None:
            self.log.begin(features, reward)
        return self.posterior.condition_on(belief, features.expand(len(self.seeds), *features.shape), reward.mT)

    @property
    def belief(self) -> TensorDict:  # batch (B,)
        """Belief after all rewards so far, buffered ones included; reading it changes no state."""
        if self.update_every > 1 and self.entries["pending"]["count"].any():
            ahead = copy.copy(self)
            ahead.entries = dict(TensorDict(self.entries, [len(self.seeds)]).clone().items())
            ahead.stop, ahead.log = _ignore, None
            ahead._uncounted, ahead._broken, ahead._warned = [], {}, True
            ahead.flush()
            return ahead.belief
        belief: TensorDict = self.entries["belief"]
        return belief

    def add(self, step: Transitions, runs: Tensor) -> Tensor:  # batch (B,), (m,) int64 -> (B,) bool
        """Add a step of some runs, learnt now or buffered; returns which of its rewards are asked for."""
        features = None
        if self.query_rule is not None:
            features, observed = self._queried(self.query_rule, step, runs)
            step = step._replace(observed=observed)
        if self.update_every == 1:
            rows = self._rows(step, runs)
            parts = self._features(rows) if features is None else features, rows.reward, rows.observed
            self._learn(runs, _Labelled(*(part.unsqueeze(1) for part in parts)), 0)
            self._stop_broken()
            return step.observed
        pending = self.entries["pending"]
        counts = pending["count"]
        for count, group in _equally_many(counts, runs):
            self._put(pending, count, step, group)
            if count == self.update_every - 1:
                self._take(group, newest=1)
            else:
                counts.index_fill_(0, group, count + 1)
        return step.observed

    def flush(self, runs: Tensor | None = None) -> None:  # (B,) bool; None: all
        """Learn buffered steps now; of stopped runs too, whose steps came before what stopped them."""
        if self.update_every > 1:
            waiting = self.entries["pending"]["count"] > 0
            self._take((waiting if runs is None else waiting & runs).nonzero().squeeze(-1))

    def label(self, features: Tensor, reward: Tensor, weight: float, runs: Tensor) -> None:  # (B, d), (B,), (B,) bool
        """Learn one late label of each of the runs; on failure the state is unchanged."""
        entries, old = self.entries, self.entries["belief"]
        chosen = runs.to(features.device)
        features, reward = torch.where(chosen.unsqueeze(-1), features, 0.0), torch.where(chosen, reward, 0.0)
        # All runs at once, and as many when it is replayed: sums depend on how many rows they have.
        new = self.posterior.label(old, features, reward, weight)
        if not self.posterior.mean(new)[chosen].isfinite().all():
            raise ValueError(TOO_LARGE)
        if self.counts_information:
            gain = self.posterior.information_gain(old, weight**0.5 * features)
            entries["information"].add_(torch.where(chosen, gain, 0.0).cpu())
        rows = chosen.nonzero().squeeze(-1)
        entries["belief"] = old.apply(lambda before, after: before.index_copy(0, rows, after[rows]), new)
        entries["labels"].add_(runs)
        if self.log is not None:
            self.log.label(features, reward, weight, runs, entries["step"])

    def past_features(self, stretch: Stretch) -> tuple[Tensor, Tensor]:  # (B, d) float64, (B,) float64
        """Sum of the features of a stretch of past steps, and the number of steps."""
        return recent_features.total(self.entries["recent_features"], self.entries["step"], stretch)

    def check_calibration(self) -> None:
        """Update the calibration with predictions and rewards; warn once where a posterior is overconfident."""
        sums = calibration.counted(self.entries[RESIDUALS], self._uncounted)
        self._uncounted = []
        self.entries[RESIDUALS] = sums
        if self._warned:
            return
        calibrations = [Calibration.of(row) for row in sums.cpu()]
        overconfident = sorted(
            (of_run.within_two or 0.0, run) for run, of_run in enumerate(calibrations) if of_run.is_overconfident
        )
        if overconfident:
            whose = [f"the run of seed {self.seeds[run]}" for _, run in overconfident]
            logger.warning("%s", calibration.warning(whose, calibrations[overconfident[0][1]], self.posterior))
            self._warned = True

    # Inside.

    def _rows(self, steps: Transitions, runs: Tensor) -> Transitions:  # batch (B, ...) -> (m, ...)
        return steps if runs.numel() == len(self.seeds) else _of(steps, runs)

    def _beliefs(self, runs: Tensor) -> TensorDictBase:  # (m,) int64 -> batch (m,)
        belief: TensorDictBase = self.entries["belief"]
        return belief if runs.numel() == len(self.seeds) else belief[runs.to(belief.device)]

    def _queried(self, rule: QueryRule, step: Transitions, runs: Tensor) -> tuple[Tensor | None, Tensor]:  # (B,) bool
        """Features of the step, (m, d), if the query rule looks at them; and which rewards it lets in."""
        features, seen = None, step.reward.new_full((len(runs), self.bfm.dim), math.nan)
        if rule.needs_features:
            features = seen = self._features(self._rows(step, runs))
        labels = (self.entries["labels"][runs] - self.given).to(seen.device)
        asked = rule.should_query(self.posterior, self._beliefs(runs), seen, labels).cpu()
        if runs.numel() < len(self.seeds):
            asked = torch.zeros_like(step.observed).index_copy_(0, runs, asked)
        return features, step.observed & asked

    def _features(self, steps: Transitions) -> Tensor:  # batch (m,) -> (m, d); NaN if they have another shape
        features = self.bfm.features(*steps[:3])
        self._shape = tuple(features.shape[1:])
        if features.shape != (len(steps.reward), self.bfm.dim):
            return steps.reward.new_full((len(steps.reward), self.bfm.dim), math.nan)
        return features

    def _put(
        self, pending: dict[str, Tensor], slot: int, step: Transitions, runs: Tensor
    ) -> None:  # batch (B,), (m,) int64
        for name, value in zip(Transitions._fields, step, strict=True):
            room = pending[name].select(1, slot)
            if runs.numel() == len(self.seeds):
                room.copy_(value)
            else:
                rows = runs.to(value.device)
                room.index_copy_(0, rows, value[rows])

    def _take(self, runs: Tensor, newest: int = 0) -> None:  # (m,) int64
        """Learn the pending steps of some runs, and the newest one, which is not counted yet."""
        pending = self.entries["pending"]
        for count, group in _equally_many(pending["count"], runs):
            steps = Transitions(*(pending[name][:, : count + newest] for name in Transitions._fields))
            steps = self._rows(steps, group)
            # A network sees rows, whichever run they are of.
            flat = Transitions(*(part.flatten(0, 1) for part in steps))
            features = self._features(flat).unflatten(0, steps.reward.shape)
            self._learn(group, _Labelled(features, steps.reward, steps.observed), count)
            pending["count"].index_fill_(0, group, 0)
            if self._broken:
                self._uncount(group, steps.observed[:, :count])
        self._stop_broken()

    def _learn(
        self,
        runs: Tensor,  # (m,) int64
        steps: _Labelled,  # batch (m, n)
        counted: int,  # how many of these steps and of later ones the runs have counted
    ) -> None:
        """All steps at once; of runs with a step that cannot be learnt from, one by one up to that step."""
        update = self._update(runs, steps)
        if update.broken is None:
            self._write_down(runs, steps, counted, update)
            return
        whole, left = (~update.broken).nonzero().squeeze(-1), update.broken.nonzero().squeeze(-1)
        if len(whole) > 0:
            self._learn(runs[whole], _of(steps, whole), counted)
        if steps.reward.shape[1] == 1:
            reasons = (self._reason(steps.features[row]) for row in left.tolist())
            self._broken |= {run: (reason, counted) for run, reason in zip(runs[left].tolist(), reasons, strict=True)}
            return
        for index in range(steps.reward.shape[1]):
            one = _Labelled(*(part[:, index : index + 1] for part in _of(steps, left)))
            self._learn(runs[left], one, counted - index)
            left = left[[run not in self._broken for run in runs[left].tolist()]]
            if len(left) == 0:
                return

    def _update(self, runs: Tensor, steps: _Labelled) -> _Update:
        posterior, belief = self.posterior, self._beliefs(runs)
        features, reward = steps.features, steps.reward
        observed, broken = steps.observed.to(features.device), None
        small = all(-LARGEST_REWARD <= each <= LARGEST_REWARD for each in reward.flatten().tolist())
        if not (small and math.isfinite(features.sum().item())):
            broken = ~features.isfinite().all(-1).all(-1) | ((reward.abs() > LARGEST_REWARD) & observed).any(-1)
            observed = observed & ~broken.unsqueeze(-1)
        # In float64 once, for update and prediction.
        features = features.double()
        updated = posterior.update_batch(belief, features, reward, observed)
        mean = posterior.mean(updated)
        if not math.isfinite(mean.sum().item()):
            beyond = ~mean.isfinite().all(-1) & observed.any(-1)
            broken = beyond if broken is None else broken | beyond
        if broken is not None and not broken.any():
            # Each number is finite, and only a sum of all was not.
            broken = None
        information = None
        if self.counts_information:
            information = posterior.joint_information_gain(belief, features, observed).cpu()
        predictions = predict(posterior, belief, features, reward, steps.observed)
        return _Update(updated, predictions, information, None if broken is None else broken.cpu())

    def _write_down(self, runs: Tensor, steps: _Labelled, counted: int, update: _Update) -> None:
        """Make it what these runs know."""
        entries, belief = self.entries, update.belief
        if runs.numel() < len(self.seeds):
            rows = runs.to(steps.features.device)
            belief = entries["belief"].apply(lambda old, new: old.index_copy(0, rows, new), belief)
        entries["belief"] = belief
        if self.label_memory > 0:
            first = entries["step"][runs] - counted
            recent_features.write(entries["recent_features"], steps.features, first, runs)
        if update.information is not None:
            entries["information"].index_add_(0, runs, update.information)
        if self.log is not None:
            self.log.take(steps.features, steps.reward, steps.observed, runs, len(self.seeds))
        self._uncounted.append((runs, update.predictions))
        if len(self._uncounted) >= CHECKED_EVERY:
            self.check_calibration()

    def _reason(self, features: Tensor) -> str:  # (1, d)
        if self._shape != (self.bfm.dim,):
            return f"features have shape {self._shape}, the model says ({self.bfm.dim},)"
        return TOO_LARGE if features.isfinite().all() else "features are not finite"

    def _uncount(self, runs: Tensor, observed: Tensor) -> None:  # (m,) int64, (m, n) bool
        """Take back the last of n counted steps, which runs that broke did not learn from."""
        for run, rewards in zip(runs.tolist(), observed, strict=True):
            _, lost = self._broken.get(run, ("", 0))
            for name in ("step", "steps_since_choice"):
                self.entries[name][run] -= lost
            self.entries["labels"][run] -= rewards[len(rewards) - lost :].sum()

    def _stop_broken(self) -> None:
        """Stop the runs with a step that could not be learnt from; the last thing done, for it may raise."""
        broken, self._broken = self._broken, {}
        for reason in dict.fromkeys(reason for reason, _ in broken.values()):
            mask = torch.zeros(len(self.seeds), dtype=torch.bool)
            mask[[run for run, (why, _) in broken.items() if why == reason]] = True
            self.stop(mask, reason)


def predict(
    posterior: Posterior,
    belief: TensorDictBase,  # batch (m,), which has not seen the rewards yet
    features: Tensor,  # (m, n, d), finite where observed
    reward: Tensor,  # (m, n)
    observed: Tensor,  # (m, n) bool
) -> Predictions:
    """Predictive means and deviations of rewards under a belief."""
    # As few operations as possible: this may be done at every step, and each costs more than its arithmetic.
    features = features.double()
    expected = posterior.predictive_mean(belief, features)
    # Copies: what is kept of rewards may lie where the next ones will.
    return Predictions(reward - expected, posterior.predictive_std(belief, features), reward.clone(), observed.clone())


def _ignore(*_: object) -> None:
    """Stop no run: a belief that looks ahead only finds out what it would be."""


def _no_steps(runs: int, room: int, observations: int, actions: int, example: Tensor) -> TensorDict:  # batch (B,)
    """Room for so many steps of each run, on the device and of the type of an example."""
    parts = Transitions(
        example.new_zeros(runs, room, observations),
        example.new_zeros(runs, room, actions),
        example.new_zeros(runs, room, observations),
        torch.zeros(runs, room, dtype=torch.float64, device=example.device),
        torch.zeros(runs, room, dtype=torch.bool),
    )
    return TensorDict({**parts._asdict(), "count": torch.zeros(runs, dtype=torch.int64)}, [runs])


def _of(steps: S, rows: Tensor) -> S:  # batch (m, ...), (k,) int64 -> (k, ...)
    return type(steps)(*(part[rows.to(part.device)] for part in steps))


def _equally_many(counts: Tensor, runs: Tensor) -> Iterator[tuple[int, Tensor]]:  # (B,) int64, (m,) int64
    """The runs in groups of equal counts, with the count."""
    numbers = counts[runs].tolist()
    for number in sorted(set(numbers)):
        yield number, runs if numbers.count(number) == len(numbers) else runs[[each == number for each in numbers]]
