from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from bfmkit.components.agents.fine_tuning import FineTuningAgent
from bfmkit.components.agents.oracle import OracleAgent
from bfmkit.components.agents.random import RandomAgent
from bfmkit.components.improvers.latent_search import LatentSearchImprover
from bfmkit.inference.episode import run_episode
from bfmkit.inference.fallback import Fallback
from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.interfaces import Agent
from bfmkit.testing.improver import ImproverContract
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.utils.linalg import least_squares_weights


def from_nothing(improver: LatentSearchImprover) -> FineTuningAgent:
    """The search that knows no task to begin with."""
    return FineTuningAgent(RandomAgent(), improver, None)


def latents(agent: Agent, environment: BallEnvironment, episodes: int) -> list[Tensor]:
    """The action of each step, which is z/‖z‖."""
    actions: list[Tensor] = []
    for _ in range(episodes):
        run_episode(agent, environment, lambda step: actions.append(step.action.clone()))
    return actions


def changes(actions: list[Tensor]) -> list[int]:
    return [index for index, (one, other) in enumerate(pairwise(actions), 1) if not torch.equal(one, other)]


class TestLatentSearchImprover(ImproverContract):
    def make(self) -> LatentSearchImprover:
        return LatentSearchImprover(lookahead=3, group=2, std=0.1)

    def test_a_window_has_one_policy_and_goes_on_over_an_episodes_end(self) -> None:
        agent, environment = self.started(), self.environment()
        assert changes(latents(agent, environment, 2)) == list(range(3, 40, 3))
        # 40 steps are 13 windows and a step; a pair of windows makes an update.
        assert agent.state["improver", "adam", "count"].tolist() == [6, 6, 6]
        assert agent.state["improver", "windows"].tolist() == [1, 1, 1]


class TestEpisodicLatentSearch(ImproverContract):
    def make(self) -> LatentSearchImprover:
        return LatentSearchImprover(
            lookahead=5, group=2, std=0.1, learning_rate=0.05, radius=None, density="projected", windows="episode",
            critic_samples=0, ensemble="mean",
        )  # fmt: skip

    def test_an_episode_has_one_policy_and_one_window(self) -> None:
        agent, environment = self.started(), self.environment()
        assert changes(latents(agent, environment, 3)) == [20, 40]
        assert agent.state["improver", "adam", "count"].tolist() == [1, 1, 1]
        assert agent.state["improver", "windows"].tolist() == [1, 1, 1]


def test_starts_from_what_the_base_has_inferred() -> None:
    agent, environment = FineTuningAgent(OracleAgent(), LatentSearchImprover(), None), BallEnvironment()
    labelled = LinearBFM().inference_set()
    rewards = environment.relabel(labelled["next", "physics"], labelled["action"], "task_0")
    labelled["next", "reward"] = rewards.unsqueeze(-1)
    agent.start(LinearBFM(), [4], labelled)
    agent.begin_episode()
    agent.act(torch.zeros(1, 4))
    expected = least_squares_weights(labelled["next", "observation"], labelled["next", "reward"])
    torch.testing.assert_close(agent.improver.center, torch.nn.functional.normalize(expected, dim=-1))


def test_where_nothing_is_inferred_the_start_is_left_to_chance() -> None:
    agent = FineTuningAgent(FixedWeightsAgent(torch.zeros(4)), LatentSearchImprover(radius=None), None)
    agent.start(LinearBFM(), [4])
    agent.begin_episode()
    agent.act(torch.zeros(1, 4))
    torch.testing.assert_close(agent.improver.center.norm(dim=-1), torch.full((1,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("critic_samples", [0, 16])
def test_finds_a_task_by_trial(critic_samples: int) -> None:
    search = LatentSearchImprover(5, 4, 0.3, 0.3, critic_samples=critic_samples, value_weights="center")
    agent = from_nothing(search)
    agent.start(LinearBFM(), range(8))
    environment = BallEnvironment(tasks=["task_2"] * 8)
    environment.seed(range(8))
    for _ in range(40):
        run_episode(agent, environment)
    assert (agent.improver.center[:, 2] > 0.8).all()


class TwoCritics(LinearBFM):
    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        one, other = super().successor_features(observation, z, action).unbind(-2)
        return torch.stack([one, other + observation.expand_as(other)], dim=-2)


@pytest.mark.parametrize("density", ["drawn", "projected"])
@pytest.mark.parametrize("ensemble", ["min", "mean"])
def test_a_step_is_that_of_adam_on_the_policy_gradients_loss(density: str, ensemble: str) -> None:
    model, group, std, rate = TwoCritics(), 3, 0.5, 0.2
    search = LatentSearchImprover(
        2, group, std, rate, None, density, critic_samples=0, value_weights="center", ensemble=ensemble
    )
    agent = from_nothing(search)
    agent.start(model, [5])
    agent.act(torch.zeros(1, 4))
    center = search.center[0].clone().requires_grad_()
    optimizer = torch.optim.Adam([center], lr=rate)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        points, returns = [], []
        for _ in range(group):
            rewards = torch.randn(2, generator=generator).double()
            for reward in rewards:
                observation = 0.4 * torch.randn(1, 4, generator=generator)
                action = agent.act(observation)
                point = search.state["point"][0].clone()
                agent.observe(observation, torch.zeros(1, 4), observation, reward.reshape(1))
            weights = 2 * point / point.norm()
            torch.testing.assert_close(2 * action[0].double(), weights, atol=1e-5, rtol=1e-5)
            assert torch.allclose(point, weights) == (density == "projected")
            critics = model.successor_features(observation, model.policy_latent(weights.float())[None])[0].double()
            values = critics @ (center.detach() / center.detach().norm())
            last = values.min() if ensemble == "min" else values.mean()
            points.append(point)
            returns.append(rewards[0] + 0.9 * rewards[1] + 0.81 * last)
        total = torch.stack(returns)
        advantage = total - (total.sum() - total) / (group - 1)
        density_of = torch.distributions.Normal(center, std).log_prob(torch.stack(points)).sum(-1)
        optimizer.zero_grad()
        (-(advantage * density_of).mean()).backward()
        optimizer.step()
        with torch.no_grad():
            center.mul_(2 / center.norm())
        torch.testing.assert_close(search.center[0], center.detach(), rtol=1e-5, atol=1e-6)


def test_the_control_variate_takes_the_critics_part_out_of_the_noise() -> None:
    """An exact critic explains all that a return holds: what is left of the measured part is the rewards' noise."""

    def gradients(critic_samples: int) -> Tensor:  # (B, d)
        search = LatentSearchImprover(4, 2, std=0.2, critic_samples=critic_samples)
        agent = FineTuningAgent(FixedWeightsAgent(torch.tensor([1.0, 0.5, 0.0, 0.0])), search, None)
        agent.start(LinearBFM(), range(400))
        environment = BallEnvironment(tasks=["task_0"] * 400)
        environment.seed(range(400))
        observation, _ = environment.reset_batch()
        agent.begin_episode()
        for _ in range(8):
            outcome = environment.step_batch(action := agent.act(observation))
            # The reward of the weights that the critics are asked about.
            reward = outcome.observation[:, 0] + 0.5 * outcome.observation[:, 1]
            agent.observe(observation, action, outcome.observation, reward)
            observation = outcome.observation
        return search.state["adam", "first", "center"] / 0.1

    plain, controlled = gradients(0), gradients(32)
    assert controlled.var(0).sum() < 0.2 * plain.var(0).sum()
    # Both are the same gradient in the mean, within four standard errors.
    error = ((plain.var(0) + controlled.var(0)) / 400).sqrt()
    assert ((plain.mean(0) - controlled.mean(0)).abs() < 4 * error + 1e-9).all()


def test_a_window_without_all_its_rewards_teaches_nothing() -> None:
    agent = from_nothing(LatentSearchImprover(lookahead=2, group=2))
    agent.start(LinearBFM(), [0, 1])
    observation = torch.zeros(2, 4)
    for step in range(4):
        missing = torch.tensor([True, step != 1])
        agent.observe(observation, agent.act(observation), observation, torch.ones(2), missing)
    assert agent.state["improver", "adam", "count"].tolist() == [1, 0]
    assert agent.state["improver", "windows"].tolist() == [0, 1]


def test_an_episode_that_ends_early_counts_as_it_is() -> None:
    agent = from_nothing(LatentSearchImprover(lookahead=5, group=4, windows="episode", critic_samples=0))
    agent.start(LinearBFM(), [0, 1])
    environment = BallEnvironment(tasks=["task_0", "task_0"], lengths=[2, 20])
    rewards = []
    for _ in range(2):
        run_episode(agent, environment, lambda step: rewards.append(step.outcome.reward.clone()))
    # The second episode's beginning has closed the first's window: two steps, and no critic after them.
    expected = rewards[0][0] + 0.9 * rewards[1][0]
    torch.testing.assert_close(agent.state["improver", "returns"][0, 0], expected.double())
    assert agent.state["improver", "windows"].tolist() == [1, 2]


def test_a_window_that_the_base_took_over_is_forgotten() -> None:
    fallback = Fallback(tolerance=1e-9, warmup=1, check_every=1)
    agent = FineTuningAgent(FixedWeightsAgent(torch.eye(4)[0]), LatentSearchImprover(lookahead=4, group=2), fallback)
    agent.start(LinearBFM(), [0])
    environment = BallEnvironment()
    for _ in range(3):
        run_episode(agent, environment)
    # No direction is better than the one that the base acts for, so no window comes to its end.
    assert agent.state["improver", "windows"].tolist() == [0]
    assert agent.state["improver", "window_steps"].tolist() == [0]
    assert agent.state["improver", "window_return"].tolist() == [0.0]


def test_critics_that_went_wrong_teach_nothing() -> None:
    class Broken(LinearBFM):
        def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
            value = super().successor_features(observation, z, action)
            return torch.where(observation[..., :1, None] > 0.9, torch.nan, value)

    agent = from_nothing(LatentSearchImprover(lookahead=1, group=2, critic_samples=0))
    agent.start(Broken(), [5, 6])
    observation = torch.tensor([[0.5, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    agent.observe(observation, agent.act(observation), observation, torch.ones(2))
    assert agent.state["improver", "windows"].tolist() == [1, 0]
    assert agent.state["improver", "returns"].isfinite().all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"lookahead": 0}, {"group": 1}, {"std": 0.0}, {"learning_rate": 0.0}, {"radius": -1.0}, {"critic_samples": 1},
        {"density": "other"}, {"windows": "other"}, {"ensemble": "max"}, {"value_weights": "other"},
    ],
)  # fmt: skip
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        LatentSearchImprover(**arguments)


def test_an_episode_that_the_base_took_over_is_no_window() -> None:
    fallback = Fallback(tolerance=1e-9, warmup=1, check_every=5)
    improver = LatentSearchImprover(lookahead=10, group=8, windows="episode")
    agent = FineTuningAgent(FixedWeightsAgent(torch.eye(4)[0]), improver, fallback)
    agent.start(LinearBFM(), [0])
    environment = BallEnvironment()
    for _ in range(3):
        run_episode(agent, environment)
    assert agent.state["fine_tuning", "fallback", "failures"].item() > 0
    assert agent.state["improver", "windows"].tolist() == [0]
