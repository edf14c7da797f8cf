"""OpTI-BFM in one file of plain torch: the walker finds out by acting what it is rewarded for.

    python docs/examples/opti_bfm_in_one_file.py --task walk --seed 0 --episodes 3

This is Algorithm 1 of Rupf et al., Optimistic Task Inference for Behavior Foundation Models, ICLR 2026, with the
paper's settings, written to be read from top to bottom. It runs one task at a time and does nothing for speed. From
bfmkit it takes the shipped weights, the simulated body and its counter-based noise, so that it makes the choices of

    bfmkit run opti_bfm environment.task=walk seed=0 episodes=3

| here           | paper                                   | bfmkit                                                 |
| -------------- | --------------------------------------- | ------------------------------------------------------ |
| `features`     | φ(s'), the reward is r ≈ φᵀw            | components/feature_maps/fourier.py                     |
| `successor`    | ψ(s, a, z), discounted sum of φ         | components/bfms/universal_sf.py                        |
| `policy`       | π_z(s)                                  | components/networks/                                   |
| `Ridge`        | V, b, ŵ = V⁻¹b                          | components/posteriors/ridge.py                         |
| `candidates`   | W, drawn from the confidence ellipsoid  | components/candidate_samplers/ellipsoid.py             |
| `choose`       | argmax of the upper confidence bound    | components/acquisitions/ucb.py                         |
| `run_episode`  | the loop                                | framework/inference/episode.py                         |
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import layer_norm, linear, normalize, relu

from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.models.folder import resolve
from bfmkit.utils.rng import normal_noise

# The paper's settings.
REGULARIZATION = 1.0  # λ
RADIUS = 0.1  # β
INFLATION = 2.0  # candidates come from an ellipsoid that is twice as large as the confidence set
CANDIDATES = 128


# The behaviour foundation model.


class Model:
    """The weights of a shipped model: universal successor features over random Fourier features.

    Shapes: o entries of an observation, a of an action, d features, E critics; any batch dimensions come first.
    """

    def __init__(self, folder: Path) -> None:
        self.weights = load_file(folder / "model.safetensors")
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
        self.spec, settings = recipe["spec"], recipe["bfm"]["features"]
        self.clip = settings.get("clip", 6.0)
        self.entries = [self.spec["observation_names"].index(name) for name in settings["entries"]]
        self.dim = self.weights["feature_map.directions"].shape[1]  # d
        self.critics = 1 + max(int(name.split(".")[2]) for name in self.weights if name.startswith("successor"))  # E

    def scaled(self, observation: Tensor) -> Tensor:  # (*b, o) -> (*b, o)
        """Observations as the networks read them: standardised by the training data."""
        return (observation - self.weights["observation_mean"]) / self.weights["observation_deviation"]

    def features(self, next_observation: Tensor) -> Tensor:  # (*b, o) -> (*b, d)
        """φ: principal directions of cosines of a few named quantities."""
        x = self.scaled(next_observation)[..., self.entries].clamp(-self.clip, self.clip)
        waves = 2**0.5 * torch.cos(x @ self.weights["feature_map.frequencies"] + self.weights["feature_map.phases"])
        waves = torch.cat([waves, torch.ones_like(waves[..., :1])], dim=-1)
        return (self.dim / waves.shape[-1]) ** 0.5 * waves @ self.weights["feature_map.directions"]

    def policy(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, o), (*b, d) -> (*b, a)
        """π_z(s): the action, in [-1, 1]."""
        s = self.scaled(observation)
        return torch.tanh(self._two_streams("actor_network.body", s, torch.cat([s, z], dim=-1)))

    def successor(self, observation: Tensor, action: Tensor, z: Tensor) -> Tensor:  # -> (*b, E, d)
        """ψ_e(s, a, z): the expected discounted sum of φ under π_z, by each critic."""
        s = self.scaled(observation)
        left, right = torch.cat([s, action], dim=-1), torch.cat([s, z], dim=-1)
        names = [f"successor_network.members.{member}" for member in range(self.critics)]
        return torch.stack([self._two_streams(name, left, right) for name in names], dim=-2)

    def latent(self, w: Tensor) -> Tensor:  # (*b, d) -> (*b, d)
        """z of the reward φᵀw: the policy does not depend on the reward's scale."""
        return self.dim**0.5 * normalize(w, dim=-1)

    def _two_streams(self, name: str, left: Tensor, right: Tensor) -> Tensor:
        """An embedding of each input, and a trunk that reads both."""
        embedded = torch.cat([self._embed(f"{name}.left", left), self._embed(f"{name}.right", right)], dim=-1)
        return self._linear(f"{name}.out", relu(self._linear(f"{name}.trunk", embedded)))

    def _embed(self, name: str, x: Tensor) -> Tensor:
        x = self._linear(f"{name}.joined", x)
        scale, shift = self.weights[f"{name}.normalise.weight"], self.weights[f"{name}.normalise.bias"]
        return relu(self._linear(f"{name}.halve", torch.tanh(layer_norm(x, x.shape[-1:], scale, shift))))

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])


# What the rewards seen so far say about w.


class Ridge:
    """Regularised least squares: V = λI + Σ φφᵀ, b = Σ φr, ŵ = V⁻¹b, in float64."""

    def __init__(self, dim: int) -> None:
        self.precision = REGULARIZATION * torch.eye(dim, dtype=torch.float64)  # V (d, d)
        self.response = torch.zeros(dim, dtype=torch.float64)  # b (d,)

    def update(self, phi: Tensor, reward: float) -> None:  # (d,)
        """Learn from one step."""
        phi = phi.double()
        self.precision += torch.outer(phi, phi)
        self.response += phi * reward

    def mean(self) -> Tensor:  # (d,)
        """ŵ."""
        return torch.cholesky_solve(self.response.unsqueeze(-1), self._factor()).squeeze(-1)

    def width(self, psi: Tensor) -> Tensor:  # (*b, d) -> (*b,)
        """√(ψᵀV⁻¹ψ): how uncertain the return ψᵀw is, in units of the radius."""
        rows = psi.double().reshape(-1, psi.shape[-1])
        return (rows @ torch.linalg.inv(self._factor()).mT).norm(dim=-1).reshape(psi.shape[:-1])

    def ellipsoid(self, points: Tensor) -> Tensor:  # (k, d) -> (k, d)
        """Points of the unit ball, as points of {w : (w − ŵ)ᵀV(w − ŵ) ≤ 1}: ŵ + R⁻¹u with V = RᵀR."""
        return self.mean() + points @ torch.linalg.inv(self._factor())

    def _factor(self) -> Tensor:  # (d, d), lower
        return torch.linalg.cholesky(self.precision)


# Which policy to run next.


def candidates(belief: Ridge, seed: int, step: int) -> Tensor:  # (k, d)
    """Weights drawn uniformly from the inflated confidence ellipsoid, by noise that is a function of (seed, step).

    The first d coordinates of points on a sphere in d + 2 dimensions are uniform in the ball (Harman and Lacko, 2010).
    """
    dim = len(belief.response)
    noise = normal_noise([seed], "acquisition", [step], (CANDIDATES, dim + 2))[0]
    ball = noise[:, :dim] / noise.norm(dim=-1, keepdim=True)
    return belief.ellipsoid(INFLATION * RADIUS * ball)


def choose(model: Model, belief: Ridge, observation: Tensor, seed: int, step: int) -> Tensor:  # (d,)
    """argmax_w min_e [ψ_e(s, π_z(s), z)ᵀŵ + β √(ψ_eᵀV⁻¹ψ_e)],  z = latent(w), over the candidates w."""
    weights = candidates(belief, seed, step)
    z = model.latent(weights.float())
    here = observation.expand(len(z), -1)
    psi = model.successor(here, model.policy(here, z), z)  # (k, E, d)
    bound = psi.double() @ belief.mean() + RADIUS * belief.width(psi)  # (k, E)
    return weights[bound.amin(dim=-1).argmax()]


# The loop.


def run_episode(
    model: Model, belief: Ridge, environment: DMControlEnvironment, seed: int, first_step: int
) -> tuple[float, list[Tensor]]:
    """One episode of Algorithm 1: choose z, act, observe the reward, learn.

    Returns:
        The return, and the weights that were chosen at each step.
    """
    observation, _ = environment.reset_batch()
    total, chosen = 0.0, []
    for step in range(first_step, first_step + environment.spec.episode_steps):
        w = choose(model, belief, observation[0], seed, step)
        action = model.policy(observation, model.latent(w.float()).unsqueeze(0))
        outcome = environment.step_batch(action)
        reward = outcome.reward.item()
        belief.update(model.features(outcome.observation[0]), reward)
        observation = outcome.observation
        total += reward
        chosen.append(w)
    return total, chosen


@torch.no_grad()
def run(
    task: str, seed: int, episodes: int, model: str = "zoo:walker", episode_steps: int = 1000
) -> tuple[list[float], list[Tensor]]:
    """Returns of each episode, and all chosen weights."""
    bfm = Model(resolve(model))
    body = DMControlEnvironment(bfm.spec["domain"], task, episode_steps)
    environment = body.observing(bfm.spec["observation_names"])
    environment.seed([seed])
    belief, returns, chosen = Ridge(bfm.dim), [], []
    for episode in range(episodes):
        total, weights = run_episode(bfm, belief, environment, seed, episode * episode_steps)
        returns.append(total)
        chosen += weights
        print(f"episode {episode + 1}: return {total:.1f}")  # noqa: T201
    return returns, chosen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="OpTI-BFM in one file.")
    parser.add_argument("--task", default="walk", help="stand, walk, run or flip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=3)
    parser.add_argument("--model", default="zoo:walker", help="a shipped model, or a folder")
    arguments = parser.parse_args()
    run(arguments.task, arguments.seed, arguments.episodes, arguments.model)
