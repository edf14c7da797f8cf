from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bfmkit.components.bfms.metamotivo import Metamotivo

GOLDEN = Path(__file__).parents[3] / "golden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(
        shutil.copytree(GOLDEN / "metamotivo_simple", tmp_path / "model", ignore=shutil.ignore_patterns("*.npz"))
    )


def changed(folder: Path, path: str, value: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    *way, last = path.split(".")
    tree = config
    for key in way:
        tree = tree[key]
    if value is None:
        del tree[last]
    else:
        tree[last] = value
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("archi.f.model", "transformer", "archi.f.model is 'transformer'; known here: simple, residual"),
        ("archi.z_dim", None, "there is no archi.z_dim"),
        ("archi.z_dim", 0, "archi.z_dim must be a whole number"),
        ("archi.f.ensemble_mode", "vmap", "archi.f.ensemble_mode"),
        ("norm_obs", "yes", "norm_obs must be true or false"),
        ("archi.b.hidden_dim", 48, "not those that config.json describes"),
        ("archi.actor.model", "residual", "not those that config.json describes"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(folder: Path, path: str, value: Any, message: str) -> None:
    changed(folder, path, value)
    with pytest.raises(ValueError, match=message):
        Metamotivo(str(folder))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
        Metamotivo(str(folder))


def test_damaged_files_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        Metamotivo(str(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        Metamotivo(str(folder))


def test_a_pickle_is_refused(folder: Path) -> None:
    torch.save({"a": 1}, folder / "optimizers.pth")
    with pytest.raises(ValueError, match=r"optimizers\.pth may be a pickle"):
        Metamotivo(str(folder))


def test_what_training_left_there_is_passed_over(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "_target_backward_map.net.0.weight": torch.zeros(2)}, folder / "model.safetensors")
    observation = torch.randn(3, 24)
    z = torch.randn(3, 16)
    original = Metamotivo(str(GOLDEN / "metamotivo_simple"))
    assert torch.equal(Metamotivo(str(folder)).act(observation, z), original.act(observation, z))


def test_without_standardisation_observations_are_taken_as_they_are(folder: Path) -> None:
    original = Metamotivo(str(folder))
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("_obs_normalizer")}
    save_file(kept, folder / "model.safetensors")
    with pytest.raises(ValueError, match="running_mean"):
        Metamotivo(str(folder))
    changed(folder, "norm_obs", False)
    plain = Metamotivo(str(folder))
    observation, z = torch.randn(3, 24), torch.randn(3, 16)
    scaled = (observation - original.observation_mean) / original.observation_deviation
    torch.testing.assert_close(plain.act(scaled, z), original.act(observation, z))
    assert not torch.allclose(plain.act(observation, z), original.act(observation, z), atol=1e-3)


def test_a_single_critic_has_ordinary_layers(folder: Path) -> None:
    original = Metamotivo(str(folder))
    tensors = load_file(folder / "model.safetensors")
    single = {}
    for name, tensor in tensors.items():
        first = tensor[0] if name.startswith("_forward_map.") else tensor
        if name.startswith("_forward_map."):
            is_matrix = name.endswith("weight") and min(first.shape) > 1
            first = first.mT if is_matrix else first.squeeze(0)
        single[name] = first.contiguous()
    save_file(single, folder / "model.safetensors")
    changed(folder, "archi.f.num_parallel", 1)
    observation, action, z = torch.randn(4, 24), torch.rand(4, 6), torch.randn(4, 16)
    found = Metamotivo(str(folder)).successor_features(observation, z, action)
    assert found.shape == (4, 1, 16)
    torch.testing.assert_close(found, original.successor_features(observation, z, action)[:, :1])
