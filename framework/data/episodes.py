"""Where episodes end in a long row of transitions, and what comes later in one."""

from __future__ import annotations

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.utils.checks import one_per_row


def episode_ends(transitions: TensorDictBase) -> Tensor:  # batch (N,) -> (m,) int64, increasing
    """The last transition of each episode: one that is terminal, or that the next does not begin where it ended."""
    following = transitions["next", "observation"]
    goes_on = (following[:-1] == transitions["observation"][1:]).all(-1)
    terminated = one_per_row(transitions["next", "terminated"], len(transitions), "terminated").bool()
    goes_on &= ~terminated[:-1]
    last = torch.full((1,), len(transitions) - 1, device=goes_on.device)
    return torch.cat([(~goes_on).nonzero().squeeze(-1), last])


def later_rows(
    rows: Tensor,  # (n,) int64
    steps: Tensor,  # (n,) int64, not negative
    ends: Tensor,  # (m,) int64, as episode_ends gives them
) -> Tensor:  # (n,) int64
    """The transitions that many steps after the given ones, or the last of the episode if it ends before."""
    return torch.minimum(rows + steps, ends[torch.searchsorted(ends, rows)])
