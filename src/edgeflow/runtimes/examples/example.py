"""Ask this package's program, and prove on its golden samples that your machine prepares and answers as it should.

    tar -xf PACKAGE.efpkg; python example.py

Copy from here what your app needs: `prepare`, `encode`, `decode` and `label` are all that stands between a raw sample
and an answer, and manifest.json has every number. Needs numpy, what runtime.py imports, and Pillow for images of
another size. Exit code 0: all as expected; 1: something differs; 2: answers are as expected, and preprocessing was not
checked; 3: not run, as the runtime is not installed here.

What edgeflow's tests execute: this file as it stands with each runtime, on the golden samples, on x86-64 Linux.
"""

import json
import sys
from pathlib import Path

import numpy as np

try:
    from runtime import load
except ImportError as error:
    print(f"not run: {error}; install the library that manifest.json names under runtime", file=sys.stderr)
    sys.exit(3)

FOLDER = Path(__file__).parent
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
INPUTS, OUTPUTS = ({tensor["name"]: tensor for tensor in MANIFEST["signature"][side]} for side in ("inputs", "outputs"))
HALF = np.nextafter(np.float32(0.5), np.float32(0))  # half itself would round up what is just below a tie
CLOSE = 1e-4  # of prepared values: what another build of the same libraries may round apart


def prepare(name, raw):
    """A raw sample of an input of the model ([C, H, W], [C, L], [F], …) → as the program has its axes."""
    how, axes = MANIFEST["preprocessing"][name], MANIFEST["binding"]["inputs"][name]["axes"]
    x = resize(raw, how["shape"]) if how["resize"] and list(raw.shape) != how["shape"] else raw
    if how["dtype"] == "float32":  # else the values are what the model takes
        x = np.asarray(x, np.float32)
        if how["scale"]:
            low, high = np.asarray(how["scale"][str(raw.dtype)], np.float32)
            x = (x - low) / (high - low)
        mean, std = (np.reshape(np.float32(how[key]), (-1, *(1 for _ in x.shape[1:]))) for key in ("mean", "std"))
        x = (x - mean) / std
    return x.transpose(axes or range(x.ndim))


def resize(raw, shape):
    """An image [C, H, W] → uint8 of uint8, else float32, of `shape`, as preprocessing.resize.formula says."""
    from PIL import Image

    channels, height, width = shape
    dtype = np.uint8 if raw.dtype == np.uint8 else np.float32
    planes = raw
    if len(raw) not in (1, channels):
        mean = raw.mean(axis=0, dtype=np.float32, keepdims=True)
        planes = np.rint(mean) if dtype is np.uint8 else mean
    images = (Image.fromarray(np.asarray(plane, dtype)) for plane in planes)
    resized = [np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)) for image in images]
    return np.broadcast_to(np.stack(resized), shape)


def encode(real, tensor):
    """Values → the type of an input: steps are rounded to nearest, ties away from zero; then clipped."""
    if tensor["scale"] is None:
        return np.asarray(real, tensor["dtype"])
    limits = np.iinfo(tensor["dtype"])
    steps = real / np.float32(tensor["scale"])
    quantized = np.trunc(steps + np.copysign(HALF, steps)) + np.float32(tensor["zero_point"])
    return np.clip(quantized, limits.min, limits.max).astype(tensor["dtype"])


def decode(answer, tensor):
    """What an output holds → real values."""
    if tensor["scale"] is None:
        return answer.astype(float)
    return (answer.astype(np.float32) - tensor["zero_point"]) * np.float32(tensor["scale"])


def has_batch(tensor):
    """Whether axis 0 of a tensor is the batch, of one sample here; else the tensor is a sample as a whole."""
    return bool(tensor["shape"]) and (tensor["shape"][0] == 1 or isinstance(tensor["shape"][0], str))


def label(real):
    """The name of the greatest value."""
    return MANIFEST["labels"][int(np.argmax(real))]


def array(described):
    """A golden array of the package."""
    values = np.fromfile(FOLDER / described["path"], np.dtype(described["dtype"]).newbyteorder("<"))
    return values.astype(described["dtype"]).reshape(described["shape"])


def check_preprocessing(golden):
    """Whether raw samples become what they should; None where that was not checked."""
    if golden["raw_left_out"]:
        print(f"preprocessing: not checked: {golden['raw_left_out']}")
        return True  # nothing that is missing here could change that
    right, greatest = True, 0.0
    for name, samples in golden["raw"].items():
        tensor = INPUTS[MANIFEST["binding"]["inputs"][name]["tensor"]]
        expected = array(golden["prepared"][tensor["name"]])
        try:
            prepared = np.stack([prepare(name, array(raw)) for raw in samples])
        except ImportError as error:
            print(f"preprocessing: NOT CHECKED: {error}")
            return None
        greatest = max(greatest, float(abs(prepared - expected.astype(prepared.dtype)).max()))
        right = right and np.allclose(prepared, expected, rtol=CLOSE, atol=CLOSE)
        right = right and np.array_equal(encode(expected, tensor), array(golden["inputs"][tensor["name"]]))
    print(f"preprocessing: {'right' if right else 'WRONG'}, greatest difference {greatest:.3g}")
    return right


def check_answers(golden):
    """Whether the program answers here as it did where it was measured."""
    run = load(FOLDER / MANIFEST["program"])
    given, expected = ({name: array(a) for name, a in golden[side].items()} for side in ("inputs", "outputs"))
    right = True
    for i in range(golden["samples"]):
        feed = {name: values[i][None] if has_batch(INPUTS[name]) else values[i] for name, values in given.items()}
        answers = run(feed)
        for name, values in expected.items():
            answer = answers[name][0] if has_batch(OUTPUTS[name]) else answers[name]
            real, golden_real = decode(answer, OUTPUTS[name]), decode(values[i], OUTPUTS[name])
            difference, most = float(abs(real - golden_real).max()), golden["tolerance"][name]
            right = right and difference <= most
            said = f"{name}: " if len(expected) > 1 else ""
            if MANIFEST["postprocessing"] and MANIFEST["postprocessing"]["output"] == name:
                said += f"{label(real)!r}, expected {label(golden_real)!r}; "
            print(f"sample {i}: {said}{difference:.3g} apart, {most:.3g} allowed")
    return right


def main():
    """Check what the package says about its golden samples; the exit code."""
    golden = MANIFEST["golden"]
    prepared = check_preprocessing(golden)
    answered = check_answers(golden)
    print(f"answers: {'as expected' if answered else 'WRONG'}; expected are those of {golden['answered_by']}")
    return 1 if prepared is False or not answered else 2 if prepared is None else 0


if __name__ == "__main__":
    sys.exit(main())
