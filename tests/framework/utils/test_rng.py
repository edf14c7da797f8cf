from __future__ import annotations

import pytest

from bfmkit.utils.rng import generator, normal_noise


@pytest.mark.parametrize("seed", [0, -5, 2**64 + 7])
@pytest.mark.parametrize("step", [0, 999, 2**70])
def test_rows_are_what_a_generator_of_their_own_gives(seed: int, step: int) -> None:
    rows = normal_noise([seed, 4], "stream", [step, 2], (7,)).numpy()
    own = generator(seed, "stream", step).standard_normal(7), generator(4, "stream", 2).standard_normal(7)
    assert (rows == own).all()
