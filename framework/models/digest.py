"""Digest of a model: one number for weights and structure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from bfmkit.interfaces import BFM


def model_digest(bfm: BFM) -> str:
    """Digest of a model: SHA-256 of class, spec, tensors and inference set."""
    kind = f"{type(bfm).__module__}.{type(bfm).__qualname__}"
    facts = {"class": kind, "dim": bfm.dim, "discount": bfm.discount, "spec": bfm.environment_spec.to_dict()}
    known = bfm.inference_set()
    labelled = () if known is None else known.flatten_keys(".").items()
    return tensors_digest([*_named(bfm.state_dict().items()), *_named(labelled)], json.dumps(facts, sort_keys=True))


def tensors_digest(tensors: Iterable[tuple[str, Tensor]], text: str = "") -> str:
    """Digest of tensors: SHA-256 of a text and of names, types, shapes and contents, in the order of names."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(content.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _named(items: Iterable) -> Iterator[tuple[str, Tensor]]:
    return ((name, tensor) for name, tensor in items if isinstance(tensor, Tensor))
