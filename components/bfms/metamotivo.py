"""Models in the public Meta Motivo format."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from bfmkit.components.bfms.metamotivo_format.folder import MODELS, Config, read_folder
from bfmkit.components.bfms.metamotivo_format.networks import EPSILON, Actor, BackwardMap, ForwardMap, Shape
from bfmkit.interfaces import BFM, Dataset, EnvironmentSpec
from bfmkit.interfaces.spec import ANY_DOMAIN
from bfmkit.models.folder import resolve
from bfmkit.models.layers import project
from bfmkit.registry import register
from bfmkit.utils.checks import OpenShare, PositiveInt
from bfmkit.utils.linalg import ridged_inverse, second_moment
from bfmkit.utils.rng import generator

logger = logging.getLogger(__name__)

RELATIVE_RIDGE = 1e-6
PARTS = ("_forward_map.", "_backward_map.", "_actor.")


@register(BFM, "metamotivo")
class Metamotivo(BFM):
    """Forward-backward model trained elsewhere: ``config.json`` and ``model.safetensors``.

    ψ(s, a, z) = F(s, a, z),   φ(s') = C⁻¹B(s'),   C = E[B Bᵀ],   z = √d · w / ‖w‖

    The format holds no data and so no C. It is taken from ``inference_data``, which also label an oracle. Without any,
    C is taken for the identity, which is what the training of such models drives it to, and the log says so.
    Observations are standardised by the mean and variance that are stored.

    Args:
        path: the folder, or ``hf:OWNER/NAME`` for one on the Hugging Face hub.
        discount: γ that the model was trained with; the format does not say.
        inference_data: reward-free transitions of the model's environment.
        transitions: how many of them to take at most.

    Raises:
        FileNotFoundError: if there is no such folder, or it lacks a file.
        ValueError: if a file is damaged or of a kind that is not known here, there is a pickle in the folder, the data
            are of other sizes, or ``discount`` lies outside (0, 1) or ``transitions`` is not positive.

    Example:
        ``bfm: {type: metamotivo, path: models/humanoid}``

    Reference:
        Tirinzoni et al., Zero-shot whole-body humanoid control via behavioral foundation models, 2025.
    """

    second_moment: Tensor | None

    def __init__(
        self,
        path: str,
        discount: OpenShare = 0.98,
        inference_data: Dataset | None = None,
        transitions: PositiveInt = 10_000,
    ) -> None:
        super().__init__()
        folder = resolve(path)
        config, tensors = read_folder(folder)
        sizes = config.number("obs_dim"), config.number("action_dim"), config.number("archi.z_dim")
        self.dim, self.discount = sizes[2], discount
        self.environment_spec = _spec(sizes, inference_data)
        self._projects = config.flag("archi.norm_z")
        self._normalises = config.flag("archi.b.norm")
        self._forward_map, self._actor, self._backward_map = _networks(config, sizes)
        self.register_buffer("observation_mean", torch.zeros(sizes[0]))
        self.register_buffer("observation_deviation", torch.ones(sizes[0]))
        self._load(tensors, config.flag("norm_obs"), folder)
        self.register_buffer("second_moment", None)
        self.register_buffer("inverse_second_moment", torch.eye(self.dim))
        if inference_data is None:
            logger.warning(
                "%s brings no second moment of its features and no inference_data were given: the identity is taken "
                "for it, and there is nothing for an oracle to label", path,
            )  # fmt: skip
        else:
            self._take(inference_data, transitions)
        self.eval().requires_grad_(False)

    def backward_map(self, observation: Tensor) -> Tensor:  # (*b, o) -> (*b, d)
        """B(s)."""
        found = self._backward_map(self._scaled(observation))
        return project(found) if self._normalises else found

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:  # (*b, d)
        """φ = C⁻¹B(s'); the other two arguments are not looked at."""
        return self.backward_map(next_observation) @ self.inverse_second_moment

    def successor_features(self, observation: Tensor, z: Tensor, action: Tensor | None = None) -> Tensor:
        """F(s, a, z), or F(s, π_z(s), z): (*b, E, d)."""
        s, z = self._scaled(observation), z.to(observation.dtype)
        return self._forward_map(s, z, self._actor(s, z) if action is None else action)

    def act(self, observation: Tensor, z: Tensor) -> Tensor:  # (*b, a)
        """π_z(s); z is taken as it is."""
        return self._actor(self._scaled(observation), z.to(observation.dtype))

    def policy_latent(self, weights: Tensor) -> Tensor:  # (*b, d)
        """z on the sphere of radius √d, where the model was trained so; the weights themselves elsewhere."""
        return project(weights) if self._projects else weights

    def feature_second_moment(self) -> Tensor | None:  # (d, d) float64
        """E[φφᵀ] = C⁻¹ C C⁻¹; None without inference data."""
        if self.second_moment is None:
            return None
        inverse = ridged_inverse(self.second_moment, RELATIVE_RIDGE)
        return inverse @ self.second_moment @ inverse

    def _scaled(self, observation: Tensor) -> Tensor:
        return (observation - self.observation_mean) / self.observation_deviation

    def _load(self, tensors: dict[str, Tensor], standardises: bool, folder: Path) -> None:
        # Targets, critics and discriminators of the training may lie there too.
        mine = {name: tensor for name, tensor in tensors.items() if name.startswith(PARTS)}
        buffers = {"observation_mean": self.observation_mean, "observation_deviation": self.observation_deviation}
        try:
            if standardises:
                buffers["observation_mean"] = tensors["_obs_normalizer.running_mean"]
                buffers["observation_deviation"] = (tensors["_obs_normalizer.running_var"] + EPSILON).sqrt()
            self.load_state_dict({**mine, **buffers})
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"{folder}: the tensors are not those that config.json describes: {error}") from error

    @torch.no_grad()
    def _take(self, data: Dataset, count: int) -> None:
        chosen = generator(0, "inference set", 0).permutation(len(data))[:count]
        taken = data.read(torch.from_numpy(chosen).sort().values)
        self.transitions = taken.select("observation", "action", ("next", "observation"), ("next", "physics"))
        self.second_moment = second_moment(self.backward_map(taken["next", "observation"]))
        self.inverse_second_moment.copy_(ridged_inverse(self.second_moment, RELATIVE_RIDGE))


def _networks(config: Config, sizes: tuple[int, int, int]) -> tuple[ForwardMap, Actor, BackwardMap]:
    members = config.number("archi.f.num_parallel")
    if members > 1:
        config.word("archi.f.ensemble_mode", ("batch",))
    f, actor = (
        Shape(
            config.word(f"archi.{part}.model", MODELS),
            config.number(f"archi.{part}.hidden_dim", least=2),
            config.number(f"archi.{part}.hidden_layers"),
            config.number(f"archi.{part}.embedding_layers", least=2),
        )
        for part in ("f", "actor")
    )
    backward = BackwardMap(
        sizes[0], config.number("archi.b.hidden_dim"), config.number("archi.b.hidden_layers"), sizes[2]
    )
    return ForwardMap(f, sizes, members), Actor(actor, sizes), backward


def _spec(sizes: tuple[int, int, int], data: Dataset | None) -> EnvironmentSpec:
    if data is None:
        return EnvironmentSpec(ANY_DOMAIN, sizes[0], sizes[1], 0, 1, 1.0, ())
    found = (data.spec.observation_size, data.spec.action_size)
    if found != sizes[:2]:
        raise ValueError(
            f"inference_data have observations of size {found[0]} and actions of size {found[1]}; the model takes "
            f"{sizes[0]} and {sizes[1]}"
        )
    return data.spec
