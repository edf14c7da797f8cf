"""Exploration by random network distillation."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModule
from torch import Tensor, nn
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.envs.transforms.rnd import RunningMeanStd
from torchrl.modules import MLP, ValueOperator
from torchrl.objectives import DDPGLoss, SoftUpdate, ValueEstimators
from torchrl.objectives.rnd import RNDLoss

from bfmkit.interfaces import Advance, EnvironmentSpec, Explorer
from bfmkit.registry import register

OBSERVATION_CLIP = 5.0


@register(Explorer, "random_network_distillation")
class RandomNetworkDistillation(Explorer):
    """Goes where a network has not yet learnt to imitate a random one.

    The reward of s' is ‖f(s') − g(s')‖², g a random network and f one trained to agree with it on the states seen,
    divided by its running standard deviation. An off-policy actor-critic (DDPG) maximises it; rewards are computed
    when a batch is drawn, so old transitions carry today's novelty.

    Args:
        spec: sizes of the environment.
        width: hidden units of every layer.
        rank: outputs of the random network.
        batch_size: transitions an update.
        updates: gradient updates for each step of the batch of environments.
        learning_rate: of Adam, for all networks.
        discount: γ of the exploration policy.
        target_rate: how far targets move towards their networks an update.
        noise: standard deviation of the Gaussian noise on actions.
        warmup: transitions of uniformly random actions at the start.
        capacity: transitions kept for updates.

    Reference:
        Burda et al., Exploration by random network distillation, 2018; settings after Laskin et al., URLB, 2021.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        width: int = 256,
        rank: int = 64,
        batch_size: int = 512,
        updates: int = 1,
        learning_rate: float = 3e-4,
        discount: float = 0.99,
        target_rate: float = 0.01,
        noise: float = 0.2,
        warmup: int = 4000,
        capacity: int = 1_000_000,
    ) -> None:
        o, a = spec.observation_size, spec.action_size
        self._action_size, self._noise, self._warmup, self._updates = a, noise, warmup, updates
        self._scale = RunningMeanStd((o,))
        self._novelty_scale = RunningMeanStd(())
        self._actor = nn.Sequential(_mlp(o, a, width), nn.Tanh())
        actor = TensorDictModule(self._actor, in_keys=["observation"], out_keys=["action"])
        critic = ValueOperator(_mlp(o + a, 1, width), in_keys=["observation", "action"])
        self._loss = DDPGLoss(actor, critic, delay_value=True)
        self._loss.make_value_estimator(ValueEstimators.TD0, gamma=discount)
        self._targets = SoftUpdate(self._loss, tau=target_rate)
        # Observations reach both losses already scaled, so that replayed batches are scaled once.
        self._distillation = RNDLoss(_mlp(o, rank, width), _mlp(o, rank, width), update_fraction=1.0)
        trained = [p for loss in (self._loss, self._distillation) for p in loss.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(trained, lr=learning_rate, fused=True)
        self._replay = TensorDictReplayBuffer(
            storage=LazyTensorStorage(capacity), batch_size=batch_size, compilable=False
        )
        self._capacity = capacity
        self._seen = 0
        self._log: dict[str, list[float]] = {}

    @torch.no_grad()
    def act(self, observation: Tensor) -> Tensor:  # (B, o) -> (B, a)
        """The actor's action with noise; uniform during warm-up."""
        shape = (len(observation), self._action_size)
        if self._seen < self._warmup:
            return torch.rand(shape) * 2 - 1
        return (self._actor(self._scaled(observation)) + self._noise * torch.randn(shape)).clamp_(-1, 1)

    def observe(self, observation: Tensor, action: Tensor, outcome: Advance) -> None:
        """Store the step, then make this step's updates."""
        self._scale.update(observation)
        self._seen += len(observation)
        following = {"observation": outcome.observation, "terminated": outcome.terminated}
        self.remember(
            TensorDict({"observation": observation, "action": action, "next": following}, [len(observation)])
        )
        if self._seen >= self._warmup:
            for _ in range(self._updates):
                self._update()

    def remember(self, transitions: TensorDictBase) -> None:  # batch (n,)
        """Put transitions into the replay buffer."""
        kept = transitions.select("observation", "action", ("next", "observation"), ("next", "terminated"))
        self._replay.extend(kept[-self._capacity :])

    def _update(self) -> None:
        batch = self._replay.sample()
        following = batch["next"]
        batch["observation"] = self._scaled(batch["observation"])
        following["observation"] = self._scaled(following["observation"])
        following["terminated"] = following["done"] = following["terminated"].unsqueeze(-1)
        with torch.no_grad():
            networks = self._distillation
            x = following["observation"]
            novelty = (networks.predictor_network(x) - networks.target_network(x)).square().mean(-1)
            self._novelty_scale.update(novelty)
            following["reward"] = (novelty / self._novelty_scale.var.sqrt().clamp(min=1e-8)).unsqueeze(-1)
        losses = self._loss(batch)
        distillation = self._distillation(batch)["loss_predictor"]
        self._optimizer.zero_grad()
        (losses["loss_actor"] + losses["loss_value"] + distillation).backward()
        self._optimizer.step()
        self._targets.step()
        for name, value in (("novelty", novelty.mean()), ("value_loss", losses["loss_value"])):
            self._log.setdefault(name, []).append(value.item())

    def _scaled(self, observation: Tensor) -> Tensor:
        return self._scale.normalize(observation).clamp(-OBSERVATION_CLIP, OBSERVATION_CLIP).float()

    def metrics(self) -> dict[str, float]:
        """Mean novelty of the batches and loss of the critic since the last call."""
        means = {name: sum(values) / len(values) for name, values in self._log.items()}
        self._log = {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Networks, targets, optimiser and scales; the replay buffer is filled again by :meth:`remember`."""
        return {
            "loss": self._loss.state_dict(),
            "distillation": self._distillation.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scale": self._scale.state_dict(),
            "novelty_scale": self._novelty_scale.state_dict(),
            "seen": self._seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self._loss.load_state_dict(state["loss"])
        self._distillation.load_state_dict(state["distillation"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scale.load_state_dict(state["scale"])
        self._novelty_scale.load_state_dict(state["novelty_scale"])
        self._seen = state["seen"]


def _mlp(inputs: int, outputs: int, width: int) -> nn.Module:
    return MLP(in_features=inputs, out_features=outputs, num_cells=[width, width], activation_class=nn.ReLU)
