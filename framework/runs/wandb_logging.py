"""Weights & Biases, beside TensorBoard: what is logged to one goes to the other. Needs the extra ``wandb``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any


@contextmanager
def wandb_session(out: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Send to Weights & Biases whatever is written for TensorBoard in the block.

    W&B's own variables are heeded: ``WANDB_MODE=offline`` writes to ``out/wandb`` and needs no account;
    ``WANDB_PROJECT`` is the project (``bfmkit``).

    Args:
        out: the run directory; its name is the run's.
        config: the resolved recipe.

    Raises:
        ModuleNotFoundError: if W&B is not installed.
    """
    wandb: Any = import_module("wandb")
    wandb.tensorboard.patch(root_logdir=str(out / "tensorboard"))
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "bfmkit"),
        name=out.name,
        dir=out,
        config=dict(config),
        # A run that goes on is the same run.
        id=_identity(out),
        resume="allow",
        settings=wandb.Settings(silent=True, console="off"),
    )
    failed = True
    try:
        yield
        failed = False
    finally:
        run.finish(exit_code=int(failed))
        wandb.tensorboard.unpatch()


def _identity(out: Path) -> str:
    """A name for the run that the next process finds again."""
    file = out / "wandb.id"
    if not file.is_file():
        import secrets

        file.write_text(secrets.token_hex(8), encoding="utf-8")
    return file.read_text(encoding="utf-8").strip()
