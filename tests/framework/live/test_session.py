from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bfmkit.components.agents.fixed import FixedAgent
from bfmkit.components.agents.oracle import OracleAgent
from bfmkit.components.agents.task_inference import TaskInferenceAgent
from bfmkit.interfaces import Agent, Environment
from bfmkit.live.player import Player
from bfmkit.live.session import OWN, LiveSession
from bfmkit.recipe import build_node
from bfmkit.runs.record import Record
from bfmkit.runs.replay import Parts, replay
from bfmkit.testing.models import BallEnvironment, LinearBFM

NODE = {
    "type": "task_inference",
    "posterior": {"type": "ridge"},
    "acquisition": {"type": "ucb", "candidates": {"type": "ellipsoid", "count": 8}},
    "schedule": {"type": "every", "steps": 3},
    "update_every": 3,
}


def player(environment: Environment, name: str = "first", node: dict | None = None) -> Player:
    agent: Agent = build_node(Agent, node or NODE)
    return Player(name, agent, LinearBFM(), environment, 3, {"agent": node or NODE})


def session(tmp_path: Path, oracle: bool = True, **options: object) -> LiveSession:
    environment = BallEnvironment(tasks=["task_1"])
    known = Player("oracle", OracleAgent(), LinearBFM(), environment.with_tasks(["task_1"]), 3) if oracle else None
    return LiveSession([player(environment, **options)], tmp_path, known)  # type: ignore[arg-type]


def run(live: LiveSession, steps: int) -> None:
    for _ in range(steps):
        live.advance()


def replayed(path: Path, live: LiveSession) -> bool:
    agent = live.players[0].agent
    assert isinstance(agent, TaskInferenceAgent)
    return replay(Record.load(path), Parts(LinearBFM(), agent.posterior, agent.acquisition)).same


def test_episodes_follow_each_other_beside_the_oracles(tmp_path: Path) -> None:
    live = session(tmp_path)
    run(live, 45)
    first = live.players[0]
    assert (first.episode, first.step, len(first.returns)) == (3, 5, 2)
    assert live.labels == [45] and len(live.moments) == 10  # ten seconds, and a step takes one
    # In this world the best return is one a step.
    assert live.oracle_return == pytest.approx(20.0, rel=0.05)
    assert first.returns[-1] == pytest.approx(20.0, rel=0.1)
    assert live.moments[-1].given == pytest.approx(live.moments[-1].predicted, abs=0.1)
    assert [width > 0 for width in live.widths()] == [True]


def test_a_person_teaches_with_presses(tmp_path: Path) -> None:
    live = session(tmp_path)
    live.set_task(OWN, keep_belief=False)
    assert (live.is_own and not live.press(1.0)) or live.steps == 0
    run(live, 4)
    assert live.labels == [0] and all(math.isnan(each.given) for each in live.moments)
    before = live.players[0].mean()
    assert live.press(1.0)
    run(live, 1)
    assert live.labels == [1] and live.moments[-1].given == 1.0
    after = live.players[0].mean()
    assert before is not None and after is not None and not torch.equal(before, after)
    live.hold(-0.5)
    run(live, 3)
    assert (live.labels == [4] and live.moments[-1].given == -0.5) or live.moments[-2].given == -0.5
    live.hold(0.0)
    run(live, 3)
    assert live.labels == [4] and live.oracle_return is None
    saved = live.save()
    assert saved.record.name == "taught-seed-3.safetensors" and replayed(saved.record, live)


def test_what_a_person_presses_is_what_the_agent_is_labelled_with(tmp_path: Path) -> None:
    live = session(tmp_path, oracle=False)
    live.set_task(OWN, keep_belief=True)
    seen: list[Tensor] = []
    for _ in range(6):
        live.advance()
        seen.append(live.players[0].observation[0].double())
    live.press(1.0)  # between 0.2 and 1 seconds ago is the last step here
    posterior = live.players[0].agent.posterior  # type: ignore[attr-defined]
    expected = posterior.condition_on(posterior.prior(1, 4), seen[-1].reshape(1, 1, 4), torch.ones(1, 1))
    torch.testing.assert_close(live.players[0].mean(), expected["mean"][0], rtol=1e-5, atol=1e-7)


def test_what_is_forgotten_is_not_labelled(tmp_path: Path) -> None:
    live = session(tmp_path, oracle=False)
    live.set_task(OWN, keep_belief=True)
    run(live, 4)
    live.set_task(OWN, keep_belief=False)
    assert not live.press(1.0) and live.presses == 0
    run(live, 1)
    assert live.press(1.0) and live.presses == 1


def test_clips_are_compared(tmp_path: Path) -> None:
    node = {**NODE, "posterior": {"type": "preference"}}
    live = session(tmp_path, node=node)
    assert live.compares and not live.compare(True)
    run(live, 4)
    assert live.labels == [0] and not live.press(1.0)
    assert live.compare(later_is_better=True)
    run(live, 3)
    assert live.labels == [1]
    assert replayed(live.save().record, live)


def test_the_task_changes_where_the_body_is(tmp_path: Path) -> None:
    live = session(tmp_path)
    run(live, 7)
    place = live.players[0].physics.clone()
    live.set_task("2 * x_0 - x_1", keep_belief=True)
    assert torch.equal(live.players[0].physics, place) and live.labels == [7]
    run(live, 1)
    assert (live.players[0].step, live.labels) == (8, [8])
    reward = float(live.players[0].physics[0] @ torch.tensor([2.0, -1.0, 0.0, 0.0]).double())
    assert live.moments[-1].given == pytest.approx(reward, abs=1e-5)
    live.set_task("task_2", keep_belief=False)
    assert live.labels == [0] and live.players[0].mean().abs().max() == 0  # type: ignore[union-attr]
    run(live, 25)
    assert live.oracle_return == pytest.approx(20.0, rel=0.05)
    assert replayed(live.save().record, live)


def test_a_reward_that_is_none_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    live = session(tmp_path)
    assert 'did you mean "task_1"?' in live.check_task("task1")
    assert "column 5" in live.check_task("x_0 @ 2") and live.check_task("abs(x_0)") == ""
    with pytest.raises(ValueError, match="column"):
        live.set_task("x_0 +", keep_belief=False)
    assert live.task == "task_1"
    assert set(live.quantities()) == {"x_0", "x_1", "x_2", "x_3"}


def test_rules_are_changed_and_recorded(tmp_path: Path) -> None:
    live = session(tmp_path)
    run(live, 5)
    live.set_rules("thompson", every=2)
    assert replayed(live.save().record, live)  # not taken up yet
    run(live, 4)
    path = live.save().record
    assert Record.load(path).facts["agent"]["acquisition"] == {"type": "thompson"} and replayed(path, live)
    live.set_rules("ucb", radius=0.3)
    run(live, 2)
    assert replayed(live.save().record, live)
    assert [saved.name for saved in sorted((tmp_path / "records").glob("*.safetensors"))] == [
        f"task_1-seed-3{end}.safetensors" for end in ("-2", "-3", "")
    ]
    with pytest.raises(ValueError, match="radius"):
        live.set_rules("ucb", radius=-1.0)
    assert live.players[0].agent.acquisition.confidence_radius == 0.3  # type: ignore[attr-defined]


def test_two_agents_have_two_beliefs(tmp_path: Path) -> None:
    environment = BallEnvironment(tasks=["task_0"])
    greedy = {**NODE, "acquisition": {"type": "thompson"}}
    players = [player(environment), player(environment.with_tasks(["task_0"]), "second", greedy)]
    live = LiveSession(players, tmp_path)
    run(live, 4)
    assert live.labels == [4, 4]
    assert not torch.equal(players[0].mean(), players[1].mean())  # type: ignore[arg-type]
    live.set_task(OWN, keep_belief=False)
    run(live, 2)
    live.press(-1.0)
    assert live.labels == [1, 1]
    assert len(live.save_all()) == 2


class Diverging(BallEnvironment):
    """Whose sixth observation is none."""

    def step_batch(self, action: Tensor):  # type: ignore[no-untyped-def]
        outcome = super().step_batch(action)
        self.taken = getattr(self, "taken", 0) + 1
        return outcome._replace(observation=outcome.observation * torch.nan) if self.taken == 6 else outcome

    def with_tasks(self, tasks):  # type: ignore[no-untyped-def]
        return Diverging(tasks=tasks)


def test_a_body_that_diverges_begins_anew_and_the_belief_stays(tmp_path: Path) -> None:
    live = LiveSession([player(Diverging(tasks=["task_1"]))], tmp_path)
    run(live, 9)
    assert "not finite; a new episode begins" in live.message
    assert (live.players[0].episode, live.players[0].step) == (2, 3)
    assert live.labels == [8]
    assert replayed(live.save().record, live)


def test_agents_without_a_belief_can_be_watched_but_not_taught(tmp_path: Path) -> None:
    live = session(tmp_path)
    run(live, 3)
    fixed = FixedAgent(live.save().record)
    watched = LiveSession([Player("fixed", fixed, LinearBFM(), BallEnvironment(tasks=["task_0"]), 0)], tmp_path)
    run(watched, 3)
    assert not watched.press(1.0) and watched.save_all() == [] and math.isnan(watched.widths()[0])
    with pytest.raises(ValueError, match="no rules"):
        watched.set_rules("greedy")
    with pytest.raises(ValueError, match="at least one agent"):
        LiveSession([], tmp_path)


def test_says_what_is_believed(tmp_path: Path) -> None:
    live = session(tmp_path)
    assert live.explanation() == "No label yet, so nothing is believed."
    run(live, 9)
    assert "9 rewards in 9 steps of acting" in live.explanation()


def test_an_agent_that_fine_tunes_is_watched_and_its_rules_stay(tmp_path: Path) -> None:
    node = {"type": "fine_tuning", "base": NODE, "improver": {"type": "gpi"}}
    live = session(tmp_path, oracle=False, node=node)
    run(live, 5)
    assert live.steps == 5 and live.labels == [5]
    with pytest.raises(ValueError, match="fine-tunes"):
        live.set_rules(acquisition="greedy")


def test_a_press_is_not_for_who_compares_beside(tmp_path: Path) -> None:
    comparing = {**NODE, "posterior": {"type": "preference"}}
    environment = BallEnvironment(tasks=["task_1"])
    live = LiveSession([player(environment), player(BallEnvironment(tasks=["task_1"]), "second", comparing)], tmp_path)
    live.set_task(OWN, keep_belief=False)
    run(live, 5)
    assert live.press(1.0)
    run(live, 3)
    assert live.labels[0] > 0 and live.labels[1] == 0
