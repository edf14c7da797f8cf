"""HILP loss of features: distances are the times from state to state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bfmkit.interfaces import EnvironmentSpec, FeatureBatch, FeatureMap, FeatureObjective
from bfmkit.models.encoder_features import EncodedFeatures, require_encoder
from bfmkit.registry import register
from bfmkit.training.ema import frozen_copy, move_towards
from bfmkit.utils.checks import OpenShare, Share

SMALLEST_SQUARE = 1e-6


@register(FeatureObjective, "hilp")
class HilpObjective(FeatureObjective):
    r"""HILP loss: the distance of codes is the value of reaching a goal, by expectile regression on the data.

        V_e(s, g) = −‖e_e(s) − e_e(g)‖,   two encoders e, the map's and one beside it; V̄ by target networks
        r = −1, or 0 and no later term where s = g
        q_e = r + γ V̄_e(s', g),   advantage = r + γ min_e V̄_e(s', g) − mean_e V̄_e(s, g)
        loss_distance = Σ_e mean |κ − 1[advantage < 0]| (q_e − V_e(s, g))²

    At the best of moves V(s, g) = −(1 − γⁿ)/(1 − γ) for a goal n steps away. g is a later state of the same episode,
    or, with probability ``random_goals``, of another row's.

    Args:
        discount: γ of the values, not of the successor features.
        expectile: κ; 0.5 gives the time that the data's behaviour takes, towards 1 the shortest.
        random_goals: share of goals from other rows.
        future_discount: how far ahead goals lie: k steps with probability proportional to this to the power of k.
        target_rate: how far target networks move an update.

    Raises:
        ValueError: if an argument lies outside its range: (0, 1), and [0, 1] for ``random_goals``.

    Example:
        ``feature_objective: {type: hilp, expectile: 0.5}``

    Reference:
        Park et al., Foundation policies with Hilbert representations, 2024, section 4.
    """

    def __init__(
        self,
        discount: OpenShare = 0.96,
        expectile: OpenShare = 0.5,
        random_goals: Share = 0.375,
        future_discount: OpenShare = 0.99,
        target_rate: Share = 0.005,
    ) -> None:
        super().__init__()
        self.future_discount = future_discount
        self._discount, self._expectile = discount, expectile
        self._random_goals, self._target_rate = random_goals, target_rate

    def attach(self, features: FeatureMap, spec: EnvironmentSpec) -> None:
        """Make the second encoder, and two target networks."""
        encoder = require_encoder(features, "hilp")
        self._second = encoder.networks.encoder(spec.observation_size, encoder.dim)
        self._targets = nn.ModuleList([frozen_copy(encoder.encoder_network), frozen_copy(self._second)])

    def losses(self, features: FeatureMap, batch: FeatureBatch) -> dict[str, Tensor]:
        """The loss, and the mean distance.

        Raises:
            ValueError: if the batch shows no future observations.
        """
        if batch.future_observation is None:
            raise ValueError("the hilp objective learns from future observations, and the batch has none")
        encoder = require_encoder(features, "hilp")
        s, following = batch.observation, batch.next_observation
        is_random = torch.rand(len(s), 1, device=s.device) < self._random_goals
        goal = torch.where(is_random, batch.future_observation.roll(1, 0), batch.future_observation)
        here, there = self._distances(encoder, torch.stack([s, following]), goal, self._targets)  # (E, N) each
        on_the_way = (s != goal).any(-1).to(s.dtype)
        target = -on_the_way * (1 + self._discount * there)
        advantage = -on_the_way * (1 + self._discount * there.amax(0)) + here.mean(0)
        weight = torch.where(advantage < 0, 1 - self._expectile, self._expectile)
        distance = self._distances(encoder, s, goal, [encoder.encoder_network, self._second])
        loss = (weight * (target + distance).square()).mean(-1).sum()
        return {"loss_distance": loss, "distance": distance.detach().mean()}

    def _distances(
        self,
        encoder: EncodedFeatures,
        states: Tensor,  # (*b, N, o)
        goals: Tensor,  # (N, o)
        networks: nn.ModuleList | list[nn.Module],
    ) -> Tensor:  # (*b, E, N)
        """‖e(s) − e(g)‖ by each network."""
        pairs = [encoder.encode(states, each) - encoder.encode(goals, each) for each in networks]
        # The floor keeps the root's gradient finite where a state is its own goal.
        return torch.stack([pair.float().square().sum(-1).clamp(min=SMALLEST_SQUARE).sqrt() for pair in pairs], dim=-2)

    def update_targets(self, features: FeatureMap) -> None:
        """Move both target networks."""
        self._move_targets(features, self._target_rate)

    def start_from(self, features: FeatureMap) -> None:
        """The second encoder, which no model holds, begins anew: a copy of the first would never differ from it."""
        self._move_targets(features, 1.0)

    def _move_targets(self, features: FeatureMap, rate: float) -> None:
        networks = [require_encoder(features, "hilp").encoder_network, self._second]
        for target, network in zip(self._targets, networks, strict=True):
            move_towards(target, network, rate)
