from __future__ import annotations

import numpy as np
import pytest
from dm_control.utils.rewards import tolerance

from bfmkit.components.environments.domains.point_mass_maze import GOALS, PointMassMaze

CORNERS = {"top_left": (-1, 1), "top_right": (1, 1), "bottom_left": (-1, -1), "bottom_right": (1, -1)}


@pytest.fixture
def maze() -> PointMassMaze:
    return PointMassMaze()


@pytest.mark.parametrize("goal", list(CORNERS))
def test_reward_is_as_defined(goal: str) -> None:
    x, y = 0.15 * CORNERS[goal][0], 0.15 * CORNERS[goal][1]
    offsets, first, second = np.meshgrid([0.0, 0.01, 0.015, 0.02, 0.03, 0.2], [-1.0, 0.0, 0.5], [0.0, 1.0])
    quantities = {
        "position_x": x + 0.6 * offsets, "position_y": y - 0.8 * offsets, "control_x": first, "control_y": second,
    }  # fmt: skip
    near = tolerance(offsets, (0, 0.015), 0.015)
    small = (2 - first**2 - second**2) / 2
    np.testing.assert_allclose(PointMassMaze.tasks[f"reach_{goal}"](quantities), near * (small + 4) / 5, atol=1e-9)


def test_starts_at_rest_in_the_top_left_room(maze: PointMassMaze) -> None:
    physics = maze.load()
    starts = []
    for seed in range(50):
        with physics.reset_context():
            maze.initialize(physics, np.random.RandomState(seed))
        starts.append(maze.observe(physics))
    x, y, *velocity = np.array(starts).T
    assert -0.29 <= x.min() < -0.27 and -0.17 < x.max() <= -0.15
    assert 0.15 <= y.min() < 0.17 and 0.27 < y.max() <= 0.29
    assert not np.any(velocity)


@pytest.mark.parametrize(
    ("start", "push", "axis", "limit"),
    [
        ((-0.15, 0.1), (1, 0), 0, -0.03),  # against the upper arm, from the left
        ((0.15, -0.1), (-1, 0), 0, 0.03),  # against the lower arm, from the right
        ((-0.1, 0.15), (0, -1), 1, 0.03),  # against the left arm, from above
        ((0.1, -0.15), (0, 1), 1, -0.03),  # against the right arm, from below
        ((0.0, 0.25), (0, -1), 1, 0.19),  # on the end of the upper arm
        ((0.15, 0.15), (1, 0), 0, 0.29),  # against the outer wall
    ],
)
def test_walls_hold(
    maze: PointMassMaze, start: tuple[float, float], push: tuple[float, float], axis: int, limit: float
) -> None:
    physics = maze.load()
    with physics.reset_context():
        physics.data.qpos[:] = start
    physics.set_control(push)
    physics.step(1000)
    assert physics.data.qpos[axis] == pytest.approx(limit, abs=2e-3)
    assert physics.data.qpos[1 - axis] == pytest.approx(start[1 - axis], abs=2e-3)


@pytest.mark.parametrize("goal", list(GOALS))
def test_every_goal_is_reached_from_the_start_and_pays(maze: PointMassMaze, goal: str) -> None:
    physics = maze.load()
    with physics.reset_context():
        maze.initialize(physics, np.random.RandomState(0))
    across, down = (0.24, 0.24), (-0.24, -0.24)
    ways = {
        "top_left": [],
        "top_right": [(-0.1, 0.24), across],
        "bottom_left": [(-0.24, 0.1), down],
        "bottom_right": [(-0.1, 0.24), across, (0.24, -0.1)],
    }
    way = [*ways[goal], GOALS[goal]]
    rewards = []
    for _ in range(1000):
        if len(way) > 1 and np.linalg.norm(physics.data.qpos - way[0]) < 0.03:
            way.pop(0)
        physics.set_control(np.clip(20 * (np.array(way[0]) - physics.data.qpos) - 2 * physics.data.qvel, -1, 1))
        physics.step()
        quantities = dict(zip(maze.quantity_names, maze.quantities(physics), strict=True))
        rewards.append(maze.tasks[f"reach_{goal}"](quantities))
    assert np.mean(rewards[-100:]) > 0.9


def test_its_plane_covers_the_arena(maze: PointMassMaze) -> None:
    physics = maze.load()
    plane = maze.plane(physics)
    assert plane.physics.shape == plane.observation.shape == (plane.rows * plane.columns, 4)
    places = plane.physics[:, list(plane.coordinates)].numpy()
    assert (np.abs(places) < 0.3).all() and np.abs(places).max() > 0.29
    assert places[0].tolist() == places.min(0).tolist()  # from the bottom left
    assert places[1, 0] > places[0, 0] and places[1, 1] == places[0, 1]
    assert sorted(plane.walls) == [pytest.approx((-0.18, -0.02, 0.36, 0.04)), pytest.approx((-0.02, -0.18, 0.04, 0.36))]
    physics.set_state(plane.physics[77].numpy())
    np.testing.assert_allclose(maze.observe(physics), plane.observation[77], atol=1e-7)
