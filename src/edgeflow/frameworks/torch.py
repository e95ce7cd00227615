"""PyTorch: builds, trains and loads models. Checkpoints are safetensors: no pickle, so no code, crosses stages."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ConfigError, DataError, StageError
from edgeflow.plugin import Framework, ModelSpec, Option, Trained, TrainJob, WeightsJob
from edgeflow.registry import load_reference
from edgeflow.techniques import distill, prune, prune_channels, quantize_aware, training
from edgeflow.techniques.training import Phase, Trainer
from edgeflow.units import fraction

if TYPE_CHECKING:
    from edgeflow.plugin import Float32, Rows

BATCH = 256  # samples per forward pass when predicting, fewer where they would take more than
BATCH_BYTES = 4 * 2**20  # layers may hold ten times that, and more
SHOWN = 20  # names of tensors in a message
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
    problems = {name: f"unknown key; known: {', '.join(SETTINGS)}" for name in model.training if name not in SETTINGS}
    for name, value in model.training.items():
        if name in SETTINGS and (problem := SETTINGS[name].problem(value)):
            problems[name] = problem
    if problems:
        raise ConfigError([f"model {model.id}: training.{name}: {problem}" for name, problem in problems.items()])
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
    network = builder(model.input_shape, model.classes, **model.arguments)
    if not isinstance(network, torch.nn.Module):
        raise ConfigError([f"{where}: gave a {type(network).__name__}; expected a torch.nn.Module"])
    return network


def train(job: TrainJob) -> Trained:
    """Train with AdamW and a one-cycle schedule, from scratch or in steps on from a checkpoint.

    The same seed gives the same bits on one machine. Raises ConfigError for settings, arguments or a builder that
    cannot be used, and StageError when the network does not fit the data or the loss is not finite.
    """
    settings = _settings(job.model)  # before seconds of importing

    import torch

    # One thread: the order of additions, and so every bit of the result, would depend on their number.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(job.seed)
    model = load(job.model, job.start).requires_grad_(True) if job.start else _build(job.model)
    _check_fit(job.model, model, job.x[:1])
    trainer = Trainer(model, job.x, torch.from_numpy(job.y), job.kept)
    for phase in _phases(job, settings, model):
        trainer.run(phase)
    fewer = any(step.kind == "prune_channels" for step in job.steps)
    _save(model, job.checkpoint, fewer=fewer)
    figures: dict[str, float] = {
        "final_loss": trainer.losses[-1],
        "parameters": sum(p.numel() for p in model.parameters()),
        "zero_weights_ratio": prune.zeros(model),
    }
    if fewer:
        example = torch.from_numpy(job.x[:1])
        figures["macs"], _ = prune_channels.cost(model, example)
        figures["macs_before"], _ = prune_channels.cost(_build(job.model), example)
    curves = {"train_loss": tuple(trainer.losses)}
    return Trained(figures, curves, trainer.without_gradient, loss_takes_logits=True)


def take_weights(job: WeightsJob) -> Trained:
    """The weights of a file as a checkpoint: nothing is trained, and no statistic of a normalisation moves.

    Raises ConfigError as `train` does; DataError for a file that is damaged or holds code; StageError names tensors
    that are missing, too many, of another shape or not finite, and when the network does not fit the data.
    """
    network = _build(job.model)
    tensors, said = _brought(job.weights)
    _restore(job.model, network, tensors, said, job.weights)
    network.eval().requires_grad_(False)
    _check_fit(job.model, network, job.x)
    _save(network, job.checkpoint, fewer=FEWER_CHANNELS.items() <= said.items())
    parameters = sum(p.numel() for p in network.parameters())
    return Trained({"parameters": parameters, "zero_weights_ratio": prune.zeros(network)})


def _brought(file: Path) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Name → tensor, and the header of a .safetensors file; nothing that the file holds is executed."""
    import torch

    if file.suffix == ".safetensors":
        return _read(file, "save it again")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DataError(
            f"{file}: holds pickled code, which is not run, or is no file of torch.save; where it comes from, save the "
            "tensors alone: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise DataError(f"{file}: not a readable file of torch.save: {_first_line(error)}") from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in content.values()):
        keys = f" with {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else ""
        raise DataError(
            f"{file}: holds a {type(content).__name__}{keys}; expected tensors by name: "
            "torch.save(model.state_dict(), …)"
        )
    return dict(content), {}


def _save(network: Any, checkpoint: Path, *, fewer: bool) -> None:
    """`fewer`: the network has fewer channels than the builder gives it."""
    import torch
    from safetensors.torch import save_file

    # safetensors refuses tensors that share memory or are not contiguous
    tensors = {name: t.clone(memory_format=torch.contiguous_format) for name, t in network.state_dict().items()}
    save_file(tensors, checkpoint, FEWER_CHANNELS if fewer else None)


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
        shape = list(predict(network.eval(), x).shape)
    except (RuntimeError, TypeError) as error:
        raise StageError(f"{where} cannot be run on inputs of shape {list(x.shape)}: {error}") from error
    if shape != [1, model.classes]:
        expected = [1, model.classes]
        raise StageError(f"{where} gives outputs of shape {shape} for one sample; expected {expected}, one per class")


def load(model: ModelSpec, checkpoint: Path) -> Any:
    """The nn.Module in inference mode.

    Raises DataError for a file that is missing or damaged; StageError names tensors that are missing, too many or of
    another shape.
    """
    network = _build(model)
    _restore(model, network, *_read(checkpoint, "train again"), checkpoint)
    return network.eval().requires_grad_(False)


def _read(file: Path, next_step: str) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Name → tensor of a safetensors file, and what its header says."""
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Any] = load_file(file)
        with safe_open(file, framework="pt") as header:
            return tensors, header.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise DataError(f"{file}: not a readable safetensors file: {error}; {next_step}") from None


def _restore(model: ModelSpec, network: Any, tensors: Mapping[str, Any], said: Mapping[str, str], file: Path) -> None:
    """Give a network the tensors of a file; StageError says which do not fit."""
    where = f"{file}: does not fit model {model.id}"
    try:
        if FEWER_CHANNELS.items() <= said.items():
            prune_channels.fit(network, tensors)
        if misfits := _misfits(network.state_dict(), tensors):
            raise StageError(f"{where}: {misfits}")
        network.load_state_dict(tensors, strict=False)
    except (RuntimeError, KeyError) as error:
        raise StageError(f"{where}: {error}") from None
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise StageError(f"{file}: not finite: {_listed(bad)}")


def _misfits(expected: Mapping[str, Any], brought: Mapping[str, Any]) -> str:
    """Which tensors are missing, too many or of another shape; "" when all fit."""
    # One of several names of a tensor is enough, as safetensors.torch.save_model has it. Batches are counted since
    # PyTorch 0.4.1 only.
    told = {tensor.data_ptr() for name, tensor in expected.items() if name in brought}
    told |= {tensor.data_ptr() for name, tensor in expected.items() if name.endswith("num_batches_tracked")}
    missing = [name for name, tensor in expected.items() if name not in brought and tensor.data_ptr() not in told]
    unexpected = [name for name in brought if name not in expected]
    shapes = {name: (list(brought[name].shape), list(t.shape)) for name, t in expected.items() if name in brought}
    other = [f"{name} {mine}, and {theirs} in the network" for name, (mine, theirs) in shapes.items() if mine != theirs]
    parts = {"missing": missing, "unexpected": unexpected, "of another shape": other}
    for prefix in ("module.", "model.", "_orig_mod."):  # of DataParallel, a Lightning module, torch.compile
        if missing and {name.removeprefix(prefix) for name in unexpected} >= set(missing):
            return f"all names begin with {prefix!r}; save the state_dict() of the network inside"
    return "; ".join(f"{what}: {_listed(names)}" for what, names in parts.items() if names)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def predict(model: Any, x: Rows) -> Float32:
    """x float32[N, …] → logits float32[N, K]; N is at least 1."""
    import numpy as np
    import torch

    size = max(1, min(BATCH, BATCH_BYTES // x[:1].nbytes))

    def answered(start: int) -> Float32:
        answers: Float32 = torch.cat([model(torch.from_numpy(x[start : start + size]))]).numpy()  # tensors only
        return answers

    with torch.no_grad():
        first = answered(0)
        # In one array: small ones, kept between large ones that are freed, would keep the memory of those.
        outputs = np.empty((len(x), *first.shape[1:]), first.dtype)
        outputs[:size] = first
        for start in range(size, len(x), size):
            outputs[start : start + size] = answered(start)
    return outputs


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
    take_weights=take_weights,
    versions=versions,
    steps=("fine_tune", "prune", "prune_channels", "distill", "quantize_aware"),
    preload=(
        *("torch", "safetensors.torch", "numpy.ctypeslib"),
        *("torch._dynamo", "torch.profiler._cupti_monitor"),  # optimizers import them when they are used
        "tabulate",  # _dynamo does so when the process ends
    ),
    training_options=SETTINGS,
)
