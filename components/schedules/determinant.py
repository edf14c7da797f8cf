"""Rarely switching schedule, by the growth of the determinant."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Gt
from torch import Tensor

from bfmkit.interfaces import Schedule, ScheduleState
from bfmkit.registry import register
from bfmkit.utils.checks import Finite


@register(Schedule, "determinant")
class DeterminantSchedule(Schedule):
    r"""Schedule by information: a choice is due when det V has grown by a factor since the last one.

    due where log det V − log det V' > log c, V' being the precision at the last choice

    The bound on the regret keeps its order, and within n steps there are at most d·log_c(1 + nL²/(λd)) choices beside
    those at the episodes' starts, for features of at most length L and d weights. What is forgotten does not count
    against what has been learnt.

    Args:
        factor: c > 1.

    Raises:
        ValueError: if ``factor`` is not greater than 1.

    Example:
        ``schedule: {type: determinant, factor: 2.0}``

    Reference:
        Abbasi-Yadkori et al., Improved Algorithms for Linear Stochastic Bandits, 2011, section 5.1.
    """

    needs_information = True

    def __init__(self, factor: Annotated[float, Gt(1), Finite] = 2.0) -> None:
        self.factor = factor

    def due(self, progress: ScheduleState) -> Tensor:  # (B,) bool
        return progress.information_since_choice > math.log(self.factor)
