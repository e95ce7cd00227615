"""LiteRT with XNNPACK: converts from PyTorch and quantizes, for itself and for the microcontroller runtimes.

Static integer models take and give integers, as microcontrollers and accelerators want it, so one optimized model
serves LiteRT, TFLite Micro and Ethos-U.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import StageError
from edgeflow.plugin import (
    Compiled,
    CompileJob,
    Converter,
    ConvertJob,
    OptimizeJob,
    Runtime,
    Tolerance,
    Unsupported,
)
from edgeflow.types import Evidence, Scheme, Target

if TYPE_CHECKING:
    from edgeflow.plugin import Float32

KINDS = {  # what quantizes, by (mode, weights, activations)
    ("float", "float32", "float32"),
    ("float", "float16", "float16"),
    ("dynamic", "int8", "int8"),
    ("static", "int8", "int8"),
    ("static", "int8", "int16"),
}


def supports(scheme: Scheme, target: Target) -> Unsupported | None:
    """Refuse combinations of types that have no quantizer."""
    if (scheme.mode, scheme.weights, scheme.activations) not in KINDS:
        return Unsupported(
            f"LiteRT has no {scheme.mode} quantization with {scheme.weights} weights and "
            f"{scheme.activations} activations"
        )
    if scheme.weights == "int8" and not scheme.per_channel:
        return Unsupported("LiteRT's quantizer makes int8 weights per channel only")
    return None


def profile(scheme: Scheme, target: Target) -> str:
    """One model for all: nothing about a target changes how it is quantized."""
    return "litert"


# --- convert -------------------------------------------------------------------------------------------------------


def convert(job: ConvertJob) -> None:
    """Convert an nn.Module, batch one, channels last; StageError when the converter fails."""
    import litert_torch
    import torch

    example = torch.from_numpy(job.example)
    model = job.model
    if example.ndim == 4:
        model = litert_torch.to_channel_last_io(model, args=[0]).eval()
        example = example.permute(0, 2, 3, 1).contiguous()
    try:
        litert_torch.convert(model, (example,)).export(str(job.output))
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise StageError(f"convert: litert_torch.convert failed: {error}") from error


# --- optimize ------------------------------------------------------------------------------------------------------


def optimize(job: OptimizeJob) -> None:
    """Apply a scheme."""
    if (job.scheme.mode, job.scheme.weights) == ("float", "float32"):
        job.output.write_bytes(job.source.read_bytes())
        return
    from ai_edge_quantizer import quantizer

    asked = _recipe(job.scheme)
    tool = quantizer.Quantizer(str(job.source))
    tool.load_quantization_recipe(asked)
    ranges = _calibrate(job, asked) if job.scheme.mode == "static" else None
    tool.quantize(ranges).export_model(str(job.output), overwrite=True)


def _recipe(scheme: Scheme) -> Any:
    from ai_edge_quantizer import recipe

    if scheme.mode == "dynamic":
        return recipe.dynamic_wi8_afp32()
    if scheme.mode == "static":
        return recipe.static_wi8_ai16() if scheme.activations == "int16" else recipe.static_wi8_ai8()
    return _float16_weights()


def _float16_weights() -> Any:
    """Weights stored as float16 and widened when loaded; the library has no ready recipe for it."""
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    manager = recipe_manager.RecipeManager()
    manager.add_quantization_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT, explicit_dequantize=True
        ),
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )
    return manager.get_quantization_recipe()


def _calibrate(job: OptimizeJob, asked: Any) -> Any:
    """Least and greatest value of every activation over all samples.

    `Quantizer.calibrate` would take a moving average, which clips and depends on the order of the samples.
    """
    from ai_edge_quantizer import calibrator, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    if job.calibration is None:
        raise StageError(f"optimize: scheme {job.scheme.id} is static and got no calibration samples")
    manager = recipe_manager.RecipeManager()
    manager.load_quantization_recipe(asked)
    tool = calibrator.Calibrator(job.source.read_bytes(), num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    signature, name = _signature(job.source)
    tool.calibrate({signature: _feeds(name, job.calibration)}, manager)
    return tool.get_model_qsvs()


def _signature(model: Path) -> tuple[str, str]:
    """The model's one signature and the name of its one input."""
    from ai_edge_litert.interpreter import Interpreter

    ((signature, tensors),) = Interpreter(model_content=model.read_bytes()).get_signature_list().items()
    (name,) = tensors["inputs"]
    return signature, name


def _feeds(name: str, samples: Float32) -> list[dict[str, Float32]]:
    return [{name: samples[i : i + 1]} for i in range(len(samples))]


# --- compile -------------------------------------------------------------------------------------------------------


def compile_program(job: CompileJob) -> Compiled:
    """LiteRT loads the model as it is and hands it to XNNPACK at start-up."""
    job.output.write_bytes(job.source.read_bytes())
    return Compiled()


def compile_tolerance(scheme: Scheme) -> Tolerance:
    """The same bytes in the same interpreter."""
    return Tolerance(0.0, "the program is the model")


plugin = Runtime(
    id="litert",
    description="LiteRT with XNNPACK",
    format="tflite",
    program_suffix="tflite",
    layout="NHWC",
    toolchain="edge",
    backend=Path(__file__).parent.parent / "runners" / "litert_backend.py",
    evidence=Evidence.HOST,
    times=True,
    supports=supports,
    converters={
        "torch": Converter("torch", convert, Tolerance(1e-4, "float32: another order of additions; measured 1e-6"))
    },
    profile=profile,
    optimize=optimize,
    optimize_tolerance=Tolerance(0.0, "float32: the model is copied"),
    compile=compile_program,
    compile_tolerance=compile_tolerance,
)
