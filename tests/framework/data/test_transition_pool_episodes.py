from __future__ import annotations

import torch
from tensordict import TensorDict

from bfmkit.data.transition_pool import episode_ends, later_rows


def test_an_episode_ends_where_the_next_transition_begins_elsewhere() -> None:
    observation = torch.tensor([0.0, 1, 2, 10, 11, 12, 13]).unsqueeze(-1)
    terminated = torch.tensor([0, 0, 0, 0, 1, 0, 0], dtype=torch.bool)
    following = TensorDict({"observation": observation + 1, "terminated": terminated}, [7])
    transitions = TensorDict({"observation": observation, "next": following}, [7])
    ends = episode_ends(transitions)
    assert ends.tolist() == [2, 4, 6]
    rows, steps = torch.tensor([0, 0, 2, 3, 5]), torch.tensor([1, 9, 0, 1, 9])
    assert later_rows(rows, steps, ends).tolist() == [1, 2, 2, 4, 6]
