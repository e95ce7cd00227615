"""ONNX Runtime on a CPU: converts from PyTorch, quantizes, and fuses the graph ahead of time.

x86 wants unsigned activations (U8S8): with signed ones only some convolutions of a residual network become integer
kernels and int8 comes out slower than float32. ARM takes signed ones (S8S8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    import onnx

    from edgeflow.plugin import Float32

OPSET = 20  # what torch's exporter writes without a version conversion
PROFILES = {"x86_64": "onnxruntime-x86", "aarch64": "onnxruntime-arm", "armv7l": "onnxruntime-arm"}
KINDS = {  # what quantizes, by (mode, weights, activations)
    ("float", "float32", "float32"),
    ("float", "float16", "float16"),
    ("dynamic", "int8", "int8"),
    ("static", "int8", "int8"),
    ("static", "int8", "int16"),
}


def supports(scheme: Scheme, target: Target) -> Unsupported | None:
    """Refuse architectures without a profile and combinations of types that have no quantizer."""
    if target.arch not in PROFILES:
        return Unsupported(f"ONNX Runtime has no build for {target.arch}; it runs on {', '.join(PROFILES)}")
    if (scheme.mode, scheme.weights, scheme.activations) not in KINDS:
        return Unsupported(
            f"ONNX Runtime has no {scheme.mode} quantization with {scheme.weights} weights and "
            f"{scheme.activations} activations"
        )
    return None


def profile(scheme: Scheme, target: Target) -> str:
    """Quantization depends on the instruction set; nothing else about the target matters."""
    return PROFILES[target.arch]


# --- convert -------------------------------------------------------------------------------------------------------


def convert(job: ConvertJob) -> None:
    """Export an nn.Module with a dynamic batch; StageError when the exporter fails or writes another opset."""
    import logging

    import onnx
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    batch = torch.export.Dim("batch")
    # A batch of two: the exporter would specialise a dimension of size one.
    example = torch.from_numpy(job.example).repeat(2, *(1 for _ in job.example.shape[1:]))
    try:
        torch.onnx.export(
            job.model,
            (example,),
            str(job.output),
            dynamo=True,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["logits"],
            dynamic_shapes=({0: batch},),
            external_data=False,
            verbose=False,
        )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise StageError(f"convert: torch.onnx.export failed: {error}") from error
    model = onnx.load(job.output)
    written = {entry.domain: entry.version for entry in model.opset_import}
    if written.get("") != OPSET:
        raise StageError(f"convert: torch.onnx.export wrote opset {written.get('')}, not {OPSET} as asked")
    onnx.save(_without_metadata(model), job.output)


def _without_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes on where each node came from: they hold source paths and change from run to run."""
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.initializer):
        del value.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
    return model


# --- optimize ------------------------------------------------------------------------------------------------------


def optimize(job: OptimizeJob) -> None:
    """Apply a scheme; inputs and outputs stay float32."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = job.work / "prepared.onnx"
    # Symbolic shape inference needs sympy and finds nothing more in graphs whose only free dimension is the batch.
    quant_pre_process(str(job.source), str(prepared), skip_symbolic_shape=True)
    kind = (job.scheme.mode, job.scheme.weights)
    if kind == ("float", "float32"):
        job.output.write_bytes(prepared.read_bytes())
    elif kind == ("float", "float16"):
        _to_float16(prepared, job.output)
    elif job.scheme.mode == "dynamic":
        _quantize_dynamic(prepared, job)
    else:
        _quantize_static(prepared, job)


def _to_float16(source: Path, output: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), output)


def _quantize_dynamic(source: Path, job: OptimizeJob) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Unsigned weights: ConvInteger with signed ones takes a path that is twice as slow on x86.
    quantize_dynamic(source, job.output, per_channel=job.scheme.per_channel, weight_type=QuantType.QUInt8)


def _quantize_static(source: Path, job: OptimizeJob) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if job.calibration is None:
        raise StageError(f"optimize: scheme {job.scheme.id} is static and got no calibration samples")
    x86 = job.profile == "onnxruntime-x86"
    int8 = QuantType.QUInt8 if x86 else QuantType.QInt8
    wide = job.scheme.activations == "int16"
    quantize_static(
        str(source),
        str(job.output),
        _reader(job.calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=job.scheme.per_channel,
        activation_type=QuantType.QInt16 if wide else int8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"ActivationSymmetric": wide},
    )


def _reader(samples: Float32) -> Any:
    """One calibration sample at a time, as ONNX Runtime wants them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        def __init__(self) -> None:
            self._feeds: Iterator[Mapping[str, Float32]] = (
                {"input": samples[i : i + 1]} for i in range(len(samples))
            )

        def get_next(self) -> Mapping[str, Float32] | None:
            return next(self._feeds, None)

    return Reader()


# --- compile -------------------------------------------------------------------------------------------------------


def compile_program(job: CompileJob) -> Compiled | Unsupported:
    """Fix the batch to one sample, as devices run it, and fuse the graph ahead of time.

    EXTENDED is the highest level whose result does not depend on the machine that did it.
    """
    import onnx
    import onnxruntime
    from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

    model = onnx.load(job.source)
    for name in {d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim if d.dim_param}:
        make_dim_param_fixed(model.graph, name, 1)
    fixed = job.work / "fixed.onnx"
    onnx.save(model, fixed)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(job.output)
    options.log_severity_level = 3  # errors only
    onnxruntime.InferenceSession(str(fixed), options, providers=["CPUExecutionProvider"])
    return Compiled(tools={"onnxruntime": onnxruntime.__version__})


def compile_tolerance(scheme: Scheme) -> Tolerance:
    """Fusion keeps floats to rounding and integers to a step."""
    if scheme.mode == "float" and scheme.weights == "float32":
        return Tolerance(1e-4, "float32: fused kernels add in another order; measured 1e-6")
    if scheme.mode == "float":
        return Tolerance(5e-3, "float16: fusion removes roundings in between; a step is 1e-3")
    return Tolerance(0.05, "int8: integer kernels requantize where QDQ rounds a float; a few steps of 1/256")


plugin = Runtime(
    id="onnxruntime",
    description="ONNX Runtime, CPU execution provider",
    format="onnx",
    program_suffix="onnx",
    layout="NCHW",
    toolchain="edge",
    backend=Path(__file__).parent.parent / "runners" / "onnxruntime_backend.py",
    evidence=Evidence.HOST,
    times=True,
    supports=supports,
    converters={
        "torch": Converter("torch", convert, Tolerance(1e-4, "float32: another order of additions; measured 1e-6"))
    },
    profile=profile,
    optimize=optimize,
    optimize_tolerance=Tolerance(1e-4, "float32: constants are folded, nothing is rounded; measured 1e-6"),
    compile=compile_program,
    compile_tolerance=compile_tolerance,
)
