"""Models on disk: safetensors beside the recipe they are built from; reading one runs no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tensordict import TensorDict, TensorDictBase

from bfmkit.interfaces import BFM, EnvironmentSpec
from bfmkit.recipe import build_node

WEIGHTS, RECIPE, INFERENCE_SET, CARD = "model.safetensors", "recipe.yaml", "inference_set.safetensors", "README.md"
INFERENCE_KEYS = ("observation", "action", ("next", "observation"), ("next", "physics"))


def save_model(
    folder: Path,
    bfm: BFM,
    node: dict[str, Any],
    inference_set: TensorDictBase,  # batch (n,), with INFERENCE_KEYS
    card: str,
) -> None:
    """Write a model folder.

    Args:
        folder: made if need be.
        bfm: whose tensors to store.
        node: the recipe node that builds ``bfm``.
        inference_set: transitions that an oracle labels, so that it needs no other data.
        card: Markdown for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous().cpu() for name, tensor in bfm.state_dict().items()}, folder / WEIGHTS)
    flat = inference_set.select(*INFERENCE_KEYS).flatten_keys(".")
    save_file({name: tensor.contiguous().cpu().clone() for name, tensor in flat.items()}, folder / INFERENCE_SET)
    recipe = {"schema_version": 1, "spec": bfm.spec.to_dict(), "bfm": node}
    (folder / RECIPE).write_text(yaml.safe_dump(recipe, sort_keys=False))
    (folder / CARD).write_text(card)


def load_model(folder: Path) -> tuple[BFM, TensorDict]:
    """The model and its inference set.

    Raises:
        FileNotFoundError: if ``folder`` is not a model folder; the message says which file is missing.
        ValueError: if the weights do not fit the recipe, or a file is damaged.
    """
    for name in (RECIPE, WEIGHTS, INFERENCE_SET):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is not a model folder: it has no {name}")
    try:
        recipe = yaml.safe_load((folder / RECIPE).read_text())
        node, spec = recipe["bfm"], EnvironmentSpec.from_dict(recipe["spec"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / RECIPE} is damaged: {error}") from error
    bfm = build_node(BFM, node, spec=spec)
    try:
        bfm.load_state_dict(load_file(folder / WEIGHTS))
        tensors = load_file(folder / INFERENCE_SET)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder}: {error}") from error
    rows = len(next(iter(tensors.values())))
    return bfm.eval().requires_grad_(False), TensorDict(tensors, [rows]).unflatten_keys(".")
