from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.components.agents.fine_tuning import FineTuningAgent
from bfmkit.inference.actor_improver import ActorImprover, clamped
from bfmkit.inference.episode import run_episode
from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.testing.models import BallEnvironment, LinearBFM


class Offset(ActorImprover):
    """An actor of one vector, added to the inferred action."""

    def actor_parameters(self) -> TensorDict:
        return TensorDict({"offset": torch.zeros(len(self.seeds), 1, 4)}, [len(self.seeds)])

    def actor(self, parameters: TensorDict, observation: Tensor, base_action: Tensor) -> Tensor:
        return clamped(base_action + parameters["offset"])


def living(improver: Offset, episodes: int, seeds: tuple[int, ...] = (0, 1)) -> FineTuningAgent:
    agent = FineTuningAgent(FixedWeightsAgent(torch.tensor([0.6, 0.8, 0.0, 0.0])), improver, None)
    agent.start(LinearBFM(), seeds)
    environment = BallEnvironment(tasks=["task_0"] * len(seeds))
    environment.seed(seeds)
    for _ in range(episodes):
        run_episode(agent, environment)
    return agent


def test_a_full_buffer_forgets_the_oldest() -> None:
    state = living(Offset(batch_size=4, capacity=30), 2).state["improver"]
    assert state["stored"].tolist() == [40, 40]
    buffer = state["buffer"]
    # Step 39 lies at 9, step 10 at 10: one follows the other except there.
    torch.testing.assert_close(buffer["next_observation"][:, 5], buffer["observation"][:, 6])
    assert not torch.equal(buffer["next_observation"][:, 9], buffer["observation"][:, 10])


def test_what_is_stored_is_what_the_model_says_of_the_anchored_latent() -> None:
    improver = Offset(batch_size=4, noise=0.3)
    living(improver, 1)
    buffer = {name: value[:, :20] for name, value in improver.state["buffer"].items()}
    torch.testing.assert_close(buffer["base_action"], torch.tensor([0.6, 0.8, 0.0, 0.0]).expand(2, 20, 4))
    expected = improver.inferred_value(buffer["observation"], buffer["action"])
    torch.testing.assert_close(buffer["inferred_value"], expected)


def counted(capacity: int, steps: int) -> Offset:
    """Two runs in episodes of 20 steps, with the step's number for a reward and a position; n = 3, γ = 0.5."""
    improver = Offset(batch_size=4, capacity=capacity)
    improver.gamma, improver.n_steps = 0.5, 3
    agent = FineTuningAgent(FixedWeightsAgent(torch.tensor([0.6, 0.8, 0.0, 0.0])), improver, None)
    agent.start(LinearBFM(), (0, 1))
    for step in range(steps):
        if step % 20 == 0:
            agent.begin_episode()
        here = torch.full((2, 4), step + 100.0 * (step // 20))
        agent.act(here)
        agent.observe(here, torch.zeros(2, 4), here + 1, torch.tensor([step, -step]))
    return improver


def test_a_batch_sums_rewards_of_the_steps_that_follow() -> None:
    batch = counted(capacity=100, steps=30)._batch(torch.tensor([[0, 7, 17]] * 2))
    sums = [0 + 1 / 2 + 2 / 4, 7 + 8 / 2 + 9 / 4, 17 + 18 / 2 + 19 / 4]
    assert batch.reward.tolist() == [sums, [-each for each in sums]]
    assert batch.next_discount.tolist() == [[1 / 8] * 3] * 2
    assert batch.observation[0, :, 0].tolist() == [0.0, 7.0, 17.0]
    assert batch.next_observation[0, :, 0].tolist() == [3.0, 10.0, 20.0]


def test_a_batch_stops_at_the_end_of_an_episode_and_of_what_is_stored() -> None:
    batch = counted(capacity=100, steps=30)._batch(torch.tensor([[18, 19, 28, 29]] * 2))
    assert batch.next_discount[0].tolist() == [1 / 4, 1 / 2, 1 / 4, 1 / 2]
    assert batch.reward[0].tolist() == [18 + 19 / 2, 19.0, 28 + 29 / 2, 29.0]
    assert batch.next_observation[0, :, 0].tolist() == [20.0, 20.0, 130.0, 130.0]


def test_a_batch_goes_over_the_end_of_a_full_buffer_and_not_over_its_newest_step() -> None:
    # Steps 36 to 38 lie at 0 to 2, steps 27 to 35 at 3 to 11.
    batch = counted(capacity=12, steps=39)._batch(torch.tensor([[10, 11, 1, 2, 3]] * 2))
    assert batch.observation[0, :, 0].tolist() == [134.0, 135.0, 137.0, 138.0, 127.0]
    assert batch.next_discount[0].tolist() == [1 / 8, 1 / 8, 1 / 4, 1 / 2, 1 / 8]
    assert batch.reward[0].tolist() == [
        34 + 35 / 2 + 36 / 4,
        35 + 36 / 2 + 37 / 4,
        37 + 38 / 2,
        38,
        27 + 28 / 2 + 29 / 4,
    ]
    assert batch.next_observation[0, :, 0].tolist() == [137.0, 138.0, 139.0, 139.0, 130.0]


def test_a_batch_does_not_go_over_a_step_without_a_reward() -> None:
    improver = counted(capacity=100, steps=3)
    agent = FineTuningAgent(FixedWeightsAgent(torch.tensor([0.6, 0.8, 0.0, 0.0])), improver, None)
    agent.start(LinearBFM(), (0, 1))
    for step in range(5):
        here = torch.full((2, 4), float(step))
        agent.act(here)
        agent.observe(here, torch.zeros(2, 4), here + 1, torch.ones(2), torch.tensor([True, step != 1]))
    discounts = improver._batch(torch.tensor([[0, 1, 2]] * 2)).next_discount
    assert discounts.tolist() == [[1 / 8, 1 / 8, 1 / 8], [1 / 2, 1 / 8, 1 / 4]]


def test_the_penalty_holds_the_actor_at_the_inferred_policy() -> None:
    class Eastward(Offset):
        def value(self, observation: Tensor, action: Tensor) -> Tensor:
            return action[..., 0]

    def moved(penalty: float) -> float:
        improver = Eastward(batch_size=8, noise=0.0, learning_rate=0.05, penalty=penalty)
        living(improver, 3)
        return float(improver.state["actor", "offset"].abs().max())

    assert moved(100.0) < 0.1 * moved(0.0)


def test_noise_and_batches_are_functions_of_the_seed() -> None:
    both, one = Offset(batch_size=8, noise=0.2), Offset(batch_size=8, noise=0.2)
    living(both, 2)
    living(one, 2, (1,))
    torch.testing.assert_close(both.state["buffer", "action"][1:], one.state["buffer", "action"], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(both.state["buffer", "action"][0], both.state["buffer", "action"][1])


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    class Broken(Offset):
        def value(self, observation: Tensor, action: Tensor) -> Tensor:
            broken = torch.tensor([float("nan"), 1.0]).reshape(2, 1)
            return broken * action.sum(-1)

    improver = Broken(batch_size=4)
    living(improver, 1)
    assert improver.state["actor", "offset"][0].eq(0).all()
    assert improver.state["actor", "offset"][1].ne(0).any()
