"""Pool of policies as a model, and its policies as candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import BFM, AcquisitionContext, CandidateSampler
from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.tabular.policy_pool import PolicyPool


class PoolModel(BFM):
    r"""The policies of a pool, with their exact ψ, as the acquisition rules want to see them; E = 1.

    π_w = argmax_i ψ_i(place)ᵀw,  policy_latent(w) = w

    An observation is a place, one number: that of a state at a step of the episode, or :attr:`before`, the moment
    before the first state is drawn, where ψ is averaged over it. Everything is float64.

    Args:
        mdp: where the policies act.
        pool: the policies.
        discount: γ, the pool's.
    """

    def __init__(self, mdp: FiniteMDP, pool: PolicyPool, discount: float) -> None:
        super().__init__()
        self.mdp, self.pool, self.discount = mdp, pool, discount
        self.dim = mdp.dim
        self.environment_spec = mdp.spec(episode_steps=len(pool.actions))
        # One row of (P, d) a place.
        table = torch.cat([pool.successor_features.flatten(0, 1), pool.start_features.unsqueeze(0)])
        self.table = table
        self.before = torch.tensor([[len(table) - 1.0]], dtype=table.dtype)

    def place(self, step: int, state: Tensor) -> Tensor:  # (B,) -> (B, 1)
        """The observation of a state at a step."""
        return (step * self.mdp.states + state).to(self.table.dtype).unsqueeze(-1)

    def policy(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, 1), (*b, d) -> (*b,) int64
        """The number of the policy that is best for z from here on."""
        return (self.table[_index(observation)] @ z.unsqueeze(-1)).squeeze(-1).argmax(-1)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        """φ of the next state."""
        return self.mdp.features[_index(next_observation) % self.mdp.states]

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """Exact, for the first action that the policy takes itself; no other has a ψ here."""
        if action is not None:
            raise NotImplementedError("a pool keeps the successor features of its policies' own actions only")
        return self.table[_index(observation), self.policy(observation, z)].unsqueeze(-2)

    def candidate_successor_features(self, observation: Tensor, z: Tensor) -> Tensor:
        """(B, k, 1, d); one place for all runs is looked up once."""
        place = _index(observation)
        best = (z @ self.table[place].mT).argmax(-1)  # (B, k)
        return self.table[place.unsqueeze(-1), best].unsqueeze(-2)

    def act(self, observation: Tensor, z: Tensor) -> Tensor:
        """1 for the action that the policy takes, -1 for the others."""
        step, state = _index(observation).div(self.mdp.states, rounding_mode="floor"), _index(observation)
        action = self.pool.actions[step, self.policy(observation, z), state % self.mdp.states]
        return 2.0 * torch.nn.functional.one_hot(action, self.mdp.actions) - 1.0

    def policy_latent(self, weights: Tensor) -> Tensor:
        """The weights themselves."""
        return weights


class EveryPolicy(CandidateSampler):
    """The direction of every policy of a pool: as candidates, they make the maximum over the pool exact.

    Args:
        pool: the policies, each of which is the best for its direction.
    """

    def __init__(self, pool: PolicyPool) -> None:
        self.pool = pool

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (0,)

    def draw(self, context: AcquisitionContext) -> Tensor:  # (B, P, d)
        return self.pool.directions.expand(len(context.weights), -1, -1)


def _index(observation: Tensor) -> Tensor:  # (*b, 1) -> (*b,)
    return observation.squeeze(-1).long()
