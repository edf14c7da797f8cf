"""Diagnostics from episodes of policies."""

from __future__ import annotations

from torch import Tensor

from bfmkit.evaluation.diagnostics.features import directions
from bfmkit.evaluation.diagnostics.measure import Measure
from bfmkit.evaluation.diagnostics.policy_diversity import share_of_latent, specialisation
from bfmkit.evaluation.diagnostics.policy_evaluation import PolicyEvaluation
from bfmkit.evaluation.diagnostics.predictions import compare


def prediction_measures(trial: PolicyEvaluation) -> list[Measure]:
    """How ψᵀw agrees with the returns of the policies; none where episodes are too short to tell."""
    agreement = compare(trial.predicted, trial.returns)
    if agreement.points == 0:
        return []
    return [
        Measure(
            "prediction_correlation", agreement.correlation, at_least=0.5,
            meaning="ψᵀw does not tell which states and policies of the model lead to high returns, so choosing "
            "policies by it is guesswork.",
        ),
        Measure(
            "prediction_scale", agreement.scale, at_least=0.5, at_most=1.5,
            meaning="ψᵀw promises that many times what policies get: far above 1 the critics overestimate, far below "
            "they have not caught up with their policies.",
        ),
    ]  # fmt: skip


def spread_measures(
    trial: PolicyEvaluation,
    weights: Tensor,  # (K, d), each row's repeated R times in the trial
    features: Tensor,  # (n, d), of the data
) -> list[Measure]:
    """Whether it matters for returns which z acts, and whether it is the right one that does well."""
    mean = trial.mean_features
    latents = len(weights)
    # In coordinates in which every direction of the features counts alike: the average over all rewards of one size.
    values, vectors, present = directions(features)
    whitening = vectors[:, present] * values[present].rsqrt()
    spread = share_of_latent((mean @ whitening).reshape(latents, -1, whitening.shape[1]))
    returns = mean.reshape(latents, -1, mean.shape[-1]).mean(1) @ weights.cpu().double().mT
    return [
        Measure(
            "spread_of_returns", spread, at_least=0.1,
            meaning="The returns of random rewards hardly depend on z (the share of their variance that goes with z, "
            "beside the luck of an episode): the actor does not listen to z, and there is nothing to choose from.",
        ),
        Measure(
            "specialisation", specialisation(returns), at_least=0.7,
            meaning="The policy that is meant for a reward hardly beats those meant for others (the share of them that "
            "it beats, 0.5 by chance): policies differ, but not by what they are for.",
        ),
    ]  # fmt: skip
