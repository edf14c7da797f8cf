"""Options of a recipe that are Lightning's own: Trainer arguments and callbacks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from bfmkit.registry.messages import suggestion

OWN_OPTION = {
    "accelerator": "--device says where to train",
    "accumulate_grad_batches": "use a larger batch_size",
    "callbacks": "they stand beside it, under callbacks",
    "check_val_every_n_epoch": "evaluation.every says how often to evaluate",
    "default_root_dir": "--out is the run directory",
    "devices": "hardware.devices is the number",
    "limit_val_batches": "evaluation.episodes says how much to evaluate",
    "logger": "it stands beside it, under logger",
    "max_epochs": "updates is the length of a training",
    "max_steps": "updates is the length of a training",
    "num_nodes": "hardware.nodes is the number",
    "plugins": "hardware says how many processes train",
    "precision": "hardware.precision says it",
    "strategy": "hardware says how many processes train, with data-parallel updates",
    "val_check_interval": "evaluation.every says how often to evaluate",
}
"""Trainer argument -> where the recipe of a pretraining says the same."""


@dataclass(frozen=True)
class LightningClass:
    """Class and arguments, as LightningCLI writes them.

    Args:
        class_path: a class of ``lightning.pytorch.callbacks`` or ``lightning.pytorch.loggers`` by name, or any other
            by its dotted path.
        init_args: keyword arguments of its constructor.

    Example:
        >>> LightningClass("EarlyStopping", {"monitor": "oracle_return/mean", "mode": "max"}).class_path
        'EarlyStopping'
    """

    class_path: str
    init_args: dict[str, Any] = field(default_factory=dict)

    def build(self, package: str, base: type) -> Any:
        """Instance of the class.

        Args:
            package: where a name without a dot is looked up.
            base: what the class must derive from.

        Raises:
            ValueError: if there is no such class, it is of another kind, or it refuses its arguments.
        """
        cls = self._find(package)
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise ValueError(f"{self.class_path} is no {base.__name__} of Lightning")
        try:
            return cls(**self.init_args)
        except Exception as error:  # whatever a class of somebody else raises
            raise ValueError(f"{self.class_path}: {' '.join(str(error).split())}") from error

    def _find(self, package: str) -> Any:
        module, _, name = self.class_path.rpartition(".")
        try:
            found = import_module(module or package)
            return getattr(found, name)
        except ImportError as error:
            raise ValueError(f"{self.class_path}: {error}") from error
        except AttributeError as error:
            near = suggestion(name, [each for each in dir(found) if each[0].isupper()])
            raise ValueError(f"{module or package} has no class {name}{near}") from error


def require_trainer_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise unless all of them are arguments of Lightning's Trainer that a recipe may set.

    Raises:
        ValueError: naming the first that is not, and what to write instead.
    """
    import lightning

    known = list(inspect.signature(lightning.Trainer.__init__).parameters)
    free = [name for name in known if name not in OWN_OPTION and name != "self"]
    for name in arguments:
        if name in OWN_OPTION:
            raise ValueError(f"trainer.{name} is set by the recipe: {OWN_OPTION[name]}")
        if name not in known:
            raise ValueError(f"Lightning's Trainer has no argument {name}{suggestion(name, free)}")
