from __future__ import annotations

import pytest
import torch

from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.ensemble import EnsemblePosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.inference.offline import Inferred, weights_from_demonstration, weights_from_goal, weights_from_labels
from bfmkit.interfaces import Posterior
from bfmkit.runs.recording import inferred_record
from bfmkit.runs.replay import Parts, replay
from bfmkit.testing.models import LinearBFM


class Walking(LinearBFM):
    """Features of where one was, what one did and where one is."""

    def features(self, observation, action, next_observation):
        return next_observation + 10 * action + 100 * observation


def states(count: int = 30) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("posterior", [RidgePosterior(0.3), BayesianPosterior(0.1)])
def test_labels_are_what_they_would_be_online(posterior: Posterior) -> None:
    observation = states()
    reward = (observation @ torch.tensor([1.0, -2.0, 0.0, 0.5])).double()
    found = weights_from_labels(LinearBFM(), posterior, observation, reward)
    belief = posterior.condition_on(posterior.prior(1, 4), observation.unsqueeze(0), reward.unsqueeze(0))
    assert torch.equal(found.weights, posterior.mean(belief)[0])
    torch.testing.assert_close(found.covariance, torch.linalg.inv(belief["precision"][0]))
    assert torch.equal(found.z, LinearBFM().policy_latent(found.weights.float()))
    assert found.weights[1] < -1.5


def test_how_one_came_there_is_told_where_it_matters() -> None:
    observation, reward = states(), torch.ones(30)
    found = weights_from_labels(Walking(), RidgePosterior(), observation, reward, 2 * observation, 3 * observation)
    torch.testing.assert_close(found.features, (1 + 20 + 300) * observation)
    alone = weights_from_labels(Walking(), RidgePosterior(), observation, reward)
    torch.testing.assert_close(alone.features, 101 * observation)
    shown = weights_from_demonstration(Walking(), RidgePosterior(), observation, observation)
    torch.testing.assert_close(shown.features[1:30], 11 * observation[1:] + 100 * observation[:-1])
    torch.testing.assert_close(shown.features[0], 111 * observation[0])


def test_a_goal_is_told_from_where_the_model_has_been() -> None:
    bfm, goal = LinearBFM(), torch.tensor([0.0, 0.0, 0.9, 0.1])
    found = weights_from_goal(bfm, RidgePosterior(0.5), goal)
    elsewhere = bfm.inference_set()["next", "observation"].double()
    moment = 0.5 * torch.eye(4).double() + elsewhere.mT @ elsewhere
    expected = torch.linalg.solve(moment, goal.double())
    torch.testing.assert_close(
        torch.nn.functional.normalize(found.weights, dim=0), torch.nn.functional.normalize(expected, dim=0)
    )
    assert found.rewards.tolist() == [1.0] + [0.0] * 64
    shown = weights_from_demonstration(bfm, RidgePosterior(0.5), goal.unsqueeze(0))
    assert torch.equal(shown.weights, found.weights)
    # And the policy for it goes there.
    action = bfm.act(goal, found.z)
    assert torch.nn.functional.cosine_similarity(action, goal, dim=0) > 0.9


def test_a_demonstration_is_the_mean_of_its_states() -> None:
    bfm, states_shown = LinearBFM(), states(5)
    found = weights_from_demonstration(bfm, RidgePosterior(0.5), states_shown)
    everything = torch.cat([states_shown, bfm.inference_set()["next", "observation"]]).double()
    moment = 0.5 * torch.eye(4).double() + everything.mT @ everything
    torch.testing.assert_close(found.weights, torch.linalg.solve(moment, states_shown.double().sum(0)))


@pytest.mark.parametrize("posterior", [RidgePosterior(), EnsemblePosterior(members=5)])
@pytest.mark.parametrize("kind", ["labels", "goal", "demonstration"])
def test_its_record_replays_to_the_same_bits(posterior: Posterior, kind: str) -> None:
    bfm = LinearBFM()
    found: Inferred = {
        "labels": lambda: weights_from_labels(bfm, posterior, states(), states()[:, 0], seed=3),
        "goal": lambda: weights_from_goal(bfm, posterior, states()[0], seed=3),
        "demonstration": lambda: weights_from_demonstration(bfm, posterior, states(), seed=3),
    }[kind]()
    record = inferred_record(found, bfm, {"labels": "mine"}, "a task", seed=3)
    assert record.facts["kind"] == kind and record.facts["rewards"]["start_from"] == "mine"
    replayed = replay(record, Parts(bfm, posterior, None))
    assert replayed.same and set(replayed.differences) == {"weights", "z"}
    other = inferred_record(found, bfm, {}, None, seed=4)
    if isinstance(posterior, EnsemblePosterior):
        assert replay(other, Parts(bfm, posterior, None)).same


@pytest.mark.parametrize(
    ("observation", "reward", "words"),
    [
        (torch.ones(3, 5), torch.ones(3), r"observations must be \(3, 4\), got \(3, 5\)"),
        (torch.ones(3, 4), torch.ones(2), "reward must be"),
        (torch.ones(0, 4), torch.ones(0), "at least one"),
        (torch.full((3, 4), float("nan")), torch.ones(3), "not finite"),
        (torch.ones(3, 4), torch.tensor([1.0, float("inf"), 0.0]), "not finite"),
    ],
)
def test_labels_that_do_not_fit_are_refused(observation: torch.Tensor, reward: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        weights_from_labels(LinearBFM(), RidgePosterior(), observation, reward)


def test_goals_and_demonstrations_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="must be"):
        weights_from_goal(LinearBFM(), RidgePosterior(), torch.ones(3))
    with pytest.raises(ValueError, match="at least one"):
        weights_from_demonstration(LinearBFM(), RidgePosterior(), torch.ones(0, 4))
    with pytest.raises(ValueError, match="no inference set"):
        weights_from_goal(LinearBFM(labelled=0), RidgePosterior(), torch.ones(4))
