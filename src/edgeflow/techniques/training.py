"""The training loop of PyTorch models: every epoch says how it went, and what was killed goes on after the last one."""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgeflow import files
from edgeflow.errors import StageError
from edgeflow.plugin import Rows

Loss = Callable[[Any, Any, Any], Any]  # inputs, outputs float32[B, K], labels int64[B] → loss float32[]


@dataclass(frozen=True)
class Settings:
    """How one phase of a training goes."""

    epochs: int
    batch_size: int
    learning_rate: float  # the highest of the one-cycle schedule
    weight_decay: float
    noise: float  # standard deviation of the Gaussian noise added to normalised inputs


class Hooks(Protocol):
    """What a technique does between the steps of the optimizer."""

    def before_epoch(self, epoch: int) -> None:
        """Called before each epoch, from 0, that was not done before a kill."""

    def after_step(self) -> None:
        """Called after each step of the optimizer."""


@dataclass(frozen=True)
class Phase:
    """One training with one schedule: from scratch, or a step of a recipe."""

    name: str  # for the log
    settings: Settings
    loss: Loss
    network: Any = None  # what is trained, in training mode already; None: the model
    hooks: Hooks | None = None


class Trainer:
    """Runs phases on one model and one training split.

    `kept` holds what a killed training needs to go on: weights, optimizer, schedule and random numbers after its last
    whole epoch. The same seed gives the same bits on one machine, killed or not.
    """

    def __init__(self, model: Any, x: Rows, y: Any, kept: Path | None) -> None:
        self.model, self.x, self.y = model, x, y  # nn.Module; samples; tensor int64[N]
        self.losses: list[float] = []  # mean loss of each epoch, over all phases
        self._gradients: dict[str, bool] = {}  # parameter that was to be trained → whether it ever got a gradient
        self._kept = kept
        self._begun = 0  # epochs of the phases before
        self._ends: list[Any] = []  # what each phase before left of its network
        self._left = _read(kept)

    def run(self, phase: Phase) -> None:
        """Train in place.

        Raises StageError when the loss is not finite.
        """
        import torch

        settings = phase.settings
        batch = min(settings.batch_size, len(self.x))
        steps = len(self.x) // batch
        network = self.model.train() if phase.network is None else phase.network
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        planned = settings.epochs * steps + 1  # the schedule moves on after the last batch too
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=planned)
        begin = self._resume(settings.epochs, network, optimizer, schedule)
        # what a technique wraps around the model may leave parameters out that the model itself needs
        own = self.model.named_parameters() if phase.network is None else ()
        parameters = {name: p for name, p in own if p.requires_grad}
        silent = [name for name in parameters if not self._gradients.get(name)]
        for epoch in range(begin, settings.epochs):
            if phase.hooks:
                phase.hooks.before_epoch(epoch)
            order = torch.randperm(len(self.x))
            total = 0.0
            for step in range(steps):
                chosen = order[step * batch : (step + 1) * batch]
                samples = torch.from_numpy(self.x[chosen.numpy()])
                noisy = samples + settings.noise * torch.randn(samples.shape)
                loss = phase.loss(noisy, network(noisy), self.y[chosen])
                optimizer.zero_grad()
                loss.backward()
                silent = [name for name in silent if parameters[name].grad is None]
                optimizer.step()
                schedule.step()
                if phase.hooks:
                    phase.hooks.after_step()
                total += loss.item()
            self._gradients |= {name: name not in silent for name in parameters}
            self._end_epoch(phase, epoch, total / steps, network, optimizer, schedule)
        self._begun += settings.epochs
        self._ends.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    @property
    def without_gradient(self) -> tuple[str, ...]:
        """Parameters that were to be trained, and that no loss ever depended on; what is frozen is none of them."""
        return tuple(name for name, got in self._gradients.items() if not got)

    def _end_epoch(self, phase: Phase, epoch: int, loss: float, network: Any, optimizer: Any, schedule: Any) -> None:

        if not loss < math.inf:
            raise StageError(
                f"train: {phase.name}: the loss is {loss} after epoch {epoch + 1}; lower its learning_rate"
            )
        self.losses.append(loss)
        if self._kept is not None:
            self._keep(self._kept, network, optimizer, schedule)
        _say(f"{phase.name}: epoch {epoch + 1} of {phase.settings.epochs}: loss {loss:.4f}")

    def _keep(self, path: Path, network: Any, optimizer: Any, schedule: Any) -> None:
        import torch

        # The last epoch too: what comes after it, a further phase or the evaluation, may be killed as well.
        state = {
            "losses": self.losses,
            "gradients": self._gradients,
            "ends": self._ends,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "random": torch.get_rng_state(),
        }
        with files.atomic(path) as new:
            torch.save(state, new)

    def _resume(self, epochs: int, network: Any, optimizer: Any, schedule: Any) -> int:
        """The first epoch of this phase that is still to do."""
        import torch

        self._gradients |= self._left["gradients"] if self._left else {}
        done = len(self._left["losses"]) if self._left else 0
        if not self._left or done <= self._begun:
            return 0
        if done > self._begun + epochs:  # killed in a later phase, which begins with what this one left
            network.load_state_dict(self._left["ends"][len(self._ends)])
            self.losses = self._left["losses"][: self._begun + epochs]
            return epochs
        left, self._left = self._left, None
        self.losses = left["losses"]
        network.load_state_dict(left["network"])
        optimizer.load_state_dict(left["optimizer"])
        schedule.load_state_dict(left["schedule"])
        torch.set_rng_state(left["random"])
        _say(f"going on after epoch {done - self._begun}, where an earlier run was killed")
        return done - self._begun


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _read(kept: Path | None) -> dict[str, Any] | None:
    """What a killed training left; None where there is nothing that can be read. Tensors and numbers only, no code."""
    import torch

    if kept is None or not kept.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(kept, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        _say(f"{kept} cannot be read ({error}); training starts again")
        return None
    return state
