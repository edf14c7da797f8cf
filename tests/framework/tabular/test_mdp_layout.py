from __future__ import annotations

from typing import Any

import pytest
import torch

from bfmkit.tabular.mdp_layout import MDPLayout


@pytest.mark.parametrize("layout", ["random", "chain", "grid"])
@pytest.mark.parametrize("slip", [0.0, 0.3, 1.0])
def test_same_words_same_mdp(layout: Any, slip: float) -> None:
    one, again = (MDPLayout(layout, size=4, slip=slip, dim=3, seed=5).build() for _ in range(2))
    for name in ("transitions", "features", "start"):
        assert torch.equal(getattr(one, name), getattr(again, name))
        assert getattr(one, name).dtype == torch.float64
    assert list(one.tasks) == list(again.tasks)


def test_random_actions_lead_to_few_states() -> None:
    mdp = MDPLayout("random", size=20, actions=5, branching=3).build()
    assert mdp.transitions.shape == (20, 5, 20)
    assert ((mdp.transitions > 0).sum(-1) == 3).all()
    assert not torch.equal(mdp.transitions, MDPLayout("random", size=20, actions=5, seed=1).build().transitions)


def test_chain_goes_back_and_forth() -> None:
    mdp = MDPLayout("chain", size=4).build()
    following = mdp.transitions.argmax(-1)
    assert following.tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]
    assert mdp.start.tolist() == [1, 0, 0, 0]


def test_grid_has_walls_around_it() -> None:
    mdp = MDPLayout("grid", size=3).build()
    following = mdp.transitions.argmax(-1)
    assert following[4].tolist() == [7, 1, 5, 3, 4]  # from the middle: x + 1, x - 1, y + 1, y - 1, stay
    assert following[0].tolist() == [3, 0, 1, 0, 0]
    assert following[8].tolist() == [8, 5, 8, 7, 8]


def test_slipping_takes_any_action() -> None:
    sure, slippery = (MDPLayout("chain", size=3, slip=slip).build().transitions for slip in (0.0, 0.2))
    assert sure[1, 1].tolist() == [0, 0, 1]
    torch.testing.assert_close(slippery[1, 1], torch.tensor([0.1, 0.0, 0.9], dtype=torch.float64))


def test_random_features_and_tasks_have_length_one() -> None:
    mdp = MDPLayout("grid", size=3, dim=4).build()
    assert mdp.features.shape == (9, 4)
    for vectors in (mdp.features, torch.stack(list(mdp.tasks.values()))):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(vectors), dtype=torch.float64))


def test_one_hot_features_have_a_task_for_each_state() -> None:
    mdp = MDPLayout("chain", size=3).build()
    assert torch.equal(mdp.features, torch.eye(3, dtype=torch.float64))
    assert torch.equal(mdp.tasks["state_2"], mdp.features[2])
    assert "random_7" in mdp.tasks


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layout": "maze"}, "'random', 'chain', 'grid'"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"dim": 0}, "dim must be at least 1"),
        ({"slip": 1.5}, "slip must lie in"),
        ({"size": 2, "branching": 3}, "more than the 2 states"),
    ],
)
def test_words_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MDPLayout(**({"layout": "random", "size": 5} | wrong))
