"""Command line: parsing, running one command, errors as a line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from bfmkit.cli.completion import SHELLS, CompletionAction
from bfmkit.registry import discovery
from bfmkit.utils.errors import FAILED, REFUSED, BfmkitError
from bfmkit.utils.files import expand_home
from bfmkit.utils.startup import postpone_imports
from bfmkit.utils.stop_signals import exit_code, ignore_stop_signals
from bfmkit.utils.threads import limit_spinning

DONE, INTERRUPTED = 0, 130

_EPILOG = """\
RECIPE is a file or the name of a shipped recipe; path.to.key=value after it changes one value.
Exit codes: 0 done, 1 failed while running, 2 refused before running, 130 after Ctrl-C, 143 after SIGTERM.

  bfmkit run opti_bfm environment.task=walk seed=3
  bfmkit copy opti_bfm mine.yaml
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    # TorchRL reports every buffer it allocates, in every process.
    os.environ.setdefault("RL_LOGGING_LEVEL", "WARNING")
    limit_spinning()
    postpone_imports()
    parser = build_parser()
    try:
        arguments = _parse(parser, sys.argv[1:] if argv is None else argv)
    except SystemExit as error:  # argparse has said what it had to say
        return error.code if isinstance(error.code, int) else REFUSED
    if arguments.command is None:
        parser.print_help()
        return DONE
    discovery.add_project(Path.cwd())
    return _run(arguments, owns_process=argv is None)


def _run(arguments: argparse.Namespace, owns_process: bool) -> int:
    try:
        module, function = arguments.function.split(".")
        code: int = getattr(import_module(f"bfmkit.cli.{module}"), function)(arguments)
        return code
    except KeyboardInterrupt as error:
        code = exit_code(error)
        text = f"bfmkit: {'interrupted' if code == INTERRUPTED else 'terminated'}"
        trace = traceback.format_exc()
        if owns_process:  # all is said; one more signal would only put a traceback after it
            ignore_stop_signals()
    except BrokenPipeError:  # whoever read our output has closed it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  stays open: the interpreter flushes it at exit
        return DONE
    except Exception as error:  # noqa: BLE001  everything ends as one line and a code
        code, text = explain(error)
        trace = traceback.format_exc()
    sys.stderr.write((trace if arguments.debug else "") + text + "\n")
    return code


def explain(error: Exception) -> tuple[int, str]:
    """Exit code and message for what a command raised."""
    if isinstance(error, BfmkitError):
        return error.exit_code, str(error) if error.exit_code == REFUSED else f"bfmkit: {error}"
    reason = " ".join(str(error).split())
    return FAILED, f"bfmkit: failed: {type(error).__name__}{': ' if reason else ''}{reason} (--debug shows where)"


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """As ``parse_args``, but overrides may also stand after options."""
    arguments, rest = parser.parse_known_args(argv)
    options = [word for word in rest if word.startswith("-")]
    if options or (rest and not hasattr(arguments, "overrides")):
        help_words = " ".join(word for word in ("bfmkit", arguments.command, "--help") if word)
        parser.error(f"unknown: {' '.join(options or rest)} ({help_words})")
    if rest:
        arguments.overrides += rest
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="bfmkit",
        description="Online task inference for behaviour foundation models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bfmkit {version('bfmkit')}")
    parser.add_argument(
        "--completion",
        choices=SHELLS,
        action=CompletionAction,
        help='print a script for TAB: eval "$(bfmkit --completion bash)"',
    )
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, function: str, about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(function=function)
        command.add_argument("--debug", action="store_true", help="show the traceback of a failure")
        return command

    run = add("run", "run.run", "run a recipe's job in a run directory; the same directory again resumes it")
    _recipe_and_overrides(run)
    run.add_argument("--out", type=expand_home, help="the run directory (runs/RECIPE-TIME)")
    run.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (auto: cuda where there is one)")
    run.add_argument("--threads", type=int, help="threads for torch (one a physical core that is free)")
    run.add_argument(
        "--logger",
        metavar="NAME",
        action="append",
        default=[],
        help="tensorboard, csv, wandb or mlflow; may be given more than once (tensorboard)",
    )

    listing = add("list", "listing.run", "list components by kind, and recipes")
    listing.add_argument(
        "kind",
        nargs="?",
        metavar="KIND",
        help="a kind of component, `model`, `recipe`, or `quantities`: what rewards are typed with; or a component, "
        "such as posterior.ridge: its arguments, defaults and an example",
    )

    _recipe_and_overrides(add("show", "recipes.show", "print a recipe with what it inherits and its values resolved"))

    copy = add("copy", "recipes.copy", "copy a shipped recipe, to change it")
    copy.add_argument("recipe", metavar="RECIPE")
    copy.add_argument("destination", metavar="DEST", nargs="?", type=expand_home, help="a file or a folder (here)")

    check = add("check", "recipes.check", "check recipes without running them")
    check.add_argument(
        "words", metavar="RECIPE | key=value", nargs="*", help="recipes, all shipped ones if none is given; overrides"
    )

    add("schema", "recipes.schema", "print the JSON schema of recipes, for editors")

    push = add("push", "models.run", "send a model to the Hugging Face hub, or copy it to another folder")
    push.add_argument("model", metavar="MODEL", help="a model folder, zoo:NAME or hf:OWNER/NAME")
    push.add_argument("destination", metavar="DEST", help="hf:OWNER/NAME, or a folder")
    push.add_argument("--weights", choices=["float32", "float16", "bfloat16"], help="the type to store weights in")
    push.add_argument("--public", action="store_true", help="let everybody see a repository that is made for it")

    new = add("new", "new.run", "write a new component and its test, which passes the contract of its kind")
    new.add_argument("kind", metavar="KIND")
    new.add_argument("name", metavar="NAME", help="lower_snake_case")
    new.add_argument("--package", help="the plugin package to write to (that of ./pyproject.toml, or my_components)")

    explain = add("explain", "records.explain", "say in words, tables and a picture what inferred weights mean")
    explain.add_argument("record", metavar="RECORD", type=expand_home, help="a file from a run's records/")
    explain.add_argument("--picture", type=expand_home, help="where to draw (beside the record)")

    play = add("play", "records.play", "write a film of what inferred weights do, or of a traced run's episodes")
    play.add_argument(
        "path", metavar="RECORD|RUN_DIR", type=expand_home, help="a file from a run's records/, or a traced run"
    )
    play.add_argument("--episodes", type=int, default=1, help="of a record, side by side in the film (1)")
    play.add_argument("--seed", type=int, default=0, help="of a record's first start (0)")
    play.add_argument("--out", type=expand_home, help="the film, .html or .gif (an .html beside the record)")
    play.add_argument("--no-browser", action="store_true", help="do not open the film")

    replay = add("replay", "records.replay", "work inferred weights out again from their record, to the same bits")
    replay.add_argument("record", metavar="RECORD", type=expand_home, help="a file from a run's records/")

    report = add("report", "reports.run", "write one page about finished runs: tables, pictures, recipes side by side")
    report.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", type=expand_home)
    report.add_argument("--out", type=expand_home, default=Path("report.html"), help="the HTML file (report.html)")
    report.add_argument("--recipes", metavar="NAME", nargs="+", default=[], help="only these, in this order")
    report.add_argument("--tasks", metavar="NAME", nargs="+", default=[], help="only these")
    report.add_argument(
        "--labels", metavar="NAME=LABEL", nargs="+", default=[], help="other names for recipes and tasks"
    )
    report.add_argument("--formats", metavar="FORMAT", nargs="+", default=[], help="of figures, besides png: pdf, svg")
    report.add_argument("--width", type=float, help="of a figure, inches (as its panels want)")
    report.add_argument("--panel-height", type=float, help="of a row of panels, inches (that of reports)")
    report.add_argument("--videos", type=int, default=1, help="tasks of a traced run that get a moving picture (1)")

    live = add(
        "live", "live.run", "open a page on which agents infer a task before your eyes, and you can be the reward"
    )
    live.add_argument("recipe", metavar="RECIPE", nargs="?", default="opti_bfm", help="of type infer (opti_bfm)")
    live.add_argument("overrides", metavar="key=value", nargs="*", help="path.to.key=value")
    live.add_argument("--beside", metavar="RECIPE", action="append", default=[], help="another agent on a body beside")
    live.add_argument("--run", metavar="RUN_DIR", type=Path, help="play episodes 1, 3 and 10 of a traced run instead")
    live.add_argument("--port", type=int, default=8787, help="where the page is served (8787)")
    live.add_argument("--host", default="127.0.0.1", help="0.0.0.0 shows it to the whole network (127.0.0.1)")
    live.add_argument("--shared", action="store_true", help="let every viewer steer, not only the first")
    live.add_argument("--no-browser", action="store_true", help="do not open a browser")
    live.add_argument("--out", type=expand_home, help="where records go (runs/live-TIME)")

    add("doctor", "doctor.run", "say what works on this machine, and what to install")
    return parser


def _recipe_and_overrides(command: argparse.ArgumentParser) -> None:
    command.add_argument("recipe", metavar="RECIPE", help="a file, or the name of a shipped recipe")
    command.add_argument("overrides", metavar="key=value", nargs="*", help="path.to.key=value")
