"""Meshes and poses of a MuJoCo model, for viewers."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from bfmkit.interfaces import Appearance, Part

DRAWN_GROUPS = 3
"""Geometries of higher groups are those that only collide."""
_TYPES = mujoco.mjtGeom
LEFT_OUT = {int(_TYPES.mjGEOM_PLANE), int(_TYPES.mjGEOM_HFIELD), int(_TYPES.mjGEOM_SDF)}
"""Types of geometries that are not drawn: the ground, of which viewers have one of their own, and what has no mesh."""
ROUND = 16
"""Corners of a round outline."""


def appearance_of(model: Any) -> Appearance:
    """Appearance of a MuJoCo model: one part for each colour of each body, moving parts first."""
    moving: list[Part] = []
    still: list[Part] = []
    for body in range(model.nbody):
        moves = bool(model.body_weldid[body] != 0)
        for color, geoms in _by_color(model, body).items():
            part = _merged(model, body if moves else None, geoms, color)
            (moving if moves else still).append(part)
    parts, data = (*moving, *still), mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    if model.jnt_limited.all():  # a body that cannot leave its place is looked at from above
        extent = float(model.stat.extent)
        return Appearance(parts, (0.0, 0.0, 0.0), 1.4 * extent, follows=False, from_above=True, floor=0.6)
    bodies = data.xpos[model.body_weldid != 0]
    middle = 0.5 * (bodies.min(0) + bodies.max(0))
    radius = float(np.linalg.norm(bodies - middle, axis=-1).max())
    return Appearance(parts, (float(middle[0]), float(middle[1]), float(middle[2])), max(5.0 * radius, 3.0))


def poses_of(model: Any, positions: np.ndarray) -> np.ndarray:  # (n, q) -> (n, moving parts, 7)
    """Poses of the moving parts for these joint positions."""
    data = mujoco.MjData(model)
    parts = [body for body in range(model.nbody) if model.body_weldid[body] != 0 for _ in _by_color(model, body)]
    poses = np.empty((len(positions), len(parts), 7))
    for frame, joints in zip(poses, positions, strict=True):
        data.qpos[:] = joints
        mujoco.mj_kinematics(model, data)
        frame[:, :3], frame[:, 3:] = data.xpos[parts], data.xquat[parts]
    return poses


def _by_color(model: Any, body: int) -> dict[tuple[float, float, float, float], list[int]]:
    """Drawn geometries of a body, by colour."""
    found: dict[tuple[float, float, float, float], list[int]] = {}
    first = int(model.body_geomadr[body])
    for geom in range(first, first + int(model.body_geomnum[body])):
        if int(model.geom_type[geom]) not in LEFT_OUT and model.geom_group[geom] < DRAWN_GROUPS:
            found.setdefault(_color(model, geom), []).append(geom)
    return found


def _color(model: Any, geom: int) -> tuple[float, float, float, float]:
    """Mean colour of a geometry's material and texture."""
    material = int(model.geom_matid[geom])
    if material < 0:
        red, green, blue, opacity = (float(round(value, 4)) for value in model.geom_rgba[geom])
        return red, green, blue, opacity
    red, green, blue, opacity = (float(value) for value in model.mat_rgba[material])
    texture = int(model.mat_texid[material, int(mujoco.mjtTextureRole.mjTEXROLE_RGB)])
    if texture >= 0:
        size = int(model.tex_height[texture] * model.tex_width[texture] * model.tex_nchannel[texture])
        start = int(model.tex_adr[texture])
        pixels = model.tex_data[start : start + size].reshape(-1, int(model.tex_nchannel[texture]))
        tint = pixels[:, :3].mean(0) / 255.0
        red, green, blue = red * tint[0], green * tint[1], blue * tint[2]
    return (round(float(red), 4), round(float(green), 4), round(float(blue), 4), round(opacity, 4))


def _merged(model: Any, body: int | None, geoms: list[int], color: tuple[float, float, float, float]) -> Part:
    """Mesh of several geometries, in the frame of the body, or of the world for a body that does not move."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    vertices, faces, count = [], [], 0
    for geom in geoms:
        corners, triangles = _mesh(model, geom)
        if body is None:
            rotation, position = data.geom_xmat[geom].reshape(3, 3), data.geom_xpos[geom]
        else:
            rotation = np.empty(9)
            mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
            rotation, position = rotation.reshape(3, 3), model.geom_pos[geom]
        vertices.append(corners @ rotation.T + position)
        faces.append(triangles + count)
        count += len(corners)
    merged = np.concatenate(vertices).astype(np.float32), np.concatenate(faces).astype(np.int32)
    return Part(*merged, color, moves=body is not None)


def _mesh(model: Any, geom: int) -> tuple[np.ndarray, np.ndarray]:  # (n, 3), (m, 3)
    """Vertices and triangles of a geometry, in its own frame."""
    # Imported here: nobody needs it to run a task.
    from trimesh import creation

    size = model.geom_size[geom]
    match model.geom_type[geom]:
        case _TYPES.mjGEOM_SPHERE:
            mesh = creation.icosphere(radius=size[0], subdivisions=2)
        case _TYPES.mjGEOM_ELLIPSOID:
            mesh = creation.icosphere(subdivisions=2).apply_scale(size)
        case _TYPES.mjGEOM_CAPSULE:
            mesh = creation.capsule(radius=size[0], height=2 * size[1], count=[ROUND, ROUND])
        case _TYPES.mjGEOM_CYLINDER:
            mesh = creation.cylinder(radius=size[0], height=2 * size[1], sections=ROUND)
        case _TYPES.mjGEOM_BOX:
            mesh = creation.box(extents=2 * size)
        case _:
            return _stored_mesh(model, int(model.geom_dataid[geom]))
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def _stored_mesh(model: Any, mesh: int) -> tuple[np.ndarray, np.ndarray]:
    first, face = int(model.mesh_vertadr[mesh]), int(model.mesh_faceadr[mesh])
    vertices = model.mesh_vert[first : first + int(model.mesh_vertnum[mesh])]
    return vertices, model.mesh_face[face : face + int(model.mesh_facenum[mesh])]
