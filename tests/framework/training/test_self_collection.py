from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from bfmkit.interfaces import StepResult
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.training.self_collection import LATENT_TRANSITIONS, LatentPolicyActor, SelfCollection, SelfCollector


class Objective:
    """Policies of a ball, with z made of the given states."""

    def __init__(self) -> None:
        self.bfm = LinearBFM(dim=4)

    def latents(self, following: Tensor) -> Tensor:
        return self.bfm.policy_latent(following)


def following(count: int) -> Tensor:
    return torch.eye(4)[torch.arange(count) % 4]


def test_a_round_is_whole_episodes_of_the_policies() -> None:
    self_collection = SelfCollection(BallEnvironment(tasks=["task_0"]), rows=3, hold=100, noise=0.0)
    block = SelfCollector(self_collection, Objective(), seed=0).round(1, following)
    steps = self_collection.environment.spec.episode_steps
    assert len(block) == self_collection.block == 3 * steps
    episodes = block.reshape(3, steps)
    # π_z goes to z / ‖z‖, and the ball is wherever it was told to go.
    torch.testing.assert_close(episodes["action"], torch.eye(4)[:3].unsqueeze(1).expand(3, steps, 4))
    torch.testing.assert_close(episodes["next", "observation"][:, :-1], episodes["observation"][:, 1:])
    assert episodes["next", "truncated"][:, -1].all()


def test_z_is_held_and_then_changed() -> None:
    self_collection = SelfCollection(BallEnvironment(tasks=["task_0"]), hold=3, noise=0.0)
    asked = []

    def states(count: int) -> Tensor:
        asked.append(count)
        return torch.eye(4)[[len(asked) % 4] * count]

    actor = LatentPolicyActor(Objective(), self_collection, states)
    chosen = [actor.act(torch.zeros(2, 4))[0].argmax().item() for _ in range(7)]
    assert chosen == [1, 1, 1, 2, 2, 2, 3]
    assert asked == [LATENT_TRANSITIONS] * 3


def test_noise_is_added_and_actions_stay_in_range() -> None:
    self_collection = SelfCollection(BallEnvironment(tasks=["task_0"]), hold=100, noise=0.5)
    torch.manual_seed(0)
    actor = LatentPolicyActor(Objective(), self_collection, following)
    actions = torch.stack([actor.act(torch.zeros(4, 4)) for _ in range(200)])
    assert actions.max() == 1
    # Away from the limits the noise is whole: the entries that the policy leaves at zero.
    assert actions[:, 0, 1].std() == pytest.approx(0.5, rel=0.2)


def test_rounds_differ_and_one_that_diverges_is_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = BallEnvironment(tasks=["task_0"])
    seeds: list[tuple[int, ...]] = []
    advance, seed = BallEnvironment.step_batch, BallEnvironment.seed

    def diverging(self: BallEnvironment, action: Tensor, rows: Tensor | None = None) -> StepResult:
        outcome = advance(self, action, rows)
        return outcome._replace(observation=outcome.observation * torch.nan) if len(seeds) == 1 else outcome

    def recording(self: BallEnvironment, given: list[int], episode: int = 0) -> None:
        seeds.append(tuple(given))
        seed(self, given, episode)

    monkeypatch.setattr(BallEnvironment, "step_batch", diverging)
    monkeypatch.setattr(BallEnvironment, "seed", recording)
    ground = SelfCollector(SelfCollection(environment, rows=2), Objective(), seed=1)
    seeds.clear()
    assert ground.round(1, following)["observation"].isfinite().all()
    ground.round(2, following)
    assert len(seeds) == len(set(seeds)) == 3


def test_gives_up_where_every_round_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = SimpleNamespace(bfm=LinearBFM(dim=4), latents=lambda states: states * torch.nan)
    monkeypatch.setattr(BallEnvironment, "_require_finite", lambda *_: None, raising=False)
    advance = BallEnvironment.step_batch

    def diverging(self: BallEnvironment, action: Tensor, rows: Tensor | None = None) -> StepResult:
        outcome = advance(self, torch.zeros_like(action), rows)
        return outcome._replace(physics=outcome.physics * torch.inf + torch.inf)

    monkeypatch.setattr(BallEnvironment, "step_batch", diverging)
    ground = SelfCollector(SelfCollection(BallEnvironment(tasks=["task_0"])), nothing, seed=0)
    with pytest.raises(FloatingPointError, match="10 rounds"):
        ground.round(1, following)


@pytest.mark.parametrize("wrong", [{"every": 0}, {"rows": 0}, {"hold": -1}, {"noise": -0.1}])
def test_refuses_numbers_that_make_no_sense(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SelfCollection(BallEnvironment(tasks=["task_0"]), **wrong)
