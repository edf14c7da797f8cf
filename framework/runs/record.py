"""Inference records: the origin of inferred weights, in a file of its own.

A record is one safetensors file. Its header holds a JSON text with all that is said in words (`bfmkit explain` prints
it); the tensors are the weights, and what the belief was made of:

    weights             (d,)    float64, the belief's mean
    covariance          (d, d)  float64, of the belief
    start_features      (m, d)  of labelled transitions taken in at once, before the first step
    start_rewards       (m,)
    features            (n, d)  of the rewards taken in while acting, as the posterior was given them
    rewards             (n,)
    steps               (n,)    at which step of the run each came
    ends                (k,)    after which steps the belief took in all since the last time; missing: after each
    late_features       (l, d)  float64, of the labels given to `label` after the step, in their order
    late_rewards        (l,)
    late_weights        (l,)
    late_steps          (l,)    how many steps the run had taken when each came
    chosen_weights      (d,)    what the run last acted for, with its ``z`` (d,), and what the acquisition saw then:
    choice_observation  (o,)
    choice_previous     (d,)    the weights chosen before

Features are stored, and not the observations that they were computed from, though these are often shorter: a network's
output depends in its last digit on how many rows it worked on, and a belief then follows from its record without the
model. Steps without a reward take no room.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from bfmkit.models.digest import tensors_digest
from bfmkit.rewards.expression import task_title
from bfmkit.utils.errors import RefusedError
from bfmkit.utils.files import to_json, write_atomically

FORMAT = 3

FOLDER = "records"
"""Of a run directory."""

_KEY, _DIGEST = "bfmkit_record", "sha256"


class RecordError(RefusedError, ValueError):
    """Error of a file that is no record, or cannot be used here."""


@dataclass(frozen=True)
class Record:
    """Inferred weights with their origin."""

    facts: Mapping[str, Any]  # what is said in words and numbers
    tensors: Mapping[str, Tensor]  # as above

    @property
    def weights(self) -> Tensor:  # (d,) float64
        """Weights of the record: the belief's mean."""
        return self.tensors["weights"]

    def save(self, path: Path) -> None:
        """Write the record to a file."""
        text = to_json({"format": FORMAT, **self.facts})
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        header = {_KEY: text, _DIGEST: tensors_digest(tensors.items(), text)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save_tensors(tensors, header))

    @classmethod
    def load(cls, path: Path) -> Record:
        """Record read from a file.

        Raises:
            RecordError: for a file that is missing, damaged, of another kind, or of a newer format.
        """
        if not path.is_file():
            raise RecordError(f"{path}: there is no such file")
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, OSError, ValueError) as error:
            raise RecordError(f"{path}: no inference record, or a damaged one: {error}") from error
        if _KEY not in header:
            raise RecordError(f"{path}: a safetensors file, but no inference record")
        text = header[_KEY]
        if tensors_digest(tensors.items(), text) != header.get(_DIGEST):
            raise RecordError(f"{path}: damaged: its contents are not those that were written")
        facts = json.loads(text)
        if facts["format"] > FORMAT:
            raise RecordError(
                f"{path}: a record of format {facts['format']}, and this bfmkit reads up to {FORMAT}; update bfmkit"
            )
        return cls(facts, tensors)


def record_name(task: str, seed: int) -> str:
    """File name of a run's record; a typed reward goes by its name, or shortened and with its checksum."""
    title = task_title(task)
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", title).strip("-.")[:40]
    if plain != title:
        plain = f"{plain}-{crc32(task.encode()):08x}"
    return f"{plain}-seed-{seed}.safetensors"
