"""Model cards: contents, origin and measured returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from bfmkit.interfaces import EnvironmentSpec


def write_card(spec: EnvironmentSpec, run: Path, summary: dict[str, Any]) -> str:
    """Model card in Markdown from a run directory, with metadata for the Hugging Face hub.

    Args:
        spec: the environment of the data.
        run: a run directory of the job ``pretrain``, with its ``provenance.json``.
        summary: updates, transitions, data (rows of ``Dataset.provenance``), seconds and, for each task, the oracle's
            returns.
    """
    provenance = json.loads((run / "provenance.json").read_text()) if (run / "provenance.json").exists() else {}
    lines = [
        *_metadata(spec, summary["tasks"]),
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


def _metadata(spec: EnvironmentSpec, tasks: dict[str, Any]) -> list[str]:
    """Library, tags and results (a model-index), as the hub reads them; the licence is for the owner to add."""
    about = "mean return of the oracle over {episodes} episodes of {episode_steps} steps"
    results = [
        {
            "task": {"type": "reinforcement-learning", "name": task},
            "dataset": {"type": spec.domain, "name": f"{spec.domain} {task}"},
            "metrics": [
                {
                    "type": "mean_reward",
                    "name": about.format(**row),
                    "value": round(row["oracle_return"], 2),
                }
            ],
        }
        for task, row in tasks.items()
    ]
    data: dict[str, Any] = {
        "library_name": "bfmkit",
        "pipeline_tag": "reinforcement-learning",
        "tags": ["behaviour-foundation-model", "zero-shot-reinforcement-learning", "successor-features", spec.domain],
    }
    if results:
        data["model-index"] = [{"name": f"bfmkit {spec.domain}", "results": results}]
    return ["---", *yaml.safe_dump(data, sort_keys=False, allow_unicode=True).splitlines(), "---", ""]


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
