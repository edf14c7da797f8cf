"""Finds out by acting which task it has been given."""

from __future__ import annotations

import logging
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.agent import BatchedAgent
from bfmkit.beliefs import calibration
from bfmkit.interfaces import Acquisition, Agent, Gate, Posterior, Schedule, Situation
from bfmkit.registry import register

logger = logging.getLogger(__name__)

LARGEST_REWARD = 1e100
"""The square of a larger one, times that of a feature, need not be a number any more."""

CHECKED_EVERY = 1000
"""Steps between two looks at whether the belief's intervals hold."""


@register(Agent, "task_inference")
class TaskInferenceAgent(BatchedAgent):
    r"""Acts for the weights an acquisition rule picks, and learns the task from each reward that follows.

    each step:  w ← acquisition(belief, s) where due;  z ← policy_latent(w);  a ← π_z(s);
                belief ← update(belief, φ(s, a, s'), r)

    OpTI-BFM is this agent with a ridge posterior and the ucb rule over candidates from the confidence ellipsoid.
    Weights are chosen anew at the start of every episode, whatever the schedule says.

    Each reward is compared with what the belief expected of it before it is learnt from; when clearly too few lie
    within its intervals, a warning says so, once.

    Args:
        posterior: what the rewards seen so far say about w.
        acquisition: which w to act for next.
        schedule: when to choose again within an episode; none given: at every step.
        gate: which rewards to learn from; none given: all of them.
        labelled_transitions: how many labelled transitions to learn from before the first step; they count as labels.

    Raises:
        ValueError: if ``labelled_transitions`` is negative.

    Reference:
        Rupf et al., Optimistic Task Inference for Behavior Foundation Models, 2026, Algorithm 1.
    """

    def __init__(
        self,
        posterior: Posterior,
        acquisition: Acquisition,
        schedule: Schedule | None = None,
        gate: Gate | None = None,
        labelled_transitions: int = 0,
    ) -> None:
        super().__init__(schedule)
        if labelled_transitions < 0:
            raise ValueError(f"labelled_transitions must not be negative, got {labelled_transitions}")
        self.labelled_transitions = labelled_transitions
        self.posterior = posterior
        self.acquisition = acquisition
        self.gate = gate
        self._counts_information = schedule is not None and schedule.needs_information
        self._warned = False

    @property
    def belief(self) -> TensorDict:  # batch (B,)
        """What the posterior believes now."""
        return self.state.get("belief")

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        belief = self.posterior.prior_for(self.seeds, self.bfm.dim, self.device)
        sums = calibration.blank(len(self.seeds), self.device)
        entries: dict[str, Tensor | TensorDict] = {"belief": belief, calibration.RESIDUALS: sums}
        if self.logbook is not None:
            self.logbook.begin(None, None)
        if self._counts_information:
            entries["information"] = torch.zeros(len(self.seeds), dtype=torch.float64)
        if self.labelled_transitions > 0 and labelled is not None:
            entries["belief"] = self._warmed(belief, labelled)
            entries["labels"] = torch.full((len(self.seeds),), len(labelled))
        return entries

    def _warmed(self, belief: TensorDict, labelled: TensorDictBase) -> TensorDict:  # batch (B,), (n,) -> (B,)
        """The belief after n labelled transitions, the same for all runs, each with its own rewards."""
        features, reward = self.labelled_features(labelled)
        if not (features.isfinite().all() and reward.isfinite().all()):
            raise ValueError("a labelled transition has features or a reward that is not finite")
        if self.logbook is not None:
            self.logbook.begin(features, reward)
        return self.posterior.condition(belief, features.expand(len(self.seeds), *features.shape), reward.mT)

    def propose(self, observation: Tensor, runs: Tensor | None) -> Tensor:
        belief, weights = self.belief, self.state.get("weights")
        labels = self.state.get("labels").to(self.device)
        if runs is not None:
            rows = runs.to(self.device)
            belief, weights, labels = belief[rows], weights[rows], labels[rows]
        noise = self.noise("acquisition", self.acquisition.noise_shape(self.bfm.dim), runs)
        self._asked = (observation, weights, torch.arange(len(self.seeds)) if runs is None else runs)
        situation = Situation(self.posterior, belief, self.bfm, observation, weights, noise, labels)
        return self.acquisition.propose(situation)

    def learn(
        self,
        observation: Tensor,
        action: Tensor,
        next_observation: Tensor,
        reward: Tensor,
        observed: Tensor,
        runs: Tensor | None,
    ) -> Tensor | None:
        features = self.bfm.features(observation, action, next_observation)
        everyone = torch.ones(len(self.seeds), dtype=torch.bool)
        if features.shape != (len(self.seeds), self.bfm.dim):
            # One tensor for all runs, so none of them can go on: this raises.
            width = f"features have shape {tuple(features.shape[1:])}, the model says ({self.bfm.dim},)"
            self.stop(everyone if runs is None else runs, width)
            return None
        if not features.sum().isfinite():
            self.stop(
                ~features.isfinite().all(dim=-1).cpu() & (everyone if runs is None else runs), "features are not finite"
            )
        if self.failures:
            runs = (everyone if runs is None else runs) & ~self.state.get("stopped")
            observed = observed & runs
        belief = self.belief
        if self.gate is not None:
            labels = self.state.get("labels").to(self.device)
            observed = observed & self.gate.open(self.posterior, belief, features, labels).cpu()
        updated = self.posterior.update(belief, features, reward, observed.to(self.device))
        # Nothing of the state has changed so far: whatever goes wrong up to here leaves every run as it was.
        broken = self._broken(reward, updated) & observed
        if broken.any():
            self.stop(broken, "reward or features are too large to learn from: the belief would no longer be finite")
            runs = (everyone if runs is None else runs) & ~broken
            observed = observed & ~broken
        taken = observed.to(self.device)
        sums = calibration.counted(
            self.state.get(calibration.RESIDUALS), self.posterior, belief, features, reward, taken
        )
        if self._counts_information:
            gain = self.posterior.information_gain(belief, features).cpu()
            self.state.get("information").add_(torch.where(observed, gain, 0.0))
        if runs is not None and not runs.all():
            # Runs that stand still do not even forget.
            moves = runs.to(self.device)
            updated = updated.apply(lambda new, old: torch.where(_like(moves, new), new, old), belief)
        self.state.set("belief", updated)
        self.state.set(calibration.RESIDUALS, sums)
        if self.logbook is not None:
            self.logbook.step(features, reward, observed, runs)
        if int(self.state.get("step").max()) % CHECKED_EVERY == CHECKED_EVERY - 1:
            self._warn_if_overconfident()
        return observed

    @torch.no_grad()
    def diagnostics(self, observation: Tensor) -> dict[str, Tensor]:  # (B, o) -> (B, ...) each
        rows = self._rows(observation, "observation", self.bfm.spec.observation_size)
        successor = self.bfm.successor_features(rows, self.state.get("z")).mean(dim=-2)
        return {
            "mean": self.posterior.mean(self.belief),
            "log_determinant": self.posterior.log_determinant(self.belief),
            "width": self.posterior.width(self.belief, successor),
        }

    def _broken(self, reward: Tensor, updated: TensorDict) -> Tensor:  # (B,) bool on the CPU
        """Which runs' rewards are too much for their beliefs."""
        mean = self.posterior.mean(updated)
        broken = reward.abs() > LARGEST_REWARD
        if not mean.sum().isfinite():
            broken = broken | ~mean.isfinite().all(dim=-1)
        return broken.cpu()

    def begin_episode(self, runs: Tensor | None = None) -> None:
        super().begin_episode(runs)
        self._warn_if_overconfident()

    def _warn_if_overconfident(self) -> None:
        if self._warned:
            return
        found = calibration.calibrations(self)
        off = [run for run, each in enumerate(found) if each.is_overconfident]
        if off:
            off.sort(key=lambda run: found[run].within_two or 0.0)
            logger.warning(
                "%s", calibration.warning([f"the run of seed {self.seeds[run]}" for run in off], found[off[0]])
            )
            self._warned = True

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | ({} if self.logbook is None else {"logbook": self.logbook.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if self.logbook is not None:
            if "logbook" in state:
                self.logbook.load_state_dict(state["logbook"])
            else:
                self.logbook.is_whole = False

    def information(self) -> Tensor:  # (B,) float64
        return self.state.get("information") if self._counts_information else super().information()

    def chosen(self, runs: Tensor) -> None:
        if self.logbook is not None:
            self.logbook.choose(*self._asked, self.state.get("step"), runs)
        if self._counts_information:
            self.state.get("information").masked_fill_(runs, 0.0)


def _like(mask: Tensor, value: Tensor) -> Tensor:  # (B,) -> (B, 1, ...)
    return mask.reshape(-1, *[1] * (value.ndim - 1))
