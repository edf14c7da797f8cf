"""Bodies in the browser: meshes sent once, poses every frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import viser

from bfmkit.interfaces import Appearance, Plane

TINTS = ((86, 130, 190), (214, 122, 60), (96, 160, 110))
"""Of the players, in their order."""
ORACLE_TINT, ORACLE_OPACITY = (150, 150, 150), 0.45
GOAL_TINT = (40, 160, 80)
GRID_CELL = 0.5
GAP = 1.2
"""Metres between bodies side by side, for bodies that move freely."""


class Body:
    """One body of the scene.

    Args:
        server: of the page.
        name: a path in viser's tree of the scene.
        appearance: what it looks like.
        tint: of its moving parts.
        opacity: of all of it.
        offset: where its world lies beside the first one's.
    """

    def __init__(
        self,
        server: viser.ViserServer,
        name: str,
        appearance: Appearance,
        tint: tuple[int, int, int],
        opacity: float = 1.0,
        offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        self.appearance, self.offset = appearance, np.array(offset)
        self._root = server.scene.add_frame(name, show_axes=False)
        self._moving: list[viser.SceneNodeHandle] = []
        for index, part in enumerate(appearance.parts):
            red, green, blue, clear = part.color
            color = tint if part.moves else (int(255 * red), int(255 * green), int(255 * blue))
            seen = (opacity if part.moves else clear * opacity) if min(opacity, clear) < 1.0 else None
            handle = server.scene.add_mesh_simple(
                f"{name}/{index}", part.vertices, part.faces, color=color, opacity=seen, position=tuple(self.offset)
            )
            if part.moves:
                self._moving.append(handle)

    def show(self, poses: np.ndarray, origin: np.ndarray) -> None:  # (parts, 7), (3,)
        """Put the moving parts where they are, seen from ``origin``."""
        places = poses[:, :3] - origin + self.offset
        for handle, place, turn in zip(self._moving, places, poses[:, 3:], strict=True):
            handle.position, handle.wxyz = place, turn

    @property
    def visible(self) -> bool:
        """Whether the body is drawn."""
        return bool(self._root.visible)

    @visible.setter
    def visible(self, value: bool) -> None:
        if self._root.visible != value:
            self._root.visible = value


class Scene:
    """Scene of the first body in the middle, others beside it, and a floor that moves under a body that runs.

    Args:
        server: of the page.
        appearance: of every body.
        names: of the bodies, for their labels; more than one are labelled.
        oracle: whether there is a second, tinted body for the oracle.
    """

    def __init__(
        self, server: viser.ViserServer, appearance: Appearance, names: list[str], oracle: bool = False
    ) -> None:
        self.server, self.appearance = server, appearance
        # Shadows cost a software renderer, and a phone, more than all else.
        server.scene.configure_default_lights(cast_shadow=False)
        self._grid = self._floor()
        self.bodies = [
            Body(server, f"/body/{index}", appearance, TINTS[index % len(TINTS)], offset=self.place(index))
            for index in range(len(names))
        ]
        for index, name in enumerate(names if len(names) > 1 else []):
            x, y, z = self.place(index)
            server.scene.add_label(f"/name/{index}", name, position=(x, y, z + 0.5 * self.appearance.distance))
        self.oracle: Body | None = None
        if oracle:
            self.oracle = Body(
                server,
                "/oracle",
                appearance,
                ORACLE_TINT,
                ORACLE_OPACITY,
                self.place(0 if self.confined else len(names)),
            )
            self.oracle.visible = False
        self._goal: Any = None
        self._belief: Any = None
        self._look()

    @property
    def confined(self) -> bool:
        """Whether bodies stay within the camera's view."""
        return not self.appearance.follows

    def place(self, index: int) -> tuple[float, float, float]:
        """Offset of a body's world from the first body's."""
        if self.confined:
            return (index * 1.2 * self.appearance.floor, 0.0, 0.0)
        return (0.0, index * GAP, 0.0)

    def show(self, poses: list[np.ndarray], oracle: np.ndarray | None = None) -> None:  # (parts, 7) each
        """Draw a frame."""
        origin = np.zeros(3)
        if not self.confined:
            origin[:2] = poses[0][0, :2]
        with self.server.atomic():
            for body, each in zip(self.bodies, poses, strict=True):
                # Each in the middle of its own place: side by side they would soon be out of sight.
                own = origin if self.confined else np.array([*each[0, :2], 0.0])
                body.show(each, own)
            if self.oracle is not None:
                self.oracle.visible = oracle is not None
                if oracle is not None:
                    self.oracle.show(oracle, origin if self.confined else np.array([*oracle[0, :2], 0.0]))
            if not self.confined:
                self._grid.position = (-(origin[0] % GRID_CELL), -(origin[1] % GRID_CELL), 0.0)

    def show_goal(self, target: tuple[float, float, float] | None) -> None:
        """Draw a ball at the goal of a task; nothing for tasks without one."""
        if self._goal is not None:
            self._goal.remove()
            self._goal = None
        if target is not None:
            self._goal = self.server.scene.add_icosphere("/goal", radius=0.02, color=GOAL_TINT, position=target)

    def show_belief(self, plane: Plane, reward: np.ndarray) -> None:  # (rows * columns,)
        """Draw the believed reward as colours on the floor, dark where it is low."""
        import matplotlib

        grid = reward.reshape(plane.rows, plane.columns)
        low, high = np.quantile(grid, [0.02, 0.995])
        scaled = np.clip((grid - low) / max(high - low, 1e-9), 0.0, 1.0)
        image = (255 * matplotlib.colormaps["viridis"](scaled)[..., :3]).astype(np.uint8)[::-1]
        if self._belief is not None:
            self._belief.image = image
            return
        left, right, bottom, top = plane.extent
        self._belief = self.server.scene.add_image(
            "/belief",
            image,
            right - left,
            top - bottom,
            # Images lie with y down; on the floor, y goes up.
            wxyz=(0.0, 1.0, 0.0, 0.0),
            position=((left + right) / 2, (bottom + top) / 2, 0.001),
            cast_shadow=False,
            receive_shadow=False,
        )

    def _floor(self) -> viser.GridHandle:
        side = self.appearance.floor
        cell = GRID_CELL if not self.confined else side / 6
        return self.server.scene.add_grid(
            "/floor", width=side, height=side, cell_size=cell, section_size=4 * cell, section_color=(170, 170, 170)
        )

    def _look(self) -> None:
        x, y, z = self.appearance.center
        distance, camera = self.appearance.distance, self.server.initial_camera
        middle = 0.5 * (len(self.bodies) - 1)
        if self.appearance.from_above:
            x = x + self.place(1)[0] * middle
            camera.position, camera.look_at = (x, y - 0.02, distance * (1 + middle)), (x, y, 0.0)
        else:
            y = self.place(1)[1] * middle
            camera.position = (x + 0.35 * distance, y - 0.95 * distance * (1 + 0.4 * middle), z + 0.3 * distance)
            camera.look_at = (x, y, 0.85 * z)
