"""The one part of the example that knows LiteRT; XNNPACK takes the operators that it can."""

from ai_edge_litert.interpreter import Interpreter


def load(path, threads=1):
    """A function from the inputs to the outputs, each name → tensor in its own type, by the names in the program."""
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    inputs, outputs = places(interpreter)

    def run(feed):
        shapes = {detail["index"]: tuple(detail["shape"]) for detail in interpreter.get_input_details()}
        other = {inputs[name]: given.shape for name, given in feed.items() if given.shape != shapes[inputs[name]]}
        for place, shape in other.items():  # axes of any length take that of the feed
            interpreter.resize_tensor_input(place, shape)
        if other:
            interpreter.allocate_tensors()
        for name, given in feed.items():
            interpreter.set_tensor(inputs[name], given)
        interpreter.invoke()
        return {name: interpreter.get_tensor(place) for name, place in outputs.items()}

    return run


def places(interpreter):
    """Name → place of the inputs and of the outputs, by the names of the program's signature, or of its tensors."""
    details = interpreter.get_input_details(), interpreter.get_output_details()
    for key in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(key)
        named = runner.get_input_details(), runner.get_output_details()
        sides = [{name: tensor["index"] for name, tensor in side.items()} for side in named]
        if [set(side.values()) for side in sides] == [{tensor["index"] for tensor in side} for side in details]:
            return sides
    return [{tensor["name"]: tensor["index"] for tensor in side} for side in details]
