from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

COMMANDS = """
import contextlib, io, json, sys
from bfmkit.cli import main

loaded = {}
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(words) == 0, words
    loaded[" ".join(words)] = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
print(json.dumps(loaded))
"""

HEAVY = ["torch._dynamo", "sympy", "ray.remote_function", "lightning", "polars", "scipy", "matplotlib", "tensorboard"]


def run(script: str, *words: str, environment: dict[str, str] | None = None) -> str:
    command = [sys.executable, "-c", script, *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_listing_imports_no_torch_and_a_check_no_compiler_trainer_or_cluster() -> None:
    light = [["list"], ["list", "posterior"], ["--help"]]
    words = [
        ["show", "opti_bfm_two_stage"],
        ["show", "pretrain_fb_tiny"],
        ["show", "benchmark_quick"],
        ["show", "collect_tiny"],
    ]
    loaded = json.loads(run(COMMANDS, json.dumps(light), json.dumps(["torch", "numpy", *HEAVY])))
    assert loaded == {" ".join(each): [] for each in light}
    loaded = json.loads(run(COMMANDS, json.dumps(words), json.dumps(HEAVY)))
    assert loaded == {" ".join(each): [] for each in words}


COMPILED = """
import sys
from bfmkit.utils.startup import postpone_imports
postpone_imports()
import tensordict, torchrl.data, torch
from tensordict import TensorDict, base
assert "torch._dynamo" not in sys.modules and "ray.remote_function" not in sys.modules

def never_compiled(x):
    assert not torch.compiler.is_compiling()
    return x * 2

never_compiled = torch.compiler.disable(never_compiled)
assert torch.equal(never_compiled(torch.ones(2)), torch.full((2,), 2.0))
plain = lambda data: data.apply(lambda x: x + 1)["a"] * 3
data = TensorDict(a=torch.arange(3.0))
compiled = torch.compile(plain, fullgraph=True, backend="eager")
assert torch.equal(compiled(data), plain(data))
broken = torch.compile(lambda x: never_compiled(x) + 1, backend="eager")
assert torch.equal(broken(torch.ones(2)), torch.full((2,), 3.0))
from torch._dynamo import trace_rules
assert id(base._foreach_copy_) in trace_rules._allowed_callable_ids.function_ids
assert tensordict.utils._lock_warn._dynamo_marked_constant
assert torch._dynamo is sys.modules["torch._dynamo"]
from torch.compiler import assume_constant_result
assert assume_constant_result.__module__ == "torch.compiler"
from torchrl.data.replay_buffers import ray_buffer
assert ray_buffer.ray.is_initialized() is False and "ray.remote_function" in sys.modules
import ray.util.queue
assert ray is ray_buffer.ray
"""


def test_compiler_and_ray_come_when_asked_for_and_the_compiler_knows_what_it_was_told() -> None:
    pytest.importorskip("ray")
    run(COMPILED)


SUITE = """
import sys
from bfmkit.utils.startup import postpone_imports
postpone_imports()
from dm_control import suite
assert not any(name.startswith("scipy.ndimage.") for name in sys.modules)
from dm_control.suite import quadruped
assert quadruped.ndimage.zoom([0.0, 1.0], 2, order=1).shape == (4,)
assert any(name.startswith("scipy.ndimage.") for name in sys.modules)
from scipy.linalg import solve
import scipy.interpolate
print(solve([[2.0]], [4.0])[0], scipy.interpolate.interp1d([0, 1], [0, 2])(0.5))
"""


WITHOUT_SCREEN = """
import os, sys
import bfmkit
bfmkit.load_agent
from dm_control import suite
print(os.environ.get("MUJOCO_GL"), "glfw" in sys.modules)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a display is looked for on Linux alone")
@pytest.mark.parametrize(("given", "seen"), [({}, "disabled False"), ({"MUJOCO_GL": "glfw"}, "glfw True")])
def test_without_a_screen_none_is_looked_for_unless_the_user_says_so(given: dict, seen: str) -> None:
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | given
    assert run(WITHOUT_SCREEN, environment=environment).strip() == seen


def test_scipy_comes_when_a_domain_uses_it() -> None:
    assert run(SUITE).split() == ["2.0", "1.0"]
