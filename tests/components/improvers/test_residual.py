from __future__ import annotations

import pytest
import torch

from bfmkit.components.agents.fine_tuning import FineTuningAgent
from bfmkit.components.improvers.residual import ResidualImprover
from bfmkit.inference.episode import run_episode
from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.testing.improver import ImproverContract
from bfmkit.testing.models import BallEnvironment, LinearBFM


class TestResidualImprover(ImproverContract):
    def make(self) -> ResidualImprover:
        return ResidualImprover(width=8, batch_size=8, update_every=2, noise=0.0, learning_rate=0.01, capacity=32)


def living(improver: ResidualImprover, weights: torch.Tensor, episodes: int) -> tuple[FineTuningAgent, torch.Tensor]:
    agent = FineTuningAgent(FixedWeightsAgent(weights), improver, None)
    agent.start(LinearBFM(discount=0.5), range(3))
    environment = BallEnvironment(tasks=["task_0"] * 3)
    environment.seed(range(3))
    return agent, torch.stack([run_episode(agent, environment).returns for _ in range(episodes)])


def test_before_any_update_it_acts_as_was_inferred() -> None:
    agent, returns = living(
        ResidualImprover(width=8, batch_size=1000, noise=0.0), torch.tensor([0.6, 0.8, 0.0, 0.0]), 1
    )
    assert agent.improver.state["updates"].tolist() == [0, 0, 0]
    torch.testing.assert_close(returns[0], torch.full((3,), 12.0).double(), rtol=1e-5, atol=1e-5)


def test_finds_what_the_inferred_policy_misses() -> None:
    """The base takes half of the reward; the reward itself says where the rest is."""
    improver = ResidualImprover(
        width=32, batch_size=32, update_every=1, noise=0.2, learning_rate=3e-3, penalty=0.0, target_rate=0.05
    )
    _, returns = living(improver, torch.tensor([0.6, 0.8, 0.0, 0.0]), 25)
    assert returns[0].mean() < 13
    assert (returns[-5:].mean(0) > 16).all()


def test_the_residual_critic_learns_what_the_model_does_not_know() -> None:
    """Weights that promise nothing: what is left for the residual is the whole return, r/(1 − γ)."""
    improver = ResidualImprover(
        width=32, batch_size=64, update_every=1, noise=0.3, learning_rate=3e-3, reach=1e-6, target_rate=0.05
    )
    agent, _ = living(improver, torch.tensor([1e-3, 0.0, 0.0, 0.0]), 25)
    state, action = torch.zeros(3, 1, 4), torch.eye(4)[:1].expand(3, 1, 4)
    known = improver.value(state, action)
    torch.testing.assert_close(known, torch.full((3, 1), 2.0), rtol=0.15, atol=0.0)
    assert agent.state["improver", "updates"].tolist() == [25 * 20 - 63] * 3


@pytest.mark.parametrize(("discount", "gamma"), [(0.75, 0.75), (None, 0.5)])
def test_a_target_takes_n_steps(discount: float | None, gamma: float) -> None:
    improver = ResidualImprover(width=8, batch_size=1000, noise=0.0, n_steps=3, discount=discount)
    living(improver, torch.tensor([0.6, 0.8, 0.0, 0.0]), 1)
    batch = improver._batch(torch.tensor([[0, 18, 19]] * 3))
    torch.testing.assert_close(batch.next_discount[0], torch.tensor([gamma**3, gamma**2, gamma]))


def test_another_discount_stretches_what_the_model_says_to_its_horizon() -> None:
    """A reward of c forever is worth c/(1 − γ): twice as much at 0.75 as at the model's 0.5."""

    def known(discount: float | None) -> torch.Tensor:
        improver = ResidualImprover(width=8, batch_size=1000, noise=0.0, discount=discount)
        living(improver, torch.tensor([0.6, 0.8, 0.0, 0.0]), 2)
        return improver.value(torch.zeros(3, 1, 4), torch.eye(4)[:1].expand(3, 1, 4))

    torch.testing.assert_close(known(0.75), 2.0 * known(None))
    torch.testing.assert_close(known(0.5), known(None))


def test_the_critic_chooses_between_the_improved_and_the_inferred_action() -> None:
    improver = ResidualImprover(width=8, batch_size=1000, noise=0.0)
    living(improver, torch.tensor([1.0, 0.0, 0.0, 0.0]), 1)
    along, against = torch.eye(4)[:1].expand(3, 1, 4), -torch.eye(4)[:1].expand(3, 1, 4)
    state = torch.zeros(3, 1, 4)
    assert (improver.value(state, along) > improver.value(state, against)).all()
    torch.testing.assert_close(improver.preferred(state, against, along), along)
    torch.testing.assert_close(improver.preferred(state, along, against), along)


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 0}, {"reach": 0.0}, {"target_rate": 0.0}, {"actor_every": 0}, {"batch_size": 0}, {"update_every": 0},
        {"learning_rate": 0.0}, {"noise": -0.1}, {"penalty": -1.0}, {"capacity": 0}, {"discount": 1.0}, {"n_steps": 0},
    ],
)  # fmt: skip
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ResidualImprover(**arguments)
