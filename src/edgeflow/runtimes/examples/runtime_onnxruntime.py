"""The one part of the example that knows ONNX Runtime."""

import onnxruntime


def load(path, threads=1):
    """A function from the inputs to the outputs, each name → tensor in its own type, by the names in the program."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(names, feed), strict=True))
