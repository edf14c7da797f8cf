"""Model folders: safetensors and the recipe they are built from; reading runs no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from tensordict import TensorDict, TensorDictBase
from torch.overrides import TorchFunctionMode

from bfmkit.interfaces import BFM, EnvironmentSpec
from bfmkit.models import hub, zoo
from bfmkit.models.files import refuse_pickles
from bfmkit.recipe import build_node
from bfmkit.utils.files import expand_home, write_atomically
from bfmkit.utils.rng import normal_noise

WEIGHTS, RECIPE, INFERENCE_SET, CARD = "model.safetensors", "recipe.yaml", "inference_set.safetensors", "README.md"
Precision = Literal["float32", "float16", "bfloat16"]
_TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
INFERENCE_KEYS = ("observation", "action", ("next", "observation"), ("next", "physics"))


def save_model(
    folder: Path,
    bfm: BFM,
    node: dict[str, Any],
    inference_set: TensorDictBase,  # batch (n,), with INFERENCE_KEYS
    card: str,
    weights: Precision = "float32",
) -> None:
    """Write a model folder, each file atomically.

    Args:
        folder: made if need be.
        bfm: whose tensors to store.
        node: the recipe node that builds ``bfm``.
        inference_set: transitions that an oracle labels, so that it needs no other data.
        card: Markdown for people.
        weights: the type to store the networks' weights in; half the bytes in ``float16`` or ``bfloat16``. They are
            float32 again once loaded. Moments and scales stay as they are.

    Raises:
        ValueError: if a weight is too large for ``weights``; nothing has been written then.
    """
    tensors = stored_tensors(bfm, weights)
    folder.mkdir(parents=True, exist_ok=True)
    flat = inference_set.select(*INFERENCE_KEYS).flatten_keys(".")
    rows = {name: tensor.contiguous().cpu().clone() for name, tensor in flat.items()}
    recipe = {"schema_version": 1, "spec": bfm.environment_spec.to_dict(), "bfm": node}
    # safetensors' own way of writing leaves files that nobody else may read, and half of one on a full disk.
    write_atomically(folder / WEIGHTS, to_bytes(tensors))
    write_atomically(folder / INFERENCE_SET, to_bytes(rows))
    write_atomically(folder / CARD, card)
    # The last one: a folder without it is no model yet.
    write_atomically(folder / RECIPE, yaml.safe_dump(recipe, sort_keys=False))


def load_model(folder: Path) -> BFM:
    """Model of a folder, with its inference set.

    Raises:
        FileNotFoundError: if ``folder`` is not a model folder; the message says which file is missing.
        ValueError: if the weights do not fit the recipe, a file is damaged, or there is a pickle.
    """
    for name in (RECIPE, WEIGHTS, INFERENCE_SET):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is not a model folder: it has no {name}")
    refuse_pickles(folder)
    try:
        recipe = yaml.safe_load((folder / RECIPE).read_text())
        node, spec = recipe["bfm"], EnvironmentSpec.from_dict(recipe["spec"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / RECIPE} is damaged: {error}") from error
    with _NotOrthogonal():
        bfm = build_node(BFM, node, spec=spec)
    try:
        bfm.load_state_dict(load_file(folder / WEIGHTS))
        tensors = load_file(folder / INFERENCE_SET)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder}: {error}") from error
    rows = len(next(iter(tensors.values())))
    bfm.transitions = TensorDict(tensors, [rows]).unflatten_keys(".")
    return bfm.eval().requires_grad_(False)


class _NotOrthogonal(TorchFunctionMode):
    """Leaves out the QR factorisations of orthogonal initial weights: weights that are read next overwrite them all.

    They take longer than reading: of a model of width 256 half a second, of width 1024 several.
    """

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function is torch.linalg.qr:
            matrix = args[0]
            return matrix, matrix[: matrix.shape[-1]]
        return function(*args, **(kwargs or {}))


def stored_tensors(bfm: BFM, weights: Precision) -> dict[str, torch.Tensor]:
    """Tensors of a model as they are stored: float32 parameters in another type, the rest unchanged.

    Raises:
        ValueError: if a weight is too large for the type, or there is no such type.
    """
    if weights not in _TYPES:
        raise ValueError(f"weights must be one of {', '.join(_TYPES)}, got {weights!r}")
    parameters = {name for name, tensor in bfm.named_parameters() if tensor.dtype == torch.float32}
    tensors = {}
    for name, tensor in bfm.state_dict().items():
        stored = tensor.to(_TYPES[weights]) if name in parameters else tensor
        if not stored.isfinite().all() and tensor.isfinite().all():
            raise ValueError(f"{name} holds weights that are too large for {weights}")
        tensors[name] = stored.contiguous().cpu()
    return tensors


def copy_model(source: Path, folder: Path, weights: Precision) -> float:
    """Copy a model folder, with its weights in another type.

    Returns:
        The largest change of an entry of an action, over the states of the inference set, each with a random z.

    Raises:
        FileNotFoundError: if ``source`` is not a model folder.
        FileExistsError: if ``folder`` has something in it.
        ValueError: as :func:`load_model` and :func:`save_model`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: there is something here already")
    bfm = load_model(source)
    inference_set: Any = bfm.inference_set()
    node = yaml.safe_load((source / RECIPE).read_text())["bfm"]
    card = (source / CARD).read_text() if (source / CARD).is_file() else ""
    save_model(folder, bfm, node, inference_set, card, weights)
    copy = load_model(folder)
    observation = inference_set["observation"]
    noise = normal_noise([0], "policies of a copy", [0], (len(observation), bfm.dim))[0]
    z = bfm.policy_latent(noise.to(observation.dtype))
    return float((copy.act(observation, z) - bfm.act(observation, z)).abs().max())


def resolve(path: str) -> Path:
    """Folder of ``zoo:NAME``, ``hf:OWNER/NAME``, or a path.

    Raises:
        FileNotFoundError: for a model that zoo or hub do not have, or if the hub cannot be asked.
        ValueError: if ``hf:`` is not followed by a repository's name.
    """
    if path.startswith(hub.PREFIX):
        return hub.fetch(path)
    return zoo.resolve(path) if path.startswith(zoo.PREFIX) else expand_home(path)
