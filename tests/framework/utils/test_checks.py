from __future__ import annotations

import pytest

from bfmkit.utils.checks import require_positive


def test_takes_what_is_positive_and_nothing() -> None:
    require_positive(one=1, small=1e-300, nothing=None)


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_names_the_first_that_is_not(value: float) -> None:
    with pytest.raises(ValueError, match=f"radius must be positive and finite, got {value}"):
        require_positive(count=1, radius=value, other=-3)
