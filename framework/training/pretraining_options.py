"""Options of a pretraining in groups: optimizer, evaluation, hardware."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bfmkit.interfaces import Environment
from bfmkit.training.precision import Precision
from bfmkit.utils.checks import NonNegativeInt, OpenShare, PositiveFloat, PositiveInt, check_ranges


@check_ranges
@dataclass(frozen=True)
class OptimizerOptions:
    """Options of Adam: learning rate, its schedule, averaged weights.

    Args:
        learning_rate: of Adam.
        lr_schedule: ``constant``, or ``cosine`` from the learning rate to a hundredth of it at the last update.
        warmup: updates over which the learning rate rises linearly from nothing, for going on from a trained model.
        ema_decay: decay of averaged weights, which are then what is evaluated and shipped; none if not given.

    Raises:
        ValueError: if a number lies outside its range.

    Example:
        >>> OptimizerOptions(lr_schedule="cosine", ema_decay=0.999).learning_rate
        0.0001
    """

    learning_rate: PositiveFloat = 1e-4
    lr_schedule: Literal["constant", "cosine"] = "constant"
    warmup: NonNegativeInt = 0
    ema_decay: OpenShare | None = None


@check_ranges
@dataclass(frozen=True)
class EvaluationOptions:
    """Options of evaluations during training, which change no weight.

    Args:
        environment: where the model's oracle is tried; nowhere if not given.
        every: updates between evaluations; there is one at the end in any case. An epoch of Lightning's trainer.
        episodes: episodes for each task, all different.
        tasks: names or typed rewards to try the model in; if empty, the tasks of the data's body.
        keep_models: whether to keep each model that was evaluated, as ``models/update_N``. None is selected.
        health_every: updates between health reports (rank and conditioning of the features, consistency of ψ); with an
            ``environment``, also how well the features express its tasks' rewards.

    Raises:
        ValueError: if a number is not positive.
    """

    environment: Environment | None = None
    every: PositiveInt = 10_000
    episodes: PositiveInt = 5
    tasks: list[str] = field(default_factory=list)
    keep_models: bool = False
    health_every: PositiveInt = 1000


@check_ranges
@dataclass(frozen=True)
class HardwareOptions:
    """Options of hardware: devices, location of the data, precision, compilation.

    Args:
        data_device: where batches are drawn: on the ``device``, from the ``disk`` (the memory map), or ``auto``: on the
            device if the data fit there. The batches are the same.
        updates_per_step: updates that the trainer makes at a time, at most; its own work is done once for all of them.
            It changes no number.
        precision: of products in the losses: ``float32``, ``tf32`` (float32 with factors of 19 bits, on GPUs that have
            it) or ``bf16``; weights and Adam's moments stay float32.
        compile: whether to compile the losses, which pays on a GPU and not on a CPU. Noise is drawn in another way, so
            the numbers are others.
        cuda_graph: whether to record an update as a CUDA graph and replay it; on a CPU it changes nothing.
        devices: processes on this machine that train together, one a device (CPUs count as one; several processes on a
            CPU are for trying out). ``batch_size`` is that of all together.
        nodes: machines. Lightning starts the processes of one machine; torchrun, SLURM (``srun``), Kubernetes and
            whoever sets MASTER_ADDR, MASTER_PORT and NODE_RANK start those of several.

    Raises:
        ValueError: if a number is not positive, or ``cuda_graph`` is asked of several devices.
    """

    data_device: Literal["auto", "device", "disk"] = "auto"
    updates_per_step: PositiveInt = 1
    precision: Precision = "float32"
    compile: bool = False
    cuda_graph: bool = False
    devices: PositiveInt = 1
    nodes: PositiveInt = 1

    def __post_init__(self) -> None:
        if self.cuda_graph and self.processes > 1:
            raise ValueError("cuda_graph works on one device: a recorded update does not wait for other processes")

    @property
    def processes(self) -> int:
        """Number of processes on all machines."""
        return self.devices * self.nodes
