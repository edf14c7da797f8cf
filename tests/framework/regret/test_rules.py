from __future__ import annotations

from bfmkit.components.schedules.determinant import DeterminantSchedule
from bfmkit.components.schedules.every import EverySchedule
from bfmkit.regret.bound import RegretBound
from bfmkit.regret.rules import RULES


def test_the_theorem_is_about_the_optimistic_rules_that_keep_a_policy_for_an_episode() -> None:
    assert [name for name, rule in RULES.items() if rule.is_covered] == ["ucb", "rarely_switching", "ucb_returns"]
    assert [name for name, rule in RULES.items() if not rule.learns] == ["random"]


def test_only_rarely_switching_waits_for_the_determinant() -> None:
    bound = RegretBound(
        dim=3, horizon=5, discount=0.9, regularization=1.0, weight_norm=1.0, delta=0.1, factor=2.0, returns_only=False
    )
    made = {name: rule.build_schedule(bound) for name, rule in RULES.items()}
    assert isinstance(made["rarely_switching"], DeterminantSchedule) and made["rarely_switching"].factor == 2.0
    assert all(isinstance(schedule, EverySchedule) for name, schedule in made.items() if name != "rarely_switching")
