"""PyTorch: builds, trains and loads models. Checkpoints are safetensors: no pickle, so no code, crosses stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError, StageError
from edgeflow.plugin import Framework, ModelSpec, Option, TrainJob
from edgeflow.registry import load_reference

if TYPE_CHECKING:
    from edgeflow.plugin import Float32

BATCH = 256  # samples per forward pass when predicting


@dataclass(frozen=True)
class Training:
    """Training settings, with values that converge on small models."""

    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.004  # the highest of the one-cycle schedule
    weight_decay: float = 0.001
    label_smoothing: float = 0.0
    noise: float = 0.0  # standard deviation of the Gaussian noise added to normalised inputs


def _settings(model: ModelSpec) -> Training:
    """Checked training settings; ConfigError names every key whose value is unusable."""
    problems = []
    for field in fields(Training):
        value = model.training.get(field.name, field.default)
        whole = field.name in ("epochs", "batch_size")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            wanted = "a whole number" if whole else "a number"
            problems.append(f"model {model.id}: training.{field.name}: {value!r} is not {wanted}")
        elif value < (1 if whole else 0):
            problems.append(f"model {model.id}: training.{field.name}: {value!r} is too small")
    if problems:
        raise ConfigError(problems)
    return Training(**model.training)


def _build(model: ModelSpec) -> Any:
    return load_reference(model.builder)(tuple(model.input_shape), model.classes, **model.arguments)


def train(job: TrainJob) -> Mapping[str, float]:
    """Train from scratch with AdamW and a one-cycle schedule; the same seed gives the same bits on one machine.

    Raises StageError when the loss is not finite.
    """
    import torch
    from safetensors.torch import save_file

    settings = _settings(job.model)
    # One thread: the order of additions, and so every bit of the result, would depend on their number.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(job.seed)
    model = _build(job.model)
    loss = _fit(model, torch.from_numpy(job.x), torch.from_numpy(job.y), settings)
    if not loss < float("inf"):
        raise StageError(f"train: model {job.model.id}: the loss is {loss}; lower training.learning_rate")
    save_file(model.state_dict(), job.checkpoint)
    return {"final_loss": loss, "parameters": sum(p.numel() for p in model.parameters())}


def _fit(model: Any, x: Any, y: Any, settings: Training) -> float:
    """Train in place; returns the mean loss of the last epoch."""
    import torch

    batch = min(settings.batch_size, len(x))
    steps = len(x) // batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * steps + 1
    )
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    total = 0.0
    model.train()
    for _ in range(settings.epochs):
        order = torch.randperm(len(x))
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            noisy = x[chosen] + settings.noise * torch.randn(x[chosen].shape)
            loss = criterion(model(noisy), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
    return total / steps


def load(model: ModelSpec, checkpoint: Path) -> Any:
    """The nn.Module in inference mode; StageError names tensors that are missing or too many."""
    from safetensors.torch import load_file

    found = _build(model)
    try:
        found.load_state_dict(load_file(checkpoint))
    except RuntimeError as error:
        raise StageError(f"{checkpoint}: does not fit model {model.id}: {error}") from None
    return found.eval().requires_grad_(False)


def predict(model: Any, x: Float32) -> Float32:
    """x float32[N, …] → logits float32[N, K]."""
    import torch

    with torch.no_grad():
        parts = [model(torch.from_numpy(x[i : i + BATCH])) for i in range(0, len(x), BATCH)]
    found: Float32 = torch.cat(parts).numpy()
    return found


def versions() -> Mapping[str, str]:
    """What trained and predicted."""
    import torch

    return {"torch": str(torch.__version__)}


plugin = Framework(
    id="torch",
    description="PyTorch",
    toolchain="torch",
    train=train,
    load=load,
    predict=predict,
    versions=versions,
    training_options={
        "epochs": Option("passes over the training split"),
        "batch_size": Option("samples per step"),
        "learning_rate": Option("highest learning rate of the one-cycle schedule"),
        "weight_decay": Option("AdamW's weight decay"),
        "label_smoothing": Option("ratio of the label mass spread over all classes"),
        "noise": Option("standard deviation of the noise added to normalised inputs"),
    },
)
