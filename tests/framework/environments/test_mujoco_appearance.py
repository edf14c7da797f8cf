from __future__ import annotations

import mujoco
import numpy as np
import pytest

from bfmkit.environments.mujoco_appearance import appearance_of, poses_of

WORLD = """
<mujoco>
  <asset><mesh name="wedge" vertex="0 0 0  1 0 0  0 1 0  0 0 1"/></asset>
  <worldbody>
    <geom type="plane" size="1 1 .1"/>
    <geom type="box" size=".1 .2 .3" pos="1 0 0" rgba="1 0 0 1"/>
    <body pos="0 0 1">
      <freejoint/>
      {geoms}
    </body>
  </worldbody>
</mujoco>
"""
EXTENTS = {
    '<geom type="sphere" size=".2"/>': (0.4, 0.4, 0.4),
    '<geom type="capsule" size=".1 .3"/>': (0.2, 0.2, 0.8),
    '<geom type="cylinder" size=".1 .3"/>': (0.2, 0.2, 0.6),
    '<geom type="ellipsoid" size=".1 .2 .3"/>': (0.2, 0.4, 0.6),
    '<geom type="box" size=".1 .2 .3"/>': (0.2, 0.4, 0.6),
    '<geom type="box" size=".1 .2 .3" euler="0 0 90"/>': (0.4, 0.2, 0.6),
}


@pytest.mark.parametrize("geom", EXTENTS)
def test_a_shape_is_as_large_as_mujoco_s(geom: str) -> None:
    appearance = appearance_of(mujoco.MjModel.from_xml_string(WORLD.format(geoms=geom)))
    moving, still = appearance.parts  # the plane is none of them
    np.testing.assert_allclose(np.ptp(moving.vertices, axis=0), EXTENTS[geom], rtol=0.05)
    assert moving.moves and not still.moves and still.color == (1.0, 0.0, 0.0, 1.0)
    np.testing.assert_allclose(still.vertices.mean(0), (1.0, 0.0, 0.0), atol=1e-6)


def test_triangles_face_outwards() -> None:
    geoms = "".join(EXTENTS)
    part = appearance_of(mujoco.MjModel.from_xml_string(WORLD.format(geoms=geoms))).parts[0]
    first, second, third = part.vertices[part.faces].transpose(1, 0, 2).astype(float)
    normals = np.cross(second - first, third - first)
    assert ((normals * (first + second + third)).sum(1) >= -1e-9).all()


def test_a_mesh_is_the_model_s_own() -> None:
    model = mujoco.MjModel.from_xml_string(WORLD.format(geoms='<geom type="mesh" mesh="wedge"/>'))
    part = appearance_of(model).parts[0]
    np.testing.assert_allclose(np.ptp(part.vertices, axis=0), (1, 1, 1), atol=1e-5)
    assert len(part.faces) == 4


def test_poses_follow_the_joints() -> None:
    model = mujoco.MjModel.from_xml_string(WORLD.format(geoms='<geom type="sphere" size=".2"/>'))
    turned = np.sqrt(0.5)
    poses = poses_of(model, np.array([[1.0, 2.0, 3.0, turned, 0, 0, turned]]))
    np.testing.assert_allclose(poses, [[[1, 2, 3, turned, 0, 0, turned]]])


def test_a_height_field_is_left_out() -> None:
    field = """<mujoco><asset><hfield name="h" nrow="2" ncol="2" size="1 1 1 .1"/></asset><worldbody>
      <geom type="hfield" hfield="h"/><body><freejoint/><geom size=".1"/></body></worldbody></mujoco>"""
    parts = appearance_of(mujoco.MjModel.from_xml_string(field)).parts
    assert [part.moves for part in parts] == [True]
    np.testing.assert_allclose(np.ptp(parts[0].vertices, axis=0), 0.2, atol=0.01)
