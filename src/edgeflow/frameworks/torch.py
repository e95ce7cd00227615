"""PyTorch: builds, trains and loads models. Checkpoints are safetensors: no pickle, so no code, crosses stages."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError, DataError, StageError
from edgeflow.plugin import Framework, ModelSpec, Option, Trained, TrainJob
from edgeflow.registry import load_reference
from edgeflow.techniques import distill, prune, prune_channels, quantize_aware, training
from edgeflow.techniques.training import Phase, Trainer
from edgeflow.units import fraction

if TYPE_CHECKING:
    from edgeflow.plugin import Float32

BATCH = 256  # samples per forward pass when predicting
# In the header of a checkpoint whose network is the builder's with fewer channels: its shapes are to be taken over.
FEWER_CHANNELS = {"edgeflow.channels": "pruned"}


@dataclass(frozen=True)
class Training:
    """Training settings, with values that converge on small models."""

    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.004  # the highest of the one-cycle schedule
    weight_decay: float = 0.001
    label_smoothing: float = 0.0
    noise: float = 0.0  # standard deviation of the Gaussian noise added to normalised inputs


SETTINGS: Mapping[str, Option] = {
    "epochs": Option("passes over the training split", type=int, least=1),
    "batch_size": Option("samples per step", type=int, least=1),
    "learning_rate": Option("highest learning rate of the one-cycle schedule", type=float, above=0),
    "weight_decay": Option("AdamW's weight decay", type=float, least=0),
    "label_smoothing": Option("ratio of the label mass spread over all classes, e.g. 10 %", type=fraction),
    "noise": Option("standard deviation of the noise added to normalised inputs", type=float, least=0),
}


def _settings(model: ModelSpec) -> Training:
    """Checked training settings; ConfigError names every key that is unknown or whose value is unusable."""
    found = {name: f"unknown key; known: {', '.join(SETTINGS)}" for name in model.training if name not in SETTINGS}
    for name, value in model.training.items():
        if name in SETTINGS and (problem := SETTINGS[name].problem(value)):
            found[name] = problem
    if found:
        raise ConfigError([f"model {model.id}: training.{name}: {problem}" for name, problem in found.items()])
    return Training(**{name: SETTINGS[name].read(value) for name, value in model.training.items()})


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
    """Train with AdamW and a one-cycle schedule, from scratch or in steps on from a checkpoint.

    The same seed gives the same bits on one machine. Raises ConfigError for settings, arguments or a builder that
    cannot be used, and StageError when the network does not fit the data or the loss is not finite.
    """
    settings = _settings(job.model)  # before seconds of importing

    import torch
    from safetensors.torch import save_file

    # One thread: the order of additions, and so every bit of the result, would depend on their number.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(job.seed)
    model = load(job.model, job.start).requires_grad_(True) if job.start else _build(job.model)
    _check_fit(job.model, model, job.x[:1])
    trainer = Trainer(model, torch.from_numpy(job.x), torch.from_numpy(job.y), job.kept)
    for phase in _phases(job, settings, model):
        trainer.run(phase)
    # safetensors refuses tensors that share memory or are not contiguous
    tensors = {name: t.clone(memory_format=torch.contiguous_format) for name, t in model.state_dict().items()}
    fewer = any(step.kind == "prune_channels" for step in job.steps)
    save_file(tensors, job.checkpoint, FEWER_CHANNELS if fewer else None)
    figures: dict[str, float] = {
        "final_loss": trainer.losses[-1],
        "parameters": sum(p.numel() for p in model.parameters()),
        "zero_weights_ratio": prune.zeros(model),
    }
    if fewer:
        figures["macs"], _ = prune_channels.cost(model, trainer.x[:1])
        figures["macs_before"], _ = prune_channels.cost(_build(job.model), trainer.x[:1])
    curves = {"train_loss": tuple(trainer.losses)}
    return Trained(figures, curves, trainer.without_gradient, loss_takes_logits=True)


def _phases(job: TrainJob, settings: Training, model: Any) -> Iterator[Phase]:
    """What the model goes through, one after the other. What a step set to zero stays zero in the next ones."""
    import torch

    criterion = torch.nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)

    hard: training.Loss = lambda _, outputs, labels: criterion(outputs, labels)  # noqa: E731

    def epochs(number: int, learning_rate: float) -> training.Settings:
        return training.Settings(number, settings.batch_size, learning_rate, settings.weight_decay, settings.noise)

    if not job.steps:
        yield Phase(f"model {job.model.id}", epochs(settings.epochs, settings.learning_rate), hard)
    names, pruned, example = prune.prunable(model), False, torch.from_numpy(job.x[:1])

    def held(network: Any) -> training.Hooks | None:
        return prune.Held(network, names) if pruned else None

    for step in job.steps:
        options: Mapping[str, Any] = step.options
        name, planned = f"model {job.model.id}: {step.kind}", epochs(step.epochs, step.learning_rate)
        if step.kind == "prune":
            yield Phase(name, planned, hard, hooks=prune.Pruner(model, names, options["sparsity"], step.epochs))
            pruned = True
        elif step.kind == "distill":
            yield from _distilled(job, options, Phase(name, planned, hard, hooks=held(model)), model, example)
        elif step.kind == "prune_channels":
            parts = prune_channels.parts(step.epochs, int(options["iterations"]))
            removals = prune_channels.removals(model, example, job.model.classes, options)
            for number, (part, _) in enumerate(zip(parts, removals, strict=True), start=1):
                part_name = f"{name} {number} of {len(parts)}" if len(parts) > 1 else name
                yield Phase(part_name, epochs(part, step.learning_rate), hard, hooks=held(model))
        elif step.kind == "quantize_aware":
            network = quantize_aware.prepared(model, example)
            yield Phase(name, planned, hard, network, held(network))
            quantize_aware.give_back(network, model)
        else:
            yield Phase(name, planned, hard, hooks=held(model))


def _distilled(job: TrainJob, options: Mapping[str, Any], plain: Phase, model: Any, example: Any) -> Iterator[Phase]:
    """The phase of a distillation; `plain` is the one without it."""
    teacher = load(*job.teachers[options.get("teacher", job.model.id)])
    answers = distill.loss(teacher, options["temperature"], options["soft_weight"], plain.loss)
    if "features" not in options:
        yield replace(plain, loss=answers)
        return
    features = distill.Features(model, teacher, options["features"], example)
    yield replace(plain, loss=features.added_to(answers, options["feature_weight"]), network=features.network)
    features.close()


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


def load(model: ModelSpec, checkpoint: Path) -> Any:
    """The nn.Module in inference mode.

    Raises DataError for a file that is missing or damaged; StageError names tensors that are missing, too many or of
    another shape.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    found = _build(model)
    try:
        tensors = load_file(checkpoint)
        with safe_open(checkpoint, framework="pt") as header:
            said = header.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise DataError(f"{checkpoint}: not a readable safetensors file: {error}; train again") from None
    try:
        if FEWER_CHANNELS.items() <= said.items():
            prune_channels.fit(found, tensors)
        found.load_state_dict(tensors)
    except (RuntimeError, KeyError) as error:
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
    steps=("fine_tune", "prune", "prune_channels", "distill", "quantize_aware"),
    preload=(
        *("torch", "safetensors.torch", "numpy.ctypeslib"),
        *("torch._dynamo", "torch.profiler._cupti_monitor"),  # optimizers import them when they are used
        "tabulate",  # _dynamo does so when the process ends
    ),
    training_options=SETTINGS,
)
