"""Finds out by acting which task it has been given."""

from __future__ import annotations

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.agent import BatchedAgent
from bfmkit.interfaces import Acquisition, Agent, Gate, Posterior, Schedule, Situation
from bfmkit.registry import register


@register(Agent, "task_inference")
class TaskInferenceAgent(BatchedAgent):
    r"""Acts for the weights an acquisition rule picks, and learns the task from each reward that follows.

    each step:  w ← acquisition(belief, s) where due;  z ← policy_latent(w);  a ← π_z(s);
                belief ← update(belief, φ(s, a, s'), r)

    OpTI-BFM is this agent with a ridge posterior and the ucb rule over candidates from the confidence ellipsoid.
    Weights are chosen anew at the start of every episode, whatever the schedule says.

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

    @property
    def belief(self) -> TensorDict:  # batch (B,)
        """What the posterior believes now."""
        return self.state.get("belief")

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        belief = self.posterior.prior_for(self.seeds, self.bfm.dim, self.device)
        entries: dict[str, Tensor | TensorDict] = {"belief": belief}
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
        return self.posterior.condition(belief, features.expand(len(self.seeds), *features.shape), reward.mT)

    def propose(self, observation: Tensor, runs: Tensor | None) -> Tensor:
        belief, weights = self.belief, self.state.get("weights")
        if runs is not None:
            rows = runs.to(self.device)
            belief, weights = belief[rows], weights[rows]
        noise = self.noise("acquisition", self.acquisition.noise_shape(self.bfm.dim), runs)
        return self.acquisition.propose(Situation(self.posterior, belief, self.bfm, observation, weights, noise))

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
        if self._counts_information:
            gain = self.posterior.information_gain(belief, features).cpu()
            self.state.get("information").add_(torch.where(observed, gain, 0.0))
        updated = self.posterior.update(belief, features, reward, observed.to(self.device))
        if runs is not None and not runs.all():
            # Runs that stand still do not even forget.
            moves = runs.to(self.device)
            updated = updated.apply(lambda new, old: torch.where(_like(moves, new), new, old), belief)
        self.state.set("belief", updated)
        return observed

    def information(self) -> Tensor:  # (B,) float64
        return self.state.get("information") if self._counts_information else super().information()

    def chosen(self, runs: Tensor) -> None:
        if self._counts_information:
            self.state.get("information").masked_fill_(runs, 0.0)


def _like(mask: Tensor, value: Tensor) -> Tensor:  # (B,) -> (B, 1, ...)
    return mask.reshape(-1, *[1] * (value.ndim - 1))
