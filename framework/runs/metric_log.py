"""Metrics of a run over time, in TensorBoard, CSV files, Weights & Biases or MLflow, by Lightning's loggers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bfmkit.registry.messages import one_of, suggestion
from bfmkit.runs.run_directory import own_recipe
from bfmkit.utils.errors import RefusedError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

LOGGERS = ("tensorboard", "csv", "wandb", "mlflow")
PACKAGES = {"wandb": ("wandb",), "mlflow": ("mlflow", "sqlalchemy")}
"""Logger -> the packages it needs, which are an extra of the same name."""


class LoggerError(RefusedError, ValueError):
    """Error of an unknown logger, or of one that needs an extra."""


def require_loggers(names: Sequence[str]) -> None:
    """Raise unless there are such loggers, and what they need is installed.

    Raises:
        LoggerError: naming the first that is not there, and the remedy.
    """
    for name in names:
        if name not in LOGGERS:
            raise LoggerError(f'no logger "{name}"{suggestion(name, LOGGERS)} {one_of(LOGGERS)}')
        if any(find_spec(package) is None for package in PACKAGES.get(name, ())):
            raise LoggerError(f"logger {name}: not installed; pip install 'bfmkit[{name}]'")


def lightning_logger(name: str, out: Path) -> Logger:
    """Logger of Lightning by name; a resumed run of W&B or MLflow is the same run there.

    Their own variables are heeded: ``WANDB_MODE=offline``, ``WANDB_PROJECT``, ``MLFLOW_TRACKING_URI``,
    ``MLFLOW_EXPERIMENT_NAME``. Where they are not set, W&B's project and MLflow's experiment are ``bfmkit``, and MLflow
    writes to ``out/mlflow.db``.

    Args:
        name: one of ``LOGGERS``.
        out: the run directory; its name is the run's.
    """
    from lightning.pytorch import loggers

    if name == "tensorboard":
        return loggers.TensorBoardLogger(out, name=None, version="tensorboard")
    if name == "csv":
        # A folder for each session: Lightning's begins a file anew.
        return loggers.CSVLogger(out, name="csv")
    made = _wandb(out) if name == "wandb" else _mlflow(out)
    made.log_hyperparams(own_recipe(out))
    return made


def finish(loggers: Sequence[Any], status: str) -> None:
    """Write what loggers hold back, and close them.

    Args:
        loggers: Lightning's.
        status: ``success`` or ``failed``.
    """
    for logger in loggers:
        logger.finalize(status)
        if type(logger).__name__ == "WandbLogger":
            logger.experiment.finish(exit_code=int(status != "success"))


class MetricLog:
    """Metrics of a job without a Trainer, for each chosen logger.

    Args:
        out: the run directory.
        names: of ``LOGGERS``.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with MetricLog(folder) as log:
        ...     log.log_metrics({"return": 1.0}, step=0)
        >>> len(list((folder / "tensorboard").glob("events*")))
        1
    """

    def __init__(self, out: Path, names: Sequence[str] = ("tensorboard",)) -> None:
        self._out, self._names = out, names

    def __enter__(self) -> MetricLog:
        # Lightning takes seconds to import, and TensorBoard needs none of it.
        self._loggers: list[Any] = [
            _TensorBoard(self._out) if name == "tensorboard" else lightning_logger(name, self._out)
            for name in self._names
        ]
        return self

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log numbers by name."""
        for logger in self._loggers:
            logger.log_metrics(dict(metrics), step=step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        finish(self._loggers, "success" if kind is None else "failed")


class _TensorBoard:
    def __init__(self, out: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(out / "tensorboard"))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def finalize(self, status: str) -> None:
        self._writer.close()


def _wandb(out: Path) -> Logger:
    import secrets

    import wandb
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(
        name=out.name, save_dir=out, project=os.environ.get("WANDB_PROJECT", "bfmkit"),
        id=_identity(out / "wandb.id", lambda: secrets.token_hex(8)), resume="allow",
        settings=wandb.Settings(silent=True, console="off"),
    )  # fmt: skip


def _mlflow(out: Path) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    file = out / "mlflow.id"
    made = MLFlowLogger(
        experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", "bfmkit"), run_name=out.name,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{(out / 'mlflow.db').resolve()}"),
        run_id=file.read_text(encoding="utf-8") if file.is_file() else None,
    )  # fmt: skip
    _identity(file, lambda: str(made.run_id))
    return made


def _identity(file: Path, make: Any) -> str:
    """Identity of the run that the next session finds again."""
    if not file.is_file():
        file.write_text(make(), encoding="utf-8")
    return file.read_text(encoding="utf-8").strip()
