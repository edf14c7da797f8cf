"""Low-rank changes of the actor."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.func import functional_call, vmap

from bfmkit.inference.actor_improver import ActorImprover
from bfmkit.interfaces import BFM, Improver
from bfmkit.registry import register
from bfmkit.utils.checks import NonNegativeFloat, PositiveFloat, PositiveInt
from bfmkit.utils.rng import normal_noise


@register(Improver, "adapters")
class AdaptersImprover(ActorImprover):
    r"""Low-rank changes of the actor's weight matrices, up the gradient of the model's own critics (LoRA).

    W ← W + U V,  U (out × rank) from zero, V (rank × in);  U, V ascend  min_e ψ_e(s, π(s), z)ᵀŵ/q̄ − penalty ‖π − π_z‖²

    The model answers every task with one actor; here each run fits its actor to one task in the states it visits.
    Nothing is learnt from rewards but ŵ, so what the critics do not know is not gained.

    Further arguments are those of :class:`~bfmkit.inference.actor_improver.ActorImprover`.

    Args:
        rank: of each change.

    Raises:
        ValueError: if a number is not positive, or ``noise`` or ``penalty`` negative; when starting, if the model's
            policy has no weight matrices.

    Reference:
        Hu et al., LoRA: low-rank adaptation of large language models, 2022.

    Example:
        ``agent.improver={type: adapters, rank: 8}``
    """

    def __init__(
        self,
        rank: PositiveInt = 4,
        batch_size: PositiveInt = 64,
        update_every: PositiveInt = 2,
        learning_rate: PositiveFloat = 1e-3,
        noise: NonNegativeFloat = 0.0,
        penalty: NonNegativeFloat = 0.05,
        capacity: PositiveInt = 10_000,
    ) -> None:
        super().__init__(batch_size, update_every, learning_rate, noise, penalty, capacity)
        self.rank = rank

    def prepare(self) -> dict[str, Any]:
        self._policy = _Policy(self.bfm)
        self._matrices = actor_matrices(self.bfm)
        if not self._matrices:
            raise ValueError(f"adapters change weight matrices of the policy, and {type(self.bfm).__name__} has none")
        return super().prepare()

    def actor_parameters(self) -> TensorDict:
        runs = len(self.seeds)
        parts = {}
        for index, matrix in enumerate(self._matrices.values()):
            outputs, inputs = matrix.shape
            noise = normal_noise(self.seeds, f"adapter {index}", [0] * runs, (self.rank, inputs)) / inputs**0.5
            left = torch.zeros(runs, outputs, self.rank, device=self.device, dtype=matrix.dtype)
            parts[str(index)] = {"left": left, "right": noise.to(matrix)}
        return TensorDict(parts, [runs])

    def actor(self, parameters: TensorDict, observation: Tensor, base_action: Tensor) -> Tensor:
        changed = {
            f"bfm.{name}": matrix + parameters[str(index), "left"] @ parameters[str(index), "right"]
            for index, (name, matrix) in enumerate(self._matrices.items())
        }
        z = self.state["z"].unsqueeze(1).expand(*observation.shape[:2], -1)
        return vmap(lambda weights, s, latent: functional_call(self._policy, weights, (s, latent)))(
            changed, observation, z
        )


class _Policy(nn.Module):
    """A model's policy as a module's forward."""

    def __init__(self, bfm: BFM) -> None:
        super().__init__()
        self.bfm = bfm

    def forward(self, observation: Tensor, z: Tensor) -> Tensor:
        return self.bfm.act(observation, z)


def actor_matrices(bfm: BFM) -> dict[str, Tensor]:
    """The weight matrices that the policy's action depends on, by name."""
    named = {name: value for name, value in bfm.named_parameters() if value.ndim == 2}
    if not named:
        return {}
    example = next(iter(named.values()))
    flags = [value.requires_grad for value in named.values()]
    with torch.enable_grad():
        try:
            for value in named.values():
                value.requires_grad_(True)
            observation = example.new_ones(1, bfm.environment_spec.observation_size)
            action = bfm.act(observation, bfm.policy_latent(example.new_ones(1, bfm.dim))).sum()
            found = torch.autograd.grad(action, list(named.values()), allow_unused=True)
        finally:
            for value, flag in zip(named.values(), flags, strict=True):
                value.requires_grad_(flag)
    pairs = zip(named.items(), found, strict=True)
    return {name: value.detach() for (name, value), slope in pairs if slope is not None}
