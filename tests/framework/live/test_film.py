from __future__ import annotations

import numpy as np
import pytest

from bfmkit.live.film import Film


def test_frames_are_about_as_many_as_asked_for() -> None:
    film = Film(("a", "b"), (np.zeros((101, 2, 7)), np.arange(51 * 14.0).reshape(51, 2, 7)), 0.025)
    assert film.seconds(20.0) == pytest.approx(0.05)
    frames = film.frames(20.0)
    assert len(frames) == 51 and len(frames[0]) == 2
    # A body whose film is shorter stands still at its end.
    np.testing.assert_array_equal(frames[-1][1], film.poses[1][-1])
    np.testing.assert_array_equal(frames[3][1], film.poses[1][6])
