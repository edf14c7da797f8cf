"""Every shipped family of models trains from its recipe, is gone on with, practises, and serves inference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.bfms.whitened import Whitened
from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.components.objectives.universal_sf import UniversalSFObjective
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.jobs.export import ExportJob
from bfmkit.recipe import load_recipe
from bfmkit.recipe.sources import recipes_folder

CPU = torch.device("cpu")
NETWORKS = "{type: two_stream, width: 16, encoder_width: 64}"
PLACE = "{type: dm_control, domain: walker, task: stand, episode_steps: 5}"
PRACTICE = f"{{environment: {PLACE}, every: 4, rows: 3, hold: 2}}"
FAMILIES = sorted(
    path.stem
    for path in recipes_folder().glob("pretrain/pretrain_*_walker.yaml")
    if load_recipe(path).tree["objective"]["type"] != "forward_backward"
)
PUBLISHED = sorted(path.stem for path in recipes_folder().glob("pretrain/pretrain_*_exorl.yaml"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random actions of a walker, in two episodes."""
    folder = tmp_path_factory.mktemp("data")
    environment = DMControlEnvironment("walker", "stand", episode_steps=60)
    claim(folder, environment.spec)
    writer = ShardWriter(folder, "shard-000", environment.spec, 120)
    torch.manual_seed(0)
    for _ in range(2):
        rows = empty_transitions(environment.spec, 60)
        observation, _ = environment.reset_batch()
        for step in range(60):
            here = slice(step, step + 1)
            action = torch.rand(1, 6) * 2 - 1
            outcome = environment.step_batch(action)
            rows["observation"][here], rows["action"][here] = observation, action
            rows["next", "observation"][here], rows["next", "physics"][here] = outcome.observation, outcome.physics
            observation = outcome.observation
        writer.append(rows)
    return folder


def train(recipe: str, data: Path, out: Path, *overrides: str) -> None:
    """Run a recipe, made small."""
    out.mkdir(exist_ok=True)
    small = [
        "updates=6",
        "batch_size=16",
        "inference_set=100",
        "evaluation.environment=null",
        "optimizer.lr_schedule=constant",
    ]
    model = load_recipe(recipe).tree["objective"]["bfm"]
    places = ["networks", "features.networks"] if "networks" in model.get("features", {}) else ["networks"]
    small += [f"objective.bfm.{place}={NETWORKS}" for place in places]
    load_recipe(recipe, [f"dataset.path={data}", *small, *overrides]).root.build().run(out, CPU)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return checkpoint(str(out / "model")).state_dict()


def test_there_are_families() -> None:
    assert len(FAMILIES) >= 10
    assert len(PUBLISHED) >= 4


@pytest.fixture(scope="module")
def episodes(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same walker in ExORL's layout."""
    out = tmp_path_factory.mktemp("exorl")
    ExportJob(MemoryMapDataset(data), algorithm="rnd").run(out, CPU)
    return out / "walker" / "rnd"


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_a_published_size_trains_on_exorl_once_it_is_made_small(recipe: str, episodes: Path, tmp_path: Path) -> None:
    tree = load_recipe(recipe, [f"dataset.path={episodes}"]).tree
    assert tree["batch_size"] == 1024
    assert tree["objective"]["bfm"]["networks"]["width"] == 1024
    # Nothing is compiled: that takes half a minute on a CPU, and gains nothing there.
    train(recipe, episodes, tmp_path / "run", "hardware.compile=false")
    bfm = checkpoint(str(tmp_path / "run" / "model"))
    assert bfm.dim == 50
    assert len(bfm.inference_set()) == 100


@pytest.mark.parametrize("recipe", FAMILIES)
def test_a_family_trains_goes_on_practises_and_serves(recipe: str, data: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(recipe, data, first)
    bfm = Whitened(checkpoint(str(first / "model")), relative_ridge=1e-12)
    given = bfm.inference_set()
    features = bfm.features(given["observation"], given["action"], given["next", "observation"]).double()
    assert features.square().sum(-1).mean().item() == pytest.approx(bfm.dim, rel=0.05)
    z = bfm.policy_latent(torch.randn(len(given), bfm.dim, dtype=torch.float64))
    assert bfm.successor_features(given["observation"], z).isfinite().all()
    # A rate so small that what comes out is what went in, but for what self-collection changes in the moments.
    train(
        recipe,
        data,
        second,
        f"init_from={first / 'model'}",
        "optimizer.learning_rate=1e-12",
        f"self_collection={PRACTICE}",
    )
    before, after = weights(first), weights(second)
    assert len(checkpoint(str(second / "model")).inference_set()) == 100
    for name in before:
        if not name.endswith(("second_moment", "mean", "deviation")):
            torch.testing.assert_close(after[name], before[name])


def test_running_statistics_are_part_of_the_training_state(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train("pretrain_hilp_walker", data, whole, "updates=12", "save_minutes=1e-9")
    follow, calls = UniversalSFObjective.update_statistics, []

    def dies_at_the_seventh(objective: UniversalSFObjective, batch: object) -> None:
        calls.append(batch)
        if len(calls) == 7:
            raise KeyboardInterrupt
        follow(objective, batch)

    monkeypatch.setattr(UniversalSFObjective, "update_statistics", dies_at_the_seventh)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train("pretrain_hilp_walker", data, halves, "updates=12", "save_minutes=1e-9")
    monkeypatch.undo()
    assert not (halves / "model").exists()
    train("pretrain_hilp_walker", data, halves, "updates=12", "save_minutes=1e-9")
    expected, found = weights(whole), weights(halves)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
