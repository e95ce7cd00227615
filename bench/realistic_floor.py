"""`realistic_floor.py PART JOB`: the bare library calls of realistic.py, without edgeflow.

PART is "onnxruntime" or "litert": convert, quantize and evaluate every program once; "time" in place of "make" in JOB:
only the timed runs, of programs that were made. Each image is normalised when its turn comes.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PART, JOB = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, JOB["source"])
sys.path.append(JOB["edge"])  # for what only the other toolchain has

import numpy as np  # noqa: E402 - after the path

FOLDER = Path(JOB["folder"])
IMAGES = np.load(JOB["images"], mmap_mode="r")  # uint8[N, 3, H, W]: calibration, then evaluation
CALIBRATION = JOB["calibration"]


def prepared(at: int) -> Any:
    """float32[1, 3, H, W] of one image."""
    return ((IMAGES[at].astype(np.float32) / np.float32(255) - np.float32(0.45)) / np.float32(0.225))[None]


def network() -> Any:
    """The trained network in inference mode."""
    from safetensors.torch import load_file

    from edgeflow.zoo.mobilenet_v2 import build

    model = build(tuple(JOB["shape"]), JOB["classes"])
    model.load_state_dict(load_file(JOB["weights"]))
    return model.eval()


# --- ONNX Runtime ----------------------------------------------------------------------------------------------------


def make_onnxruntime() -> None:
    """Four programs."""
    import onnx
    import onnxruntime as ort
    import torch
    from onnxconverter_common.float16 import convert_float_to_float16
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
    from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

    converted, ready = FOLDER / "converted.onnx", FOLDER / "ready.onnx"
    example = torch.from_numpy(prepared(0)).repeat(2, 1, 1, 1)
    torch.onnx.export(
        *(network(), (example,), str(converted)),
        **{"dynamo": True, "opset_version": 21, "input_names": ["input"], "output_names": ["logits"]},
        **{"dynamic_shapes": ({0: torch.export.Dim("batch")},), "external_data": False, "verbose": False},
    )
    quant_pre_process(str(converted), str(ready), skip_symbolic_shape=True)
    made = {scheme: FOLDER / f"{scheme}.quantized.onnx" for scheme in JOB["schemes"]}
    made["fp32"] = ready
    onnx.save(convert_float_to_float16(onnx.load(ready), keep_io_types=True), made["fp16"])
    quantize_dynamic(ready, made["int8_dynamic"], weight_type=QuantType.QUInt8)
    quantize_static(
        *(str(ready), str(made["int8_static"]), _Reader()),
        **{"quant_format": QuantFormat.QDQ, "per_channel": True, "extra_options": {"CalibMaxIntermediateOutputs": 9}},
        **{"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8},
    )
    for scheme, path in made.items():
        model = onnx.load(path)
        make_dim_param_fixed(model.graph, "batch", 1)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.intra_op_num_threads = 1
        options.optimized_model_filepath = str(FOLDER / f"{scheme}.onnx")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class _Reader:
    """Calibration samples, as ONNX Runtime wants them."""

    def __init__(self) -> None:
        self._feeds: Iterator[dict[str, Any]] = ({"input": prepared(at)} for at in range(CALIBRATION))

    def get_next(self) -> dict[str, Any] | None:
        """One more."""
        return next(self._feeds, None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._feeds


def run_onnxruntime(scheme: str) -> Callable[[Any], Any]:
    """What asks a program one sample."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(FOLDER / f"{scheme}.onnx"), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"input": x})[0]


# --- LiteRT ----------------------------------------------------------------------------------------------------------


def make_litert() -> None:
    """Four programs."""
    import litert_torch
    import torch
    from ai_edge_quantizer import quantizer, recipe

    plain = FOLDER / "fp32.tflite"
    model = litert_torch.to_channel_last_io(network(), args=[0]).eval()
    litert_torch.convert(model, (torch.from_numpy(prepared(0)).permute(0, 2, 3, 1).contiguous(),)).export(str(plain))
    (FOLDER / "fp16.tflite").write_bytes(_float16(plain))
    dynamic = quantizer.Quantizer(str(plain), recipe.dynamic_wi8_afp32())
    (FOLDER / "int8_dynamic.tflite").write_bytes(dynamic.quantize(enable_progress_report=False).quantized_model)
    static = quantizer.Quantizer(str(plain), recipe.static_wi8_ai8())
    name = next(iter(_signature(plain)))
    samples = [{name: np.ascontiguousarray(prepared(at).transpose(0, 2, 3, 1))} for at in range(CALIBRATION)]
    ranges = static.calibrate({"serving_default": samples})
    (FOLDER / "int8_static.tflite").write_bytes(static.quantize(ranges, enable_progress_report=False).quantized_model)


def _signature(model: Path) -> list[str]:
    from ai_edge_litert.interpreter import Interpreter

    ((_, tensors),) = Interpreter(model_content=model.read_bytes()).get_signature_list().items()
    inputs: list[str] = tensors["inputs"]
    return inputs


def _float16(plain: Path) -> Any:
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe_manager

    recipe = recipe_manager.RecipeManager()
    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    recipe.add_quantization_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT, explicit_dequantize=True
        ),
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )
    tool = quantizer.Quantizer(str(plain), recipe.get_quantization_recipe())
    return tool.quantize(enable_progress_report=False).quantized_model


def run_litert(scheme: str) -> Callable[[Any], Any]:
    """What asks a program one sample."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=(FOLDER / f"{scheme}.tflite").read_bytes(), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()

    def ask(x: Any) -> Any:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        if given["dtype"] != np.float32:
            scale, zero = given["quantization"]
            x = np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return ask


# --- both ------------------------------------------------------------------------------------------------------------

MAKE = {"onnxruntime": make_onnxruntime, "litert": make_litert}
RUN = {"onnxruntime": run_onnxruntime, "litert": run_litert}


def evaluate() -> None:
    """Every program answers every evaluation sample."""
    for scheme in JOB["schemes"]:
        ask = RUN[PART](scheme)
        for at in range(CALIBRATION, len(IMAGES)):
            ask(prepared(at))


def timed_runs() -> None:
    """As many runs of each program and of the first, in turn, as the workflow times."""
    first = RUN[PART](JOB["schemes"][0])
    samples = [prepared(at) for at in range(CALIBRATION, CALIBRATION + 16)]
    for scheme in JOB["schemes"]:
        both = [first] if scheme == JOB["schemes"][0] else [RUN[PART](scheme), first]
        spent = dict.fromkeys(range(len(both)), 0.0)
        enough = JOB["enough"]
        for run in range(JOB["max_runs"]):
            for i, ask in enumerate(both):
                begin = time.perf_counter()
                ask(samples[run % len(samples)])
                spent[i] += time.perf_counter() - begin
            seconds = max(spent.values())
            if seconds >= JOB["max_seconds"] or (run + 1 >= enough["runs"] and seconds >= enough["seconds"]):
                break


def main() -> None:
    """One part."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    tempfile.tempdir = str(FOLDER)
    if JOB["phase"] == "make":
        MAKE[PART]()
        evaluate()
    else:
        timed_runs()


if __name__ == "__main__":
    main()
