from __future__ import annotations

import torch
from tensordict import TensorDict

from bfmkit.utils.batched_adam import BatchedAdam


def test_each_run_steps_as_torchs_adam_does_and_the_others_stand_still() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    adam, parameters = BatchedAdam(0.1), TensorDict({"inner": {"weight": start.clone()}}, [3])
    memory = adam.blank(parameters)
    plain = [row.clone().requires_grad_() for row in start]
    optimizers = [torch.optim.Adam([row], lr=0.1) for row in plain]
    for step in range(5):
        runs = torch.tensor([True, step % 2 == 0, False])
        slope = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
        adam.step(parameters, TensorDict({"inner": {"weight": slope}}, [3]), memory, runs)
        for run in runs.nonzero().squeeze(-1).tolist():
            plain[run].grad = slope[run]
            optimizers[run].step()
    torch.testing.assert_close(parameters["inner", "weight"], torch.stack([row.detach() for row in plain]))
    assert torch.equal(parameters["inner", "weight"][2], start[2])
    assert memory["count"].tolist() == [5, 3, 0]
