from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.agents.fine_tuning import FineTuningAgent
from bfmkit.components.improvers.adapters import AdaptersImprover, actor_matrices
from bfmkit.inference.episode import run_episode
from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.interfaces import BFM
from bfmkit.testing.improver import ImproverContract
from bfmkit.testing.models import BallEnvironment, LinearBFM


class LearntActor(LinearBFM):
    """An actor with a matrix, which goes a little astray: tanh(W z) with W near the identity."""

    def __init__(self) -> None:
        super().__init__()
        noise = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
        self.matrix = torch.nn.Parameter(0.4 * torch.eye(4) + 0.1 * noise)
        self.unused = torch.nn.Linear(4, 4)

    def act(self, observation: Tensor, z: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(observation.shape[:-1], z.shape[:-1])
        return torch.tanh(z @ self.matrix.mT).expand(*batch, 4)


class TestAdaptersImprover(ImproverContract):
    def make(self) -> AdaptersImprover:
        # Adam takes a step of full size along a gradient that is nothing but rounding: a larger rate shows it.
        return AdaptersImprover(rank=2, batch_size=8, capacity=32, learning_rate=0.003)

    def model(self) -> BFM:
        return LearntActor()


def test_only_matrices_that_the_action_depends_on_are_changed() -> None:
    model = LearntActor()
    model.matrix.requires_grad_(False)
    assert list(actor_matrices(model)) == ["matrix"]
    assert not model.matrix.requires_grad and model.unused.weight.requires_grad


def test_the_actor_climbs_the_models_own_value_and_the_model_stays_as_it_is() -> None:
    model, weights = LearntActor(), torch.tensor([1.0, 0.0, 0.0, 0.0])
    before = model.matrix.detach().clone()
    agent = FineTuningAgent(
        FixedWeightsAgent(weights), AdaptersImprover(batch_size=8, learning_rate=0.05, penalty=0.0), None
    )
    agent.start(model, range(3))
    environment = BallEnvironment(tasks=["task_0"] * 3)
    environment.seed(range(3))
    returns = [float(run_episode(agent, environment).returns.mean()) for _ in range(8)]
    assert returns[-1] > returns[0] + 1
    assert torch.equal(model.matrix, before)


def test_refuses_a_model_whose_policy_has_no_matrices() -> None:
    agent = FineTuningAgent(FixedWeightsAgent(torch.ones(4)), AdaptersImprover(), None)
    with pytest.raises(ValueError, match="LinearBFM has none"):
        agent.start(LinearBFM(), [0])


@pytest.mark.parametrize("arguments", [{"rank": 0}, {"batch_size": 0}, {"noise": -1.0}])
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        AdaptersImprover(**arguments)
