"""Online task inference: a posterior over reward weights and an acquisition rule that selects from it."""

from __future__ import annotations

import math
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.batched_agent import BatchedAgent, SelectionInputs, Transitions
from bfmkit.inference.recent_features import Stretch
from bfmkit.inference.simulated_teacher import Teacher
from bfmkit.inference.task_belief import LARGEST_REWARD, TaskBelief
from bfmkit.interfaces import Acquisition, AcquisitionContext, Agent, Posterior, QueryRule, Schedule
from bfmkit.registry import register
from bfmkit.utils.checks import NonNegativeInt, PositiveInt


@register(Agent, "task_inference")
class TaskInferenceAgent(BatchedAgent):
    r"""Online task inference: a posterior over the task's weights and an acquisition rule that picks the policy.

    each step:  w ← acquisition(belief, s) where due;  z ← policy_latent(w);  a ← π_z(s);
                belief ← update(belief, φ(s, a, s'), r)

    OpTI-BFM is this agent with a ridge posterior and the ucb rule over candidates from the confidence ellipsoid.
    Weights are chosen anew at the start of every episode, whatever the schedule says.

    Each reward is compared with what the belief expected of it before it is learnt from; when clearly too few lie
    within its intervals, a warning says so, once, at an episode's end at the latest. Intervals that are too wide are
    only counted: every run begins with such, and they cost episodes, not the task.

    Args:
        posterior: what the rewards seen so far say about w.
        acquisition: which w to act for next.
        schedule: when to choose again within an episode; none given: at every step.
        query_rule: which rewards to learn from; none given: all of them.
        labelled_transitions: how many labelled transitions to learn from before the first step; they count as labels.
        update_every: how many steps are learnt from at once, at the latest before the next choice. The belief is read
            only when z is selected, so more than 1 only saves time; but information counts for a ``determinant``
            schedule when a block is learnt from.
        label_memory: how many steps back :meth:`label` reaches; their features are kept.
        teacher: a simulated person, who alone sees the rewards and teaches by labels; none given: rewards are learnt
            from as they come.

    Raises:
        ValueError: if ``labelled_transitions`` or ``label_memory`` is negative or ``update_every`` less than 1, or
            greater with a query rule that looks at the belief, or if the acquisition refuses the posterior.

    Example:
        ``agent: {type: task_inference, posterior: {type: ridge}, acquisition: {type: thompson}}``

    Reference:
        Rupf et al., Optimistic Task Inference for Behavior Foundation Models, 2026, Algorithm 1.
    """

    def __init__(
        self,
        posterior: Posterior,
        acquisition: Acquisition,
        schedule: Schedule | None = None,
        query_rule: QueryRule | None = None,
        labelled_transitions: NonNegativeInt = 0,
        update_every: PositiveInt = 1,
        label_memory: NonNegativeInt = 0,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__(schedule)
        if posterior.compares and labelled_transitions > 0:
            raise ValueError(f"{type(posterior).__name__} learns from comparisons: it takes no labelled_transitions")
        if teacher is not None and label_memory == 0:
            raise ValueError("a teacher labels past steps: give label_memory, in steps")
        self.teacher = teacher
        self.label_memory = label_memory
        if update_every > 1 and query_rule is not None and query_rule.needs_features:
            raise ValueError(
                f"update_every must be 1 with the query rule {type(query_rule).__name__}, which decides on each "
                f"reward by what the belief says of it; got {update_every}"
            )
        self.update_every = update_every
        self.labelled_transitions = labelled_transitions
        acquisition.require(posterior)
        self.posterior, self.acquisition, self.query_rule = posterior, acquisition, query_rule

    @property
    def belief(self) -> TensorDict:  # batch (B,)
        """What the posterior believes now, from all rewards so far; looking changes nothing."""
        return self._task.belief

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        runs = len(self.seeds)
        self._task = TaskBelief(
            self.posterior, self.bfm, self.seeds, self.stop, self.label_log, self.query_rule, self.update_every,
            self.label_memory, self.schedule is not None and self.schedule.needs_information,
        )  # fmt: skip
        entries = self._task.prior(self.device, self.dtype)
        if self.teacher is not None:
            self.teacher.require_memory(self.label_memory, self._timestep, self.posterior.compares)
            entries["teacher"] = self.teacher.blank(runs, self.label_memory)
        if self.labelled_transitions > 0 and labelled is not None:
            features, reward = self.labelled_features(labelled)
            entries["belief"] = self._task.condition_on(entries["belief"], features, reward)
            entries["labels"] = torch.full((runs,), len(labelled))
            self._task.given = len(labelled)
        self._task.entries = self.entries
        return entries

    def choosing(self, runs: Tensor) -> None:
        self._task.flush(runs)

    def propose(self, inputs: SelectionInputs) -> Tensor:  # (n, d)
        observation, previous, runs, _, episode = inputs
        belief = self.rows_of(self.entries["belief"], runs)
        noise = self.noise("acquisition", self.acquisition.noise_shape(self.bfm.dim), runs)
        return self.acquisition.propose(
            AcquisitionContext(self.posterior, belief, self.bfm, observation, previous, noise, episode.to(self.device))
        )

    def chosen(self, runs: Tensor, inputs: SelectionInputs) -> None:
        if self.label_log is not None:
            self.label_log.choose(*inputs, runs)
        if "information" in self.entries:
            self.entries["information"].masked_fill_(runs, 0.0)

    def information(self) -> Tensor:  # (B,) float64
        return self.entries["information"]

    def learn(self, step: Transitions, active: Tensor) -> Tensor:  # batch (B,), (B,) bool -> (B,) bool
        return self._task.add(step, self.runs_of(active))

    @torch.no_grad()
    def flush(self) -> None:
        self._task.flush()
        self._task.check_calibration()

    def begin_episode(self, runs: Tensor | None = None) -> None:
        super().begin_episode(runs)
        self._task.check_calibration()

    def observe(
        self,
        observation: Tensor,
        action: Tensor,
        next_observation: Tensor,
        reward: Tensor | float,
        observed: Tensor | None = None,
        runs: Tensor | None = None,
    ) -> None:
        if self.teacher is None and not self.posterior.compares:
            super().observe(observation, action, next_observation, reward, observed, runs)
            return
        self._require_start()
        rewards, steps_before = self._rewards(reward).cpu(), self.entries["step"].clone()
        arrived = self.everyone if observed is None else self._mask(observed, "observed")
        # The agent is told no reward but one that is not finite, which stops its run; a reward is no comparison either.
        super().observe(observation, action, next_observation, reward, arrived & ~rewards.isfinite(), runs)
        if self.teacher is None:
            return
        entries, step = self.entries, self._timestep
        # A teacher who sees no reward does not press.
        moved = (entries["step"] > steps_before) & arrived & ~entries["stopped"]
        shown = torch.where(moved, rewards, 0.0)
        for press in self.teacher.watch(
            entries["teacher"], shown, moved, entries["step"], self.seeds, step, self.posterior.compares
        ):
            self.label(press.reward, press.steps, than=press.than, runs=press.runs)

    @torch.no_grad()
    def label(
        self,
        reward: Tensor | float,
        steps: Stretch | None = None,
        *,
        seconds: float | tuple[float, float] | None = None,
        than: Stretch | None = None,
        weight: float = 1.0,
        runs: Tensor | None = None,
    ) -> None:
        self._require_start()
        if not 0 < weight < math.inf:
            raise ValueError(f"weight must be positive and finite, got {weight}")
        if steps is not None and seconds is not None:
            raise ValueError("a label is about steps or seconds, not both")
        if seconds is not None:
            steps = self._steps_of(seconds)
        rewards = self._rewards(reward)
        if not (rewards.abs() <= LARGEST_REWARD).all():
            raise ValueError(f"a label must be finite, got {reward}")
        self.flush()
        features, past = self._labelled_stretch(1 if steps is None else steps, than)
        labelled = past & ~self.entries["stopped"]
        if runs is not None:
            labelled &= self._mask(runs, "runs")
        self._task.label(features, rewards, weight, labelled)

    def _labelled_stretch(self, steps: Stretch, than: Stretch | None) -> tuple[Tensor, Tensor]:  # (B, d), (B,) bool
        """The features that a label is about, and which runs have taken those steps."""
        if self.label_memory == 0:
            raise ValueError("this agent keeps no past steps to label: build it with label_memory, in steps")
        if self.posterior.compares != (than is not None):
            wants = "compares two stretches: give `than`" if than is None else "knows no comparisons: leave out `than`"
            raise ValueError(f"{type(self.posterior).__name__} {wants}")
        features, count = self._task.past_features(steps)
        if than is None:
            return features / count.clamp(min=1.0).unsqueeze(-1), (count > 0).cpu()
        other, other_count = self._task.past_features(than)
        return features - other, ((count > 0) & (other_count > 0)).cpu()

    def _steps_of(self, seconds: float | tuple[float, float]) -> Stretch:
        newest, oldest = (0.0, seconds) if isinstance(seconds, (int, float)) else seconds
        first = round(newest / self._timestep)
        return first, max(round(oldest / self._timestep), first + 1)

    @property
    def _timestep(self) -> float:
        return self.control_timestep or self.bfm.environment_spec.control_timestep

    @torch.no_grad()
    def diagnostics(self, observation: Tensor) -> dict[str, Tensor]:  # (B, o) -> (B, ...) each
        rows = self._rows(observation, "observation", self.bfm.environment_spec.observation_size)
        successor = self.bfm.successor_features(rows, self.entries["z"]).mean(dim=-2)
        belief = self.belief
        return {
            "mean": self.posterior.mean(belief),
            "log_determinant": self.posterior.log_determinant(belief),
            "width": self.posterior.std(belief, successor),
        }

    def stage(self, episodes: int) -> str | None:
        return self.acquisition.stage(episodes)

    def state_dict(self) -> dict[str, Any]:
        self._task.check_calibration()
        return super().state_dict() | ({} if self.label_log is None else {"label_log": self.label_log.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if self.label_log is not None:
            if "label_log" in state:
                self.label_log.load_state_dict(state["label_log"])
            else:
                self.label_log.is_whole = False
