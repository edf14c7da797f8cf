"""Where a model is: a folder, a name in the zoo, or a repository of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from bfmkit.models import hub, zoo
from bfmkit.utils.paths import expand_home


def resolve(path: str) -> Path:
    """The folder that ``path`` means: ``zoo:NAME``, ``hf:OWNER/NAME``, or a folder.

    Raises:
        FileNotFoundError: for a model that zoo or hub do not have, or if the hub cannot be asked.
        ValueError: if ``hf:`` is not followed by a repository's name.
    """
    if path.startswith(hub.PREFIX):
        return hub.fetch(path)
    return zoo.resolve(path) if path.startswith(zoo.PREFIX) else expand_home(path)
