"""ONNX Runtime on a CPU: quantizes, and fuses the graph ahead of time.

x86 wants unsigned activations (U8S8), ARM signed ones (S8S8). Programs take and give float32 whatever the scheme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edgeflow.errors import StageError
from edgeflow.plugin import (
    Activations,
    Calibration,
    Compiled,
    CompileJob,
    Layer,
    OptimizeJob,
    PackageJob,
    Runtime,
    Tolerance,
    Unsupported,
)
from edgeflow.runtimes import onnxruntime_layers
from edgeflow.runtimes.python_example import python_example
from edgeflow.types.figures import Evidence
from edgeflow.types.variants import Scheme, Target

if TYPE_CHECKING:
    import onnx

    from edgeflow.plugin import Feed

AXES, INT4 = 13, 21  # opsets whose DequantizeLinear has an axis, and takes int4
TYPED = ("Cast", "CastLike", "ConstantOfShape", "EyeLike", "DequantizeLinear")  # say their type in an attribute
ANY, X86, ARM = "any", "x86", "arm"
FAMILIES = {"x86_64": X86, "aarch64": ARM, "armv7l": ARM}  # by architecture, as `uname -m` says it
KINDS = {  # what can be made, by (mode, weights, activations)
    ("float", "float32", "float32"),
    ("float", "float16", "float16"),
    ("weight_only", "int8", "float32"),
    ("weight_only", "int4", "float32"),
    ("dynamic", "int8", "int8"),
    ("static", "int8", "int8"),
    ("static", "int8", "int16"),
    ("static", "int4", "int8"),  # int4 weights are dequantized for float kernels: smaller, not faster
    ("static", "int4", "int16"),
}


def supports(scheme: Scheme, target: Target) -> Unsupported | None:
    """Refuse unknown architectures and combinations of types that have no quantizer."""
    if target.arch not in FAMILIES:
        return Unsupported(f"ONNX Runtime is not built for {target.arch}; it runs on {', '.join(FAMILIES)}")
    if target.accelerator != "cpu":
        return Unsupported(f"ONNX Runtime programs are compiled for the CPU, not for {target.accelerator}")
    if not scheme.as_is and (scheme.mode, scheme.weights, scheme.activations) not in KINDS:
        return Unsupported(
            f"ONNX Runtime has no {scheme.mode} scheme with {scheme.weights} weights and "
            f"{scheme.activations} activations"
        )
    return None


def profile(scheme: Scheme, target: Target) -> str:
    """Quantization depends on the instruction set where activations become int8; nothing else of a target matters."""
    return f"onnxruntime-{_family(scheme, target)}"


def _family(scheme: Scheme, target: Target) -> str:
    """Of instruction sets, where models and programs depend on it: only int8 ranges are signed or not, see above."""
    static = (scheme.mode, scheme.activations) == ("static", "int8")
    return FAMILIES[target.arch] if static else ANY


# --- optimize ------------------------------------------------------------------------------------------------------


def optimize(job: OptimizeJob) -> Unsupported | None:
    """Apply a scheme; inputs and outputs keep their types. Unsupported says what ONNX Runtime's quantizer refuses, and
    of which models it changes nothing.
    """
    import onnx

    from edgeflow.runners.onnxruntime_backend import REFUSALS
    from edgeflow.runtimes import onnx_files

    if already := onnx_files.already(onnx.load(job.source)):
        return Unsupported(f"the model has {already} already; use a scheme with mode: as_is")
    try:
        _apply(job)
    except (NotImplementedError, *REFUSALS) as error:
        return Unsupported(f"ONNX Runtime's quantizer cannot apply {job.scheme.id}: {_first_line(error)}")
    if job.scheme.quantized and not job.keep and not onnx_files.already(onnx.load(job.output)):
        return Unsupported(f"ONNX Runtime's quantizer finds nothing in the model that {job.scheme.id} applies to")
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _apply(job: OptimizeJob) -> None:
    prepared = _prepare(job.source, job.work)
    _check_opset(prepared, job.scheme)
    if job.scheme.mode == "dynamic":
        _quantize_dynamic(prepared, job)
    elif job.scheme.mode == "static":
        _quantize_static(prepared, job)
    elif job.scheme.mode == "weight_only":
        _quantize_weights(prepared, job)
    elif job.scheme.weights == "float16":
        _to_float16(prepared, job.output)
    else:
        job.output.write_bytes(prepared.read_bytes())
    if job.scheme.bias_correction:
        _correct_biases(prepared, job)


def _check_opset(source: Path, scheme: Scheme) -> None:
    """NotImplementedError where the quantizer would write what the model's opset does not have; others it raises."""
    import onnx

    opset = next((entry.version for entry in onnx.load(source).opset_import if entry.domain in ("", "ai.onnx")), AXES)
    what, needed = (
        ("int4", INT4) if (scheme.mode, scheme.weights) == ("weight_only", "int4") else ("scales by channel", AXES)
    )
    if scheme.mode in ("static", "weight_only") and opset < needed:
        raise NotImplementedError(f"the model has opset {opset}, and {what} came with {needed}")


def _prepare(source: Path, folder: Path) -> Path:
    """The model as quantizers want it: constants folded, shapes inferred, and nothing that integer kernels do wrong."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from edgeflow.runtimes import onnx_files

    prepared = folder / "prepared.onnx"
    # Symbolic shape inference would need sympy; it finds nothing more where only the batch is dynamic.
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    model = onnx.load(prepared)
    padded = onnx_files.pad_average_pools(model)
    if onnxruntime_layers.name_the_nameless(model) or padded:
        onnx.save(model, prepared)
    return prepared


def layers(source: Path) -> tuple[Layer, ...]:
    """What quantization may leave in float32."""
    import onnx

    with TemporaryDirectory(prefix="edgeflow-") as folder:
        return onnxruntime_layers.layers(onnx.load(_prepare(source, Path(folder))))


def activations(source: Path, optimized: Path, feeds: Iterable[Feed]) -> Iterator[Activations]:
    """What each layer answers to each sample before and after a scheme was applied."""
    with TemporaryDirectory(prefix="edgeflow-") as folder:
        yield from onnxruntime_layers.activations(_prepare(source, Path(folder)), optimized, feeds)


def _to_float16(source: Path, output: Path) -> None:
    import numpy as np
    import onnx
    from onnxconverter_common.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    source_model = onnx.load(source)
    # What says its own type in an attribute keeps it: the converter changes the tensor and not the attribute. By name:
    # of each Cast that it puts in it would take care as well, with another one before it, and never end.
    typed = [node.name for node in _named_nodes(source_model.graph) if node.op_type in TYPED]
    # By default it cuts constants off at 10,000; the greatest float16 is 65,504.
    greatest = float(np.finfo(np.float16).max)
    model = convert_float_to_float16(
        source_model,
        keep_io_types=True,
        op_block_list=DEFAULT_OP_BLOCK_LIST,
        node_block_list=typed,
        max_finite_val=greatest,
    )
    onnx.save(model, output)


def _named_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, also of graphs in control flow; those without a name get that of what they write."""
    for node in graph.node:
        node.name = node.name or next(filter(None, node.output), node.op_type)
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _named_nodes(inner)


def _quantize_dynamic(source: Path, job: OptimizeJob) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Unsigned weights: with signed ones ConvInteger takes two to four times as long on x86. It knows one scale a
    # tensor, so per_channel reaches fully connected layers alone.
    quantize_dynamic(source, job.output, per_channel=job.scheme.per_channel, weight_type=QuantType.QUInt8)


def _quantize_weights(source: Path, job: OptimizeJob) -> None:
    import onnx

    from edgeflow.runtimes.onnx_files import quantize_weights

    bits = {"int8": 8, "int4": 4}[job.scheme.weights]
    onnx.save(quantize_weights(onnx.load(source), bits, job.scheme.per_channel), job.output)


def _correct_biases(source: Path, job: OptimizeJob) -> None:
    import onnx

    from edgeflow.runtimes.onnx_files import correct_biases

    model = onnx.load(job.output)
    correct_biases(onnx.load(source), model, _calibration(job))
    onnx.save(model, job.output)


def _calibration(job: OptimizeJob) -> Calibration:
    if job.calibration is None:
        why = "corrects biases" if job.scheme.bias_correction else "is static"
        raise StageError(f"optimize: scheme {job.scheme.id} {why} and got no calibration samples")
    return job.calibration


def _quantize_static(source: Path, job: OptimizeJob) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    from edgeflow.runtimes import onnx_files

    calibration = _calibration(job)
    graph = onnx.load(source)
    if wrong := onnx_files.pools_that_round_up(graph):
        raise NotImplementedError(f"average pooling with ceil_mode on a free size: {', '.join(wrong)}")
    wide = job.scheme.activations == "int16"
    activations = (
        QuantType.QInt16 if wide else QuantType.QUInt8 if job.profile == f"onnxruntime-{X86}" else QuantType.QInt8
    )
    quantize_static(
        str(source),
        str(job.output),
        _reader(calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=job.scheme.per_channel,
        activation_type=activations,
        weight_type=QuantType.QInt4 if job.scheme.weights == "int4" else QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=onnxruntime_layers.nodes_of(graph, job.keep),
        extra_options={"ActivationSymmetric": wide},
        calibration_cache_path=_ranges(source, job, calibration),
    )


def _ranges(source: Path, job: OptimizeJob, calibration: Calibration) -> Path | None:
    """A file with the ranges that `quantize_static` takes in place of its own; None: it finds extremes itself."""
    if job.scheme.calibration_method == "minmax":
        return None
    import numpy as np
    import onnx
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

    from edgeflow.runtimes.onnx_files import values
    from edgeflow.techniques import ranges

    model = onnx.load(source)
    limits = ranges.find(job.scheme, lambda: values(model, calibration))
    data = {name: (np.float32(low), np.float32(high)) for name, (low, high) in limits.items()}
    path = job.work / "ranges.json"
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), path)
    return path


def _reader(samples: Calibration) -> Any:
    """One calibration sample at a time, as ONNX Runtime wants them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        def __init__(self) -> None:
            self._feeds = iter(samples)

        def get_next(self) -> dict[str, Any] | None:
            feed = next(self._feeds, None)
            return None if feed is None else dict(feed)

    return Reader()


# --- compile -------------------------------------------------------------------------------------------------------


def compiles_for(scheme: Scheme, target: Target) -> Target:
    """The family of the instruction set in place of the architecture; nothing else about a target is compiled in."""
    family = _family(scheme, target)
    return Target(family, target.runtime, family, "cpu")


def compile_program(job: CompileJob) -> Compiled | Unsupported:
    """Fix the batch to one and fuse the graph ahead of time; Unsupported says what ONNX Runtime refuses.

    Devices answer one sample at a time. A fixed batch says so in the signature, costs no time (measured: equal within
    1 % of a dynamic one), and lets shapes be folded that would else be computed at every call.
    """
    import onnx
    import onnxruntime

    from edgeflow.runners.onnxruntime_backend import REFUSALS
    from edgeflow.runtimes import onnx_files

    model = onnx.load(job.source)
    onnx_files.fix_batch(model)
    options = _fusion(job.target.arch)
    options.optimized_model_filepath = str(job.output)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except REFUSALS as error:
        return Unsupported(f"ONNX Runtime {onnxruntime.__version__} cannot fuse the model: {_first_line(error)}")
    return Compiled(tools={"onnxruntime": onnxruntime.__version__}, zero_weights_ratio=zero_weights(job.output))


def beginnings(source: Path) -> list[tuple[str, Callable[[], bytes]]]:
    """Each operator, and the model whose outputs are that operator's."""
    import onnx

    from edgeflow.runtimes.onnx_files import beginning

    model = onnx.load(source)
    return [(node.op_type, partial(beginning, model, i)) for i, node in enumerate(model.graph.node)]


# Operators of convolutions and fully connected layers: which input has the weights, and which the integer that stands
# for zero (0: none). Weights that are kept as integers beside a float operator reach it by way of DequantizeLinear.
_WEIGHTS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"), (1, 0)),
    **dict.fromkeys(("ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul"), (1, 3)),
    **{"MatMulIntegerToFloat": (1, 5), "DequantizeLinear": (0, 2)},
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QGemm"), (3, 5)),
}


def zero_weights(program: Path) -> float | None:
    """Ratio of zeros among the weights of a program's convolutions and fully connected layers; None without any."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(program).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    # float16 weights are widened by an operator of their own
    narrow = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    zeros = total = 0
    for node in graph.node:
        at, zero_at = _WEIGHTS.get(node.op_type, (len(node.input), 0))
        weights = constants.get(narrow.get(node.input[at], node.input[at])) if at < len(node.input) else None
        if weights is None or len(weights.dims) < 2:  # of one axis: biases
            continue
        zero_point = constants.get(node.input[zero_at]) if 0 < zero_at < len(node.input) else None
        zero = numpy_helper.to_array(zero_point) if zero_point else 0
        if len({*np.ravel(zero)}) == 1:  # else one a column: of matrix products alone
            zero = np.ravel(zero)[0]
        values = numpy_helper.to_array(weights)
        zeros += int((values == zero).sum())
        total += values.size
    return zeros / total if total else None


def _fusion(family: str) -> Any:
    """SessionOptions whose result depends on the target's family and not on the machine that compiles.

    EXTENDED is the highest level that does not lay tensors out for the CPU at hand.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    # By default signed activations are fused where the compiling machine is an ARM. On x86 they are turned into
    # unsigned ones node by node, which leaves most of a residual network in float32.
    options.add_session_config_entry("session.qdqisint8allowed", "1" if family == ARM else "0")
    # By default a matrix product with integer weights quantizes its input too, without being asked. 1 is float32.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    return options


def compile_tolerance(scheme: Scheme) -> Tolerance:
    """Fusion keeps floats to rounding and integers to a step."""
    if scheme.as_is:
        return Tolerance(0.02, "it may be int8: QDQ and integer kernels may round a tie apart, 4e-3 a step")
    if scheme.activations == "float32":
        return Tolerance(1e-4, "float32: fused kernels may add in another order; measured 0")
    if scheme.weights == "float16":
        return Tolerance(5e-3, "float16: fusion may drop roundings of 5e-4 each; measured 0 where kernels are float32")
    return Tolerance(0.02, "int8: QDQ and integer kernels may round a tie apart, 4e-3 a step; measured 1 step")


def package_files(job: PackageJob) -> Mapping[str, bytes]:
    """The example in Python."""
    return python_example("onnxruntime")


plugin = Runtime(
    id="onnxruntime",
    description="ONNX Runtime, CPU execution provider",
    format="onnx",
    program_suffix="onnx",
    toolchain="edge",
    backend=Path(__file__).parent.parent / "runners" / "onnxruntime_backend.py",
    evidence=Evidence.HOST,
    times=True,
    supports=supports,
    profile=profile,
    optimize=optimize,
    optimize_tolerance=Tolerance(1e-4, "float32: constants are folded, which may reorder additions; measured 0"),
    layers=layers,
    activations=activations,
    beginnings=beginnings,
    compile=compile_program,
    compiles_for=compiles_for,
    compile_tolerance=compile_tolerance,
    package_files=package_files,
    preload=(
        *("numpy.ma", "onnxruntime", "onnxruntime.quantization", "onnxruntime.quantization.shape_inference"),
        *("onnxruntime.tools.onnx_model_utils", "onnxconverter_common.float16"),
    ),
)
