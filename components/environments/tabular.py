"""Environment of a finite Markov decision process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bfmkit.environments.task_rows import task_rows
from bfmkit.interfaces import Environment, StepResult
from bfmkit.registry import register
from bfmkit.rewards.expression import STEP
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.utils.checks import PositiveInt, require_actions
from bfmkit.utils.rng import generator


@register(Environment, "tabular")
class TabularEnvironment(Environment):
    """Finite Markov decision process, known exactly; B rows, each with its own task.

    :attr:`mdp` has the answers. The observation is one-hot; the action is the index of the largest entry of the action
    vector (the first, if there are several). The reward is φ(s')ᵀw without noise. The recorded physics is the number
    of the state.

    Args:
        mdp: what the MDP looks like.
        task: the name of a weight vector of the MDP; several names, joined by ``+`` or in a list, make one row each.
        episode_steps: steps in an episode, which ends by truncation.
        reward: a reward typed over the features of the state, such as ``feature_0 - 2 * feature_1``; given one,
            ``task`` is not looked at.

    Raises:
        ValueError: for a task that the MDP does not have, a typed reward that is not one, neither task nor reward, or a
            number of steps that is not positive.

    Example:
        ``environment: {type: tabular, mdp: {layout: random, size: 4, dim: 2}, task: random_0}``
    """

    def __init__(
        self,
        mdp: MDPLayout,
        task: str | list[str] | None = None,
        episode_steps: PositiveInt = 100,
        reward: str | None = None,
    ) -> None:
        built = mdp.build()
        spec = built.spec(episode_steps)
        super().__init__(spec, task_rows(spec, task, reward))
        self.layout = mdp
        self.mdp = built
        nothing = torch.zeros(built.dim, dtype=torch.float64)
        self._weights = torch.stack([built.tasks.get(name, nothing) for name in self.tasks])  # (B, d)
        self._typed = {row: self.reward_of(name) for row, name in enumerate(self.tasks) if name not in built.tasks}
        # Divided by the last entry, so that a number below 1 always falls on a state that can be reached.
        cumulative = built.transitions.cumsum(-1)
        self._cumulative = cumulative / cumulative[..., -1:]
        self._cumulative_start = built.start.cumsum(0) / built.start.sum()
        self._state = built.start.argmax().repeat(len(self.tasks))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made from."""
        return (type(self), (self.layout, list(self.tasks), self.spec.episode_steps))

    def with_tasks(self, tasks: Sequence[str]) -> TabularEnvironment:
        """The same MDP with one row for each task."""
        return type(self)(self.layout, list(tasks), self.spec.episode_steps)

    def reset_batch(self, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:  # (B, S) float32, (B, 1) float64
        """Draw the first state of every row, or of some."""
        begun = [row for row, _, _ in self.clock.begin(rows)]
        self._draw(begun, self._cumulative_start.expand(len(begun), -1))
        return self._observation(), self._physics()

    def step_batch(self, action: Tensor, rows: Tensor | None = None) -> StepResult:  # action (B, A)
        """Draw the next state of every row, or of some."""
        choice = self._choice(action, len(self.tasks))
        going = self.clock.advance(rows)
        self._draw(going, self._cumulative[self._state[going], choice[going]])
        return StepResult(
            observation=self._observation(),
            reward=self._reward(going),
            terminated=torch.zeros(len(self.tasks), dtype=torch.bool),
            truncated=self.clock.truncated(),
            physics=self._physics(),
        )

    def snapshot(self) -> dict[str, Any]:
        """The numbers of the states, and the clock that the next moves are drawn by."""
        return {"state": self._state.clone(), "clock": self.clock.snapshot()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from those."""
        self._state = state["state"].clone()
        self.clock.restore(state["clock"])

    def named_reward(self, task: str) -> Callable[[Mapping[str, Any]], Any]:
        """φ(s')ᵀw."""
        self.spec.require_named_task(task)
        weights, names = self.mdp.tasks[task].numpy(), self.spec.quantities
        return lambda table: np.stack([table[name] for name in names], axis=-1) @ weights

    def quantities(self, physics: Tensor, action: Tensor) -> dict[str, Tensor]:  # (n, 1), (n, A) -> name -> (n,)
        """The features of recorded states, one by one."""
        return dict(zip(self.spec.quantities, self._recorded(physics, action).unbind(-1), strict=True))

    def _reward(self, going: list[int]) -> Tensor:  # (B,) float32, 0 in rows that stand still
        features = self.mdp.features[self._state]
        rewards = (features * self._weights).sum(-1)
        for row, reward in self._typed.items():
            table = dict(zip(self.spec.quantities, features[row].tolist(), strict=True))
            rewards[row] = float(reward({**table, STEP: self.clock.step[row]}))
        if len(going) < len(rewards):
            rewards[[row for row in range(len(rewards)) if row not in going]] = 0.0
        return rewards.float()

    def _recorded(self, physics: Tensor, action: Tensor) -> Tensor:  # (n, d)
        if physics.ndim != 2 or physics.shape[1] != 1:
            raise ValueError(f"physics must be (n, 1), got {tuple(physics.shape)}")
        self._choice(action, len(physics))
        state = physics.squeeze(-1).cpu()
        if ((state != state.round()) | (state < 0) | (state >= self.mdp.states)).any():
            raise ValueError(f"physics must be numbers of states, 0 to {self.mdp.states - 1}")
        return self.mdp.features[state.long()]

    def _choice(self, action: Tensor, rows: int) -> Tensor:  # (rows,)
        require_actions(action, rows, self.mdp.actions)
        return action.cpu().argmax(-1)

    def _draw(self, rows: list[int], cumulative: Tensor) -> None:  # n rows, (n, S)
        clock = self.clock
        moments = [(clock.episode[row] << 64) + clock.step[row] for row in rows]
        pairs = zip(rows, moments, strict=True)
        numbers = [generator(clock.seeds[row], "tabular", moment).random() for row, moment in pairs]
        uniform = torch.tensor(numbers, dtype=torch.float64).unsqueeze(-1)
        drawn = torch.searchsorted(cumulative.contiguous(), uniform, right=True).squeeze(-1)
        self._state = self._state.index_put((torch.tensor(rows, dtype=torch.int64),), drawn)

    def _observation(self) -> Tensor:  # (B, S) float32
        return torch.nn.functional.one_hot(self._state, self.mdp.states).float()

    def _physics(self) -> Tensor:  # (B, 1) float64
        return self._state.double().unsqueeze(-1)
