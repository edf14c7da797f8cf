"""How a training state comes to be a file."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO


class StateFile(TorchCheckpointIO):
    """Writes states where they are asked for, and nowhere else on the way.

    Lightning's own way goes through the system's folder for temporary files, which may be on a smaller disk than the
    run.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write one, and wait until the disk has it.

        Raises:
            OSError: if there is no room; part of the file may be there.
        """
        # In memory first: where a file breaks off, torch complains of positions in it, and not of the disk.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with Path(path).open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
