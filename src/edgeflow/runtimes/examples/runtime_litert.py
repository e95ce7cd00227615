"""The one part of the example that knows LiteRT; XNNPACK takes the operators that it can."""

from ai_edge_litert.interpreter import Interpreter


def load(path, threads=1):
    """A function that takes the input [1, …] and gives the output [1, K], each in its own type."""
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (tensor,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(given):
        interpreter.set_tensor(tensor["index"], given)
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    return run
