from __future__ import annotations

import pytest

from bfmkit.interfaces import Job
from bfmkit.recipe import RecipeError, load_recipe
from bfmkit.recipe.signature import signature_of
from bfmkit.registry import lookup
from bfmkit.training.pretraining_options import EvaluationOptions, HardwareOptions, OptimizerOptions


@pytest.mark.parametrize(
    ("options", "wrong", "message"),
    [
        (OptimizerOptions, {"learning_rate": 0.0}, "learning_rate must be positive and finite"),
        (OptimizerOptions, {"ema_decay": 1.0}, "ema_decay must lie in"),
        (OptimizerOptions, {"warmup": -1}, "warmup must not be negative"),
        (OptimizerOptions, {"lr_schedule": "linear"}, "lr_schedule must be one of 'constant', 'cosine'"),
        (EvaluationOptions, {"every": 0}, "every must be at least 1"),
        (HardwareOptions, {"updates_per_step": 0}, "updates_per_step must be at least 1"),
        (HardwareOptions, {"cuda_graph": True, "devices": 2}, "cuda_graph works on one device"),
    ],
)
def test_numbers_out_of_range_are_refused(options: type, wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(**wrong)


def test_processes_are_those_of_all_machines() -> None:
    assert HardwareOptions(devices=4, nodes=2).processes == 8


def test_a_recipe_that_leaves_them_out_has_the_defaults() -> None:
    arguments = signature_of(lookup(Job, "pretrain")).arguments
    assert arguments["optimizer"].default == OptimizerOptions()
    assert arguments["evaluation"].default == EvaluationOptions()
    assert arguments["hardware"].default == HardwareOptions()


def test_an_option_outside_its_group_is_answered_with_its_place() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("pretrain_walker", ["learning_rate=0.1", "devices=2"])
    assert 'did you mean "optimizer.learning_rate"?' in str(caught.value)
    assert 'did you mean "hardware.devices"?' in str(caught.value)
