from __future__ import annotations

import subprocess
import sys

import pytest

gymnasium = pytest.importorskip("gymnasium", reason="an extra: pip install 'bfmkit[gymnasium]'")


from bfmkit.components.environments.dm_control import DMControlEnvironment  # noqa: E402
from bfmkit.environments.gymnasium_registration import TASKS  # noqa: E402


def test_every_body_and_task_has_a_name() -> None:
    for domain, tasks in TASKS.items():
        assert DMControlEnvironment(domain, reward="step").spec.tasks == tasks
        for task in tasks:
            assert f"bfmkit/{domain}-{task}-v0".replace("_", "-") in gymnasium.registry


@pytest.mark.parametrize("first", ["bfmkit, gymnasium", "gymnasium, bfmkit"])
def test_names_are_known_whichever_is_imported_first_and_nothing_heavy_is(first: str) -> None:
    names = "assert 'bfmkit/walker-run-v0' in gymnasium.registry and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", f"import sys, {first}; {names}"], check=True)
