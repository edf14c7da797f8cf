"""Prints how far each posterior is from what exact arithmetic gives, after very many updates.

    python tests/benchmarks/posterior_accuracy.py

Half of the directions are excited much less than the others, so that the precision has about the condition number in
the second column (the first number is what is aimed at). The reference adds up whole numbers and solves with 60 digits.
Columns: relative error of the mean, relative error of the widths of 8 random directions, error of log det V; then
whether the belief is finite, and its precision symmetric and positive definite. "plain sums" is what float64 gives
without compensation.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.ensemble import EnsemblePosterior
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.sliding_window import SlidingWindowPosterior
from bfmkit.testing.exact import exact_regression, on_grid

REGULARIZATION = 2.0**-10


def data(conditions: list[float], count: int, dim: int) -> tuple[Tensor, Tensor]:
    """(B, count, dim) features, one run a condition number, and (B, count) rewards."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
    features = torch.randn(len(conditions), count, dim, generator=generator, dtype=torch.float64)
    features[..., dim // 2 :] *= torch.tensor(conditions, dtype=torch.float64).rsqrt().reshape(-1, 1, 1)
    features = on_grid((features @ rotation.mT).clamp(-5.5, 5.5))
    weights = torch.randn(dim, 1, generator=generator, dtype=torch.float64) / dim**0.5
    noise = 0.1 * torch.randn(len(conditions), count, generator=generator, dtype=torch.float64)
    return features, on_grid(((features @ weights).squeeze(-1) + noise).clamp(-5.5, 5.5))


def off(value: Tensor, exact: Tensor) -> float:
    return float((value - exact).norm() / exact.norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=50)
    parser.add_argument("--conditions", type=float, nargs="+", default=[1e2, 1e6, 1e10])
    parser.add_argument("--window", type=int, default=1000)
    parser.add_argument("--only", nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    # The regulariser is to leave the weak directions as weak as they are.
    weakest = min(arguments.updates, arguments.window) / max(arguments.conditions)
    regularization = min(REGULARIZATION, 2.0 ** torch.tensor(weakest).log2().floor().item())
    posteriors = {
        "ridge": RidgePosterior(regularization),
        "bayesian": BayesianPosterior(0.125, 0.125 * regularization**-0.5),
        "normal_inverse_gamma": NormalInverseGammaPosterior(regularization),
        "ensemble": EnsemblePosterior(8, 0.125, 0.125 * regularization**-0.5),
        "sliding_window": SlidingWindowPosterior(arguments.window, regularization),
    }
    features, rewards = data(arguments.conditions, arguments.updates, arguments.dim)
    runs = len(arguments.conditions)
    probes = torch.randn(8, arguments.dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    everyone = torch.ones(runs, dtype=torch.bool)
    print(f"{arguments.updates} updates, d = {arguments.dim}, {torch.__version__}")
    print(f"{'posterior':<22}{'cond(V)':>18}{'mean':>10}{'width':>10}{'log det':>10}  finite, symmetric, definite")
    for name, posterior in posteriors.items():
        if arguments.only and name not in arguments.only:
            continue
        belief, start = posterior.prior(runs, arguments.dim), time.monotonic()
        plain = [belief["precision"].clone(), belief["response"].clone()]
        for step in range(arguments.updates):
            row, reward = features[:, step], rewards[:, step]
            belief = posterior.update(belief, row, reward, everyone)
            if name == "ridge":
                plain[0].baddbmm_(row.unsqueeze(-1), row.unsqueeze(-2))
                plain[1].addcmul_(row, reward.unsqueeze(-1))
            if time.monotonic() - start > 30:
                print(f"  {name}: {step + 1} of {arguments.updates}", flush=True)
                start = time.monotonic()
        last = slice(-arguments.window, None) if name == "sliding_window" else slice(None)
        for run, aim in enumerate(arguments.conditions):
            exact = exact_regression(
                features[run, last], rewards[run, last], posterior.prior_precision, probes, posterior.noise_std
            )
            precision = belief["precision"][run]
            widths = (probes @ belief["factor_inverse"][run].mT).norm(dim=-1)
            finite = all(value[run].isfinite().all() for value in belief.values(True, True))
            symmetric = torch.equal(precision, precision.mT)
            definite = bool((torch.linalg.eigvalsh(precision) > 0).all())
            print(
                f"{name:<22}{aim:>9.0e}{float(torch.linalg.cond(precision)):>9.1e}"
                f"{off(belief['mean'][run], exact.mean):>10.1e}{off(widths, exact.widths):>10.1e}"
                f"{abs(float(belief['log_determinant'][run]) - exact.log_determinant):>10.1e}"
                f"  {finite}, {symmetric}, {definite}",
                flush=True,
            )
            if name == "ridge":
                mean = torch.linalg.solve(plain[0][run], plain[1][run])
                print(f"{'  plain sums':<22}{'':>18}{off(mean, exact.mean):>10.1e}", flush=True)


if __name__ == "__main__":
    main()
