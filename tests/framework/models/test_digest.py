from __future__ import annotations

from typing import Any

import pytest
import torch

from bfmkit.interfaces import BFM
from bfmkit.models.digest import model_digest, tensors_digest
from bfmkit.recipe import build_node
from bfmkit.testing.models import LinearBFM


def test_equal_models_have_one_digest() -> None:
    assert model_digest(LinearBFM()) == model_digest(LinearBFM())
    others = (LinearBFM(dim=5), LinearBFM(labelled=7))
    assert len({model_digest(LinearBFM()), *map(model_digest, others)}) == 3


WALKER = {"type": "checkpoint", "path": "zoo:walker-hilp"}


@pytest.mark.parametrize(
    "node",
    [
        {"type": "whitened", "bfm": {"type": "intercept", "bfm": WALKER}},
        {"type": "principal", "dim": 16, "bfm": WALKER},
        {"type": "nuisance_features", "features": {"type": "fourier", "dim": 20}, "bfm": WALKER},
    ],
    ids=lambda node: node["type"],
)
def test_a_digest_does_not_depend_on_the_number_of_threads(node: dict[str, Any]) -> None:
    before, digests = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            digests.add(model_digest(build_node(BFM, node)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(digests) == 1


def test_names_types_shapes_and_contents_count_but_not_the_order() -> None:
    a, b = torch.arange(4.0), torch.eye(2)
    expected = tensors_digest([("a", a), ("b", b)], "x")
    assert tensors_digest([("b", b.mT.mT), ("a", a.clone())], "x") == expected
    others = [
        tensors_digest([("a", a), ("b", b)]),
        tensors_digest([("b", a), ("a", b)], "x"),
        tensors_digest([("a", a.double()), ("b", b)], "x"),
        tensors_digest([("a", a.reshape(2, 2)), ("b", b)], "x"),
        tensors_digest([("a", a.flip(0)), ("b", b)], "x"),
    ]
    assert len({expected, *others}) == 6
