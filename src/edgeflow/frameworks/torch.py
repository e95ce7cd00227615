"""PyTorch: builds, trains and loads models. Checkpoints are safetensors: no pickle, so no code, crosses stages."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError, DataError, StageError
from edgeflow.plugin import Framework, ModelSpec, Option, Trained, TrainJob
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


# Setting → the least and the greatest value, and whether the least itself is refused.
_LIMITS: Mapping[str, tuple[float, float, bool]] = {
    "epochs": (1, math.inf, False),
    "batch_size": (1, math.inf, False),
    "learning_rate": (0, math.inf, True),
    "weight_decay": (0, math.inf, False),
    "label_smoothing": (0, 1, False),
    "noise": (0, math.inf, False),
}


def _settings(model: ModelSpec) -> Training:
    """Checked training settings; ConfigError names every key that is unknown or whose value is unusable."""
    names = [field.name for field in fields(Training)]
    found = {name: f"unknown key; known: {', '.join(names)}" for name in model.training if name not in names}
    for name, value in model.training.items():
        if name in names and (problem := _unusable(name, value)):
            found[name] = problem
    if found:
        raise ConfigError([f"model {model.id}: training.{name}: {problem}" for name, problem in found.items()])
    return Training(**model.training)


def _unusable(name: str, value: Any) -> str:
    """Why a setting cannot have this value; "" when it can."""
    whole = name in ("epochs", "batch_size")
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not math.isfinite(value):
        return f"{value!r} is not a {'whole ' if whole else 'finite '}number"
    least, greatest, exclusive = _LIMITS[name]
    if value < least or (exclusive and value == least):
        return f"{value!r} must be {'more than' if exclusive else 'at least'} {least}"
    return f"{value!r} must be at most {greatest}" if value > greatest else ""


def _build(model: ModelSpec) -> Any:
    """The nn.Module, untrained; ConfigError when the builder takes other arguments or builds something else."""
    import torch

    builder = load_reference(model.builder)
    where = f"model {model.id}: builder {model.builder}"
    try:
        inspect.signature(builder).bind(model.input_shape, model.classes, **model.arguments)
    except TypeError as error:
        raise ConfigError([f"{where}: {error}; it is called as function(input_shape, classes, **arguments)"]) from None
    found = builder(model.input_shape, model.classes, **model.arguments)
    if not isinstance(found, torch.nn.Module):
        raise ConfigError([f"{where}: gave a {type(found).__name__}; expected a torch.nn.Module"])
    return found


def train(job: TrainJob) -> Trained:
    """Train from scratch with AdamW and a one-cycle schedule; the same seed gives the same bits on one machine.

    Raises ConfigError for settings, arguments or a builder that cannot be used, and StageError when the network does
    not fit the data or the loss is not finite.
    """
    settings = _settings(job.model)  # before seconds of importing

    import torch
    from safetensors.torch import save_file

    # One thread: the order of additions, and so every bit of the result, would depend on their number.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(job.seed)
    model = _build(job.model)
    _check_fit(job.model, model, job.x[:1])
    losses = _fit(model, torch.from_numpy(job.x), torch.from_numpy(job.y), settings)
    if not (loss := losses[-1]) < math.inf:
        raise StageError(f"train: model {job.model.id}: the loss is {loss}; lower training.learning_rate")
    # safetensors refuses tensors that share memory or are not contiguous
    tensors = {name: t.clone(memory_format=torch.contiguous_format) for name, t in model.state_dict().items()}
    save_file(tensors, job.checkpoint)
    figures = {"final_loss": loss, "parameters": sum(p.numel() for p in model.parameters())}
    return Trained(figures, {"train_loss": tuple(losses)})


def _check_fit(model: ModelSpec, network: Any, x: Float32) -> None:
    """One forward pass: StageError when that fails or the network has another number of outputs."""
    where = f"train: model {model.id}: the network of {model.builder}"
    try:
        found = list(predict(network.eval(), x).shape)
    except (RuntimeError, TypeError) as error:
        raise StageError(f"{where} cannot be run on inputs of shape {list(x.shape)}: {error}") from error
    if found != [1, model.classes]:
        expected = [1, model.classes]
        raise StageError(f"{where} gives outputs of shape {found} for one sample; expected {expected}, one per class")


def _fit(model: Any, x: Any, y: Any, settings: Training) -> list[float]:
    """Train in place; returns the mean loss of each epoch."""
    import torch

    batch = min(settings.batch_size, len(x))
    steps = len(x) // batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    planned = settings.epochs * steps + 1  # the schedule moves on after the last batch too
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=planned)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    losses: list[float] = []
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
        losses.append(total / steps)
    return losses


def load(model: ModelSpec, checkpoint: Path) -> Any:
    """The nn.Module in inference mode.

    Raises DataError for a file that is missing or damaged; StageError names tensors that are missing, too many or of
    another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = _build(model)
    try:
        tensors = load_file(checkpoint)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{checkpoint}: not a readable safetensors file: {error}; train again") from None
    try:
        found.load_state_dict(tensors)
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
    preload=(
        *("torch", "safetensors.torch", "numpy.ctypeslib"),
        *("torch._dynamo", "torch.profiler._cupti_monitor"),  # optimizers import them when they are used
        "tabulate",  # _dynamo does so when the process ends
    ),
    training_options={
        "epochs": Option("passes over the training split"),
        "batch_size": Option("samples per step"),
        "learning_rate": Option("highest learning rate of the one-cycle schedule"),
        "weight_decay": Option("AdamW's weight decay"),
        "label_smoothing": Option("ratio of the label mass spread over all classes"),
        "noise": Option("standard deviation of the noise added to normalised inputs"),
    },
)
