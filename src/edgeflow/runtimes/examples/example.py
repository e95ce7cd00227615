"""Ask this package's program, and prove on its golden samples that your machine prepares and answers as it should.

    tar -xf PACKAGE.efpkg; python example.py

Copy from here what your app needs: `prepare`, `encode`, `decode` and `label` are all that stands between a raw sample
and an answer, and manifest.json has every number. Needs numpy, what runtime.py imports, and for images Pillow.
Exit code 0: all as expected; 1: something differs; 2: answers are as expected, and preprocessing was not checked; 3:
not run, as the runtime is not installed here.

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
HALF = np.nextafter(np.float32(0.5), np.float32(0))  # half itself would round up what is just below a tie
CLOSE = 1e-4  # of prepared values: what another build of the same libraries may round apart


def prepare(raw):
    """A raw sample [C, H, W], [C, L] or [F] → float32 as the program's input is laid out."""
    how = MANIFEST["preprocessing"]
    x = np.asarray(resize(raw, how["shape"]) if how["resize"] else raw, np.float32)
    if how["scale"]:
        low, high = np.asarray(how["scale"][str(raw.dtype)], np.float32)
        x = (x - low) / (high - low)
    mean, std = (np.reshape(np.float32(how[name]), (-1, *(1 for _ in x.shape[1:]))) for name in ("mean", "std"))
    x = (x - mean) / std
    (bound,) = MANIFEST["binding"]["inputs"].values()
    return x.transpose(bound["axes"] or range(x.ndim))


def resize(raw, shape):
    """An image [C, H, W] → uint8 of uint8, else float32, of `shape`, as preprocessing.resize.formula says."""
    from PIL import Image

    channels, height, width = shape
    dtype = np.uint8 if raw.dtype == np.uint8 else np.float32
    planes = raw
    if len(raw) not in (1, channels):
        mean = raw.mean(axis=0, dtype=np.float32, keepdims=True)
        planes = np.rint(mean) if dtype is np.uint8 else mean
    images = [Image.fromarray(np.asarray(plane, dtype)) for plane in planes]
    for size in [(width, raw.shape[1])] * (dtype is np.uint8) + [(width, height)]:  # uint8 is rounded along each axis
        images = [image.resize(size, Image.Resampling.BILINEAR) for image in images]
    return np.broadcast_to(np.stack(list(map(np.asarray, images))), shape)


def encode(real, tensor):
    """Real values → the type of an input: steps are rounded to nearest, ties away from zero; then clipped."""
    if tensor["scale"] is None:
        return np.asarray(real, tensor["dtype"])
    limits = np.iinfo(tensor["dtype"])
    steps = real / np.float32(tensor["scale"])
    quantized = np.trunc(steps + np.copysign(HALF, steps)) + np.float32(tensor["zero_point"])
    return np.clip(quantized, limits.min, limits.max).astype(tensor["dtype"])


def decode(answer, tensor):
    """What an output holds → real values."""
    real = answer.astype(np.float32)
    return real if tensor["scale"] is None else (real - tensor["zero_point"]) * np.float32(tensor["scale"])


def label(real):
    """The name of the greatest value."""
    return MANIFEST["labels"][int(np.argmax(real))]


def array(described):
    """A golden array of the package."""
    values = np.fromfile(FOLDER / described["path"], np.dtype(described["dtype"]).newbyteorder("<"))
    return values.astype(described["dtype"]).reshape(described["shape"])


def check_preprocessing(golden, tensor):
    """Whether raw samples become what they should; None where that was not checked."""
    if golden["raw_left_out"]:
        print(f"preprocessing: not checked: {golden['raw_left_out']}")
        return True  # nothing that is missing here could change that
    expected = array(golden["prepared"][tensor["name"]])
    try:
        prepared = np.stack([prepare(array(raw)) for raw in golden["raw"]])
    except ImportError as error:
        print(f"preprocessing: NOT CHECKED: {error}")
        return None
    right = np.allclose(prepared, expected, rtol=CLOSE, atol=CLOSE)
    right = right and np.array_equal(encode(expected, tensor), array(golden["inputs"][tensor["name"]]))
    print(f"preprocessing: {'right' if right else 'WRONG'}, greatest difference {abs(prepared - expected).max():.3g}")
    return right


def check_answers(golden, tensor, output):
    """Whether the program answers here as it did where it was measured."""
    run = load(FOLDER / MANIFEST["program"])
    expected, most = array(golden["outputs"][output["name"]]), golden["tolerance"][output["name"]]
    right = True
    for i, given in enumerate(array(golden["inputs"][tensor["name"]])):
        real, golden_real = decode(run(given[None])[0], output), decode(expected[i], output)
        difference = abs(real - golden_real).max()
        right = right and difference <= most
        print(
            f"sample {i}: {label(real)!r}, expected {label(golden_real)!r}; {difference:.3g} apart, {most:.3g} allowed"
        )
    return right


def main():
    """Check what the package says about its golden samples; the exit code."""
    golden = MANIFEST["golden"]
    (tensor,), (output,) = MANIFEST["signature"]["inputs"], MANIFEST["signature"]["outputs"]
    prepared = check_preprocessing(golden, tensor)
    answered = check_answers(golden, tensor, output)
    print(f"answers: {'as expected' if answered else 'WRONG'}; expected are those of {golden['answered_by']}")
    return 1 if prepared is False or not answered else 2 if prepared is None else 0


if __name__ == "__main__":
    sys.exit(main())
