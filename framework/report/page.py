"""HTML page with styles, scripts and pictures inside; no request to any host."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl

from bfmkit.evaluation.cells import reference_label
from bfmkit.evaluation.comparison import compare
from bfmkit.report.pictures import Picture, draw_comparisons, moving_pictures, own_pictures
from bfmkit.report.recipe_diff import Line, side_by_side
from bfmkit.report.run_reader import ReportedRun
from bfmkit.report.tables import (
    Table,
    failures_table,
    improvement_table,
    results_table,
    scores_table,
    to_latex,
    to_markdown,
)
from bfmkit.utils.files import write_atomically

MADE_FROM = ("versions", "git", "platform", "device", "device_name", "threads")


@dataclass(frozen=True)
class Written:
    """Files of a report."""

    page: Path  # the HTML file
    markdown: Path  # the tables as Markdown
    latex: Path  # the tables as LaTeX
    figures: Path  # the folder of its pictures, with their numbers as CSV


def write_report(
    runs: Sequence[ReportedRun], out: Path, videos: int = 1, say: Callable[[str], None] = lambda _: None
) -> Written:
    """Write a report: page, tables as Markdown and LaTeX, figures.

    Args:
        runs: at least one.
        out: the HTML file.
        videos: how many tasks of a traced run get a moving picture.
        say: called with what is being done.
    """
    written = Written(out, out.with_suffix(".md"), out.with_suffix(".tex"), out.with_name(f"{out.stem}_figures"))
    say("pictures")
    pictures = [*draw_comparisons(runs, written.figures), *own_pictures(runs)]
    moving, remarks = moving_pictures(runs, videos, say)
    tables = tables_of(runs)
    write_atomically(out, page(runs, tables, pictures, moving, remarks))
    for file, text in ((written.markdown, to_markdown), (written.latex, to_latex)):
        if tables:
            write_atomically(file, text(tables))
        else:
            file.unlink(missing_ok=True)
    return written


def tables_of(runs: Sequence[ReportedRun]) -> list[Table]:
    """Tables of results, comparisons and failures over all runs; those without rows are left out."""
    results = [run.results for run in runs if run.results is not None and not run.results.is_empty()]
    failures = [run.failures for run in runs if not run.failures.is_empty()]
    tables: list[Table | None] = []
    if results:
        statistics = compare(pl.concat(results))
        tables += [scores_table(statistics), results_table(statistics), improvement_table(statistics)]
    if failures:
        tables.append(failures_table(pl.concat(failures)))
    return [table for table in tables if table is not None]


def page(
    runs: Sequence[ReportedRun],
    tables: Sequence[Table],
    pictures: Sequence[Picture],
    moving: Sequence[Picture],
    remarks: Sequence[str],
) -> str:
    """Text of the HTML page."""
    from jinja2 import Environment, StrictUndefined

    # What a run directory says is never taken for HTML.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["png"] = lambda image: f"data:image/png;base64,{base64.b64encode(image).decode()}"
    environment.filters["webp"] = lambda image: f"data:image/webp;base64,{base64.b64encode(image).decode()}"
    named = {table.name: table for table in tables}
    return environment.from_string(_asset("page.html")).render(
        title=_joined([run.name for run in runs]),
        style=_asset("page.css"),
        script=_asset("page.js"),
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        runs=[_facts(run) for run in runs],
        scores=named.get("scores"),
        results=named.get("results"),
        improvement=named.get("improvement"),
        failures=named.get("failures"),
        failed=[run.name for run in runs if not run.failures.is_empty()],
        pictures=pictures,
        moving=moving,
        remarks=remarks,
        names=[run.name for run in runs],
        benchmark_names=[run.name for run in runs if run.settings is not None],
        benchmarks=side_by_side([run.settings for run in runs if run.settings is not None]),
        recipe_names=[name for run in runs for name in run.recipes],
        recipes=side_by_side([tree for run in runs for tree in run.recipes.values()]),
        origins=_origins(runs),
    )


def _facts(run: ReportedRun) -> dict[str, Any]:
    """Facts on the card of a run."""
    said = run.provenance
    git = said.get("git") or {}
    facts: list[tuple[str, str]] = [("job", run.job)]
    if run.results is not None:
        of_references = pl.col("recipe").str.starts_with(reference_label(""))
        failed, references = run.failures.filter(~of_references), run.failures.filter(of_references)
        # What failed at once has no episode; and of an inference run's failures only the words are known.
        keys = ("recipe", "task", "seed")
        count = pl.concat([run.results.select(keys), failed.select(keys).drop_nulls()]).n_unique()
        facts.append(("runs", f"{count}, of which {failed.height} failed" if failed.height else str(count)))
        if references.height:
            facts.append(("references", f"{references.height} failed"))
        facts.append(("tasks", ", ".join(run.results["task"].unique(maintain_order=True).to_list())))
        facts.append(("seeds", _ranges(run.results["seed"].unique().sort().to_list())))
        episodes = run.results["episode"].max()
        facts.append(("episodes", str(int(episodes) + 1 if isinstance(episodes, int) else 0)))
    else:
        facts += [(key, _short(value)) for key, value in run.summary.items() if isinstance(value, int | float | str)]
    facts.append(("started", str(said.get("time", "not recorded"))[:16].replace("T", " ")))
    if said.get("resumed"):
        facts.append(("resumed", f"{len(said['resumed'])} times"))
    threads, where = said.get("threads", "?"), said.get("device_name") or said.get("device", "?")
    facts.append(("device", f"{where}, {threads} thread{'' if threads == 1 else 's'}"))
    if git:
        revision = str(git.get("revision", "?"))[:12]
        facts.append(("revision", f"{revision}{', with changes' if git.get('changed') else ''}"))
    return {"name": run.name, "path": str(run.path), "facts": facts, "command": run.command}


def _origins(runs: Sequence[ReportedRun]) -> list[Line]:
    return side_by_side([{key: run.provenance[key] for key in MADE_FROM if key in run.provenance} for run in runs])


def _joined(names: Sequence[str], most: int = 3) -> str:
    return (
        ", ".join(names) if len(names) <= most else f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers as ranges: ``0–3, 7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}–{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _asset(name: str) -> str:
    return (resources.files("bfmkit.report") / "assets" / name).read_text(encoding="utf-8")
