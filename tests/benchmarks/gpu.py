"""Everything that wants a GPU, in ten minutes: recorded and compiled tests, benchmarks, and a wide walker model.

    make gpu                                                  one GPU and 16 cores, into runs/gpu
    python tests/benchmarks/gpu.py --out runs/gpu --minutes 10
    python tests/benchmarks/gpu.py --out runs/small --small   the same steps on a CPU, at small size

Collection of the walker's data runs on the other cores while the GPU is tested. The number of updates is what the rate
of a short trial leaves time for, since the learning rate must fall to nothing within the run. Left in the folder: a log
of each step, ``model/`` with its returns, and ``summary.json``. A step that fails is listed, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TESTS = ("tests/framework/training/test_cuda_graph.py", "tests/benchmark_scripts/test_online_step.py")
SECONDS_OF_EVALUATION = 75


@dataclass(frozen=True)
class Size:
    """How large the steps are."""

    device: str
    transitions: int
    workers: int
    width: int
    batch: int
    trial_updates: int
    episodes: int
    overrides: tuple[str, ...]  # of the training, beside width and batch


GPU = Size(
    "cuda", 640_000, 14, 1024, 1024, 2000, 10,
    ("hardware.precision=bf16", "hardware.compile=true", "hardware.cuda_graph=true", "hardware.updates_per_step=50"),
)  # fmt: skip
SMALL = Size(
    "cpu", 4_000, 1, 32, 64, 40, 1,
    ("hardware.precision=bf16", "hardware.cuda_graph=true", "hardware.updates_per_step=10", "self_collection=null",
     "evaluation.episodes=1"),
)  # fmt: skip


@dataclass
class Steps:
    """Runs commands one after another, each with a log of its own."""

    out: Path
    threads: int
    times: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, name: str, *words: str) -> bool:
        """Whether the command came to its end."""
        return self.wait(name, self.start(name, *words))

    def start(self, name: str, *words: str) -> subprocess.Popen:
        """The command, running."""
        self.times[name] = {"command": " ".join(("python", *words)), "started": time.monotonic()}
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}
        with (self.out / f"{name}.log").open("w") as log:
            return subprocess.Popen([sys.executable, *words], stdout=log, stderr=log, env=environment)

    def wait(self, name: str, process: subprocess.Popen) -> bool:
        """Note how long it took and how it ended."""
        code = process.wait()
        known = self.times[name]
        known |= {"seconds": round(time.monotonic() - known.pop("started"), 1), "exit_code": code}
        print(f"{name}: {known['seconds']} s, exit code {code}", flush=True)
        return code == 0


def train(steps: Steps, size: Size, data: Path, updates: int, out: Path) -> bool:
    """Train a walker; the schedule ends with the run."""
    return steps.run(
        out.name, "-m", "bfmkit", "run", "pretrain_walker", "--out", str(out), "--device", size.device,
        f"dataset.path={data}", f"objective.bfm.networks.width={size.width}", f"batch_size={size.batch}",
        f"updates={updates}", f"evaluation.every={updates}", *size.overrides,
    )  # fmt: skip


def rate(log: Path) -> float:
    """Updates a second, as the progress bar of a training last said."""
    return float(re.findall(r"updates, ([\d.,]+)/s", log.read_text())[-1].replace(",", ""))


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--small", action="store_true", help="on a CPU, to try the script")
    arguments = parser.parse_args()
    size, out = SMALL if arguments.small else GPU, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * arguments.minutes
    steps = Steps(out, threads=2)

    data = out / "collect"
    collecting = steps.start(
        "collect", "-m", "bfmkit", "run", "collect_walker", "--out", str(data), "--threads", "1",
        f"transitions={size.transitions}", f"workers={size.workers}",
    )  # fmt: skip
    steps.run("tests", "-m", "pytest", "-q", "-rs", *TESTS)
    width, device = str(size.width), size.device
    for precision in ("tf32", "bf16"):
        options = ["--width", width, "--batch", str(size.batch), "--updates", str(size.trial_updates)]
        recorded = ["--compile", "--capture", "--together", "50"] if device == "cuda" else []
        script = str(HERE / "fb_update.py")
        steps.run(f"fb_update_{precision}", script, "--device", device, "--precision", precision, *options, *recorded)
    steps.run("online_step", str(HERE / "online_step.py"), "--widths", width, "--repeats", "30", "--batch", "0")
    steps.run("precision", str(HERE / "precision.py"), "--device", device, "--updates", str(size.trial_updates // 2))

    summary: dict[str, Any] = {"steps": steps.times}
    if steps.wait("collect", collecting) and train(steps, size, data, size.trial_updates, out / "trial"):
        left = max(1.0, end - time.monotonic() - SECONDS_OF_EVALUATION)
        updates = size.trial_updates if arguments.small else int(left * rate(out / "trial.log")) // 1000 * 1000
        if train(steps, size, data, max(updates, size.trial_updates), out / "pretrain"):
            steps.run(
                "returns", "-m", "bfmkit", "run", "oracle", "--out", str(out / "returns"), "tasks=all",
                f"bfm.path={out / 'pretrain' / 'model'}", "seeds=3", f"episodes={size.episodes}", "oracle_episodes=0",
                f"environment.episode_steps={50 if arguments.small else 1000}",
            )  # fmt: skip
            summary |= {"updates": updates, "returns": json.loads((out / "returns" / "summary.json").read_text())}
    (out / "summary.json").write_text(json.dumps(summary, indent=1))
    failed = [name for name, step in steps.times.items() if step.get("exit_code") != 0]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
