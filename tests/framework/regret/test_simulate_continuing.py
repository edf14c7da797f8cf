from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.schedules.determinant import DeterminantSchedule
from bfmkit.inference.confidence_radius import SelfNormalizedRadius
from bfmkit.interfaces import AcquisitionContext, CandidateSampler, ScheduleState
from bfmkit.regret.continuing_bound import ContinuingBound
from bfmkit.regret.simulate_continuing import CONTINUING_RULES, ContinuingRuns, _Table, simulate_continuing
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.tabular.stationary_pool import StationaryPool

MDP = MDPLayout("random", size=8, dim=2, actions=3, branching=2, slip=0.2).build()
DIRECTIONS = torch.stack([torch.tensor([math.cos(a), math.sin(a)]).double() for a in np.arange(6) * math.pi / 3])
POOL = StationaryPool.solve(MDP, DIRECTIONS)
BOUND = ContinuingBound(2, 10.0, 0.7, 0.05, 2.0, POOL.feature_span, float(POOL.value_span(0.7 * DIRECTIONS).max()))
GRID = np.array([10, 100, 2000])


def play(rule: str, error: float = 0.0, seeds: range = range(4), grid: np.ndarray = GRID) -> ContinuingRuns:
    weights = (0.7 * DIRECTIONS[torch.arange(seeds.start, seeds.stop) % 6]).numpy()
    signs = np.where(np.arange(8) % 2, 1.0, -1.0)
    return simulate_continuing(MDP, POOL, CONTINUING_RULES[rule], BOUND, weights, error * signs, seeds, grid)


def test_optimism_stays_under_the_bound_and_changes_as_rarely_as_it_says() -> None:
    runs = play("determinant")
    assert (runs.closest <= 1).all() and runs.inside.all()
    assert (runs.choices <= BOUND.choices(GRID[-1:])).all()
    # What it loses after a hundred steps is less than a tenth of what chance does.
    chance = play("random")
    assert (runs.losses[:, 2] - runs.losses[:, 1]).mean() < 0.1 * (chance.losses[:, 2] - chance.losses[:, 1]).mean()


def test_a_run_alone_is_the_same_as_among_others() -> None:
    for rule in ("determinant", "thompson", "each_step"):
        together, alone = play(rule), play(rule, seeds=range(2, 3))
        np.testing.assert_allclose(together.regret[2], alone.regret[0], rtol=1e-9)
        assert together.choices[2] == alone.choices[0]


@pytest.mark.parametrize("rule", ["determinant", "random"])
def test_losses_are_the_regret_without_what_averages_out(rule: str) -> None:
    runs = play(rule, seeds=range(200))
    difference = (runs.regret - runs.losses)[:, 2]
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(200) + BOUND.value_span
    assert runs.losses[:, 2].std() < runs.regret[:, 2].std()


def test_the_loss_of_a_policy_is_what_its_average_lacks() -> None:
    table = _Table(MDP, POOL, CONTINUING_RULES["greedy"], BOUND, (0.7 * DIRECTIONS).numpy(), np.linspace(-1, 1, 8))
    values = (
        POOL.gains.numpy() @ (0.7 * DIRECTIONS).numpy().T + (POOL.occupancy.numpy() @ np.linspace(-1, 1, 8))[:, None]
    )
    for policy, (actions, occupancy) in enumerate(zip(POOL.actions.numpy(), POOL.occupancy.numpy(), strict=True)):
        lost = table.losses[:, np.arange(8), actions]
        np.testing.assert_allclose(lost @ occupancy, values.max(0) - values[policy], atol=1e-12)
        np.testing.assert_allclose(lost[values.argmax(0) == policy], 0.0, atol=1e-12)


@pytest.mark.parametrize("rule", ["determinant", "determinant_growing", "thompson", "greedy"])
def test_a_block_is_the_same_as_its_steps(rule: str) -> None:
    draw = np.random.default_rng(0)
    uniform, noise, direction = draw.random((4, 700)), draw.standard_normal((4, 700)), draw.standard_normal((4, 700, 2))
    whole, single = (
        _Table(MDP, POOL, CONTINUING_RULES[rule], BOUND, (0.7 * DIRECTIONS[:4]).numpy(), np.zeros(8)) for _ in range(2)
    )
    steps = [single.play(t, uniform[:, t : t + 1], noise[:, t : t + 1], direction[:, t : t + 1]) for t in range(700)]
    np.testing.assert_allclose(whole.play(0, uniform, noise, direction), np.concatenate(steps, -1), rtol=1e-12)
    assert (whole.choices == single.choices).all() and (whole.choices > 5).all()
    np.testing.assert_allclose(whole.threshold, single.threshold, rtol=1e-9)
    np.testing.assert_allclose(whole.sums, single.sums, rtol=1e-9)


class Directions(CandidateSampler):
    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (0,)

    def draw(self, context: AcquisitionContext) -> Tensor:
        return DIRECTIONS.expand(len(context.weights), -1, -1)


def test_the_registered_rules_choose_as_the_study_does() -> None:
    weights = (0.7 * DIRECTIONS[:4]).numpy()
    table = _Table(MDP, POOL, CONTINUING_RULES["determinant"], BOUND, weights, np.zeros(8))
    radius = SelfNormalizedRadius(delta=BOUND.delta / 3, noise_bound=1.0, weight_norm=BOUND.weight_norm)
    acquisition, schedule = UCBAcquisition(Directions(), radius), DeterminantSchedule(BOUND.factor)
    posterior, draw, rows = RidgePosterior(regularization=BOUND.regularization), np.random.default_rng(0), range(4)
    averages: Any = SimpleNamespace(
        policy_latent=lambda w: w, candidate_successor_features=lambda _, z: POOL.gains[:, None].expand(len(z), 6, 1, 2)
    )
    belief, at_choice, nothing = posterior.prior(4, 2), torch.full((4,), -math.inf).double(), torch.zeros(4, 1)
    zeros = torch.zeros(4, dtype=torch.int64)
    for step in range(600):
        information = posterior.log_determinant(belief)
        due = schedule.due(ScheduleState(zeros + step, zeros, information - at_choice))
        at_choice, before = torch.where(due, information, at_choice), table.choices.copy()
        chosen = acquisition.propose(
            AcquisitionContext(posterior, belief, averages, nothing.double(), torch.zeros(4, 2), nothing[:, :0], zeros)
        )
        noise = draw.standard_normal(4)
        table.play(step, draw.random((4, 1)), noise[:, None], np.zeros((4, 1, 2)))
        assert (table.choices > before).tolist() == due.tolist()
        assert torch.equal(DIRECTIONS[table.policy][due], chosen[due])
        reward = torch.from_numpy(table.rewards[rows, table.state] + noise)
        belief = posterior.update(belief, MDP.features[table.state], reward, torch.ones(4, dtype=torch.bool))
    assert (table.choices > 5).all() and len(set(table.policy.tolist())) > 1


def test_errors_of_the_model_are_part_of_what_is_best() -> None:
    weights, errors = (0.7 * DIRECTIONS[:1]).numpy(), np.linspace(-1, 1, 8)
    table = _Table(MDP, POOL, CONTINUING_RULES["greedy"], BOUND, weights, errors)
    values = POOL.occupancy.numpy() @ (MDP.features.numpy() @ weights[0] + errors)
    np.testing.assert_allclose(table.best, [values.max()])


@pytest.mark.parametrize("rule", ["determinant", "determinant_growing"])
def test_with_an_error_only_the_grown_radius_keeps_its_promise(rule: str) -> None:
    large = ContinuingBound(*[getattr(BOUND, name) for name in list(BOUND.__dataclass_fields__)[:-1]], 0.5)
    weights = (0.7 * DIRECTIONS[:3]).numpy()
    signs = np.where(MDP.features.numpy()[:, 0] > 0, 0.5, -0.5)
    runs = simulate_continuing(MDP, POOL, CONTINUING_RULES[rule], large, weights, signs, range(3), np.array([20_000]))
    assert runs.inside.all() == (rule == "determinant_growing")
    assert (runs.closest <= 1).all()
