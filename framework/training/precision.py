"""Precision of the products in a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

Precision = Literal["float32", "tf32", "bf16"]


@contextmanager
def float32_products(precision: Precision) -> Iterator[None]:
    """Let products of float32 matrices round their factors to 19 bits, for as long as the block lasts."""
    before = torch.get_float32_matmul_precision()
    if precision == "tf32":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def in_precision(precision: Precision, device: torch.device) -> AbstractContextManager:
    """A context for losses: products in bfloat16 if that is asked for."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
