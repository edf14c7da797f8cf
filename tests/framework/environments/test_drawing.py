from __future__ import annotations

import numpy as np
import pytest

from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.environments.drawing import SKY, Camera, draw_bodies
from bfmkit.interfaces import Appearance, Part

IDENTITY = (1.0, 0.0, 0.0, 0.0)
RED, BLUE = (1.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)


def cube(side: float) -> tuple[np.ndarray, np.ndarray]:
    from trimesh.creation import box

    mesh = box(extents=[side] * 3)
    return np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)


def two_cubes(from_above: bool = True) -> Appearance:
    parts = (Part(*cube(0.4), RED), Part(*cube(0.4), BLUE))
    return Appearance(parts, (0.0, 0.0, 0.0), 3.0, follows=False, from_above=from_above)


def poses(*places: tuple[float, float, float]) -> np.ndarray:
    return np.array([[[*place, *IDENTITY] for place in places]])


def test_a_camera_projects_as_a_pinhole_does() -> None:
    camera = Camera(np.array([0.0, -4.0, 0.0]), np.zeros(3), 100, 200)
    pixels, depth = camera.project(np.array([[0.0, 0, 0], [1.0, 0, 0], [0, 0, 1.0], [1.0, 4.0, 0]]))
    # Focal length 2 half heights: a metre at 4 m is 2 / 4 of 50 pixels.
    np.testing.assert_allclose(pixels, [[100, 50], [125, 50], [100, 25], [112.5, 50]])
    np.testing.assert_allclose(depth, [4, 4, 4, 8])


def test_the_nearer_body_hides_the_farther() -> None:
    above = draw_bodies(two_cubes(), poses((0, 0, 0), (0, 0, 0.8)), 60, 60)[0, 30, 30]
    below = draw_bodies(two_cubes(), poses((0, 0, 0.8), (0, 0, 0)), 60, 60)[0, 30, 30]
    assert above[2] > 100 > above[0] and below[0] > 100 > below[2]


def test_bodies_are_where_their_poses_are() -> None:
    picture = draw_bodies(two_cubes(), poses((-0.8, 0, 0), (0.8, 0.8, 0)), 90, 90)[0].astype(int)
    red, blue = (picture[..., 0] - picture[..., 2] > 60), (picture[..., 2] - picture[..., 0] > 60)
    assert red[:, :45].sum() == red.sum() > 0  # left
    assert blue[:45, 45:].sum() == blue.sum() > 0  # right, and farther away is up
    assert tuple(picture[80, 80]) == SKY


def test_a_part_turns_about_its_own_origin() -> None:
    long = Part(np.array([[0, 0, 0], [1, 0, 0], [0, 0.1, 0]], np.float32), np.array([[0, 1, 2]], np.int32), RED)
    appearance = Appearance((long,), (0.0, 0.0, 0.0), 3.0, follows=False, from_above=True)
    quarter = np.array([[[0, 0, 0, np.sqrt(0.5), 0, 0, np.sqrt(0.5)]]])  # about z: x becomes y, which is up
    picture = draw_bodies(appearance, quarter, 90, 90)[0].astype(int)
    rows, columns = np.nonzero(picture[..., 0] - picture[..., 2] > 60)
    assert np.ptp(rows) > 3 * np.ptp(columns) and rows.max() <= 46


def test_the_floor_passes_by_a_body_that_runs() -> None:
    part = Part(*cube(0.4), RED)
    appearance = Appearance((part,), (0.0, 0.0, 0.2), 3.0)
    start, later, far = draw_bodies(appearance, np.concatenate([poses((x, 0, 0.2)) for x in (0, 0.3, 1.0)]), 60, 80)
    assert (start != later).any()
    np.testing.assert_array_equal(start, far)  # two tiles on, it looks as before: the camera goes with the body


def test_shadows_lie_below() -> None:
    part = Part(*cube(0.4), RED)
    appearance = Appearance((part,), (0.0, 0.0, 0.5), 3.0)
    low, high = draw_bodies(appearance, np.concatenate([poses((0, 0, z)) for z in (0.2, 1.0)]), 120, 120).astype(int)
    dark = [(picture.max(-1) < 200) & (np.ptp(picture, axis=-1) < 20) for picture in (low, high)]
    assert dark[1].sum() > 50 and dark[0].sum() == 0  # a cube that stands on its shadow hides it


@pytest.mark.parametrize("domain", ["walker", "cheetah", "quadruped", "point_mass_maze", "humanoid"])
def test_our_bodies_are_drawn(domain: str) -> None:
    environment = DMControlEnvironment(domain, reward="1")
    _, physics = environment.reset_batch()
    picture = environment.pictures(physics[:1], 48, 64)
    assert picture.shape == (1, 48, 64, 3) and picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_bad_sizes_and_poses_of_another_body_are_refused() -> None:
    with pytest.raises(ValueError, match="height and width must be positive"):
        draw_bodies(two_cubes(), poses((0, 0, 0), (0, 0, 1)), 0, 10)
    with pytest.raises(ValueError, match=r"\(n, 2, 7\), got \(1, 1, 7\)"):
        draw_bodies(two_cubes(), poses((0, 0, 0)), 10, 10)
