"""Models on the Hugging Face hub; needs the extra ``hub``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bfmkit.models.files import SAFE, refuse_pickles

if TYPE_CHECKING:
    from types import ModuleType

PREFIX = "hf:"
_PATTERN = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def parse(path: str) -> tuple[str, str | None]:
    """Repository and revision of ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@REVISION``.

    Raises:
        ValueError: if it is neither.
    """
    found = _PATTERN.fullmatch(path)
    if found is None:
        raise ValueError(f"{path!r} is no model on the hub: say hf:OWNER/NAME, or hf:OWNER/NAME@REVISION")
    return found["repository"], found["revision"]


def fetch(path: str) -> Path:
    """Local copy of a model on the hub, downloaded if need be: safetensors and text only.

    What is there already is used where the hub cannot be reached.

    Raises:
        FileNotFoundError: if there is no such repository, or it cannot be reached and was never downloaded.
        ValueError: if ``path`` is not one of the hub, or the extra ``hub`` is missing.
    """
    repository, revision = parse(path)
    hub = _client()
    try:
        folder = hub.snapshot_download(repository, revision=revision, allow_patterns=list(SAFE))
    except OSError as error:  # as which the client's own errors are raised
        reason = " ".join(str(error).split())
        raise FileNotFoundError(f"{path} cannot be fetched from the hub: {reason}") from error
    return Path(folder)


def push(folder: Path, path: str, private: bool = True, message: str = "A model of bfmkit") -> str:
    """Upload a model folder to the hub, creating the repository if need be: safetensors and text only.

    Whoever is logged in to the hub (``hf auth login``) sends it.

    Args:
        folder: with a ``model.safetensors``.
        path: ``hf:OWNER/NAME``, or with ``@BRANCH``.
        private: whether a new repository is.
        message: of the commit.

    Returns:
        Where it can be looked at.

    Raises:
        FileNotFoundError: if ``folder`` is no model folder.
        ValueError: if ``path`` is not one of the hub, there is a pickle in the folder, or the extra ``hub`` is missing.
    """
    repository, revision = parse(path)
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(f"{folder} is not a model folder: it has no model.safetensors")
    refuse_pickles(folder)
    api: Any = _client().HfApi()
    api.create_repo(repository, private=private, exist_ok=True)
    done = api.upload_folder(
        repo_id=repository,
        folder_path=str(folder),
        allow_patterns=list(SAFE),
        commit_message=message,
        revision=revision,
    )
    return str(done)


def _client() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ValueError("models on the hub need the extra hub: pip install 'bfmkit[hub]'") from error
    return huggingface_hub
