"""Each way in which a model is broken on purpose is flagged by the measures that are there for it, and by no other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bfmkit.evaluation.diagnostics.measure import bad_names
from bfmkit.evaluation.diagnostics.offline import offline_measures


def first_only(x: torch.Tensor) -> torch.Tensor:
    """All features the same: one if the first was, half as much otherwise."""
    return 0.5 + 0.5 * x[..., :1].expand_as(x)


@pytest.mark.parametrize(
    ("fault", "bad"),
    [
        ({}, set()),
        ({"psi": lambda psi: 2 * psi}, {"implied_reward_scale"}),
        ({"psi": lambda psi: 0.2 * psi}, {"implied_reward_scale", "bellman_error"}),
        ({"psi": torch.zeros_like}, {"implied_reward_scale", "bellman_error"}),
        ({"phi": first_only, "psi": first_only}, {"effective_rank", "condition_number", "reward_fit_random_0"}),
    ],
    ids=["nothing", "psi twice too large", "psi too small", "psi zero", "features collapsed"],
)
def test_a_fault_is_flagged(broken: type, fault: dict[str, Any], bad: set[str]) -> None:
    bfm = broken(**fault)
    data = torch.cat([bfm.inference_set()] * 4)
    rewards = {"random_0": data["next", "observation"].double() @ bfm.mdp.tasks["random_0"]}
    measures = offline_measures(bfm, data, rewards)
    assert bad <= set(bad_names(measures))
    if not fault:
        values = {measure.name: measure.value for measure in measures}
        visits = torch.bincount(data["next", "physics"].squeeze(-1).long()) / len(data)
        assert values["effective_rank"] == pytest.approx(float(torch.special.entr(visits).sum().exp()), rel=1e-5)
        assert values["condition_number"] == pytest.approx(float(visits.max() / visits.min()), rel=1e-5)
        assert values["reward_fit_random_0"] == pytest.approx(1, abs=1e-6)
    if "phi" not in fault:
        assert set(bad_names(measures)) <= bad


def test_every_measure_says_what_a_bad_value_means(broken: type) -> None:
    bfm = broken()
    for measure in offline_measures(bfm, bfm.inference_set(), {}):
        assert measure.meaning.endswith(".") and len(measure.meaning) > 40
        assert measure.expected or "no range" in measure.meaning
