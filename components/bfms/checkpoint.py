"""Pretrained model from the zoo, a folder or the Hugging Face hub."""

from __future__ import annotations

from bfmkit.interfaces import BFM
from bfmkit.models.folder import load_model, resolve
from bfmkit.registry import register


@register(BFM, "checkpoint")
def checkpoint(path: str) -> BFM:
    """Model folder written by the job ``pretrain``, with the transitions that an oracle labels.

    Args:
        path: the folder, ``zoo:NAME`` for a model that ships with bfmkit, or ``hf:OWNER/NAME`` for one on the Hugging
            Face hub.

    Raises:
        FileNotFoundError: if there is no such folder or model; the message lists what the zoo has.
        ValueError: if the folder is damaged, or there is a pickle in it.

    Example:
        ``bfm={type: checkpoint, path: "zoo:walker"}``
    """
    return load_model(resolve(path))
