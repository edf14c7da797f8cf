from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from bfmkit.inference.fallback import Fallback

STEPS = 100


def live(
    fallback: Fallback, episodes: int, improved: Callable[[int], float], inferred: float = 1.0, expected: int = STEPS
) -> list[float]:
    """Returns of so many episodes in which each step earns what its policy does."""
    state, returns = fallback.blank(1, expected), []
    for episode in range(episodes):
        fallback.begin_episode(state, torch.tensor([True]))
        total = 0.0
        for _ in range(STEPS):
            reward = improved(episode) if state["improves"].item() else inferred
            total += reward
            fallback.count(state, torch.tensor([reward], dtype=torch.float64), torch.tensor([True]))
        returns.append(total)
    return returns


@pytest.mark.parametrize("inferred", [1.0, -1.0])
def test_a_policy_that_earns_nothing_costs_no_more_than_the_tolerance(inferred: float) -> None:
    fallback = Fallback(tolerance=0.02, warmup=3, check_every=5)
    returns = live(fallback, 50, lambda _: inferred - 1.0, inferred)
    lost = 50 * STEPS * inferred - sum(returns)
    # Five steps may pass before each look.
    assert 0 < lost <= 0.02 * 50 * STEPS + 5


def test_a_better_policy_acts_from_the_end_of_the_warm_up_on() -> None:
    returns = live(Fallback(warmup=3, recheck=5), 27, lambda _: 1.5)
    assert returns == [100.0] * 3 + [150.0] * 5 + [100.0] + [150.0] * 10 + [100.0] + [150.0] * 7


def test_a_policy_once_found_worse_is_compared_as_often_as_at_first() -> None:
    def trials_of(bad: range) -> str:
        returns = live(Fallback(warmup=3, recheck=5, check_every=5), 60, lambda each: 0.5 if each in bad else 1.5)
        return "".join("-" if total == pytest.approx(100.0) else "+" for total in returns)

    # The bad episodes begin in a pause of twenty, the longest so far: right after its first one, and late in it.
    assert trials_of(range(20, 24)) == "---+++++-++++++++++-" + "+++--" + "+++++-++++++++++-" + "+" * 18
    late = trials_of(range(30, 34))
    assert late.startswith("---+++++-++++++++++-" + "+" * 12)
    assert late.rstrip("+").endswith("--" + "+++++-++++++++++-"), late


def test_a_policy_that_was_bad_is_tried_again_and_kept_once_it_is_good() -> None:
    returns = live(Fallback(warmup=3, recheck=100, check_every=10), 40, lambda episode: 0.5 if episode < 15 else 1.2)
    assert returns[-10:] == [pytest.approx(120.0)] * 10
    assert min(returns) > 80


def test_a_policy_that_turns_bad_is_taken_back_within_the_episode() -> None:
    returns = live(Fallback(warmup=3, recheck=100, check_every=5), 20, lambda episode: 1.2 if episode < 12 else 0.0)
    assert returns[11] == pytest.approx(120.0)
    # Gains of earlier episodes are no licence to lose.
    assert returns[12] > 60


def test_gains_pay_for_one_bad_episode_and_a_loss_without_them_is_waited_for() -> None:
    def falls_once(episode: int) -> float:
        return 0.0 if episode == 25 else 1.2

    def starts_badly(episode: int) -> float:
        return 0.0 if episode == 3 else 1.2

    returns = live(Fallback(tolerance=0.02, warmup=3, recheck=100, check_every=5), 40, falls_once)
    # Half a return is what 26 episodes allow.
    assert returns[25] == 45.0 and returns[26:] == [pytest.approx(120.0)] * 14
    # Five steps are the first look. Their loss is paid for by what later episodes allow.
    returns = live(Fallback(tolerance=0.001, warmup=3, recheck=100, check_every=5), 70, starts_badly)
    assert returns[3] == 95.0 and returns[4:40] == [100.0] * 36 and returns[-1] == pytest.approx(120.0)


def test_a_body_that_is_left_on_the_floor_costs_the_whole_episode_and_two_of_waiting() -> None:
    fallback, everyone = Fallback(tolerance=0.1, warmup=1, check_every=5), torch.tensor([True])
    state, improved = fallback.blank(1, STEPS), []
    for episode in range(12):
        fallback.begin_episode(state, everyone)
        improved.append(state["improves"].item())
        if episode == 2:
            assert (state["deficit"].item(), state["wait"].item()) == (STEPS, 2)
        for _ in range(STEPS):
            reward = 0.0 if episode == 1 else 1.0
            fallback.count(state, torch.tensor([reward], dtype=torch.float64), everyone)
    # A tenth of ten episodes pays for the one that was lost.
    assert improved == [False, True, *[False] * 7, True, True, True]


def test_runs_decide_for_themselves() -> None:
    fallback = Fallback(warmup=1, check_every=10)
    state = fallback.blank(2, 20)
    everyone = torch.tensor([True, True])
    for _ in range(6):
        fallback.begin_episode(state, everyone)
        for _ in range(20):
            reward = torch.where(state["improves"], torch.tensor([2.0, 0.5]).double(), 1.0)
            fallback.count(state, reward, everyone)
    fallback.begin_episode(state, everyone)
    assert state["improves"].tolist() == [True, False]


@pytest.mark.parametrize(
    "arguments", [{"tolerance": 0.0}, {"warmup": 0}, {"window": 0}, {"recheck": 0}, {"check_every": 0}]
)
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Fallback(**arguments)


@pytest.mark.parametrize("expected", [5, 40, 95])
def test_episodes_may_be_longer_than_those_of_the_model(expected: int) -> None:
    fallback = Fallback(warmup=3, recheck=5, check_every=10)
    longer = live(fallback, 12, lambda episode: 1.5 if episode < 7 else 0.0, expected=expected)
    assert longer == live(fallback, 12, lambda episode: 1.5 if episode < 7 else 0.0)
    assert longer[3:7] == [150.0] * 4
