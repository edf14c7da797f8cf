"""``bfmkit run``: a recipe's job in a run directory."""

from __future__ import annotations

import argparse
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bfmkit.utils.errors import CommandError

if TYPE_CHECKING:
    import torch

    from bfmkit.interfaces import Job
    from bfmkit.recipe import Recipe
    from bfmkit.utils.threads import CoreLoad, Threads


def run(arguments: argparse.Namespace) -> int:
    """Check, build, open the run directory, run; nothing is written before all has been checked and built."""
    from bfmkit.utils.threads import CoreLoad

    load = CoreLoad()
    from bfmkit.recipe import load_recipe
    from bfmkit.runs.run_directory import open_run, write_summary
    from bfmkit.training.cluster import is_first_process

    recipe = load_recipe(arguments.recipe, arguments.overrides)
    device = choose_device(arguments.device)
    threads = _threads(arguments.threads, arguments.out, load)
    _require_loggers(arguments.logger, recipe)
    job = recipe.build()
    if arguments.logger:
        job.loggers = arguments.logger
    out = _out(arguments.out, recipe, job)
    if job.processes > 1 and not is_first_process():
        return _accompany(job, out, recipe, device)
    with open_run(out, recipe, _facts(recipe, job, device, threads.count)) as resumes:
        doing = "going on with" if resumes else "writing to"
        sys.stderr.write(f"{recipe.name} ({recipe.source}): {doing} {out}; {threads}\n")
        summary = _run_job(job, out, device, arguments)
        write_summary(out, summary)
    _say_outputs(out, recipe)
    sys.stdout.write(f"{out}\n")
    return 0


def _say_outputs(out: Path, recipe: Recipe) -> None:
    from bfmkit.cli.outputs import outputs

    sys.stderr.write("".join(f"{line}\n" for line in outputs(out, str(recipe.tree["type"]))))


def _threads(asked: int | None, out: Path | None, load: CoreLoad) -> Threads:
    """Pin the threads that were asked for, those that an earlier part of this run had, or those that suit the load."""
    from bfmkit.runs.run_directory import read_provenance
    from bfmkit.utils.threads import Threads, choose_threads, pin_threads

    earlier = read_provenance(out).get("threads") if out is not None else None
    if asked is not None:
        threads = Threads(asked, "--threads")
    elif isinstance(earlier, int):
        threads = Threads(earlier, "as this run began")
    else:
        threads = choose_threads(load)
    try:
        pin_threads(threads.count)
    except ValueError as error:
        raise CommandError(f"--threads: {error}") from error
    return threads


def choose_device(name: str) -> torch.device:
    """The device that ``--device`` names.

    Raises:
        CommandError: if there is no such device here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except Exception as error:  # each backend has its own way to say that it is not there
        reason = str(error).split("\n")[0].split(", or")[0]
        raise CommandError(f"--device {name}: not available here ({reason})") from error
    return device


def _out(asked: Path | None, recipe: Recipe, job: Job) -> Path:
    """The run directory; processes that Lightning starts by this command line are told which."""
    from bfmkit.runs.run_directory import default_out
    from bfmkit.training.cluster import is_launched

    if asked is not None:
        return asked
    out = default_out(recipe)
    if job.processes > 1:
        if job.nodes > 1 or is_launched():
            raise CommandError("several processes share a run directory: give --out")
        sys.argv += ["--out", str(out)]
    return out


def _accompany(job: Job, out: Path, recipe: Recipe, device: torch.device) -> int:
    """Take part in a job whose first process writes the run directory."""
    from bfmkit.runs.run_directory import join_run, read_provenance
    from bfmkit.utils.stop_signals import stop_signals
    from bfmkit.utils.threads import pin_threads

    join_run(out, recipe)
    pin_threads(int(read_provenance(out)["threads"]))
    try:
        with stop_signals():
            job.run(out, device)
    except KeyboardInterrupt:
        pass  # all processes stop together, and the first one says so
    return 0


def _require_loggers(names: Sequence[str], recipe: Recipe) -> None:
    from bfmkit.runs.metric_log import require_loggers

    # A job says so by a class attribute; there would be a run on W&B with nothing in it.
    if names and not recipe.job_class.logs:
        raise CommandError(f'--logger {names[0]}: the job "{recipe.tree["type"]}" logs nothing')
    require_loggers(names)


def _facts(recipe: Recipe, job: Job, device: torch.device, threads: int) -> dict[str, Any]:
    import torch

    from bfmkit.utils.provenance import command_line

    facts: dict[str, Any] = {
        "command": command_line(),
        "recipe": recipe.source,
        "seed": recipe.tree.get("seed", getattr(job, "seed", None)),
        "device": str(device),
        "threads": threads,
    }
    if device.type == "cuda":
        facts["device_name"] = torch.cuda.get_device_name(device)
    return facts


def _run_job(job: Job, out: Path, device: torch.device, arguments: argparse.Namespace) -> dict[str, Any]:
    from bfmkit.interfaces import JobError
    from bfmkit.recipe import RecipeError
    from bfmkit.utils.files import write_atomically
    from bfmkit.utils.stop_signals import stop_signals

    # That of an earlier try: what it tells of may not happen again.
    (out / "traceback.txt").unlink(missing_ok=True)
    try:
        with stop_signals():
            return job.run(out, device)
    except KeyboardInterrupt:
        # How many threads there were is in the run directory.
        options = [] if arguments.device == "auto" else ["--device", arguments.device]
        options += [word for name in arguments.logger for word in ("--logger", name)]
        words = ["bfmkit", "run", arguments.recipe, *arguments.overrides, *options, "--out", str(out)]
        sys.stderr.write(f"\nstopped; to go on: {shlex.join(words)}\n")
        raise
    except (JobError, RecipeError):
        raise
    except Exception:
        # Hours of work may lie before this; without --debug the place would be lost.
        write_atomically(out / "traceback.txt", traceback.format_exc())
        raise
