from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.cli.outputs import outputs


def made(out: Path, *files: str) -> Path:
    for name in files:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return out


@pytest.mark.parametrize(
    ("job", "files", "expected"),
    [
        (
            "infer",
            ("figures/return.png", "figures/belief.png", "records/walk-seed-0.safetensors", "tensorboard/events.1"),
            [
                "figure:  {out}/figures/return.png (and 1 more)",
                "report:  bfmkit report {out} --out {out}/report.html",
                "beliefs: the same with trace_every=10 and another --out; its report has beliefs and moving bodies",
                "watch:   bfmkit live, a page on which an agent learns while you look on or reward it",
                "explain: bfmkit explain {out}/records/walk-seed-0.safetensors",
                "play:    bfmkit play {out}/records/walk-seed-0.safetensors",
                "curves:  tensorboard --logdir {out}",
            ],
        ),
        (
            "infer",
            ("trace/run.npz",),
            [
                "report:  bfmkit report {out} --out {out}/report.html",
                "watch:   bfmkit live --run {out}",
                "film:    bfmkit play {out}",
            ],
        ),
        (
            "pretrain",
            ("model/config.json",),
            [
                "report:  bfmkit report {out} --out {out}/report.html",
                "inspect: bfmkit run inspect bfm.path={out}/model",
                "use it:  in a recipe of type infer, bfm: {{type: checkpoint, path: {out}/model}}",
            ],
        ),
        (
            "collect",
            ("dataset/spec.json",),
            ["train:   in a recipe of type pretrain, dataset: {{type: memory_map, path: {out}}}"],
        ),
        ("weights", (), []),
        ("generality", ("summary.json",), ["report:  bfmkit report {out} --out {out}/report.html"]),
        (
            "export",
            ("w/rnd/buffer/episode_000000_5.npz",),
            ["train:   in a recipe of type pretrain, dataset: {{type: exorl, path: {out}/w/rnd, environment: ?}}"],
        ),
        (
            "export",
            ("walker/rnd-v0/data/main_data.hdf5",),
            ["train:   with MINARI_DATASETS_PATH={out}, dataset: {{type: minari, id: walker/rnd-v0}}"],
        ),
    ],
)
def test_a_run_names_what_it_left(tmp_path: Path, job: str, files: tuple[str, ...], expected: list[str]) -> None:
    out = made(tmp_path / "run", *files)
    assert list(outputs(out, job)) == [line.format(out=out) for line in expected]


def test_commands_survive_a_space_in_a_name(tmp_path: Path) -> None:
    (line,) = outputs(made(tmp_path / "my run"), "benchmark")
    assert line == f"report:  bfmkit report '{tmp_path}/my run' --out '{tmp_path}/my run/report.html'"


def test_a_record_of_a_run_that_fine_tunes_is_said_to_hold_the_inferred_policy(tmp_path: Path) -> None:
    made(tmp_path, "records/run-seed-0.safetensors")
    (tmp_path / "recipe.yaml").write_text("type: infer\nagent: {type: fine_tuning}\n")
    played = next(line for line in outputs(tmp_path, "infer") if line.startswith("play:"))
    assert played.endswith("(the inferred policy, without what was learnt on top of it)")
