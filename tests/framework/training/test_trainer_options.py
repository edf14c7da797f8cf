from __future__ import annotations

import lightning
import pytest
from lightning.pytorch.callbacks import EarlyStopping, Timer

from bfmkit.training.trainer_options import OWN_OPTION, LightningClass, require_trainer_arguments

CALLBACKS = "lightning.pytorch.callbacks"


def test_a_class_is_found_by_name_and_by_path() -> None:
    made = LightningClass("EarlyStopping", {"monitor": "loss"}).build(CALLBACKS, lightning.Callback)
    assert isinstance(made, EarlyStopping) and made.monitor == "loss"
    by_path = LightningClass("lightning.pytorch.callbacks.timer.Timer").build(CALLBACKS, lightning.Callback)
    assert isinstance(by_path, Timer)


@pytest.mark.parametrize(
    ("path", "arguments", "said"),
    [
        ("EarlyStoping", {}, "has no class EarlyStoping; did you mean .EarlyStopping"),
        ("nowhere.Callback", {}, "No module named 'nowhere'"),
        ("torch.nn.Linear", {}, "torch.nn.Linear is no Callback of Lightning"),
        ("EarlyStopping", {}, "EarlyStopping: .*monitor"),
    ],
)
def test_whatever_is_no_callback_is_refused(path: str, arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LightningClass(path, arguments).build(CALLBACKS, lightning.Callback)


def test_arguments_of_the_trainer_are_known() -> None:
    require_trainer_arguments({"gradient_clip_val": 1.0, "max_time": "00:00:01:00", "profiler": "simple"})
    with pytest.raises(ValueError, match="has no argument max_tim; did you mean .max_time"):
        require_trainer_arguments({"max_tim": 1})


@pytest.mark.parametrize("name", OWN_OPTION)
def test_what_the_recipe_says_is_not_said_twice(name: str) -> None:
    with pytest.raises(ValueError, match=rf"trainer\.{name} is set by the recipe: "):
        require_trainer_arguments({name: 1})
