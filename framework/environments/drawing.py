"""Pictures of bodies, drawn on the CPU from their meshes; no GL library, no screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial import ConvexHull, QhullError

from bfmkit.interfaces import Appearance, Part

SUPERSAMPLING = 2
"""Pixels drawn for each pixel of the picture along each side, against jagged edges."""
FOCAL_LENGTH = 2.0
"""In units of half the picture's height."""
NEAR = 0.05
"""Metres before the camera within which nothing is drawn."""
TILE = 0.5
"""Side of a floor tile, metres; the floor shows how fast a body moves."""
TILES = 24
"""Tiles along each side of the floor, around the body."""
SKY, TILE_COLORS, SHADOW = (246, 248, 250), ((226, 230, 234), (214, 219, 224)), (178, 184, 190)
LIGHT = np.array([0.35, -0.6, 0.72])
"""Direction that light comes from."""
AMBIENT = 0.45
"""Share of the light that comes from everywhere."""


@dataclass(frozen=True)
class Camera:
    """Perspective camera."""

    position: np.ndarray  # (3,), metres
    look_at: np.ndarray  # (3,), what is in the middle of the picture
    height: int  # pixels
    width: int  # pixels

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (n, 3) -> (n, 2), (n,)
        """Pixel coordinates from the upper left, and depths in metres."""
        forward = self.look_at - self.position
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        x, y, depth = ((points - self.position) @ np.stack([right, np.cross(right, forward), forward], axis=1)).T
        scale = 0.5 * self.height * FOCAL_LENGTH / np.maximum(depth, NEAR)
        return np.stack([0.5 * self.width + scale * x, 0.5 * self.height - scale * y], axis=1), depth


def draw_bodies(
    appearance: Appearance,
    poses: np.ndarray,  # (n, moving parts, 7)
    height: int,
    width: int,
) -> np.ndarray:  # (n, height, width, 3) uint8
    """Pictures of poses: flat-shaded triangles, painted from the farthest on, with a tiled floor and shadows.

    The camera stands where the live page's does, and goes with the body if ``appearance.follows``.

    Args:
        appearance: of the body.
        poses: as :meth:`~bfmkit.interfaces.Environment.poses` gives them.
        height: of a picture, pixels.
        width: of a picture, pixels.

    Raises:
        ValueError: if sizes are not positive, or the poses are those of another body.

    Example:
        ``draw_bodies(env.appearance(), env.poses(physics), 240, 320)``
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be positive, got {height} and {width}")
    if poses.ndim != 3 or poses.shape[1:] != (appearance.moving, 7):
        raise ValueError(f"poses must be (n, {appearance.moving}, 7), got {poses.shape}")
    pictures = np.empty((len(poses), height, width, 3), np.uint8)
    size = (height * SUPERSAMPLING, width * SUPERSAMPLING)
    for picture, pose in zip(pictures, poses, strict=True):
        camera = _camera(appearance, pose, *size)
        image = Image.new("RGB", size[::-1], SKY)
        canvas = ImageDraw.Draw(image)
        if not appearance.from_above:
            _draw_floor(canvas, camera)
        _draw_parts(canvas, camera, appearance, pose)
        picture[:] = np.asarray(image.reduce(SUPERSAMPLING))
    return pictures


def _camera(appearance: Appearance, pose: np.ndarray, height: int, width: int) -> Camera:
    x, y, z = appearance.center
    distance = appearance.distance
    if appearance.from_above:
        return Camera(np.array([x, y - 0.02, distance]), np.array([x, y, 0.0]), height, width)
    if appearance.follows:
        x, y = pose[0, :2]
    position = np.array([x + 0.35 * distance, y - 0.95 * distance, z + 0.3 * distance])
    return Camera(position, np.array([x, y, 0.85 * z]), height, width)


def _draw_floor(canvas: ImageDraw.ImageDraw, camera: Camera) -> None:
    """Draw floor tiles around the point that the camera looks at; they are fixed in the world."""
    middle = np.floor(camera.look_at[:2] / TILE).astype(int)
    steps = np.arange(-TILES // 2, TILES // 2)
    column, row = (grid.ravel() for grid in np.meshgrid(middle[0] + steps, middle[1] + steps))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    points = np.zeros((len(column), 4, 3))
    points[..., :2] = TILE * (np.stack([column, row], axis=-1)[:, None] + corners)
    pixels, depth = camera.project(points.reshape(-1, 3))
    seen = (depth.reshape(-1, 4) > NEAR).all(1)
    for polygon, dark in zip(pixels.reshape(-1, 8)[seen], ((column + row) % 2)[seen], strict=True):
        canvas.polygon(polygon.tolist(), fill=TILE_COLORS[dark])


def _draw_parts(canvas: ImageDraw.ImageDraw, camera: Camera, appearance: Appearance, pose: np.ndarray) -> None:
    places = iter(pose)
    triangles, colors = [], []
    for part in appearance.parts:
        vertices = _placed(part, next(places)) if part.moves else part.vertices.astype(float)
        if part.moves and not appearance.from_above:
            _draw_shadow(canvas, camera, vertices)
        triangles.append(vertices[part.faces])  # (m, 3, 3)
        colors.append(np.broadcast_to(np.array(part.color[:3]) * 255.0, (len(part.faces), 3)))
    _draw_triangles(canvas, camera, np.concatenate(triangles), np.concatenate(colors))


def _placed(part: Part, pose: np.ndarray) -> np.ndarray:  # (7,) -> (n, 3)
    """Vertices in world coordinates."""
    w, axis = pose[3], pose[4:]
    turned = np.cross(axis, part.vertices)
    return np.asarray(part.vertices + 2.0 * (w * turned + np.cross(axis, turned)) + pose[:3])


def _draw_shadow(canvas: ImageDraw.ImageDraw, camera: Camera, vertices: np.ndarray) -> None:
    """Draw the outline of a part on the floor, lit from straight above."""
    flat = vertices * [1.0, 1.0, 0.0]
    try:
        outline = flat[ConvexHull(flat[:, :2]).vertices]
    except QhullError:  # a part without extent on the floor
        return
    pixels, depth = camera.project(outline)
    if (depth > NEAR).all():
        canvas.polygon(pixels.ravel().tolist(), fill=SHADOW)


def _draw_triangles(
    canvas: ImageDraw.ImageDraw,
    camera: Camera,
    triangles: np.ndarray,  # (m, 3, 3)
    colors: np.ndarray,  # (m, 3)
) -> None:
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    middles = triangles.mean(1)
    pixels, depth = camera.project(triangles.reshape(-1, 3))
    pixels, depth = pixels.reshape(-1, 6), depth.reshape(-1, 3)
    # What turns its back, or lies behind the camera, is not seen.
    seen = ((normals * (middles - camera.position)).sum(1) < 0) & (depth > NEAR).all(1)
    light = AMBIENT + (1 - AMBIENT) * np.clip(normals @ (LIGHT / np.linalg.norm(LIGHT)), 0.0, 1.0)
    shaded = np.clip(colors * (0.25 + light[:, None]), 0, 255).astype(int)
    for index in np.flatnonzero(seen)[np.argsort(-depth[seen].mean(1), kind="stable")]:
        canvas.polygon(pixels[index].tolist(), fill=tuple(shaded[index].tolist()))
