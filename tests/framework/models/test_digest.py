from __future__ import annotations

import torch

from bfmkit.models.digest import model_digest, tensors_digest
from bfmkit.testing.models import LinearBFM


def test_equal_models_have_one_digest() -> None:
    assert model_digest(LinearBFM()) == model_digest(LinearBFM())
    others = (LinearBFM(dim=5), LinearBFM(labelled=7))
    assert len({model_digest(LinearBFM()), *map(model_digest, others)}) == 3


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
