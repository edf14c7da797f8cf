"""Last lines of a run: the files it left, and the commands that show them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from bfmkit.runs.run_directory import RECIPE, read_recipe

REPORTED = ("infer", "benchmark", "pretrain", "generality")
"""Jobs whose numbers a report shows, with figures of their own or without."""


def outputs(
    out: Path,
    job: str,  # its name in recipes
) -> Iterator[str]:
    """A line for each thing in a run directory that is worth opening next."""
    folder = shlex.quote(str(out))
    figures = sorted((out / "figures").glob("*.png"))
    if figures:
        main = next((path for path in figures if path.name.startswith("return")), figures[0])
        others = f" (and {len(figures) - 1} more)" if len(figures) > 1 else ""
        yield f"figure:  {main}{others}"
    if figures or job in REPORTED:
        yield f"report:  bfmkit report {folder} --out {shlex.quote(str(out / 'report.html'))}"
    if job == "infer" and (out / "trace").is_dir():
        yield f"watch:   bfmkit live --run {folder}"
        yield f"film:    bfmkit play {folder}"
    elif job == "infer":
        yield "beliefs: the same with trace_every=10 and another --out; its report has beliefs and moving bodies"
        yield "watch:   bfmkit live, a page on which an agent learns while you look on or reward it"
    record = next(iter(sorted((out / "records").glob("*.safetensors"))), None)
    if record is not None:
        yield f"explain: bfmkit explain {shlex.quote(str(record))}"
        yield f"play:    bfmkit play {shlex.quote(str(record))}{_played(out)}"
    if (out / "model").is_dir():
        yield f"inspect: bfmkit run inspect {shlex.quote(f'bfm.path={out}/model')}"
        yield f"use it:  in a recipe of type infer, bfm: {{type: checkpoint, path: {out / 'model'}}}"
    if (out / "dataset").is_dir():
        yield f"train:   in a recipe of type pretrain, dataset: {{type: memory_map, path: {out}}}"
    if job == "export":
        yield from _exported(out)
    if list((out / "tensorboard").glob("events*")):
        yield f"curves:  tensorboard --logdir {folder}"


def _played(out: Path) -> str:
    """What a record does not hold."""
    tree = read_recipe(out / RECIPE) if (out / RECIPE).is_file() else {}
    is_fine_tuned = tree.get("agent", {}).get("type") == "fine_tuning"
    return "  (the inferred policy, without what was learnt on top of it)" if is_fine_tuned else ""


def _exported(out: Path) -> Iterator[str]:
    for buffer in sorted(out.glob("*/*/buffer")):
        yield f"train:   in a recipe of type pretrain, dataset: {{type: exorl, path: {buffer.parent}, environment: ?}}"
    for folder in sorted(out.glob("*/*-v0")):
        name = folder.relative_to(out)
        yield f"train:   with MINARI_DATASETS_PATH={shlex.quote(str(out))}, dataset: {{type: minari, id: {name}}}"
