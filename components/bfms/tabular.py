"""Exact behaviour foundation model of a finite Markov decision process."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Lt
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import BFM
from bfmkit.registry import register
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.utils.checks import PositiveInt
from bfmkit.utils.rng import normal_noise


@register(BFM, "tabular")
class TabularBFM(BFM):
    r"""Exact ψ and π of every reward φᵀz in a finite MDP, by policy iteration in float64; E = 1.

    π_z = argmax_π E_{s₀}[ψ^π(s₀)]ᵀz,  ψ(s, a, z) = Σ_s' P(s'|s,a) (φ(s') + γ ψ^{π_z}(s')),  policy_latent(w) = √d w/‖w‖

    over all policies, or over a finite pool: those that are optimal for as many directions drawn from the sphere. With
    a pool there are only so many successor features to compare, so that the maximum of any index over z is a maximum
    over :attr:`latents`; and a z costs a product with a small matrix, where it otherwise costs a policy iteration.

    Args:
        mdp: what the MDP looks like; the same words as the environment's.
        discount: γ.
        pool: how many policies there are; every deterministic policy if not given.
        seed: of the pool.

    Raises:
        ValueError: for a discount outside [0, 1), or a pool of no policy.

    Example:
        ``bfm: {type: tabular, mdp: {layout: random, size: 4, dim: 2}, discount: 0.9}``
    """

    latents: Tensor | None = None
    """(pool, d): one z for each policy of the pool, which selects it; None without a pool."""

    def __init__(
        self,
        mdp: MDPLayout,
        discount: Annotated[float, Ge(0), Lt(1)] = 0.9,
        pool: PositiveInt | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.mdp = mdp.build()
        self.environment_spec = self.mdp.spec(episode_steps=100)
        self.dim = self.mdp.dim
        self.discount = discount
        if pool is not None:
            self.latents = self.policy_latent(normal_noise([seed], "policy pool", [0], (pool, self.dim))[0])
            self._pool_policies = self.mdp.optimal_policy(self.latents, discount)  # (pool, S)
            self._pool_features = self.mdp.successor_features(self._pool_policies, discount)  # (pool, S, d)

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        """φ of the next state."""
        return self.mdp.features[_state(next_observation)].to(next_observation)

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """Exact, whatever z."""
        table = self._solve(z)[1]
        state = _state(observation)
        if action is None:
            value = _at(table, state)
        else:
            # Only the rows of P that are asked for: the whole (*b, S, A, d) table could be large.
            moves = self.mdp.transitions[tuple(torch.broadcast_tensors(state, action.argmax(-1).cpu()))]
            following = self.mdp.features + self.discount * table
            value = (moves.unsqueeze(-2) @ following).squeeze(-2)
        return value.unsqueeze(-2).to(observation)

    def act(self, observation: Tensor, z: Tensor) -> Tensor:
        """1 for the action that π_z takes, -1 for the others."""
        policy = self._solve(z)[0].unsqueeze(-1)
        choice = _at(policy, _state(observation)).squeeze(-1)
        return 2 * torch.nn.functional.one_hot(choice, self.mdp.actions).to(observation) - 1

    def policy_latent(self, weights: Tensor) -> Tensor:
        """√d w/‖w‖; 0 for w = 0, where every policy is as good as any."""
        return self.dim**0.5 * torch.nn.functional.normalize(weights, dim=-1)

    def inference_set(self) -> TensorDict:
        """Every transition that can happen, once."""
        state, choice, following = self.mdp.transitions.nonzero(as_tuple=True)
        one_hot = torch.nn.functional.one_hot
        after = {
            "observation": one_hot(following, self.mdp.states).float(),
            "physics": following.double().unsqueeze(-1),
        }
        return TensorDict(
            {
                "observation": one_hot(state, self.mdp.states).float(),
                "action": 2 * one_hot(choice, self.mdp.actions).float() - 1,
                "next": TensorDict(after, [len(state)]),
            },
            [len(state)],
        )

    def _solve(self, z: Tensor) -> tuple[Tensor, Tensor]:  # (*b, d) -> (*b, S), (*b, S, d)
        """π_z and ψ^{π_z} in every state, on the CPU whatever device the question came from."""
        z = z.detach().cpu().double()
        if self.latents is None:
            policy = self.mdp.optimal_policy(z, self.discount)
            return policy, self.mdp.successor_features(policy, self.discount)
        from_start = self.mdp.start @ self._pool_features  # (pool, d)
        chosen = (z @ from_start.mT).argmax(-1)
        return self._pool_policies[chosen], self._pool_features[chosen]


def _state(observation: Tensor) -> Tensor:  # (*b, S) -> (*b,)
    return observation.argmax(-1).cpu()


def _at(table: Tensor, state: Tensor) -> Tensor:  # (*b, S, n), (*b,) -> (*b, n)
    """The rows of the states; batches broadcast."""
    batch = torch.broadcast_shapes(table.shape[:-2], state.shape)
    table = table.expand(*batch, *table.shape[-2:])
    index = state.expand(batch)[..., None, None].expand(*batch, 1, table.shape[-1])
    return table.gather(-2, index).squeeze(-2)
