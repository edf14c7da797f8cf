"""Model cards: contents, origin and measured returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bfmkit.interfaces import EnvironmentSpec


def write_card(spec: EnvironmentSpec, run: Path, summary: dict[str, Any]) -> str:
    """Markdown made of what the run directory records; no figure in it is written by hand.

    Args:
        spec: the environment of the data.
        run: a run directory of the job ``pretrain``, with its ``provenance.json``.
        summary: updates, transitions, data (rows of ``Dataset.provenance``), seconds and, for each task, the oracle's
            returns.
    """
    provenance = json.loads((run / "provenance.json").read_text()) if (run / "provenance.json").exists() else {}
    lines = [
        f"# A behaviour foundation model of {spec.domain}",
        "",
        "Trained without rewards by `bfmkit`; `recipe.yaml` beside this file builds it, `model.safetensors` fills it,",
        "and `inference_set.safetensors` holds transitions that an oracle can label.",
        "",
        f"* data: {summary['transitions']:,} transitions of exploration and "
        f"{summary['practised']:,} of self-collection",
        *(_dataset(row) for row in summary["data"]),
        f"* training: {summary['updates']:,} updates in {summary['seconds'] / 60:.0f} minutes",
        f"* command: `{provenance.get('command', 'unknown')}`",
        f"* versions: {', '.join(f'{name} {version}' for name, version in provenance.get('versions', {}).items())}",
        f"* revision: {_revision(provenance)}",
        "",
    ]
    if summary["tasks"]:
        first = next(iter(summary["tasks"].values()))
        lines += [
            f"Return of the oracle (weights from the labelled inference set), last update, {first['episodes']}",
            f"episodes of {first['episode_steps']} steps for each task; no checkpoint was selected:",
            "",
            "| task | mean | standard deviation |",
            "| --- | --- | --- |",
        ]
        for task, row in summary["tasks"].items():
            lines.append(f"| {task} | {row['oracle_return']:.0f} | {row['standard_deviation']:.0f} |")
    return "\n".join(lines) + "\n"


def _dataset(row: dict[str, Any]) -> str:
    line = f"* dataset: `{row['path']}`"
    if row["skipped"]:
        line += f", {row['skipped']:,} of {row['episodes']:,} episodes skipped"
    elif row["episodes"] is not None:
        line += f", {row['episodes']:,} episodes"
    return line if row["checksum"] is None else f"{line}, checksum {row['checksum']}"


def _revision(provenance: dict[str, Any]) -> str:
    git = provenance.get("git")
    if git is None:
        return "not run from a checkout"
    return f"{git['revision']}{', with changes' if git['changed'] else ''}"
