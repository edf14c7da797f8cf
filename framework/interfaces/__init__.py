"""The kinds of components: one abstract class each, and its tensor contract."""

from bfmkit.interfaces.acquisition import Acquisition, AcquisitionContext, CandidateSampler
from bfmkit.interfaces.agent import Agent, RunStoppedError
from bfmkit.interfaces.appearance import Appearance, Part
from bfmkit.interfaces.bfm import BFM
from bfmkit.interfaces.dataset import Dataset
from bfmkit.interfaces.environment import Environment, StepResult
from bfmkit.interfaces.explorer import Explorer
from bfmkit.interfaces.feature_map import FeatureMap
from bfmkit.interfaces.feature_objective import FeatureBatch, FeatureObjective
from bfmkit.interfaces.improver import Improver, InferredTask, ObservedStep
from bfmkit.interfaces.job import Job
from bfmkit.interfaces.latent_sampler import DrawnRewards, LatentContext, LatentSampler
from bfmkit.interfaces.networks import Networks
from bfmkit.interfaces.objective import Objective
from bfmkit.interfaces.plane import Plane
from bfmkit.interfaces.posterior import Posterior
from bfmkit.interfaces.schedule import QueryRule, Schedule, ScheduleState
from bfmkit.interfaces.spec import EnvironmentSpec
from bfmkit.utils.errors import JobError

__all__ = [
    "BFM",
    "Acquisition",
    "AcquisitionContext",
    "Agent",
    "Appearance",
    "CandidateSampler",
    "Dataset",
    "DrawnRewards",
    "Environment",
    "EnvironmentSpec",
    "Explorer",
    "FeatureBatch",
    "FeatureMap",
    "FeatureObjective",
    "Improver",
    "InferredTask",
    "Job",
    "JobError",
    "LatentContext",
    "LatentSampler",
    "Networks",
    "Objective",
    "ObservedStep",
    "Part",
    "Plane",
    "Posterior",
    "QueryRule",
    "RunStoppedError",
    "Schedule",
    "ScheduleState",
    "StepResult",
]
