"""The one part of the example that knows ONNX Runtime."""

import onnxruntime


def load(path, threads=1):
    """A function that takes the input [1, …] and gives the output [1, K], each in its own type."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (tensor,) = session.get_inputs()
    return lambda given: session.run(None, {tensor.name: given})[0]
