"""Acquisition rules and candidate samplers: the choice of the next weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces.bfm import BFM
from bfmkit.interfaces.posterior import Posterior


@dataclass(frozen=True)
class AcquisitionContext:
    """Inputs of an acquisition rule: beliefs, observations and noise of B runs."""

    posterior: Posterior
    belief: TensorDictBase  # batch (B,)
    bfm: BFM
    observation: Tensor  # (B, o)
    weights: Tensor  # (B, d), the previous choice; zero before the first
    noise: Tensor  # (B, *noise_shape), standard normal
    episode: Tensor  # (B,) int64, the number of the run's present episode, from 0
    radius: float | Tensor | None = None  # the confidence radius of the rule that asks; None where it has none
    value: Callable[[AcquisitionContext, Tensor], Tensor] | None = None
    """What the rule that asks makes of weights, (context, (B, k, d)) -> (B, k), to be differentiated by the weights;
    None where it compares nothing."""


class CandidateSampler(ABC):
    """Base class of candidate samplers: the weights that an acquisition rule compares."""

    kind: ClassVar[str] = "candidate_sampler"
    folder: ClassVar[str] = "candidate_samplers"

    @abstractmethod
    def noise_shape(self, dim: int) -> tuple[int, ...]:
        """Shape of the standard-normal noise that one run's draw takes."""

    @abstractmethod
    def draw(self, context: AcquisitionContext) -> Tensor:  # (B, k, d)
        """Candidate weights, k for each run; a deterministic function of the context."""

    def require(self, posterior: Posterior, has_radius: bool) -> None:  # noqa: B027
        """Refuse what can be known to fail before anything has run; here nothing.

        A sampler that has others inside asks them too.

        Args:
            posterior: whose beliefs it is to draw for.
            has_radius: whether the rule that asks will tell it a confidence radius.

        Raises:
            ValueError: if the settings do not go together.
        """


class Acquisition(ABC):
    """Base class of acquisition rules: the weights w whose policy acts next."""

    kind: ClassVar[str] = "acquisition"
    folder: ClassVar[str] = "acquisitions"

    @abstractmethod
    def noise_shape(self, dim: int) -> tuple[int, ...]:
        """Shape of the standard-normal noise that one run's choice takes."""

    @abstractmethod
    def propose(self, context: AcquisitionContext) -> Tensor:  # (B, d) float64
        """The chosen weights; a deterministic function of the context."""

    def require(self, posterior: Posterior) -> None:  # noqa: B027
        """Refuse what can be known to fail before anything has run; here nothing. Agents ask when they are built.

        Args:
            posterior: whose beliefs it is to choose by.

        Raises:
            ValueError: if the settings do not go together.
        """

    def stage(self, episodes: int) -> str | None:
        """Stage in which a run of ``episodes`` episodes ends, in words; None for a rule without stages."""
        return None
