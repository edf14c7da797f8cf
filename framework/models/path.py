"""Where a model is: a folder, a name in the zoo, or a repository of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from bfmkit.models import hub, zoo


def resolve(path: str) -> Path:
    """The folder that ``path`` means: ``zoo:NAME``, ``hf:OWNER/NAME``, or a folder as it is.

    Raises:
        FileNotFoundError: for a model that zoo or hub do not have, or if the hub cannot be asked.
        ValueError: if ``hf:`` is not followed by a repository's name.
    """
    return hub.fetch(path) if path.startswith(hub.PREFIX) else zoo.resolve(path)
