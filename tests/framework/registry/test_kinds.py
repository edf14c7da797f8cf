from __future__ import annotations

import subprocess
import sys

from bfmkit.registry.kinds import KINDS


def test_a_kind_and_its_interface_agree() -> None:
    for name, kind in KINDS.items():
        interface = kind.interface()
        assert (interface.kind, interface.folder) == (name, kind.folder)
        assert interface.__abstractmethods__, f"{name} has something to implement"


def test_kinds_are_known_without_torch() -> None:
    code = "import sys, bfmkit.registry.kinds; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
