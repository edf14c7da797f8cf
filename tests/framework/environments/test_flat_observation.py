from __future__ import annotations

import numpy as np
import pytest
import torch
from torchrl.data import Categorical, Composite, OneHot, Unbounded

from bfmkit.environments.adapted import adapted_spec
from bfmkit.environments.flat_observation import flat_space, flat_spec
from bfmkit.rewards.expression import parse_reward

spaces = pytest.importorskip("gymnasium", reason="an extra: pip install 'bfmkit[gymnasium]'").spaces


def box(*shape: int, dtype: type = np.float32) -> object:
    return spaces.Box(-9, 9, shape, dtype)


def test_entries_are_sorted_by_name_whatever_order_a_dictionary_has() -> None:
    from collections import OrderedDict

    swapped = spaces.Dict(OrderedDict(velocity=box(2), position=box(2), count=box(dtype=np.int64)))
    layout = flat_space(swapped, None, "it")
    assert layout.names == ("count", "position_0", "position_1", "velocity_0", "velocity_1")
    value = {"velocity": np.full((3, 2), 2.0), "position": np.full((3, 2), 1.0), "count": np.full(3, 7)}
    assert layout.flat(value).tolist() == [[7, 1, 1, 2, 2]] * 3
    spec = Composite(velocity=Unbounded(2), position=Unbounded(2), count=Unbounded((), dtype=torch.int64))
    assert flat_spec(spec, None, "it").names == layout.names


def test_nested_entries_tuples_and_choices_have_names() -> None:
    space = spaces.Dict(
        arm=spaces.Dict(angle=box(1), held=spaces.MultiBinary(2)), way=spaces.Discrete(3, start=-1),
        pair=spaces.Tuple([box(), spaces.Discrete(2)]),
    )  # fmt: skip
    layout = flat_space(space, None, "it")
    assert layout.names == (
        "arm_angle", "arm_held_0", "arm_held_1", "pair_0", "pair_1_0", "pair_1_1", "way_0", "way_1", "way_2",
    )  # fmt: skip
    value = {
        "arm": {"angle": np.array([[5.0]]), "held": np.array([[0, 1]])},
        "pair": (np.array([4.0]), np.array([1])), "way": np.array([-1]),
    }  # fmt: skip
    assert layout.flat(value).tolist() == [[5, 0, 1, 4, 0, 1, 1, 0, 0]]
    spec = Composite(way=Categorical(3), held=OneHot(2))
    assert flat_spec(spec, None, "it").names == ("held_0", "held_1", "way_0", "way_1", "way_2")


@pytest.mark.parametrize(
    ("key", "size", "name"),
    [
        ("action", 2, "observation_action_0"),  # action_0 is the action's
        ("action_0", 1, "observation_action_0"),
        ("own_reward", 1, "observation_own_reward"),
        ("2nd", 1, "observation_2nd"),
        ("é", 1, "observation__"),
        ("if", 1, "if_0"),
        ("step", 1, "step_0"),
        ("abs", 1, "abs_0"),
        ("left-arm", 1, "left_arm"),
        ("actions", 1, "actions"),
    ],
)
def test_every_name_can_stand_in_a_typed_reward_and_means_one_thing(key: str, size: int, name: str) -> None:
    layout = flat_space(spaces.Dict({key: box(size)}), None, "it")
    assert layout.names[0] == name
    spec = adapted_spec("it", layout.names, 2, 9)
    assert len(set(spec.quantities)) == len(spec.quantities)
    assert parse_reward(f"2 * {name}", spec.quantities)({**dict.fromkeys(spec.quantities, 0.0), name: 3.0}) == 6.0


def test_a_single_observation_is_numbered() -> None:
    assert flat_space(box(2), None, "it").names == ("observation_0", "observation_1")
    assert flat_space(box(), None, "it").names == ("observation_0",)
    assert flat_spec(Composite(observation=Unbounded(1)), None, "it").names == ("observation_0",)


def test_keys_choose_entries_and_their_order() -> None:
    space = spaces.Dict(a=box(1), inner=spaces.Dict(b=box(1), c=box(1)), text=spaces.Text(9))
    assert flat_space(space, ["inner.c", "a"], "it").names == ("inner_c", "a")
    assert flat_space(space, ["inner", "a"], "it").names == ("inner_b", "inner_c", "a")
    with pytest.raises(ValueError, match=r'it observes no "inner.d"; did you mean "inner.c"'):
        flat_space(space, ["inner.d"], "it")


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"a": box(1), "mission": spaces.Text(9)}, r"mission is of kind Text; observation_keys takes others \(a\)"),
        ({"image": spaces.Box(0, 255, (7, 7, 3), np.uint8)}, r"image is pixels \(7, 7, 3\), which need an encoder"),
        ({"a": spaces.Sequence(box(1))}, "a is of kind Sequence"),
        ({"a": box(2), "a_0": box(1)}, "more than one number called a_0"),
        ({}, "observes nothing"),
        ({"a": box(0)}, "observes nothing"),
    ],
)
def test_what_is_no_fixed_number_of_numbers_is_refused_by_name(space: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        flat_space(spaces.Dict(space), None, "it")


def test_values_of_another_shape_are_refused_by_name() -> None:
    layout = flat_space(spaces.Dict(place=box(2)), None, "it")
    with pytest.raises(ValueError, match=r"place must be \(2,\), got \(3,\)"):
        layout.flat({"place": np.zeros((4, 3))})
    with pytest.raises(ValueError, match="no entry place"):
        layout.flat({"speed": np.zeros((4, 2))})
