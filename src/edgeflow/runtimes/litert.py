"""LiteRT with XNNPACK: quantizes, for itself and for the microcontroller runtimes.

Static integer models take and give integers, as microcontrollers and accelerators want it, so one optimized model
serves LiteRT, TFLite Micro and Ethos-U.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.errors import StageError
from edgeflow.plugin import (
    Calibration,
    Compiled,
    CompileJob,
    OptimizeJob,
    PackageJob,
    Runtime,
    Tolerance,
    Unsupported,
)
from edgeflow.runtimes import litert_layers, tflite_names
from edgeflow.runtimes.python_example import python_example
from edgeflow.runtimes.tflite_files import compact
from edgeflow.types.figures import Evidence
from edgeflow.types.variants import Scheme, Target

if TYPE_CHECKING:
    from edgeflow.plugin import Feed

KINDS = {  # what can be made, by (mode, weights, activations)
    ("float", "float32", "float32"),
    ("float", "float16", "float16"),  # stored as float16; XNNPACK computes in the widest type that the CPU is fast at
    ("float", "float16", "float32"),
    ("weight_only", "int8", "float32"),
    ("weight_only", "int4", "float32"),
    ("dynamic", "int8", "int8"),
    ("static", "int8", "int8"),
    ("static", "int8", "int16"),
    ("static", "int4", "int8"),
    ("static", "int4", "int16"),
}
FOUR_BITS = ("CONV_2D", "FULLY_CONNECTED")  # operators with int4 weights; others keep int8
BIAS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}  # which input it is


def supports(scheme: Scheme, target: Target) -> Unsupported | None:
    """Refuse combinations of types that have no quantizer or no right kernel."""
    if not scheme.as_is and (scheme.mode, scheme.weights, scheme.activations) not in KINDS:
        return Unsupported(
            f"LiteRT has no {scheme.mode} scheme with {scheme.weights} weights and {scheme.activations} activations"
        )
    if scheme.mode == "dynamic" and not scheme.per_channel:
        return Unsupported(
            "LiteRT's dynamic depthwise convolutions read a scale for each channel: per-tensor weights answer wrongly"
        )
    return None


def profile(scheme: Scheme, target: Target) -> str:
    """One model for all: nothing about a target changes how it is quantized."""
    return "tflite"


# --- optimize ------------------------------------------------------------------------------------------------------


def optimize(job: OptimizeJob) -> Unsupported | None:
    """Apply a scheme; Unsupported says what the quantizer refuses, and of which models it changes nothing."""
    from edgeflow.runtimes import tflite_files

    content = job.source.read_bytes()
    if already := tflite_files.already(content):
        return Unsupported(f"the model has {already} already; use a scheme with mode: as_is")
    if not job.scheme.quantized:
        job.output.write_bytes(content)
        return None
    return _quantize(job, tflite_files.prepared(content))


def _quantize(job: OptimizeJob, source: bytes) -> Unsupported | None:
    from ai_edge_quantizer import quantizer

    from edgeflow.runtimes import tflite_files

    recipe = _recipe(job.scheme, job.keep)
    tool = quantizer.Quantizer(source, recipe.get_quantization_recipe())
    try:
        ranges = _calibrate(job, source, recipe) if job.scheme.mode == "static" else None
        quantized = tool.quantize(ranges, enable_progress_report=False)
    except (RuntimeError, ValueError) as error:
        # it calibrates no loops, and says so of a tensor
        loop = " (in the graph of a WHILE)" if "WHILE" in litert_layers.kinds(job.source) else ""
        return Unsupported(f"LiteRT: ai-edge-quantizer cannot apply {job.scheme.id}: {error}{loop}")
    model = compact(bytes(quantized.quantized_model))
    if not job.keep and not tflite_files.already(model):
        return Unsupported(f"LiteRT: ai-edge-quantizer finds nothing in the model that {job.scheme.id} applies to")
    if clipped := clipped_biases(model):
        return Unsupported(
            f"LiteRT: ai-edge-quantizer clips the biases of {', '.join(clipped)}: in steps of input times weights "
            "they have more than 32 bits, and the layer would answer without them"
        )
    if job.scheme.bias_correction:
        model = compact(tflite_files.correct_biases(source, model, _samples(job)))
    job.output.write_bytes(model)
    return None


def clipped_biases(content: bytes) -> list[str]:
    """Operators with an integer bias at an end of 32 bits.

    The quantizer clips there what does not fit, also where the file has room for 64.
    """
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    limits = np.iinfo(np.int32)
    dtypes = {schema.TensorType.INT32: np.int32, schema.TensorType.INT64: np.int64}
    clipped = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            kind = tflite_names.kind_of(model, operator)
            at = BIAS.get(kind)
            if at is None or at >= len(operator.inputs) or operator.inputs[at] < 0:
                continue
            tensor = graph.tensors[operator.inputs[at]]
            data = model.buffers[tensor.buffer].data
            if tensor.type in dtypes and data is not None:
                values = np.frombuffer(bytes(data), dtypes[tensor.type])
                if np.isin(values, (limits.min, limits.max)).any():
                    clipped.append(kind)
    return clipped


def _recipe(scheme: Scheme, keep: tuple[str, ...]) -> Any:
    """RecipeManager that applies a scheme to every operator but those that keep their floats."""
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

    recipe = recipe_manager.RecipeManager()
    everything = {"regex": ".*", "operation_name": qtyping.TFLOperationName.ALL_SUPPORTED}
    granularity = qtyping.QuantGranularity.CHANNELWISE if scheme.per_channel else qtyping.QuantGranularity.TENSORWISE
    operators = [(everything, 8)]  # what comes later overrides
    if scheme.weights == "int4":
        operators += [({"regex": ".*", "operation_name": qtyping.TFLOperationName[name]}, 4) for name in FOUR_BITS]
    if scheme.mode == "dynamic":
        recipe.add_dynamic_config(**everything, num_bits=8)
    elif scheme.mode == "weight_only":
        for which, bits in operators:
            recipe.add_weight_only_config(**which, num_bits=bits, granularity=granularity)
    elif scheme.mode == "static":
        for which, bits in operators:
            recipe.add_static_config(
                **which,
                activation_num_bits=16 if scheme.activations == "int16" else 8,
                weight_num_bits=bits,
                weight_granularity=granularity,
            )
    else:
        float16 = qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        casting = algorithm_manager.AlgorithmName.FLOAT_CASTING
        recipe.add_quantization_config(**everything, op_config=float16, algorithm_key=casting)
    for name in keep:
        kept = {**everything, "regex": f"^{re.escape(name)};"}  # an operator goes by the tensors that it writes
        recipe.add_quantization_config(**kept, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE)
    return recipe


def _calibrate(job: OptimizeJob, source: bytes, recipe: Any) -> Any:
    """A range for every activation, by default the least and the greatest value over all samples.

    `Quantizer.calibrate` takes a moving average under the name of min-max, which clips and depends on the order of the
    samples: measured on digits, golden outputs moved by 14 to 16 % of their range, with true ranges by 1 to 2 %. Of the
    first sample its calibrator says what has a range and in which shape; for the others it would copy every weight
    again, sample by sample (measured: four times as long as this).
    """
    import numpy as np
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    from edgeflow.runtimes.tflite_files import extremes, reachable, signature, values
    from edgeflow.techniques import ranges

    samples = _samples(job)
    tool = calibrator.Calibrator(source, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    key, arguments = signature(source)

    def calibrate(feed: Feed) -> None:
        tool.calibrate({key: [{arguments[name]: array for name, array in feed.items()}]}, recipe)

    calibrate(next(iter(samples)))
    seen = tool.get_model_qsvs()
    if not reachable(source, seen):  # graphs inside graphs: only the calibrator sees the inner ones
        for feed in samples:
            calibrate(feed)
        return seen
    reals = tuple(name for name, each in seen.items() if each["min"].dtype.kind == "f")
    if job.scheme.calibration_method == "minmax":
        limits = extremes(source, samples, tuple(seen))
    else:
        limits = ranges.find(job.scheme, lambda: values(source, samples, reals))
    for name, ends in limits.items():
        for end, value in zip(("min", "max"), ends, strict=True):
            seen[name][end] = np.full_like(seen[name][end], value)
    return seen


def _samples(job: OptimizeJob) -> Calibration:
    if job.calibration is None:
        why = "corrects biases" if job.scheme.bias_correction else "is static"
        raise StageError(f"optimize: scheme {job.scheme.id} {why} and got no calibration samples")
    return job.calibration


# --- compile -------------------------------------------------------------------------------------------------------


def beginnings(source: Path) -> list[tuple[str, Callable[[], bytes]]]:
    """Each operator, and the model whose outputs are that operator's."""
    from edgeflow.runtimes.tflite_files import beginning

    content = source.read_bytes()
    return [(kind, partial(beginning, content, i)) for i, kind in enumerate(litert_layers.kinds(source))]


def compiles_for(scheme: Scheme, target: Target) -> Target:
    """One program for all: nothing of a target is compiled in."""
    return Target("any", target.runtime, "", "cpu")


def compile_program(job: CompileJob) -> Compiled | Unsupported:
    """The program is the model; Unsupported says why LiteRT refuses it, StageError why it cannot be read.

    XNNPACK takes its operators over when the interpreter starts, on the device: the runner says which ones.
    """
    from edgeflow.runners.harness import RefusedError
    from edgeflow.runners.litert_backend import Session

    content = job.source.read_bytes()
    job.output.write_bytes(content)
    try:
        Session(str(job.output), threads=1)
    except RefusedError as refusal:
        return Unsupported(str(refusal).removeprefix(f"{job.output}: "))
    except ValueError as error:
        raise StageError(f"compile: {error}") from error
    return Compiled(zero_weights_ratio=zero_weights(content))


def zero_weights(content: bytes) -> float | None:
    """Ratio of zeros among the weights of a model's convolutions and fully connected layers; None without any.

    The zero point of weights is 0 by TFLite's quantization specification.
    """
    zeros = total = 0
    for values in stored_weights(content):
        zeros += int((values == 0).sum())
        total += values.size
    return zeros / total if total else None


def stored_weights(content: bytes) -> Iterator[Any]:
    """Weights of each convolution and fully connected layer: a flat array of what is stored; of int4, a uint8 each."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    kinds = schema.BuiltinOperator
    weighted = {kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D, kinds.TRANSPOSE_CONV, kinds.CONV_3D, kinds.FULLY_CONNECTED}
    model = flatbuffer_utils.read_model_from_bytearray(content)
    for graph in model.subgraphs:
        operators = [(model.operatorCodes[o.opcodeIndex].builtinCode, o) for o in graph.operators]
        # weights of weight-only schemes and of float16 are widened by an operator of their own
        narrow = {o.outputs[0]: o.inputs[0] for kind, o in operators if kind == kinds.DEQUANTIZE}
        for operator in (o for kind, o in operators if kind in weighted):
            tensor = graph.tensors[narrow.get(operator.inputs[1], operator.inputs[1])]
            data = model.buffers[tensor.buffer].data
            values = None if data is None else _elements(tensor, bytes(data))
            if values is not None:
                yield values


def _elements(tensor: Any, data: bytes) -> Any:
    """Flat array of a constant's elements; None for a type that weights do not have."""
    import numpy as np
    from ai_edge_litert.schema_py_generated import TensorType

    if tensor.type == TensorType.INT4:  # two in a byte, the low half first; the last byte of an odd number has only one
        packed = np.frombuffer(data, np.uint8)
        return np.stack([packed & 0xF, packed >> 4], axis=1).ravel()[: math.prod(tensor.shape)]
    dtypes = {TensorType.FLOAT32: "<f4", TensorType.FLOAT16: "<f2", TensorType.INT8: "i1"}
    return np.frombuffer(data, dtypes[tensor.type]) if tensor.type in dtypes else None


def compile_tolerance(scheme: Scheme) -> Tolerance:
    """The same bytes in the same interpreter."""
    return Tolerance(0.0, "the program is the model")


def package_files(job: PackageJob) -> Mapping[str, bytes]:
    """The example in Python."""
    return python_example("litert")


plugin = Runtime(
    id="litert",
    description="LiteRT with XNNPACK",
    format="tflite",
    program_suffix="tflite",
    toolchain="edge",
    backend=Path(__file__).parent.parent / "runners" / "litert_backend.py",
    evidence=Evidence.HOST,
    times=True,
    supports=supports,
    profile=profile,
    optimize=optimize,
    optimize_tolerance=Tolerance(0.0, "float32: the model is copied"),
    layers=litert_layers.layers,
    activations=litert_layers.activations,
    beginnings=beginnings,
    compile=compile_program,
    compiles_for=compiles_for,
    compile_tolerance=compile_tolerance,
    package_files=package_files,
    preload=("ai_edge_quantizer", "ai_edge_litert.interpreter", "ai_edge_litert.tools.flatbuffer_utils"),
)
