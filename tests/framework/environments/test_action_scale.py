from __future__ import annotations

import numpy as np
import pytest
import torch
from torchrl.data import Binary, Bounded, Categorical, MultiCategorical, MultiOneHot, OneHot, Unbounded

from bfmkit.environments.action_scale import BoundedActions, Choices, space_actions, spec_actions

INF, MOST = np.inf, float(np.finfo(np.float32).max)


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        ([-2.0, 0.0], [2.0, 1.0], ([-2, 0], [2, 1])),
        ([-INF, -INF], [INF, INF], ([-1, -1], [1, 1])),
        ([-0.4, -INF], [0.4, INF], ([-0.4, -1], [0.4, 1])),
        ([0.0, 5.0], [INF, INF], ([0, 5], [2, 7])),
        ([-INF, -INF], [0.0, 5.0], ([-2, 3], [0, 5])),
        ([-MOST, -MOST], [MOST, MOST], ([-1, -1], [1, 1])),
        ([-1e30, -1.0], [1e30, 1.0], ([-1, -1], [1, 1])),
    ],
)
def test_every_number_has_bounds_of_its_own(low: list, high: list, ends: tuple) -> None:
    scale = BoundedActions(np.array(low), np.array(high))
    for action, expected in ((-1.0, ends[0]), (1.0, ends[1]), (0.0, np.mean(ends, axis=0)), (7.0, ends[1])):
        np.testing.assert_allclose(scale.to_own(np.full(2, action)), expected, atol=1e-12)
    own = np.stack([ends[0], ends[1]]).astype(float)
    np.testing.assert_allclose(scale.from_own(own), [[-1, -1], [1, 1]], atol=1e-12)


def test_recorded_actions_that_no_action_gives_are_refused_unless_bounds_cut_them() -> None:
    scale = BoundedActions(np.array([-2.0, -INF]), np.array([2.0, INF]))
    np.testing.assert_allclose(scale.from_own(np.array([[30.0, 0.5]])), [[1.0, 0.5]])
    with pytest.raises(ValueError, match=r"entry 1 of the actions has no two bounds, and is 30 in row 1"):
        scale.from_own(np.array([[0.0, 0.5], [0.0, 30.0]]))


def test_the_largest_number_of_each_choice_is_taken() -> None:
    scale = Choices([3, 4], [-1, 0])
    assert scale.size == 7
    assert scale.to_own(np.array([0.1, -1.0, 0.9, -0.5, -0.4, -0.2, -0.3])).tolist() == [1, 2]
    recorded = np.array([[1, 2], [-1, 0]])
    assert [scale.to_own(row).tolist() for row in scale.from_own(recorded)] == recorded.tolist()
    with pytest.raises(ValueError, match="choices among"):
        scale.from_own(np.array([[2, 0]]))


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        (OneHot(3), (3,)),
        (Categorical(3), (3,)),
        (MultiOneHot([3, 4]), (3, 4)),
        (MultiCategorical([3, 4]), (3, 4)),
        (torch.stack([OneHot(3), OneHot(3)]), (3, 3)),
    ],
)
def test_torchrls_choices(spec: object, counts: tuple) -> None:
    scale = spec_actions(spec, "it")
    assert isinstance(scale, Choices)
    assert scale.counts == counts


def test_what_is_neither_numbers_nor_choices_is_refused() -> None:
    for spec in (Binary(3), Bounded(0, 4, (1,), dtype=torch.int64), Unbounded(2, dtype=torch.int64)):
        with pytest.raises(ValueError, match="actions of it are neither numbers nor choices.*ActionWrapper"):
            spec_actions(spec, "it")
    spaces = pytest.importorskip("gymnasium", reason="an extra: pip install 'bfmkit[gymnasium]'").spaces
    dictionary = spaces.Dict(a=spaces.Discrete(2))
    for space in (spaces.MultiBinary(3), spaces.Box(0, 5, (2,), np.int64), dictionary):
        with pytest.raises(ValueError, match="actions of it are neither numbers nor choices.*ActionWrapper"):
            space_actions(space, "it")
    assert space_actions(spaces.MultiDiscrete([3, 4]), "it").counts == (3, 4)
    assert space_actions(spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])), "it").counts == (2, 3, 4, 5)
    assert space_actions(spaces.Discrete(3, start=-1), "it").starts == (-1,)
    with pytest.raises(ValueError, match="it takes no actions"):
        space_actions(spaces.Box(-1, 1, (0,)), "it")


@pytest.mark.parametrize(("low", "high"), [(1.0, -1.0), (np.nan, 1.0), (0.0, np.nan), (INF, INF), (-INF, -INF)])
def test_bounds_with_nothing_between_them_are_refused(low: float, high: float) -> None:
    spec = Bounded(torch.tensor([-1.0, low]), torch.tensor([1.0, high]))
    with pytest.raises(ValueError, match=f"it: entry 1 of the actions has no number between its bounds {low:g} and"):
        spec_actions(spec, "it")


def test_bounds_that_meet_leave_one_action() -> None:
    scale = BoundedActions(np.array([2.0]), np.array([2.0]))
    assert scale.to_own(np.array([-1.0])) == scale.to_own(np.array([0.7])) == 2.0
    assert scale.from_own(np.array([[2.0]])) == 0.0
