"""Prints how far each posterior is from what exact arithmetic gives, after very many updates; fails where it is far.

    python tests/benchmarks/posterior_accuracy.py

Five runs side by side. In three, half of the directions are excited much less than the others, so that the precision
has about the condition number aimed at; in one, the features are the same in every step; in one, they are zero. The
reference adds up whole numbers and solves with 60 digits, for any discount, and regresses each member of the ensemble
on its own rewards. Columns: what the run is, cond(V) at the end, relative error of the mean, of the widths of 8 random
directions as the posterior itself says them, and the error of log det V; then whether the whole belief is finite, and
its precision symmetric and positive definite. "plain sums" is what float64 gives without compensation.

The exit code is 1 if at condition number 10⁶ a relative error of mean or widths, or the error of log det V, is above
10⁻⁸. That is not asked of a posterior that forgets its prior where the same features come again and again: the exact V
is singular there, and nothing is known of the other directions.

``--dim 1`` is the case of one feature. ``--block 20`` takes the same labels in as so many at once.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.ensemble import EnsemblePosterior
from bfmkit.components.posteriors.normal_inverse_gamma import NormalInverseGammaPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.posteriors.sliding_window import SlidingWindowPosterior
from bfmkit.components.posteriors.weighted_ridge import WeightedRidgePosterior
from bfmkit.inference.gaussian_posterior import NormalPosterior
from bfmkit.testing.exact import ExactRegression, exact_regression, on_grid

DEGENERATE = ("repeated", "zero")
CONDITION, LARGEST_ERROR = 1e6, 1e-8
REPEATED = CONDITION
"""cond(V) where the same features come again and again, without discount."""
MEMBERS = 4
NOISE = 0.125
RATE = 2.0**-30


class GridEnsemble(EnsemblePosterior):
    """An ensemble whose noise is on the grid of numbers that add up exactly."""

    def _label_noise(self, belief: TensorDictBase, taken: Tensor) -> Tensor:
        # Short enough for a reward with its noise to stay in the grid's range.
        return on_grid(super()._label_noise(belief, taken).clamp(-4.5, 4.5) * self.noise_std) / self.noise_std


def posteriors(regularization: float, window: int, discount: float) -> dict[str, NormalPosterior]:
    prior_std = NOISE * regularization**-0.5
    return {
        "ridge": RidgePosterior(regularization),
        "ridge, prior forgotten": RidgePosterior(regularization, discount),
        "ridge, prior kept": WeightedRidgePosterior(regularization, discount),
        "bayesian": BayesianPosterior(NOISE, prior_std),
        "normal_inverse_gamma": NormalInverseGammaPosterior(regularization, rate=RATE),
        "ensemble": GridEnsemble(MEMBERS, NOISE, prior_std),
        "sliding_window": SlidingWindowPosterior(window, regularization),
    }


def data(conditions: list[float], count: int, dim: int, regularization: float) -> tuple[Tensor, Tensor]:
    """(B, count, dim) features, one run a condition number and two degenerate ones, and (B, count) rewards."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
    features = torch.randn(len(conditions) + 2, count, dim, generator=generator, dtype=torch.float64)
    weak = torch.tensor([*conditions, 1.0, 1.0], dtype=torch.float64).rsqrt().reshape(-1, 1, 1)
    features[..., (dim + 1) // 2 :] *= weak
    features = (features @ rotation.mT).clamp(-5.5, 5.5)
    length = (REPEATED * regularization / count) ** 0.5
    features[-2] = features[-2, 0] * length / features[-2, 0].norm()
    features[-1] = 0.0
    features = on_grid(features)
    weights = torch.randn(dim, 1, generator=generator, dtype=torch.float64) / dim**0.5
    noise = 0.1 * torch.randn(len(features), count, generator=generator, dtype=torch.float64)
    return features, on_grid(((features @ weights).squeeze(-1) + noise).clamp(-4.5, 4.5))


def learnt(name: str, posterior: NormalPosterior, features: Tensor, rewards: Tensor, block: int) -> TensorDict:
    """The belief after all labels, so many at a time."""
    runs, count, dim = features.shape
    belief, start = posterior.prior_for(range(runs), dim), time.monotonic()
    everything = torch.ones(runs, count, dtype=torch.bool)
    for step in range(0, count, block):
        now = slice(step, step + block)
        belief = posterior.update_batch(belief, features[:, now], rewards[:, now], everything[:, now])
        if time.monotonic() - start > 30:
            print(f"{name}: {step + 1} of {count}", file=sys.stderr, flush=True)
            start = time.monotonic()
    return belief


def plain_mean(features: Tensor, rewards: Tensor, regularization: float) -> Tensor:  # (n, d), (n,) -> (d,)
    """What comes of adding up one pair after another."""
    precision = regularization * torch.eye(features.shape[-1], dtype=torch.float64)
    response = torch.zeros(features.shape[-1], dtype=torch.float64)
    for row, reward in zip(features, rewards, strict=True):
        precision.addr_(row, row)
        response.add_(row * reward)
    return torch.linalg.solve(precision, response)


def truth(posterior: NormalPosterior, run: int, features: Tensor, rewards: Tensor, probes: Tensor) -> ExactRegression:
    """What the belief of a run should say."""
    precision, noise = posterior.prior_precision, posterior.noise_std
    if isinstance(posterior, RidgePosterior | WeightedRidgePosterior):
        forgets_prior = isinstance(posterior, RidgePosterior)
        return exact_regression(features, rewards, precision, probes, noise, None, posterior.discount, forgets_prior)
    exact = exact_regression(features, rewards, precision, probes, noise)
    if isinstance(posterior, NormalInverseGammaPosterior):
        # β = β₀ + ½ (Σr² − bᵀŵ), which cancels little where rewards are noisy.
        explained = (features.mT @ rewards) @ exact.mean
        rate = posterior.rate + 0.5 * float(rewards.square().sum() - explained)
        scale = (rate / (posterior.shape + 0.5 * len(rewards))) ** 0.5
        return ExactRegression(exact.mean, scale * exact.widths, exact.log_determinant)
    if isinstance(posterior, EnsemblePosterior):
        prior = posterior.prior_for([run], features.shape[-1])
        noises = posterior._label_noise(prior, torch.ones_like(rewards).unsqueeze(0))[0]  # (n, M)
        members = [
            exact_regression(
                features,
                rewards + noise * noises[:, member],
                precision,
                probes,
                noise,
                prior["perturbation"][0, member],
            ).mean
            for member in range(posterior.members)
        ]
        spread = torch.stack([probes @ (member - exact.mean) for member in members])
        return ExactRegression(exact.mean, spread.square().mean(0).sqrt(), exact.log_determinant)
    return exact


def off(value: Tensor, exact: Tensor) -> float:
    """Relative error; absolute where the truth is zero."""
    size = exact.norm()
    return float((value - exact).norm() / (size if size > 0 else 1.0))


def is_far(name: str, aim: str, errors: list[float]) -> bool:
    """Whether a posterior has a larger error than it may have in this run; NaN is one, and no truth at all another."""
    if aim not in (label(CONDITION), "repeated") or (name, aim) == ("ridge, prior forgotten", "repeated"):
        return False
    return not errors or not all(error <= LARGEST_ERROR for error in errors)


def label(condition: float) -> str:
    """What a run is called that has this condition number."""
    return f"{condition:.0e}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=50)
    parser.add_argument("--conditions", type=float, nargs="+", default=[1e2, 1e6, 1e10])
    parser.add_argument("--window", type=int, default=1000)
    parser.add_argument("--discount", type=float, default=0.999)
    parser.add_argument("--block", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="names of posteriors")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    # Of precisions beyond mending the last columns tell.
    warnings.simplefilter("once")
    # The regulariser is to leave the weak directions as weak as they are.
    weakest = min(arguments.updates, arguments.window) / max(arguments.conditions)
    regularization = min(2.0**-10, 2.0 ** torch.tensor(weakest).log2().floor().item())
    features, rewards = data(arguments.conditions, arguments.updates, arguments.dim, regularization)
    aims = [*map(label, arguments.conditions), *DEGENERATE]
    probes = torch.randn(8, arguments.dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    print(f"{arguments.updates} updates, d = {arguments.dim}, {torch.__version__}")
    print(
        f"{'posterior':<24}{'run':>9}{'cond(V)':>9}{'mean':>9}{'width':>9}{'log det':>9}  finite, symmetric, definite"
    )
    far = []
    for name, posterior in posteriors(regularization, arguments.window, arguments.discount).items():
        if arguments.only and name not in arguments.only:
            continue
        belief = learnt(name, posterior, features, rewards, arguments.block)
        said = posterior.std(belief, probes.expand(len(features), -1, -1))
        log_determinant = posterior.log_determinant(belief)
        last = slice(-arguments.window, None) if name == "sliding_window" else slice(None)
        for run, aim in enumerate(aims):
            precision = belief["precision"][run]
            finite = all(bool(value[run].isfinite().all()) for value in belief.values(True, True))
            symmetric = torch.equal(precision, precision.mT)
            eigenvalues = torch.linalg.eigvalsh(precision)
            try:
                exact = truth(posterior, run, features[run, last], rewards[run, last], probes)
            except ValueError as error:  # mpmath's word for a matrix that is singular to 60 digits
                print(f"{name:<24}{aim:>9}  no truth: {error}", flush=True)
                far += [f"{name} ({aim})"] * is_far(name, aim, [])
                continue
            errors = [
                off(belief["mean"][run], exact.mean),
                off(said[run], exact.widths),
                abs(float(log_determinant[run]) - exact.log_determinant),
            ]
            far += [f"{name} ({aim})"] * is_far(name, aim, errors)
            print(
                f"{name:<24}{aim:>9}{float(eigenvalues[-1] / eigenvalues[0]):>9.1e}"
                f"{''.join(f'{error:>9.1e}' for error in errors)}"
                f"  {finite}, {symmetric}, {bool((eigenvalues > 0).all())}",
                flush=True,
            )
            if name == "ridge":
                mean = plain_mean(features[run], rewards[run], regularization)
                print(f"{'  plain sums':<24}{'':>18}{off(mean, exact.mean):>9.1e}", flush=True)
    if far:
        print(f"an error above {LARGEST_ERROR:.0e} at condition number {label(CONDITION)}: {', '.join(far)}")
    return 1 if far else 0


if __name__ == "__main__":
    raise SystemExit(main())
