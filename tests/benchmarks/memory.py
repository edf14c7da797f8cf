"""What keeping freed memory is worth: one pretraining update, and one online step's candidates, with and without.

    python tests/benchmarks/memory.py

Each is timed in a process of its own, since the C library cannot be told to forget the setting.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

WIDTH, BATCH, DIM, CANDIDATES = 256, 512, 50, 128


def milliseconds(work: Callable[[], object], repeats: int = 60) -> float:
    """The median time of a call, after a few that do not count."""
    times = []
    for number in range(repeats + 5):
        begun = time.perf_counter()
        work()
        if number >= 5:
            times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times)


def measure(keep: bool) -> dict[str, float]:
    """Time both in this process."""
    import torch
    from tensordict import TensorDict

    from bfmkit.components.bfms.forward_backward import ForwardBackward
    from bfmkit.components.networks.simple import SimpleNetworks
    from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
    from bfmkit.interfaces import EnvironmentSpec
    from bfmkit.memory import keep_freed_memory
    from bfmkit.threads import pin_threads

    pin_threads()
    if keep and not keep_freed_memory():
        raise SystemExit("this C library has no such setting")
    torch.manual_seed(0)
    spec = EnvironmentSpec("walker", 24, 6, 18, 1000, 0.025, ("run",))
    objective = ForwardBackwardObjective(ForwardBackward(spec, SimpleNetworks(WIDTH, 256, 2), DIM))
    parameters = [each for group in objective.parameter_groups().values() for each in group]
    optimizer = torch.optim.Adam(parameters, 1e-4, fused=True)
    s, following = torch.randn(2, BATCH, 24)
    batch = TensorDict(
        {
            "observation": s,
            "action": torch.rand(BATCH, 6) * 2 - 1,
            "next": {"observation": following, "terminated": torch.zeros(BATCH, dtype=torch.bool)},
        },
        [BATCH],
    )

    def update() -> None:
        losses = objective(batch)
        optimizer.zero_grad()
        (losses["loss_measure"] + losses["loss_orthonormality"] + losses["loss_actor"]).backward()
        optimizer.step()
        objective.update_targets()

    z = objective.bfm.policy_latent(torch.randn(1, CANDIDATES, DIM))

    @torch.no_grad()
    def candidates() -> None:
        objective.bfm.candidate_successor_features(s[:1], z)

    return {"update": milliseconds(update), f"{CANDIDATES} candidates": milliseconds(candidates)}


def main() -> None:
    """Print both and their ratio."""
    if len(sys.argv) > 1:
        sys.stdout.write(json.dumps(measure(sys.argv[1] == "keep")))
        return
    results = [
        json.loads(subprocess.run([sys.executable, __file__, how], check=True, capture_output=True, text=True).stdout)
        for how in ("return", "keep")
    ]
    sys.stdout.write(f"{'width ' + str(WIDTH):<20}{'returned':>12}{'kept':>12}{'ratio':>8}\n")
    for name, before in results[0].items():
        after = results[1][name]
        sys.stdout.write(f"{name:<20}{before:>9.2f} ms{after:>9.2f} ms{after / before:>8.2f}\n")


if __name__ == "__main__":
    main()
