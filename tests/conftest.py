"""Settings of the whole suite."""

from __future__ import annotations

import os

# Before anything imports dm_control, which warns about GLFW where there is no screen.
os.environ.setdefault("MUJOCO_GL", "disabled")
