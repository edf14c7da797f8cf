from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from bfmkit.components.agents.lola import LolaAgent
from bfmkit.inference.episode import run_episode
from bfmkit.inference.least_squares import least_squares_weights
from bfmkit.interfaces import RunStoppedError
from bfmkit.testing.agent import AgentContract
from bfmkit.testing.models import BallEnvironment, LinearBFM


class TestLolaAgent(AgentContract):
    def make(self) -> LolaAgent:
        return LolaAgent(lookahead=3, group=2)

    def test_a_window_has_one_policy_and_goes_on_over_an_episodes_end(self) -> None:
        agent, environment = self.started(), self.environment()
        z = []
        for _ in range(2):
            run_episode(agent, environment, lambda step: z.append(step.z.clone()))
        changes = [index for index, (one, other) in enumerate(pairwise(z), 1) if not torch.equal(one, other)]
        assert changes == list(range(3, 40, 3))
        # 40 steps are 13 windows and a step; a pair of windows makes an update.
        assert agent.state["updates"].tolist() == [6, 6, 6]
        assert agent.state["windows"].tolist() == [1, 1, 1]
        assert agent.state["labels"].tolist() == [40, 40, 40]


class TestEpisodicLolaAgent(AgentContract):
    def make(self) -> LolaAgent:
        return LolaAgent(
            lookahead=5, group=2, std=0.1, learning_rate=0.05, radius=None, density="drawn", windows="episode",
            labelled_transitions=64, ensemble="mean",
        )  # fmt: skip

    def test_starts_from_the_labels(self) -> None:
        agent = self.started()
        labelled = self.labelled(agent, ("task_0", "task_3", "task_1"))
        expected = least_squares_weights(labelled["next", "observation"], labelled["next", "reward"])
        torch.testing.assert_close(agent.state["fitted_weights"], expected)
        torch.testing.assert_close(agent.state["center"], 2 * torch.nn.functional.normalize(expected, dim=-1))

    def test_an_episode_has_one_policy_and_one_window(self) -> None:
        agent, environment = self.started(), self.environment()
        z = []
        for _ in range(3):
            run_episode(agent, environment, lambda step: z.append(step.z.clone()))
        changes = [index for index, (one, other) in enumerate(pairwise(z), 1) if not torch.equal(one, other)]
        assert changes == [20, 40]
        assert agent.state["labels"].tolist() == [15, 15, 15]
        assert agent.state["updates"].tolist() == [1, 1, 1]
        assert agent.state["windows"].tolist() == [1, 1, 1]

    def test_labels_that_say_nothing_leave_the_start_to_chance(self) -> None:
        agent = self.make()
        labelled = self.labelled(agent, ("task_0",))
        labelled["next", "reward"] = torch.zeros(64, 1)
        agent.start(LinearBFM(), [4], labelled)
        torch.testing.assert_close(agent.state["center"].norm(dim=-1), torch.full((1,), 2.0, dtype=torch.float64))

    def test_labels_must_fit(self) -> None:
        agent = self.make()
        labelled = self.labelled(agent, ("task_0", "task_1"))
        with pytest.raises(ValueError, match="rewards"):
            agent.start(LinearBFM(), [4], labelled)


def test_finds_a_task_by_trial() -> None:
    agent = LolaAgent(lookahead=5, group=4, std=0.3, learning_rate=0.3)
    agent.start(LinearBFM(), range(8))
    environment = BallEnvironment(tasks=["task_2"] * 8)
    environment.seed(range(8))
    for _ in range(40):
        run_episode(agent, environment)
    assert (agent.state["center"][:, 2] > 0.8).all()


@pytest.mark.parametrize("density", ["drawn", "projected"])
@pytest.mark.parametrize("ensemble", ["min", "mean"])
def test_a_step_is_that_of_adam_on_the_policy_gradients_loss(density: str, ensemble: str) -> None:
    class TwoCritics(LinearBFM):
        def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
            one, other = super().successor_features(observation, z, action).unbind(-2)
            return torch.stack([one, other + observation], dim=-2)

    model, group, std, rate = TwoCritics(), 3, 0.5, 0.2
    agent = LolaAgent(2, group, std, rate, radius=None, density=density, ensemble=ensemble)
    agent.start(model, [5])
    center = agent.state["center"][0].clone().requires_grad_()
    optimizer = torch.optim.Adam([center], lr=rate)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        points, returns = [], []
        for _ in range(group):
            rewards = torch.randn(2, generator=generator).double()
            for reward in rewards:
                observation = 0.4 * torch.randn(1, 4, generator=generator)
                agent.act(observation)
                weights, point = agent.state["weights"][0].clone(), agent.state["point"][0].clone()
                agent.observe(observation, torch.zeros(1, 4), observation, reward.reshape(1))
            torch.testing.assert_close(2 * point / point.norm(), weights)
            assert torch.equal(point, weights) == (density == "projected")
            critics = model.successor_features(observation, model.policy_latent(weights.float()))[0].double()
            values = critics @ (center.detach() / center.detach().norm())
            last = values.min() if ensemble == "min" else values.mean()
            points.append(point)
            returns.append(rewards[0] + 0.9 * rewards[1] + 0.81 * last)
        total = sum(returns)
        advantages = [(value - (total - value) / (group - 1)).detach() for value in returns]
        densities = [torch.distributions.Normal(center, std).log_prob(point).sum() for point in points]
        optimizer.zero_grad()
        (-sum(a * p for a, p in zip(advantages, densities, strict=True)) / group).backward()
        optimizer.step()
        with torch.no_grad():
            center.mul_(2 / center.norm())
        torch.testing.assert_close(agent.state["center"][0], center.detach(), rtol=1e-5, atol=1e-6)


def test_a_window_without_all_its_rewards_teaches_nothing() -> None:
    agent = LolaAgent(lookahead=2, group=2)
    agent.start(LinearBFM(), [0, 1])
    observation = torch.zeros(2, 4)
    for step in range(4):
        missing = torch.tensor([True, step != 1])
        agent.observe(observation, agent.act(observation), observation, torch.ones(2), missing)
    assert agent.state["updates"].tolist() == [1, 0]
    assert agent.state["windows"].tolist() == [0, 1]
    assert agent.state["labels"].tolist() == [4, 3]


def test_an_episode_that_ends_early_counts_as_it_is() -> None:
    agent = LolaAgent(lookahead=5, group=4, windows="episode")
    agent.start(LinearBFM(), [0, 1])
    environment = BallEnvironment(tasks=["task_0", "task_0"], lengths=[2, 20])
    rewards = []
    for _ in range(2):
        run_episode(agent, environment, lambda step: rewards.append(step.outcome.reward.clone()))
    # The second episode's beginning has closed the first's window: two steps, and no critic after them.
    expected = rewards[0][0] + 0.9 * rewards[1][0]
    torch.testing.assert_close(agent.state["returns"][0, 0], expected.double())
    assert agent.state["windows"].tolist() == [1, 2]
    agent.begin_episode(torch.tensor([True, False]))
    assert agent.state["windows"].tolist() == [2, 2]


def test_critics_that_went_wrong_stop_their_run_alone() -> None:
    class Broken(LinearBFM):
        def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
            value = super().successor_features(observation, z, action)
            return torch.where(observation[..., :1, None] > 0.9, torch.nan, value)

    agent = LolaAgent(lookahead=1, group=2)
    agent.start(Broken(), [5, 6])
    observation = torch.tensor([[0.5, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    agent.observe(observation, agent.act(observation), observation, torch.ones(2))
    assert list(agent.failures) == [1]
    assert agent.state["windows"].tolist() == [1, 0]
    with pytest.raises(RunStoppedError):
        agent.observe(observation, agent.act(observation), observation[[1, 1]], torch.ones(2))


@pytest.mark.parametrize(
    "arguments",
    [
        {"lookahead": 0}, {"group": 1}, {"std": 0.0}, {"learning_rate": 0.0}, {"radius": -1.0},
        {"density": "other"}, {"windows": "other"}, {"ensemble": "max"}, {"labelled_transitions": -1},
    ],
)  # fmt: skip
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        LolaAgent(**arguments)
