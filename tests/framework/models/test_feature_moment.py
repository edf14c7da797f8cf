from __future__ import annotations

import pytest
import torch

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.models.feature_moment import feature_moment
from bfmkit.testing.models import LinearBFM


def test_is_the_models_own_where_it_knows_one() -> None:
    bfm = checkpoint("zoo:walker-hilp")
    torch.testing.assert_close(feature_moment(bfm), bfm.feature_second_moment().double(), rtol=0, atol=0)


def test_is_that_of_the_inference_set_where_it_knows_none() -> None:
    following = LinearBFM().inference_set()["next", "observation"].double()
    torch.testing.assert_close(feature_moment(LinearBFM()), following.mT @ following / len(following))


def test_refuses_a_model_that_knows_none_and_brings_no_transitions() -> None:
    with pytest.raises(ValueError, match="LinearBFM knows no second moment"):
        feature_moment(LinearBFM(labelled=0))
