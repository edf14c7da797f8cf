"""Finds out by acting which task it has been given."""

from __future__ import annotations

import logging
from itertools import groupby
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference import calibration
from bfmkit.inference.batched_agent import BatchedAgent, SelectionInputs
from bfmkit.inference.calibration import Foretold
from bfmkit.inference.recent_features import RECENT, Stretch, total, write
from bfmkit.inference.simulated_teacher import Teacher
from bfmkit.inference.step_buffer import KEPT, Steps, blank, groups, keep, kept_steps
from bfmkit.inference.task_belief import LARGEST_REWARD, TOO_LARGE, Learnt, Lesson
from bfmkit.interfaces import Acquisition, AcquisitionContext, Agent, Posterior, QueryRule, Schedule
from bfmkit.registry import register
from bfmkit.utils.checks import require_positive

logger = logging.getLogger(__name__)

CHECKED_EVERY = 1000
"""Lessons at most between two looks at whether the belief's intervals hold."""


@register(Agent, "task_inference")
class TaskInferenceAgent(BatchedAgent):
    r"""Acts for the weights an acquisition rule picks, and learns the task from each reward that follows.

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
        update_every: how many steps are learnt from at once, at the latest before the next choice. Nobody looks at the
        belief
            in between, so more than 1 only saves time; but information counts for a ``determinant`` schedule when a
            block is learnt from.
        label_memory: how many steps back :meth:`label` reaches; their features are kept.
        teacher: a simulated person, who alone sees the rewards and teaches by labels; none given: rewards are learnt
            from as they come.

    Raises:
        ValueError: if ``labelled_transitions`` or ``label_memory`` is negative or ``update_every`` less than 1, or
        greater
            with a query rule that looks at the belief, or if the acquisition refuses the posterior.

    Reference:
        Rupf et al., Optimistic Task Inference for Behavior Foundation Models, 2026, Algorithm 1.
    """

    def __init__(
        self,
        posterior: Posterior,
        acquisition: Acquisition,
        schedule: Schedule | None = None,
        query_rule: QueryRule | None = None,
        labelled_transitions: int = 0,
        update_every: int = 1,
        label_memory: int = 0,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__(schedule)
        if teacher is not None and label_memory == 0:
            raise ValueError("a teacher labels past steps: give label_memory, in steps")
        self.teacher = teacher
        if label_memory < 0:
            raise ValueError(f"label_memory must not be negative, got {label_memory}")
        self.label_memory = label_memory
        if update_every < 1:
            raise ValueError(f"update_every must be at least 1, got {update_every}")
        if update_every > 1 and query_rule is not None and query_rule.needs_features:
            raise ValueError(
                f"update_every must be 1 with the query rule {type(query_rule).__name__}, which decides on each "
                f"reward by "
                f"what the "
                f"belief says of it; got {update_every}"
            )
        self.update_every = update_every
        if labelled_transitions < 0:
            raise ValueError(f"labelled_transitions must not be negative, got {labelled_transitions}")
        self.labelled_transitions = labelled_transitions
        acquisition.require(posterior)
        self.posterior = posterior
        self.acquisition = acquisition
        self.query_rule = query_rule
        self._counts_information = schedule is not None and schedule.needs_information
        self._warned = False
        self._uncounted: list[tuple[Tensor | None, Foretold]] = []

    @property
    def belief(self) -> TensorDict:  # batch (B,)
        """What the posterior believes now, from all rewards so far; looking changes nothing."""
        belief: TensorDict = self.state.get("belief")
        counts = self._counts()
        if self.update_every == 1 or not counts.any():
            return belief
        for count, rows in groups(counts, counts > 0):
            with torch.no_grad():
                learnt = self._learnt(rows, count, None).belief
            if rows is None:
                return learnt
            there = rows.to(self.device)
            belief = belief.apply(lambda old, new, at=there: old.index_copy(0, at, new), learnt)
        return belief

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        belief = self.posterior.prior_for(self.seeds, self.bfm.dim, self.device)
        sums = calibration.blank(len(self.seeds), self.device)
        entries: dict[str, Tensor | TensorDict] = {"belief": belief, calibration.RESIDUALS: sums}
        self._uncounted = []
        self._no_steps = torch.zeros(len(self.seeds), dtype=torch.int64)
        if self.logbook is not None:
            self.logbook.begin(None, None)
        if self._counts_information:
            entries["information"] = torch.zeros(len(self.seeds), dtype=torch.float64)
        if self.update_every > 1:
            sizes = (self.bfm.environment_spec.observation_size, self.bfm.environment_spec.action_size)
            example = torch.zeros(0, dtype=self.dtype, device=self.device)
            entries[KEPT] = blank(len(self.seeds), self.update_every - 1, sizes, example)
        if self.label_memory > 0:
            shape = (len(self.seeds), self.label_memory, self.bfm.dim)
            entries[RECENT] = torch.zeros(shape, dtype=self.dtype, device=self.device)
        if self.teacher is not None:
            entries["teacher"] = self.teacher.blank(len(self.seeds), self.label_memory)
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
        return self.posterior.condition_on(belief, features.expand(len(self.seeds), *features.shape), reward.mT)

    def choosing(self, runs: Tensor) -> None:
        if self.update_every > 1:
            self._take_in(runs)

    def propose(self, observation: Tensor, runs: Tensor | None) -> Tensor:
        state = self.state
        belief, weights, episode = state.get("belief"), state.get("weights"), self.episode().to(self.device)
        if runs is not None:
            rows = runs.to(self.device)
            belief, weights, episode = belief[rows], weights[rows], episode[rows]
        noise = self.noise("acquisition", self.acquisition.noise_shape(self.bfm.dim), runs)
        context = AcquisitionContext(self.posterior, belief, self.bfm, observation, weights, noise, episode)
        return self.acquisition.propose(context)

    def chosen(self, runs: Tensor, asked: SelectionInputs) -> None:
        if self.logbook is not None:
            step, episode = self.state.get("step"), self.episode()
            self.logbook.choose(asked.observation, asked.previous, asked.runs, step, runs, episode)
        if self._counts_information:
            self.state.get("information").masked_fill_(runs, 0.0)

    def learn(
        self,
        observation: Tensor,
        action: Tensor,
        next_observation: Tensor,
        reward: Tensor,
        observed: Tensor,
        runs: Tensor | None,
    ) -> Tensor | None:
        moving = self.everyone if runs is None else runs
        if self.query_rule is not None and not self.query_rule.needs_features:
            # Nothing but the labels is looked at.
            state = self.state
            unknown = state.get("weights").new_full((len(moving), self.bfm.dim), torch.nan)
            labels = state.get("labels").to(self.device)
            observed = (
                observed & self.query_rule.should_query(self.posterior, state.get("belief"), unknown, labels).cpu()
            )
        parts = (observation, action, next_observation, reward, observed)
        step = Steps(*(part.unsqueeze(1) for part in parts))
        if self.update_every == 1:
            return self._take_in(moving, step)
        kept = self.state.get(KEPT)
        full = moving & (kept.get("count") == self.update_every - 1)
        if full.any():
            observed = torch.where(full, self._take_in(full, step), observed)
        keep(kept, step, moving & ~full)
        return observed

    @torch.no_grad()
    def flush(self) -> None:
        if self.update_every > 1:
            # Of stopped runs too: what is kept of them came before whatever stopped them.
            self._take_in(self._counts() > 0)
        self._warn_if_overconfident()

    def observe(
        self,
        observation: Tensor,
        action: Tensor,
        next_observation: Tensor,
        reward: Tensor | float,
        observed: Tensor | None = None,
        runs: Tensor | None = None,
    ) -> None:
        if self.teacher is None:
            super().observe(observation, action, next_observation, reward, observed, runs)
            return
        self._require_start()
        rewards, taken = self._rewards(reward).cpu(), self.state.get("step").clone()
        arrived = self.everyone if observed is None else self._mask(observed, "observed")
        # The agent is told no reward but one that is not finite, which stops its run.
        super().observe(observation, action, next_observation, reward, arrived & ~rewards.isfinite(), runs)
        state, step = self.state, self.bfm.environment_spec.control_timestep
        # A teacher who sees no reward does not press.
        moved = (state.get("step") > taken) & arrived & ~state.get("stopped")
        shown = torch.where(moved, rewards, 0.0)
        for press in self.teacher.watch(
            state.get("teacher"), shown, moved, state.get("step"), self.seeds, step, self.posterior.compares
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
        require_positive(weight=weight)
        if steps is not None and seconds is not None:
            raise ValueError("a label is about steps or seconds, not both")
        if seconds is not None:
            steps = self._steps_of(seconds)
        rewards = self._rewards(reward)
        if not (rewards.abs() <= LARGEST_REWARD).all():
            raise ValueError(f"a label must be finite, got {reward}")
        self.flush()
        features, known = self._labelled_stretch(1 if steps is None else steps, than)
        labelled = known & ~self.state.get("stopped")
        if runs is not None:
            labelled &= self._mask(runs, "runs")
        self._learn_label(features, rewards, weight, labelled)

    def _labelled_stretch(self, steps: Stretch, than: Stretch | None) -> tuple[Tensor, Tensor]:  # (B, d), (B,) bool
        """The features that a label is about, and which runs have taken those steps."""
        if self.label_memory == 0:
            raise ValueError("this agent keeps no past steps to label: build it with label_memory, in steps")
        if self.posterior.compares != (than is not None):
            wants = "compares two stretches: give `than`" if than is None else "knows no comparisons: leave out `than`"
            raise ValueError(f"{type(self.posterior).__name__} {wants}")
        recent, taken = self.state.get(RECENT), self.state.get("step")
        features, count = total(recent, taken, steps)
        if than is None:
            return features / count.clamp(min=1.0).unsqueeze(-1), (count > 0).cpu()
        other, there = total(recent, taken, than)
        return features - other, ((count > 0) & (there > 0)).cpu()

    def _learn_label(self, features: Tensor, reward: Tensor, weight: float, runs: Tensor) -> None:
        """One label of each of the runs (B,); nothing has changed if it cannot be learnt."""
        state, chosen = self.state, runs.to(self.device)
        features = torch.where(chosen.unsqueeze(-1), features, 0.0)
        reward = torch.where(chosen, reward, 0.0)
        old = state.get("belief")
        # All runs at once, and as many when it is replayed: sums depend on how many rows they have.
        learnt = self.posterior.label(old, features, reward, weight)
        if not self.posterior.mean(learnt)[chosen].isfinite().all():
            raise ValueError(TOO_LARGE)
        if self._counts_information:
            gain = self.posterior.information_gain(old, features)
            state.get("information").add_(torch.where(chosen, gain, 0.0).cpu())
        state.set("belief", old.apply(lambda before, after: torch.where(_beside(chosen, after), after, before), learnt))
        state.get("labels").add_(runs)
        if self.logbook is not None:
            self.logbook.label(features, reward, weight, runs, state.get("step"))

    def _steps_of(self, seconds: float | tuple[float, float]) -> Stretch:
        newest, oldest = (0.0, seconds) if isinstance(seconds, (int, float)) else seconds
        step = self.bfm.environment_spec.control_timestep
        first = round(newest / step)
        return first, max(round(oldest / step), first + 1)

    def _take_in(
        self,
        runs: Tensor,  # (B,) bool on the CPU
        step: Steps | None = None,  # of all B runs, n = 1: one more than is kept
    ) -> Tensor:  # (B,) bool on the CPU, which rewards of that step were learnt from
        """Learn from what is kept of some runs, and from one step more.

        Nothing of the state has changed until all is worked out: whatever goes wrong leaves every run as it was.
        """
        taken = self.nobody
        for count, rows in groups(self._counts(), runs):
            if count + (step is not None) == 0:
                continue
            learnt = self._learnt(rows, count, step)
            self._write_down(rows, count, learnt)
            if step is not None:
                last = learnt.observed[:, -1]
                taken = last if rows is None else taken.index_copy(0, rows, last)
        return taken & ~self.state.get("stopped") if self.failures else taken

    def _counts(self) -> Tensor:  # (B,) int64, the steps kept of each run
        return self.state.get(KEPT).get("count") if self.update_every > 1 else self._no_steps

    def _learnt(self, rows: Tensor | None, count: int, step: Steps | None) -> Learnt:
        """What some runs, each with so many steps kept, make of these and one step more; changes nothing."""
        state = self.state
        now = step if step is None or rows is None else step.of(rows)
        if count > 0:
            kept = kept_steps(state.get(KEPT), rows, count)
            now = kept if now is None else kept.then(now)
        if now is None:
            raise ValueError("there is nothing to learn from")
        belief, labels = state.get("belief"), state.get("labels")
        if rows is not None:
            belief, labels = belief[rows.to(self.device)], labels[rows]
        lesson = Lesson(self.posterior, self.bfm, belief, self._counts_information)
        query_rule = self.query_rule if self.query_rule is not None and self.query_rule.needs_features else None
        return lesson.learn(now, query_rule, labels.to(self.device))

    def _write_down(self, rows: Tensor | None, count: int, learnt: Learnt) -> None:
        """Make it what these runs know, and stop those in which a step went wrong, as of that step."""
        state = self.state
        belief = learnt.belief
        if rows is not None:
            there = rows.to(self.device)
            belief = state.get("belief").apply(lambda old, new: old.index_copy(0, there, new), belief)
        state.set("belief", belief)
        indices = self.indices if rows is None else rows
        if self.label_memory > 0:
            write(state.get(RECENT), learnt.features, state.get("step")[indices] - count, indices)
        if learnt.foretold is not None:
            self._uncounted.append((rows, learnt.foretold))
        if learnt.information is not None:
            state.get("information").index_add_(0, indices, learnt.information.cpu())
        if self.logbook is not None:
            steps = learnt.features, learnt.reward, learnt.observed
            self.logbook.take(*steps, indices, len(self.seeds), learnt.lengths())
        if self.update_every > 1:
            state.get(KEPT).get("count").index_fill_(0, indices, 0)
        if len(self._uncounted) >= CHECKED_EVERY:
            self._warn_if_overconfident()
        # Last, for it raises when no run is left.
        reasons: dict[str, list[int]] = {}
        for row, (length, reason) in learnt.broken.items():
            run = int(indices[row])
            for name in ("step", "steps_since_choice"):
                state.get(name)[run] -= count - length
            state.get("labels")[run] -= learnt.observed[row, length:count].sum()
            reasons.setdefault(reason, []).append(run)
        if reasons:
            bad = {reason: torch.zeros(len(self.seeds), dtype=torch.bool) for reason in reasons}
            for reason, stopped in reasons.items():
                bad[reason][stopped] = True
                self.stop(bad[reason], reason)

    @torch.no_grad()
    def diagnostics(self, observation: Tensor) -> dict[str, Tensor]:  # (B, o) -> (B, ...) each
        rows = self._rows(observation, "observation", self.bfm.environment_spec.observation_size)
        successor = self.bfm.successor_features(rows, self.state.get("z")).mean(dim=-2)
        belief = self.belief
        return {
            "mean": self.posterior.mean(belief),
            "log_determinant": self.posterior.log_determinant(belief),
            "width": self.posterior.std(belief, successor),
        }

    def stage(self, episodes: int) -> str | None:
        return self.acquisition.stage(episodes)

    def begin_episode(self, runs: Tensor | None = None) -> None:
        super().begin_episode(runs)
        self._warn_if_overconfident()

    def _count_rewards(self) -> None:
        """Count how far rewards lay from what was expected: many at a time, which takes a fraction."""
        waiting, self._uncounted = self._uncounted, []
        sums = self.state.get(calibration.RESIDUALS)
        for of_all, together in groupby(waiting, lambda each: each[0] is None):
            if of_all:
                parts = zip(*(rewards for _, rewards in together), strict=True)
                sums = calibration.counted(sums, Foretold(*(torch.cat(part, 1) for part in parts)))
                continue
            for rows, rewards in together:
                if rows is not None:
                    there = rows.to(self.device)
                    sums = sums.index_copy(0, there, calibration.counted(sums[there], rewards))
        self.state.set(calibration.RESIDUALS, sums)

    def _warn_if_overconfident(self) -> None:
        self._count_rewards()
        if self._warned:
            return
        found = calibration.calibrations(self)
        off = [run for run, each in enumerate(found) if each.is_overconfident]
        if off:
            off.sort(key=lambda run: found[run].within_two or 0.0)
            whose = [f"the run of seed {self.seeds[run]}" for run in off]
            logger.warning("%s", calibration.warning(whose, found[off[0]], self.posterior))
            self._warned = True

    def state_dict(self) -> dict[str, Any]:
        self._count_rewards()
        return super().state_dict() | ({} if self.logbook is None else {"logbook": self.logbook.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._uncounted = []
        if self.logbook is not None:
            if "logbook" in state:
                self.logbook.load_state_dict(state["logbook"])
            else:
                self.logbook.is_whole = False

    def information(self) -> Tensor:  # (B,) float64
        return self.state.get("information") if self._counts_information else super().information()


def _beside(mask: Tensor, value: Tensor) -> Tensor:  # (B,), (B, *rest) -> (B, *1)
    return mask.reshape(-1, *[1] * (value.ndim - 1))
