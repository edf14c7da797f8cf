"""Kinds of components by name, so that listing them imports no torch."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple


class Kind(NamedTuple):
    """Kind of component: name, folder of its components, place of its abstract class."""

    name: str
    folder: str
    interface_path: str  # "module:Class"

    def interface(self) -> type:
        """Abstract class of the kind; imports it."""
        module, _, name = self.interface_path.partition(":")
        return getattr(import_module(module), name)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("job", "jobs", "bfmkit.interfaces.job:Job"),
        Kind("agent", "agents", "bfmkit.interfaces.agent:Agent"),
        Kind("posterior", "posteriors", "bfmkit.interfaces.posterior:Posterior"),
        Kind("acquisition", "acquisitions", "bfmkit.interfaces.acquisition:Acquisition"),
        Kind("candidate_sampler", "candidate_samplers", "bfmkit.interfaces.acquisition:CandidateSampler"),
        Kind("schedule", "schedules", "bfmkit.interfaces.schedule:Schedule"),
        Kind("query_rule", "query_rules", "bfmkit.interfaces.schedule:QueryRule"),
        Kind("bfm", "bfms", "bfmkit.interfaces.bfm:BFM"),
        Kind("feature_map", "feature_maps", "bfmkit.interfaces.feature_map:FeatureMap"),
        Kind("feature_objective", "feature_objectives", "bfmkit.interfaces.feature_objective:FeatureObjective"),
        Kind("networks", "networks", "bfmkit.interfaces.networks:Networks"),
        Kind("latent_sampler", "latent_samplers", "bfmkit.interfaces.latent_sampler:LatentSampler"),
        Kind("objective", "objectives", "bfmkit.interfaces.objective:Objective"),
        Kind("environment", "environments", "bfmkit.interfaces.environment:Environment"),
        Kind("dataset", "datasets", "bfmkit.interfaces.dataset:Dataset"),
        Kind("improver", "improvers", "bfmkit.interfaces.improver:Improver"),
        Kind("explorer", "explorers", "bfmkit.interfaces.explorer:Explorer"),
    )
}
