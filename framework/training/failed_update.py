"""File of an update whose loss was not finite."""

from __future__ import annotations

import io
import pickle
import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.utils.files import write_atomically


@dataclass(frozen=True)
class FailedUpdate:
    """All that an update is a function of."""

    number: int  # of the update
    batch: TensorDictBase  # the transitions, batch (N,)
    weights: dict[str, Tensor]  # of the objective, before the update
    generators: dict[str, Any]  # states before the losses were computed
    precision: str  # of the products
    objective: dict[str, Any]  # the node that builds the objective
    spec: dict[str, Any]  # of the data

    def save(self, folder: Path) -> Path:
        """Write ``failed_update_NUMBER.pt``, which is read without pickle."""
        content, plain = io.BytesIO(), {each.name: getattr(self, each.name) for each in fields(self)}
        torch.save({**plain, "batch": self.batch.to_dict(), "weights": dict(self.weights)}, content)
        file = folder / f"failed_update_{self.number}.pt"
        write_atomically(file, content.getvalue())
        return file

    @classmethod
    def load(cls, file: Path) -> FailedUpdate:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: if the file is something else.
        """
        try:
            plain = torch.load(file, map_location="cpu", weights_only=True)
            batch = plain.pop("batch")
            return cls(batch=TensorDict(batch, [len(batch["action"])]), **plain)
        except (
            pickle.UnpicklingError,
            RuntimeError,
            TypeError,
            LookupError,
            AttributeError,
            EOFError,
            OSError,
        ) as error:
            raise ValueError(f"{file} is no saved update: {error}") from error

    @staticmethod
    def command(file: Path) -> str:
        """What to type to make the update again."""
        return shlex.join(["bfmkit", "run", "replay_update", f"file={file}"])
