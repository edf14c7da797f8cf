from __future__ import annotations

import inspect
import pickle
from importlib import import_module
from pathlib import Path

import pytest

import bfmkit
from bfmkit.utils.errors import FAILED, REFUSED, BfmkitError, CommandError, JobError, RefusedError


@pytest.mark.parametrize(("error", "code"), [(JobError, FAILED), (CommandError, REFUSED), (RefusedError, REFUSED)])
def test_an_error_knows_its_exit_code_also_from_another_process(error: type[BfmkitError], code: int) -> None:
    made = pickle.loads(pickle.dumps(error("why")))
    assert (type(made), str(made), made.exit_code) == (error, "why", code)


def test_every_error_of_the_framework_has_an_exit_code() -> None:
    """The command line knows none of them by name."""
    root = Path(bfmkit.__file__).parent
    for path in root.rglob("*.py"):
        if "Error(" not in path.read_text(encoding="utf-8") or path.name == "__main__.py":
            continue
        module = import_module(
            ".".join(["bfmkit", *path.relative_to(root).with_suffix("").parts]).removesuffix(".__init__")
        )
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if name.endswith("Error") and cls.__module__ == module.__name__:
                assert issubclass(cls, BfmkitError), f"{module.__name__}.{name}"
