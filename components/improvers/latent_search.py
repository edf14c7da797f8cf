"""Local search over the latent, on measured returns."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import Improver, InferredTask, ObservedStep
from bfmkit.registry import register
from bfmkit.utils.batched_adam import BatchedAdam
from bfmkit.utils.checks import NonNegativeInt, PositiveFloat, PositiveInt
from bfmkit.utils.rng import normal_noise


@register(Improver, "latent_search")
class LatentSearchImprover(Improver):
    r"""Policy gradient over the weights that the policy is conditioned on, from the inferred ones on (LoLA).

    each window:    x_i = θ + σ ε_i,  w_i = ρ x_i/‖x_i‖,  z_i = policy_latent(w_i)
    its return:     R_i = Σ_{t<n} γᵗ r_t + γⁿ q(s_n, z_i),   q(s, z) = agg_e ψ_e(s, π_z(s), z)ᵀ w₀
    each k windows: A_i = D_i − mean_{j≠i} D_j,  D_i = R_i − q(s_i, z_i) with the control variate, else R_i
                    g = (1/k) Σ_i A_i (x_i − θ)/σ²  +  mean_i ∇_θ E_ε[q(s_i, z(θ + σ ε))]
                    θ ← Adam along g, then ρ θ/‖θ‖

    The second term of g, which the control variate needs to leave the gradient's mean as it is, costs no steps: it is
    estimated from ``critic_samples`` further ε in the state s_i where the window began, each beside the mean of the
    others. θ starts at the inferred weights, w₀ are the inferred ones of the moment.

    Only windows whose every step the search acted, and whose every reward was seen, count.

    Args:
        lookahead: n, the steps of a window.
        group: k, how many windows make a step of θ.
        std: σ, for each coordinate.
        learning_rate: of Adam.
        radius: ρ, of the sphere that θ and the weights lie on; none given: √d.
        density: where the gradient takes x_i to be: ``drawn``, or ``projected``, at w_i, as published code does though
            w_i is no sample of the Gaussian.
        windows: ``running``: one follows the other within an improved episode, and over its end into the next;
            ``episode``: one at the start of each episode, whose policy then goes on to the episode's end.
        critic_samples: of the control variate; 0 goes without it.
        value_weights: w₀: the ``inferred`` weights, or θ/‖θ‖, the ``center``, where nothing is inferred.
        ensemble: agg, the minimum over critics or their mean.

    Raises:
        ValueError: if a number is out of its range, or a word not one of those above.

    Reference:
        Sikchi et al., Fast Adaptation with Behavioral Foundation Models, 2025; Kool et al., Buy 4 REINFORCE Samples,
        Get a Baseline for Free!, 2019; for the control variate Gu et al., Q-Prop, 2017.

    Example:
        ``agent.improver={type: latent_search, std: 0.02}``
    """

    def __init__(
        self,
        lookahead: PositiveInt = 100,
        group: Annotated[int, Ge(2)] = 10,
        std: PositiveFloat = 0.03,
        learning_rate: PositiveFloat = 0.02,
        radius: PositiveFloat | None = 1.0,
        density: Literal["drawn", "projected"] = "drawn",
        windows: Literal["running", "episode"] = "running",
        critic_samples: NonNegativeInt = 32,
        value_weights: Literal["inferred", "center"] = "inferred",
        ensemble: Literal["min", "mean"] = "min",
    ) -> None:
        if critic_samples == 1:
            raise ValueError(f"critic_samples must be 0 or at least 2, got {critic_samples}")
        self.lookahead, self.group, self.std, self.radius = lookahead, group, std, radius
        self.density, self.windows, self.ensemble = density, windows, ensemble
        self.critic_samples, self.value_weights = critic_samples, value_weights
        self.adam = BatchedAdam(learning_rate)

    def prepare(self) -> dict[str, Any]:
        runs, dim = len(self.seeds), self.bfm.dim

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(runs, *shape, dtype=torch.float64, device=self.device)

        center = TensorDict({"center": zeros(dim)}, [runs])
        return {
            "search": center,
            "adam": self.adam.blank(center),
            "point": zeros(dim),
            "points": zeros(self.group, dim),
            "returns": zeros(self.group),
            "critic_gradient": zeros(dim),
            "window_gradient": zeros(dim),
            "expected": zeros(),
            "window_return": zeros(),
            "window_steps": torch.zeros(runs, dtype=torch.int64),
            "windows": torch.zeros(runs, dtype=torch.int64),
            "is_whole": torch.ones(runs, dtype=torch.bool),
        }

    @property
    def center(self) -> Tensor:  # (B, d)
        """θ."""
        return self.state["search", "center"]

    def anchor(self, inferred: InferredTask, runs: Tensor) -> None:
        weights = inferred.weights()
        told = (weights != 0).any(-1, keepdim=True)
        # Nothing is known yet: a direction drawn uniformly.
        start = torch.where(told, weights, self._noise("latent search start", inferred.step, self.bfm.dim))
        chosen = runs.to(self.device).unsqueeze(-1)
        self.center.copy_(torch.where(chosen, self._onto_sphere(start), self.center))

    def begin_episode(self, inferred: InferredTask, runs: Tensor) -> None:
        if self.windows == "episode":
            self._finish(runs & (self.state["window_steps"] > 0), None, inferred)
            self.state["window_steps"].masked_fill_(runs, 0)

    @torch.no_grad()
    def choose(self, observation: Tensor, inferred: InferredTask, runs: Tensor) -> Tensor:  # (B, d)
        opening = runs & (self.state["window_steps"] == 0)
        if opening.any():
            self._open(observation, inferred, opening.to(self.device))
        return self.bfm.policy_latent(self._onto_sphere(self.state["point"]).to(inferred.z.dtype))

    def _open(self, observation: Tensor, inferred: InferredTask, opening: Tensor) -> None:
        """Draw the weights of the windows that begin, and what the critics expect of them."""
        drawn = self.center + self.std * self._noise("latent search", inferred.step, self.bfm.dim)
        point = self._onto_sphere(drawn) if self.density == "projected" else drawn
        values = {"point": point}
        if self.critic_samples > 0:
            noise = self._noise("latent search critic", inferred.step, self.critic_samples, self.bfm.dim)
            points = torch.cat([drawn.unsqueeze(1), self.center.unsqueeze(1) + self.std * noise], 1)
            expected = self._values(observation, points, inferred)  # (B, 1 + m)
            values["expected"] = expected[:, 0]
            values["window_gradient"] = _score_gradient(expected[:, 1:], self.std * noise, self.std)
        for name, value in values.items():
            old = self.state[name]
            self.state[name] = torch.where(opening.reshape(-1, *[1] * (old.ndim - 1)), value, old)

    def learn(self, step: ObservedStep, inferred: InferredTask, anchored: Tensor) -> None:
        state, steps = self.state, self.state["window_steps"]
        # Somebody else acted: what comes next is no part of the window.
        broken = step.moved & ~step.improved & (steps > 0) & (steps < self.lookahead)
        counts = step.improved & (steps < self.lookahead)
        discount = (self.bfm.discount ** steps.double()).to(self.device)
        seen = (counts & step.observed).to(self.device)
        state["window_return"].add_(torch.where(seen, discount * step.reward, 0.0))
        state["is_whole"].logical_and_(step.observed | ~counts)
        steps.add_(counts)
        ended = counts & (steps == self.lookahead)
        if ended.any():
            self._finish(ended, step.next_observation, inferred)
            if self.windows == "running":
                steps.masked_fill_(ended, 0)
        if broken.any():
            self._forget(broken)
            if self.windows == "episode":
                # The window is over: a later episode is another one.
                steps.masked_fill_(broken, self.lookahead)

    def _finish(self, ended: Tensor, last: Tensor | None, inferred: InferredTask) -> None:  # (B,) bool
        """Close windows; with their last observation (B, o), the critics say what follows."""
        state, total = self.state, self.state["window_return"].clone()
        if self.windows == "episode" and last is None:
            ended = ended & (state["window_steps"] < self.lookahead)
        if last is not None:
            value = self._values(last, state["point"].unsqueeze(1), inferred).squeeze(1)
            total = total + self.bfm.discount**self.lookahead * value
        if self.critic_samples > 0:
            total = total - state["expected"]
        counted = ended & state["is_whole"] & total.isfinite().cpu()
        rows = counted.nonzero().squeeze(-1)
        slots = state["windows"][rows]
        state["returns"][rows, slots] = total[rows]
        state["points"][rows, slots] = state["point"][rows]
        state["critic_gradient"][rows] += state["window_gradient"][rows] / self.group
        state["windows"].add_(counted)
        self._forget(ended)
        full = state["windows"] == self.group
        if full.any():
            self._ascend(full)

    def _forget(self, runs: Tensor) -> None:  # (B,) bool
        self.state["window_return"].masked_fill_(runs.to(self.device), 0.0)
        self.state["is_whole"].masked_fill_(runs, True)
        if self.windows == "running":
            self.state["window_steps"].masked_fill_(runs, 0)

    def _ascend(self, full: Tensor) -> None:  # (B,) bool
        state = self.state
        away = state["points"] - self.center.unsqueeze(1)
        gradient = _score_gradient(state["returns"], away, self.std) + state["critic_gradient"]
        search = state["search"]
        self.adam.step(search, TensorDict({"center": -gradient}, search.batch_size), state["adam"], full)
        chosen = full.to(self.device)
        self.center.copy_(torch.where(chosen.unsqueeze(-1), self._onto_sphere(self.center), self.center))
        state["critic_gradient"].masked_fill_(chosen.unsqueeze(-1), 0.0)
        state["windows"].masked_fill_(full, 0)

    def _values(self, observation: Tensor, points: Tensor, inferred: InferredTask) -> Tensor:  # (B, k, d) -> (B, k)
        """q(s, z(x)) of points x."""
        known = inferred.weights() if self.value_weights == "inferred" else self.center
        weights = known if self.value_weights == "inferred" else torch.nn.functional.normalize(known, dim=-1)
        latents = self.bfm.policy_latent(self._onto_sphere(points).to(observation.dtype))
        successor_features = self.bfm.candidate_successor_features(observation, latents).double()
        values = (successor_features @ weights[:, None, :, None]).squeeze(-1)
        return values.amin(-1) if self.ensemble == "min" else values.mean(-1)

    def _noise(self, stream: str, step: Tensor, *shape: int) -> Tensor:  # (B, *shape)
        return normal_noise(self.seeds, stream, step.tolist(), shape).to(self.device)

    def _onto_sphere(self, x: Tensor) -> Tensor:  # (*b, d)
        radius = self.radius if self.radius is not None else math.sqrt(x.shape[-1])
        return radius * x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1e-150)


def _score_gradient(values: Tensor, away: Tensor, std: float) -> Tensor:  # (B, k), (B, k, d) -> (B, d)
    """(1/k) Σ_i (v_i − mean_{j≠i} v_j) (x_i − θ)/σ²: the gradient of the mean value of θ + σ ε in θ."""
    others = (values.sum(-1, keepdim=True) - values) / (values.shape[-1] - 1)
    return ((values - others).unsqueeze(-1) * away / std**2).mean(-2)
