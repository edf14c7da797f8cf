"""Agents: acting and learning under an unknown reward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.interfaces.bfm import BFM
from bfmkit.interfaces.posterior import Posterior
from bfmkit.utils.errors import BfmkitError


class RunStoppedError(BfmkitError, RuntimeError):
    """Raised when every run of an agent has been stopped by a reward or observation that is not finite."""


class Agent(ABC):
    """Base class of agents: B independent runs that act with a BFM and learn from rewards.

    The life of an agent: :meth:`start`, then for each episode :meth:`begin_episode` and, for each step,
    :meth:`act` and :meth:`observe`. No environment object is needed. All it learns is in :attr:`state`.

    A run whose observation or reward is not finite is stopped: its belief stays as it was, it takes the zero action
    from then on, and :attr:`failures` says at which step and why. The other runs go on.

    Where a method takes ``runs``, a (B,) mask, the runs left out stand still: nothing of them changes. That is how
    episodes of different lengths share a batch.
    """

    kind: ClassVar[str] = "agent"
    folder: ClassVar[str] = "agents"

    labelled_transitions: int = 0
    """How many labelled transitions :meth:`start` wants; 0 for an agent that starts knowing nothing."""

    label_every: int | None = None
    """Whether it wants them labelled as of every so many steps of an episode, for tasks that change with time; None: as
    of an episode's first step alone."""

    label_memory: int = 0
    """How many steps back :meth:`label` reaches; 0: this agent takes no late labels. Set before :meth:`start`."""

    control_timestep: float | None = None
    """Seconds of one step of the environment it acts in, for labels about seconds; None: as long as the model's. Set
    before :meth:`start`."""

    acts_by_latent: bool = True
    """Whether its actions are π_z(s) of the z that :meth:`choose` gives, so that others may act for it."""

    acts_by_steps: bool = False
    """Whether what it does depends on how many steps of the episode it has observed."""

    bfm: BFM
    """The model whose policies it acts with, as :meth:`start` was given it."""

    posterior: Posterior
    """The posterior over weights; only agents that learn have one."""

    seeds: tuple[int, ...]
    """The seed of each run; B = len(seeds)."""

    state: TensorDict
    """Batch (B,): ``weights``, ``z``, ``step``, ``labels``, ``stopped`` and whatever the agent adds."""

    label_log: Any = None
    """A :class:`bfmkit.runs.label_log.LabelLog` for an agent with a belief to write down what the belief takes in;
    None: nobody wants to know. Given before :meth:`start`."""

    failures: dict[int, str]
    """Stopped runs: index -> one line naming run, step and reason."""

    def __repr__(self) -> str:
        parts = {name: type(value).__name__ for name, value in vars(self).items() if hasattr(value, "kind")}
        runs = {"seeds": self.seeds} if hasattr(self, "seeds") else {}
        arguments = ", ".join(f"{name.lstrip('_')}={value}" for name, value in {**parts, **runs}.items())
        return f"{type(self).__name__}({arguments})"

    @property
    def belief(self) -> TensorDict:  # batch (B,)
        """Parameters of :attr:`posterior` after all rewards so far.

        Raises:
            AttributeError: if the agent learns nothing.
        """
        raise AttributeError(f"{type(self).__name__} learns nothing, so it has no belief")

    @abstractmethod
    def start(
        self,
        bfm: BFM,
        seeds: Sequence[int] = (0,),  # B of them, one a run
        labelled: TensorDictBase | None = None,
    ) -> None:
        """Reset to B = len(seeds) new runs of a model.

        Args:
            bfm: the model whose policies to act with.
            seeds: all of a run's randomness is a function of its seed and its step.
            labelled: batch (n,) transitions with ``("next", "reward")`` of shape (n, B), for agents that ask for them;
                (n, B, T) for those that ask for :attr:`label_every`.

        Raises:
            ValueError: if labelled transitions are wanted and missing.
        """

    @abstractmethod
    def begin_episode(self, runs: Tensor | None = None) -> None:
        """Mark the next observation as the first of an episode: every run (of ``runs``) selects z anew."""

    @abstractmethod
    def choose(self, observation: Tensor, runs: Tensor | None = None) -> Tensor:  # (B, o), (B,) bool -> (B, d)
        """Latent z to act with; selected anew in runs where that is due, else the previous one.

        Raises:
            RunStoppedError: when no run is left.
            ValueError: if shapes do not fit.
        """

    @abstractmethod
    def act(
        self,
        observation: Tensor,  # (B, o), or (o,) when B = 1
        runs: Tensor | None = None,  # (B,) bool
    ) -> Tensor:  # (B, a), or (a,)
        """Action of each run; z is selected first where that is due. Zero for a run that stands still.

        Raises:
            RunStoppedError: when no run is left.
            ValueError: if shapes do not fit.
        """

    def predict(
        self,
        observation: Any,  # (B, o), or (o,) when B = 1
        state: Any = None,
        episode_start: Any = None,  # (B,) bool
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:  # (B, a), or (a,)
        """:meth:`act` with NumPy arrays and the arguments that Stable-Baselines3 gives a policy.

        So ``stable_baselines3.common.evaluation.evaluate_policy(agent, environment)`` plays an agent with what it
        believes now. It learns from :meth:`observe` alone.

        Args:
            observation: what is seen.
            state: handed back as it is.
            episode_start: which runs see an episode's first observation.
            deterministic: must be true: the policy of a z is its mean action.

        Raises:
            ValueError: if shapes do not fit, for ``deterministic=False``, or of an agent that goes by observed steps.
        """
        if self.acts_by_steps:
            raise ValueError(f"{type(self).__name__} goes by the steps it has observed: call act and observe")
        if not deterministic:
            raise ValueError("an agent acts by the mean action of its policy; it has no other (deterministic=True)")
        if episode_start is not None:
            starts = torch.as_tensor(np.asarray(episode_start, dtype=bool)).reshape(-1)
            if starts.any():
                self.begin_episode(starts)
        action = self.act(torch.as_tensor(np.asarray(observation, dtype=np.float32)))
        return action.numpy(force=True), state

    @abstractmethod
    def observe(
        self,
        observation: Tensor,  # (B, o)
        action: Tensor,  # (B, a)
        next_observation: Tensor,  # (B, o)
        reward: Tensor | float,  # (B,)
        observed: Tensor | None = None,  # (B,) bool; None: every reward has arrived
        runs: Tensor | None = None,  # (B,) bool; which runs took this step; None: all of them
    ) -> None:
        """Update from one environment step; the batch dimension may be left out when B = 1.

        Raises:
            RunStoppedError: when no run is left.
            ValueError: if shapes do not fit; nothing has been learnt then.
        """

    def label(
        self,
        reward: Tensor | float,  # (B,)
        steps: int | tuple[int, int] | None = None,
        *,
        seconds: float | tuple[float, float] | None = None,
        than: int | tuple[int, int] | None = None,
        weight: float = 1.0,
        runs: Tensor | None = None,  # (B,) bool; None: all of them
    ) -> None:
        """Update from a late reward for steps taken earlier; may be called any number of times.

        One label is one reward for the mean of the features of a stretch of steps: what a person who presses a button
        has just seen. Steps of the last episode count as well. Runs that have stopped, or have taken none of these
        steps, learn nothing. The belief counts it as one label; no time passes for a belief that forgets.

        ``agent.label(1.0, seconds=(0.2, 0.8))``: good, what happened between 0.8 and 0.2 seconds ago.

        Args:
            reward: what was good (or bad, below 0) about them; of a comparison, 1 where ``steps`` are better than the
                steps ``than``, -1 where they are worse.
            steps: how many of the last steps; or (newest, oldest), counted back from now: (0, 5) are the last five.
            seconds: the same in seconds, in place of ``steps``. Neither given: the last step.
            than: other steps that these are compared with, for posteriors that learn from comparisons; features are
                summed over each of the two stretches.
            weight: how much it counts beside one reward that is observed.
            runs: whose label this is.

        Raises:
            ValueError: if the agent takes no labels, the reward is not finite, the stretch is empty or reaches too far
                back, or the posterior wants comparisons and gets none, or the other way round; nothing is learnt then.
        """
        raise ValueError(f"{type(self).__name__} has no belief that a label could change")

    def stage(self, episodes: int) -> str | None:
        """Stage of exploration at the end of ``episodes`` episodes, in words; None for agents without stages."""
        return None

    def policies(self) -> list[str] | None:
        """Policy that each run follows in its present episode, in a word; None for agents that have but one."""
        return None

    def flush(self) -> None:  # noqa: B027
        """Learn from buffered steps now; does nothing for an agent that buffers none.

        Called at an episode's end by :func:`bfmkit.inference.episode.run_episode`; then :attr:`state` is up to date.
        """

    def diagnostics(
        self,
        observation: Tensor,  # (B, o)
    ) -> dict[str, Tensor]:  # (B, ...) each
        """Numbers that describe the present belief, for traces and records; changes no state.

        Of an agent with a belief: its ``mean`` (B, d), the ``log_determinant`` of its precision and its ``width`` along
        the successor features of the present z in ``observation``. Empty for an agent without one.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State of a started agent, in plain containers that ``torch.load`` reads weights-only.

        A copy: what the agent does afterwards does not change it.
        """
        return {"state": self.state.clone().to_dict(), "failures": dict(self.failures)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`; call :meth:`start` with the same model and seeds first.

        Raises:
            ValueError: if the saved state is that of other runs or of another kind of agent.
        """
        self.state = restored(self.state, state["state"])
        self.failures = {int(run): str(reason) for run, reason in state["failures"].items()}


def restored(current: TensorDict, saved: dict[str, Any]) -> TensorDict:  # batch (B,)
    """Saved entries in a copy of the current ones.

    Raises:
        ValueError: if entries or shapes differ.
    """
    loaded, copy = TensorDict.from_dict(saved, batch_size=[]), current.clone()
    differing = set(copy.keys(True, True)) ^ set(loaded.keys(True, True))
    if differing:
        names = sorted(key if isinstance(key, str) else ".".join(key) for key in differing)
        raise ValueError(f"the saved state is that of another kind of agent, or version: {', '.join(names)}")
    for key, value in copy.items(True, True):
        if loaded.get(key).shape != value.shape:
            raise ValueError(f"the saved {key} has shape {tuple(loaded.get(key).shape)}, not {tuple(value.shape)}")
        value.copy_(loaded.get(key))
    return copy
