"""Settings of the whole suite."""

from __future__ import annotations

import os

from hypothesis import settings

# Before anything imports dm_control, which warns about GLFW where there is no screen.
os.environ.setdefault("MUJOCO_GL", "disabled")

# Nothing of the suite is kept for another time but where a test says so.
os.environ["BFMKIT_CACHE"] = "off"

# A busy machine is no failure, and the same commit gives the same verdict.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")
