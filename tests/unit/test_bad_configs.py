"""Every way to get a configuration wrong that we know of, with the whole message that the user gets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edgeflow.config import find_problems, load, plugin_files, read_matrix
from edgeflow.config.budgets import METRICS
from edgeflow.errors import ConfigError
from edgeflow.registry import Plugins

GOOD: Mapping[str, str] = {
    "config/config.yaml": """\
models: [kws]
targets: [gateway, sensor]
schemes: [fp32, int8]
baseline: fp32
""",
    "config/datasets/words.yaml": """\
loader: npz
options: {file: words.npz}
classes: 12
shape: [1, 49, 10]
normalize: {mean: 0.5, std: 0.25}
splits: {calibration: 128, evaluation: 900, golden: 32}
source: own recordings
license: CC0-1.0
""",
    "config/models/kws.yaml": """\
framework: torch
builder: edgeflow.zoo.dscnn:build
dataset: words
task: classification
training: {epochs: 25}
""",
    "config/targets/gateway.yaml": """\
runtime: onnxruntime
arch: x86_64
threads: 1
budgets:
  accuracy_drop: {max: 1 %, evidence: device}
  latency_p90_s: {max: 5 ms, evidence: device}
""",
    "config/targets/sensor.yaml": """\
runtime: ethos_u
arch: armv8.1-m.main
clock_hz: 500 MHz
ram_bytes: 256 KiB
options: {system_config: Ethos_U55_High_End_Embedded, memory_mode: Shared_Sram}
budgets:
  accuracy_drop: {max: 1 %, evidence: host}
""",
    "config/schemes/fp32.yaml": """\
weights: float32
activations: float32
mode: float
""",
    "config/schemes/int8.yaml": """\
weights: int8
activations: int8
mode: static
per_channel: true
calibration: {samples: 128}
""",
    "config/devices/desk.yaml": """\
targets: [gateway]
reach: local
""",
}

MATRIX = "config/config.yaml"
WORDS = "config/datasets/words.yaml"
KWS = "config/models/kws.yaml"
GATEWAY = "config/targets/gateway.yaml"
SENSOR = "config/targets/sensor.yaml"
FP32 = "config/schemes/fp32.yaml"
INT8 = "config/schemes/int8.yaml"
DESK = "config/devices/desk.yaml"


class Edit(NamedTuple):
    """Replace `old`, which occurs once in the file, by `new`; the whole file when `old` is None."""

    file: str
    old: str | None
    new: str


class Case(NamedTuple):
    """A project that is good but for some edits, and all that must be said about it."""

    name: str
    edits: tuple[Edit, ...]
    problems: tuple[str, ...]


def case(name: str, file: str, old: str | None, new: str, *problems: str) -> Case:
    """A case with one edit."""
    return Case(name, (Edit(file, old, new),), problems)


def write_project(root: Path, edits: tuple[Edit, ...] = ()) -> None:
    """The good project with some edits."""
    texts = dict(GOOD)
    for file, old, new in edits:
        if old is None:
            texts[file] = new
        else:
            assert texts[file].count(old) == 1, (file, old)
            texts[file] = texts[file].replace(old, new)
    for file, text in texts.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        encoding = "latin-1" if "\xe9" in text else "utf-8"  # one case is about a file in another encoding
        path.write_bytes(text.encode(encoding))


CASES = [
    case(
        "a colon is missing",
        KWS,
        "framework: torch\n",
        "framework: torch\nbuilder\n",
        f"{KWS}: not valid YAML at line 3, column 1: could not find expected ':'",
    ),
    case(
        "a key is there twice",
        GATEWAY,
        "threads: 1\n",
        "threads: 1\nruntime: litert\n",
        f"{GATEWAY}: runtime: given twice (lines 1 and 4); keep one",
    ),
    case(
        "a folder of schemes is not there",
        MATRIX,
        "baseline: fp32\n",
        "baseline: fp32\nscheme_folders: more/schemes\n",
        f"{MATRIX}: scheme_folders[0]: no such folder: more/schemes; paths start at the project folder",
    ),
    Case(
        "a scheme is in two folders",
        (
            Edit(MATRIX, "baseline: fp32\n", "baseline: fp32\nscheme_folders: [more]\n"),
            Edit("more/int8.yaml", None, GOOD[INT8]),
        ),
        ("more/int8.yaml: config/schemes/int8.yaml has the same id; rename one of them",),
    ),
    Case(
        "a scheme in a further folder is wrong",
        (
            Edit(MATRIX, "baseline: fp32\n", "baseline: fp32\nscheme_folders: [more]\n"),
            Edit(MATRIX, "schemes: [fp32, int8]", "schemes: [fp32, int8, fine]"),
            Edit("more/fine.yaml", None, GOOD[INT8].replace("128", "129")),
            Edit("more/none.yaml", None, GOOD[FP32].replace("mode: float", "mode: flout")),
        ),
        (
            "more/fine.yaml: calibration.samples: 129 is more than dataset 'words' has; lower it to 128 or raise "
            f"splits.calibration in {WORDS}",
            "more/none.yaml: mode: 'flout' is not one of float, weight_only, dynamic, static; did you mean 'float'?",
        ),
    ),
    case(
        "a search is told what it does not know",
        MATRIX,
        "baseline: fp32\n",
        "baseline: fp32\nsearch: {objective: joules, timeout_s: 10, trials: 0, minutes: 3}\n",
        f"{MATRIX}: search.minutes: unknown key; known: objective, space, timeout_s, trials",
        f"{MATRIX}: search.objective: 'joules' is not one of {', '.join(METRICS)}",
        f"{MATRIX}: search.trials: 0 must be at least 1",
        f"{MATRIX}: search.timeout_s: 10 is not a quantity in second; write a number and one of s, ms, us, µs, ns, min",
    ),
    case(
        "a space has choices that no scheme has",
        MATRIX,
        "baseline: fp32\n",
        """baseline: fp32
search:
  space:
    - mode: float
      weights: [float32, float61]
      activations: float32
      steps:
        - [none, {prune: {sparsity: [30 %, 130 %], epochs: 2}}]
        - [none, {distil: {epochs: 2}}]
    - mode: static
      weights: int8
      activations: int8
      calibration: {samples: {from: 0, to: 64, step: 32}}
      description: fast
""",
        f"{MATRIX}: search.space[1].description: a search describes its schemes itself; remove the key",
        f"{MATRIX}: search.space[1].calibration.samples: 0 must be at least 1",
        (
            f"{MATRIX}: search.space[0].weights: 'float61' is not one of float32, float16, int8, int4; did you mean "
            "'float16'?"
        ),
        f"{MATRIX}: search.space[0].steps[1][1].distil: unknown key; did you mean 'distill'?",
        f"{MATRIX}: search.space[0].steps[0][1].prune.sparsity: '130 %' is more than 100 %",
    ),
    *(
        case(
            f"a space has {name}",
            MATRIX,
            "baseline: fp32\n",
            "baseline: fp32\nsearch:\n  space:\n"
            f"    - {{mode: float, weights: {weights}, activations: float32, per_channel: {channel}}}\n",
            f"{MATRIX}: search.space{where}",
        )
        for name, weights, channel, where in (
            ("no choices", "[]", "true", "[0].weights: is empty; name at least one choice"),
            ("one choice twice", "float32", "[true, true]", "[0].per_channel: true is listed twice"),
            (
                "choices that do not go together",
                "[float32, int8]",
                "true",
                "[0].weights: 'int8' does not go with mode 'float', which takes float32 or float16",
            ),
            (
                "half a range",
                "float32",
                "{from: 1}",
                "[0].per_channel: a range has exactly the keys from, to, step; found from",
            ),
            (
                "a range that steps over its end",
                "float32",
                "{from: 1, to: 4, step: 2}",
                "[0].per_channel: 'to' is more than 'from' by a whole number of steps",
            ),
            (
                "a range of other quantities",
                "float32",
                "{from: 1 ms, to: 4, step: 1}",
                "[0].per_channel: '1 ms' is not a quantity in ratio; write a number and one of no unit, %",
            ),
            (
                "a range of too many values",
                "float32",
                "{from: 0, to: 10, step: 0.001}",
                "[0].per_channel: has more than 1000 values; take larger steps",
            ),
        )
    ),
    case(
        "a nested key is there twice",
        WORDS,
        "evaluation: 900,",
        "evaluation: 900, calibration: 64,",
        f"{WORDS}: splits.calibration: given twice (line 6); keep one",
    ),
    case(
        "the file is empty",
        DESK,
        None,
        "",
        f"{DESK}: is empty",
    ),
    case(
        "the file has comments only",
        DESK,
        None,
        "# to do\n",
        f"{DESK}: is empty",
    ),
    case(
        "the file is a list",
        FP32,
        None,
        "- weights: float32\n",
        f"{FP32}: expected keys and values, found a list",
    ),
    case(
        "the file is one word",
        FP32,
        None,
        "float32\n",
        f"{FP32}: expected keys and values, found 'float32'",
    ),
    case(
        "the file is not UTF-8",
        WORDS,
        "own recordings",
        "enregistr\xe9",
        f"{WORDS}: byte 177 is not UTF-8 text; save the file as UTF-8",
    ),
    case(
        "an alias contains itself",
        KWS,
        "training: {epochs: 25}",
        "training: {epochs: 25}\narguments: &a {x: *a}",
        f"{KWS}: arguments.x: the alias on line 6 contains itself",
    ),
    case(
        "a tag asks for a Python object",
        KWS,
        "dataset: words",
        "dataset: !!python/name:os.system words",
        f"{KWS}: dataset: the tag '!!python/name:os.system' on line 3 cannot be used here; remove it",
    ),
    case(
        "a key is a number",
        WORDS,
        "file: words.npz",
        "file: words.npz, 5: five",
        f"{WORDS}: options: a key on line 2 is 5; keys are text, put it in quotes",
    ),
    case(
        "the suffix is yml",
        "config/models/big.yml",
        None,
        "framework: torch\n",
        "config/models/big.yml: rename it to big.yaml",
    ),
    case(
        "the file's name is not an id",
        "config/schemes/INT-8.yaml",
        None,
        "weights: int8\n",
        (
            "config/schemes/INT-8.yaml: the file's name 'INT-8' is not an id: lower-case letters, digits and "
            "'_', starting with a letter"
        ),
    ),
    case(
        "a key has no value",
        KWS,
        "dataset: words",
        "dataset:",
        f"{KWS}: dataset: has no value; give it one or remove the key",
    ),
    case(
        "a budget has no value",
        GATEWAY,
        "latency_p90_s: {max: 5 ms, evidence: device}",
        "latency_p90_s:",
        f"{GATEWAY}: budgets.latency_p90_s: has no value; give it one or remove the key",
    ),
    case(
        "a list item has no value",
        MATRIX,
        "models: [kws]",
        "models: [kws, ]\nexclude: [~]",
        f"{MATRIX}: exclude[0]: expected keys and values, found nothing",
    ),
    case(
        "an unknown key is near a known one",
        SENSOR,
        "ram_bytes",
        "ram_byte",
        f"{SENSOR}: ram_byte: unknown key; did you mean 'ram_bytes'?",
    ),
    case(
        "an unknown key is near none",
        DESK,
        "reach: local",
        "reach: local\nusb_port: 3",
        f"{DESK}: usb_port: unknown key; known: description, reach, targets",
    ),
    case(
        "the id is written into the file",
        SENSOR,
        "runtime: ethos_u",
        "id: sensor\nruntime: ethos_u",
        f"{SENSOR}: id: unknown key; the file's name is the id",
    ),
    case(
        "a metric is misspelt",
        GATEWAY,
        "latency_p90_s",
        "latency_p90",
        f"{GATEWAY}: budgets.latency_p90: unknown key; did you mean 'latency_p90_s'?",
    ),
    case(
        "a nested key is unknown",
        WORDS,
        "evaluation: 900",
        "evaluation: 900, test: 5",
        f"{WORDS}: splits.test: unknown key; known: calibration, evaluation, golden, seed",
    ),
    case(
        "a key is missing",
        KWS,
        "dataset: words\n",
        "",
        f"{KWS}: dataset: missing (id of a dataset in config/datasets)",
    ),
    case(
        "a nested key is missing",
        WORDS,
        ", golden: 32",
        "",
        f"{WORDS}: splits.golden: missing (frozen inputs that each stage is compared on)",
    ),
    case(
        "no for false",
        INT8,
        "per_channel: true",
        "per_channel: no",
        f"{INT8}: per_channel: expected true or false, found 'no'; write false",
    ),
    case(
        "a number with an underscore",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\nseed: 1_000",
        f"{MATRIX}: seed: expected a whole number, found '1_000'; write 1000",
    ),
    case(
        "a number with a leading zero",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\nseed: 010",
        f"{MATRIX}: seed: expected a whole number, found '010'; write 10",
    ),
    case(
        "a fraction for a whole number",
        GATEWAY,
        "threads: 1",
        "threads: 2.5",
        f"{GATEWAY}: threads: expected a whole number, found 2.5",
    ),
    case(
        "too small a number",
        GATEWAY,
        "threads: 1",
        "threads: 0",
        f"{GATEWAY}: threads: 0 must be at least 1",
    ),
    case(
        "true for a number",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\nseed: true",
        f"{MATRIX}: seed: expected a whole number, found true",
    ),
    case(
        "a negative seed",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\nseed: -1",
        f"{MATRIX}: seed: -1 must be at least 0",
    ),
    case(
        "a number for text",
        WORDS,
        "license: CC0-1.0",
        "license: 2.0",
        f"{WORDS}: license: expected text, found 2.0; put it in quotes if text is meant",
    ),
    case(
        "blanks for text",
        WORDS,
        "license: CC0-1.0",
        "license: ' '",
        f"{WORDS}: license: is empty",
    ),
    case(
        "too few axes",
        WORDS,
        "[1, 49, 10]",
        "[49, 10]",
        f"{WORDS}: shape: expected 3 values, found 2",
    ),
    case(
        "a word among numbers",
        WORDS,
        "[1, 49, 10]",
        "[1, 49, ten]",
        f"{WORDS}: shape[2]: expected a whole number, found 'ten'",
    ),
    case(
        "a word for a number",
        WORDS,
        "mean: 0.5",
        "mean: half",
        f"{WORDS}: normalize.mean: expected a number, found 'half'",
    ),
    case(
        "infinity for a number",
        WORDS,
        "mean: 0.5",
        "mean: .inf",
        f"{WORDS}: normalize.mean: expected a number, found '.inf'",
    ),
    case(
        "too many channels",
        WORDS,
        "mean: 0.5",
        "mean: [0.5, 0.4, 0.3]",
        f"{WORDS}: normalize.mean: expected one number, or one per channel: 1; found 3",
    ),
    case(
        "zero for a divisor",
        WORDS,
        "std: 0.25",
        "std: 0",
        f"{WORDS}: normalize.std: 0.0 must be more than zero",
    ),
    case(
        "one class",
        WORDS,
        "classes: 12",
        "classes: 1",
        f"{WORDS}: classes: 1 must be at least 2",
    ),
    case(
        "a list for keys and values",
        WORDS,
        "{file: words.npz}",
        "[file]",
        f"{WORDS}: options: expected keys and values, found a list",
    ),
    case(
        "a list for a section",
        WORDS,
        "{mean: 0.5, std: 0.25}",
        "[0.5, 0.25]",
        f"{WORDS}: normalize: expected keys and values, found a list",
    ),
    case(
        "a number for a text option",
        SENSOR,
        "memory_mode: Shared_Sram",
        "memory_mode: 3",
        f"{SENSOR}: options.memory_mode: expected text, found 3; put it in quotes if text is meant",
    ),
    case(
        "a quantity without its unit",
        SENSOR,
        "500 MHz",
        "500",
        f"{SENSOR}: clock_hz: 500 is not a quantity in hertz; write a number and one of Hz, kHz, MHz, GHz",
    ),
    case(
        "an ambiguous unit",
        SENSOR,
        "256 KiB",
        "256 KB",
        (
            f"{SENSOR}: ram_bytes: '256 KB' is not a quantity in byte; write a number and one of B, kB, MB, GB, "
            "KiB, MiB, GiB"
        ),
    ),
    case(
        "half a byte",
        SENSOR,
        "256 KiB",
        "1.5 B",
        f"{SENSOR}: ram_bytes: '1.5 B' is not a whole number of bytes",
    ),
    case(
        "a negative size",
        SENSOR,
        "256 KiB",
        "-256 KiB",
        f"{SENSOR}: ram_bytes: '-256 KiB' must be more than zero",
    ),
    case(
        "a list for a quantity",
        SENSOR,
        "256 KiB",
        "[256, 64]",
        (
            f"{SENSOR}: ram_bytes: [256, 64] is not a quantity in byte; write a number and one of B, kB, MB, "
            "GB, KiB, MiB, GiB"
        ),
    ),
    case(
        "a percent sign forgotten",
        SENSOR,
        "max: 1 %",
        "max: 5",
        f"{SENSOR}: budgets.accuracy_drop.max: 5 is more than 100 %; write '5 %' if percent is meant",
    ),
    case(
        "more than 100 %",
        SENSOR,
        "max: 1 %",
        "max: 120 %",
        f"{SENSOR}: budgets.accuracy_drop.max: '120 %' is more than 100 %",
    ),
    case(
        "a unit of another quantity",
        GATEWAY,
        "max: 5 ms",
        "max: 5 MHz",
        (
            f"{GATEWAY}: budgets.latency_p90_s.max: '5 MHz' is not a quantity in second; write a number and one "
            "of s, ms, us, µs, ns, min"
        ),
    ),
    case(
        "a limit on both sides",
        GATEWAY,
        "max: 5 ms",
        "max: 5 ms, min: 1 ms",
        f"{GATEWAY}: budgets.latency_p90_s: needs exactly one of 'max' and 'min'",
    ),
    case(
        "a limit on no side",
        GATEWAY,
        "max: 5 ms, ",
        "",
        f"{GATEWAY}: budgets.latency_p90_s: needs exactly one of 'max' and 'min'",
    ),
    case(
        "evidence is misspelt",
        GATEWAY,
        "max: 5 ms, evidence: device",
        "max: 5 ms, evidence: devise",
        (
            f"{GATEWAY}: budgets.latency_p90_s.evidence: 'devise' is not one of device, simulator, host, "
            "estimate; did you mean 'device'?"
        ),
    ),
    case(
        "evidence is missing",
        GATEWAY,
        "max: 5 ms, evidence: device",
        "max: 5 ms",
        (
            f"{GATEWAY}: budgets.latency_p90_s.evidence: missing (weakest evidence that may decide: device, "
            "simulator, host or estimate)"
        ),
    ),
    case(
        "a budget without its evidence",
        GATEWAY,
        "{max: 5 ms, evidence: device}",
        "5 ms",
        f"{GATEWAY}: budgets.latency_p90_s: expected keys and values, found '5 ms'",
    ),
    case(
        "a waiver without a budget",
        GATEWAY,
        "threads: 1",
        "release_without: [latency_p99_s]",
        (
            f"{GATEWAY}: release_without[0]: 'latency_p99_s' has no budget here, so nothing can be released "
            "without it; remove it or give it one"
        ),
    ),
    case(
        "a waiver for an unknown metric",
        GATEWAY,
        "threads: 1",
        "release_without: latency",
        (
            f"{GATEWAY}: release_without: 'latency' is not one of accuracy, accuracy_drop, latency_p50_s, "
            "latency_p90_s, latency_p99_s, first_inference_s, latency_ratio_fp32, memory_peak_bytes, "
            "size_bytes, accelerator_cycles, cpu_operators; did you mean 'latency_p99_s'?"
        ),
    ),
    case(
        "an unknown metric is preferred",
        GATEWAY,
        "threads: 1",
        "prefer: latency_p50",
        (
            f"{GATEWAY}: prefer: 'latency_p50' is not one of accuracy, accuracy_drop, latency_p50_s, "
            "latency_p90_s, latency_p99_s, first_inference_s, latency_ratio_fp32, memory_peak_bytes, "
            "size_bytes, accelerator_cycles, cpu_operators; did you mean 'latency_p50_s'?"
        ),
    ),
    case(
        "an unknown architecture",
        GATEWAY,
        "x86_64",
        "x86-64",
        (
            f"{GATEWAY}: arch: 'x86-64' is not one of x86_64, aarch64, armv7l, riscv64, armv6-m, armv7-m, "
            "armv7e-m, armv8-m.main, armv8.1-m.main, riscv32, xtensa; did you mean 'x86_64'?"
        ),
    ),
    case(
        "a misspelt dataset",
        KWS,
        "dataset: words",
        "dataset: word",
        f"{KWS}: dataset: there is no dataset 'word' in config/datasets; did you mean 'words'?",
    ),
    case(
        "an unknown dataset",
        KWS,
        "dataset: words",
        "dataset: imagenet",
        f"{KWS}: dataset: there is no dataset 'imagenet' in config/datasets; known: words",
    ),
    case(
        "a file name for an id",
        KWS,
        "dataset: words",
        "dataset: Words.yaml",
        f"{KWS}: dataset: 'Words.yaml' is not an id: lower-case letters, digits and '_', starting with a letter",
    ),
    case(
        "an unknown model in the matrix",
        MATRIX,
        "[kws]",
        "[kws, resnet]",
        f"{MATRIX}: models[1]: there is no model 'resnet' in config/models; known: kws",
    ),
    case(
        "an unknown runtime",
        GATEWAY,
        "runtime: onnxruntime",
        "runtime: onnx_runtime",
        f"{GATEWAY}: runtime: there is no runtime 'onnx_runtime'; did you mean 'onnxruntime'?",
    ),
    case(
        "an unknown framework",
        KWS,
        "framework: torch",
        "framework: pytorch",
        f"{KWS}: framework: there is no framework 'pytorch'; did you mean 'torch'?",
    ),
    case(
        "an unknown task",
        KWS,
        "task: classification",
        "task: regression",
        f"{KWS}: task: there is no task 'regression'; known: classification",
    ),
    case(
        "an unknown loader",
        WORDS,
        "loader: npz",
        "loader: csv",
        f"{WORDS}: loader: there is no loader 'csv'; known: npz, sklearn_digits",
    ),
    case(
        "an unknown target of a device",
        DESK,
        "[gateway]",
        "[gatway]",
        f"{DESK}: targets[0]: there is no target 'gatway' in config/targets; did you mean 'gateway'?",
    ),
    case(
        "a device that cannot be reached",
        DESK,
        "reach: local",
        "reach: ssh",
        f"{DESK}: reach: 'ssh' is not available: only 'local' devices can be reached so far",
    ),
    case(
        "an unknown target is excluded",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\nexclude: [{target: [gateway, sensors]}]",
        f"{MATRIX}: exclude[0].target[1]: there is no target 'sensors' in config/targets; did you mean 'sensor'?",
    ),
    case(
        "an exclusion of everything",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\nexclude: [{}]",
        f"{MATRIX}: exclude[0]: would exclude everything; give at least one of model, target, scheme",
    ),
    case(
        "no cell is left",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\nexclude: [{model: kws}]",
        f"{MATRIX}: exclude: no cell is left to build; exclude less",
    ),
    case(
        "an incomplete inclusion",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\ninclude: [{model: kws, target: sensor}]",
        f"{MATRIX}: include[0].scheme: missing (id of a scheme)",
    ),
    case(
        "a misspelt key of an exclusion",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\nexclude: [{schema: int8}]",
        f"{MATRIX}: exclude[0].schema: unknown key; did you mean 'scheme'?",
    ),
    case(
        "a misspelt key of an exclusion without brackets",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\nexclude: {modell: kws, target: sensr}",
        f"{MATRIX}: exclude.modell: unknown key; did you mean 'model'?",
        f"{MATRIX}: exclude.target: there is no target 'sensr' in config/targets; did you mean 'sensor'?",
    ),
    case(
        "a scheme is listed twice",
        MATRIX,
        "[fp32, int8]",
        "[fp32, int8, fp32]",
        f"{MATRIX}: schemes: 'fp32' is listed twice",
    ),
    case(
        "no model",
        MATRIX,
        "[kws]",
        "[]",
        f"{MATRIX}: models: is empty; name at least one",
    ),
    case(
        "a quantized baseline",
        MATRIX,
        "baseline: fp32",
        "baseline: int8",
        f"{MATRIX}: baseline: 'int8' has int8 weights; the baseline is a scheme with float32 weights",
    ),
    case(
        "an unknown baseline",
        MATRIX,
        "baseline: fp32",
        "baseline: fp23",
        f"{MATRIX}: baseline: there is no scheme 'fp23' in config/schemes; did you mean 'fp32'?",
    ),
    case(
        "a plugin file that is not there",
        MATRIX,
        "baseline: fp32",
        "baseline: fp32\nplugins: [plugins/mine.py]",
        f"{MATRIX}: plugins[0]: no such file: plugins/mine.py; paths start at the project folder",
    ),
    case(
        "a misspelt option",
        SENSOR,
        "memory_mode",
        "memory_mod",
        f"{SENSOR}: options.memory_mod: unknown key; did you mean 'memory_mode'?",
    ),
    case(
        "an option of a runtime that has none",
        GATEWAY,
        "threads: 1",
        "options: {provider: cpu}",
        f"{GATEWAY}: options.provider: unknown key; the runtime 'onnxruntime' has none",
    ),
    case(
        "an option outside its choices",
        SENSOR,
        "memory_mode: Shared_Sram",
        "memory_mode: shared_sram",
        (
            f"{SENSOR}: options.memory_mode: 'shared_sram' is not one of Sram_Only, Shared_Sram; did you mean "
            "'Shared_Sram'?"
        ),
    ),
    case(
        "a misspelt training setting",
        KWS,
        "epochs: 25",
        "epoch: 25",
        f"{KWS}: training.epoch: unknown key; did you mean 'epochs'?",
    ),
    case(
        "a missing training setting",
        KWS,
        "training: {epochs: 25}\n",
        "",
        f"{KWS}: training.epochs: missing (the epochs); the framework 'torch' needs it",
    ),
    case(
        "more calibration samples than there are",
        INT8,
        "samples: 128",
        "samples: 256",
        (
            f"{INT8}: calibration.samples: 256 is more than dataset 'words' has; lower it to 128 or raise "
            "splits.calibration in config/datasets/words.yaml"
        ),
    ),
    case(
        "two devices for one target",
        "config/devices/lab.yaml",
        None,
        "targets: [gateway]\n",
        "config/devices/lab.yaml: targets[0]: 'gateway' already has the device 'desk'; one device a target",
    ),
    case(
        "a step that is two",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - {fine_tune: {epochs: 2}, prune: {epochs: 2, sparsity: 50 %}}",
        f"{INT8}: steps[0]: is 2 steps; give exactly one of fine_tune, prune, prune_channels, distill, quantize_aware",
    ),
    case(
        "a preparation for int8 that nothing follows",
        "config/schemes/fp32.yaml",
        "mode: float",
        "mode: float\nsteps:\n  - quantize_aware: {epochs: 2}",
        (
            "config/schemes/fp32.yaml: steps[0].quantize_aware: prepares for int8, and mode 'float' quantizes nothing; "
            "remove it or change the mode"
        ),
    ),
    case(
        "layers kept from a quantization that there is not",
        "config/schemes/fp32.yaml",
        "mode: float",
        "mode: float\nmixed_precision: {drop: 1 %}",
        (
            "config/schemes/fp32.yaml: mixed_precision: mode 'float' quantizes no layer by itself; remove the key, or "
            "use mode 'static'"
        ),
    ),
    case(
        "layers kept without a limit",
        INT8,
        "mode: static",
        "mode: static\nmixed_precision: {}",
        (
            f"{INT8}: mixed_precision.drop: missing (greatest drop of the task metric: the fewest layers stay in "
            "float32 that keep it, found by quantizing one at a time)"
        ),
    ),
    case(
        "text where a learning rate is meant",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - fine_tune: {epochs: 2, learning_rate: '0.01'}",
        f"{INT8}: steps[0].fine_tune.learning_rate: expected a number, found '0.01'",
    ),
    case(
        "true where a learning rate is meant",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - fine_tune: {epochs: 2, learning_rate: true}",
        f"{INT8}: steps[0].fine_tune.learning_rate: expected a number, found true",
    ),
    case(
        "channels to remove without a goal",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - prune_channels: {epochs: 2}",
        f"{INT8}: steps[0].prune_channels: give exactly one of channels, macs, parameters",
    ),
    case(
        "channels to remove with two goals",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - prune_channels: {epochs: 2, macs: 40 %, parameters: 40 %}",
        f"{INT8}: steps[0].prune_channels: give exactly one of channels, macs, parameters",
    ),
    case(
        "more parts than epochs to learn in",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - prune_channels: {epochs: 2, channels: 50 %, iterations: 3}",
        (f"{INT8}: steps[0].prune_channels.iterations: 3 is more than the 2 epochs; each part needs one to learn in"),
    ),
    case(
        "features that count nothing",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - distill: {epochs: 2, teacher: kws, features: {blocks.0: blocks.0}}",
        f"{INT8}: steps[0].distill.feature_weight: missing; features need it, e.g. 'feature_weight: 1'",
    ),
    case(
        "a weight of no features",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - distill: {epochs: 2, teacher: kws, feature_weight: 2}",
        (f"{INT8}: steps[0].distill.feature_weight: weighs features, and there are none; add features or remove it"),
    ),
    case(
        "no features",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - distill: {epochs: 2, teacher: kws, features: {}, feature_weight: 2}",
        (f"{INT8}: steps[0].distill.features: is empty; name a student's module and the teacher's that it learns from"),
    ),
    case(
        "an unknown step",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - distil: {epochs: 2}",
        f"{INT8}: steps[0].distil: unknown key; did you mean 'distill'?",
    ),
    case(
        "a sparsity that leaves nothing",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - prune: {epochs: 2, sparsity: 100 %}",
        f"{INT8}: steps[0].prune.sparsity: '100 %' must be less than 1",
    ),
    case(
        "a teacher that is no model",
        INT8,
        "mode: static",
        "mode: static\nsteps:\n  - distill: {epochs: 2, teacher: kvs}",
        f"{INT8}: steps[0].distill.teacher: there is no model 'kvs' in config/models; did you mean 'kws'?",
    ),
    case(
        "a builder without a function",
        KWS,
        "edgeflow.zoo.dscnn:build",
        "edgeflow.zoo.dscnn.build",
        (
            f"{KWS}: builder: 'edgeflow.zoo.dscnn.build' names no function; write 'package.module:function' or "
            "'folder/file.py:function'"
        ),
    ),
    case(
        "a builder in a file that is not there",
        KWS,
        "edgeflow.zoo.dscnn:build",
        "networks/kws.py:build",
        f"{KWS}: builder: no such file: networks/kws.py; paths start at the project folder",
    ),
    case(
        "a static scheme without calibration",
        INT8,
        "calibration: {samples: 128}\n",
        "",
        f"{INT8}: calibration: missing; mode 'static' needs it, e.g. 'calibration: {{samples: 128}}'",
    ),
    case(
        "integers in a float scheme",
        FP32,
        "weights: float32",
        "weights: int8",
        f"{FP32}: weights: 'int8' does not go with mode 'float', which takes float32 or float16",
    ),
    case(
        "calibration of a dynamic scheme",
        INT8,
        "mode: static",
        "mode: dynamic",
        f"{INT8}: calibration: mode 'dynamic' does not calibrate; remove the key",
    ),
    case(
        "a misspelt mode",
        INT8,
        "mode: static",
        "mode: statik",
        f"{INT8}: mode: 'statik' is not one of float, weight_only, dynamic, static; did you mean 'static'?",
    ),
    case(
        "floats in a static scheme",
        INT8,
        "activations: int8",
        "activations: float16",
        f"{INT8}: activations: 'float16' does not go with mode 'static', which takes int8 or int16",
    ),
    case(
        "quantized activations where weights alone are",
        INT8,
        "mode: static\nper_channel: true\ncalibration: {samples: 128}",
        "mode: weight_only",
        f"{INT8}: activations: 'int8' does not go with mode 'weight_only', which takes float32",
    ),
    case(
        "calibration where weights alone are quantized",
        INT8,
        "activations: int8\nmode: static",
        "activations: float32\nmode: weight_only",
        f"{INT8}: calibration: mode 'weight_only' does not calibrate; remove the key",
    ),
    case(
        "correction of weights alone without samples",
        INT8,
        "activations: int8\nmode: static\nper_channel: true\ncalibration: {samples: 128}",
        "activations: float32\nmode: weight_only\nbias_correction: true",
        f"{INT8}: calibration: missing; bias_correction needs it, e.g. 'calibration: {{samples: 128}}'",
    ),
    case(
        "ranges of activations where there are none",
        INT8,
        "activations: int8\nmode: static\nper_channel: true\ncalibration: {samples: 128}",
        "activations: float32\nmode: weight_only\nbias_correction: true\ncalibration: {samples: 128, method: mse}",
        f"{INT8}: calibration.method: mode 'weight_only' has no ranges of activations; remove the key",
    ),
    case(
        "correction of what is not quantized",
        FP32,
        "mode: float",
        "mode: float\nbias_correction: true",
        f"{FP32}: bias_correction: mode 'float' leaves nothing to correct; remove the key or change the mode",
    ),
    case(
        "a calibration method that does nothing",
        INT8,
        "{samples: 128}",
        "{samples: 128, method: entropy}",
        f"{INT8}: calibration.method: 'entropy' is not one of minmax, percentile, mse",
    ),
    case(
        "a percentile that is missing",
        INT8,
        "{samples: 128}",
        "{samples: 128, method: percentile}",
        f"{INT8}: calibration.percentile: missing; method 'percentile' needs it, e.g. 'percentile: 99.99 %'",
    ),
    case(
        "a percentile that nothing takes",
        INT8,
        "{samples: 128}",
        "{samples: 128, method: mse, percentile: 99.9 %}",
        f"{INT8}: calibration.percentile: method 'mse' takes none; remove the key or change the method",
    ),
    case(
        "a percentile without its sign",
        INT8,
        "{samples: 128}",
        "{samples: 128, method: percentile, percentile: 99.9}",
        f"{INT8}: calibration.percentile: 99.9 is more than 100 %; write '99.9 %' if percent is meant",
    ),
    case(
        "a percentile of what is cut off",
        INT8,
        "{samples: 128}",
        "{samples: 128, method: percentile, percentile: 0.1 %}",
        f"{INT8}: calibration.percentile: '0.1 %' must be at least 0.5",
    ),
]

SEVERAL = [
    Case(
        "several in one file",
        (
            Edit(SENSOR, "clock_hz: 500 MHz", "clock: 500 MHz\nthreads: four"),
            Edit(SENSOR, "256 KiB", "256"),
            Edit(SENSOR, "memory_mode: Shared_Sram", "memory_mode: Shared"),
            Edit(SENSOR, "evidence: host", "evidence: hosts"),
        ),
        (
            f"{SENSOR}: clock: unknown key; did you mean 'clock_hz'?",
            f"{SENSOR}: ram_bytes: 256 is not a quantity in byte; "
            "write a number and one of B, kB, MB, GB, KiB, MiB, GiB",
            f"{SENSOR}: threads: expected a whole number, found 'four'",
            f"{SENSOR}: budgets.accuracy_drop.evidence: 'hosts' is not one of device, simulator, host, estimate; "
            "did you mean 'host'?",
            f"{SENSOR}: options.memory_mode: 'Shared' is not one of Sram_Only, Shared_Sram; "
            "did you mean 'Shared_Sram'?",
        ),
    ),
    Case(
        "one in each kind of file",
        (
            Edit(DESK, "reach: local", "reach: adb"),
            Edit(INT8, "per_channel: true", "per_channel: on"),
            Edit(GATEWAY, "threads: 1", "thread: 1"),
            Edit(KWS, "task: classification", "task: 7"),
            Edit(WORDS, "classes: 12", "classes: twelve"),
            Edit(MATRIX, "[kws]", "[kwz]"),
        ),
        (
            f"{MATRIX}: models[0]: there is no model 'kwz' in config/models; did you mean 'kws'?",
            f"{WORDS}: classes: expected a whole number, found 'twelve'",
            f"{KWS}: task: expected text, found 7; put it in quotes if text is meant",
            f"{GATEWAY}: thread: unknown key; did you mean 'threads'?",
            f"{INT8}: per_channel: expected true or false, found 'on'; write true",
            f"{DESK}: reach: 'adb' is not available: only 'local' devices can be reached so far",
        ),
    ),
    Case(
        "a file that cannot be read hides no other, and what refers to it is not wrong",
        (
            Edit(WORDS, None, "loader: npz\noptions\nclasses: 12\n"),
            Edit(KWS, "epochs: 25", "epochs: 25, optimiser: adam"),
        ),
        (
            f"{WORDS}: not valid YAML at line 3, column 1: could not find expected ':'",
            f"{KWS}: training.optimiser: unknown key; "
            "known: batch_size, epochs, label_smoothing, learning_rate, noise, weight_decay",
        ),
    ),
    Case(
        "keys that are there twice do not hide what else is wrong",
        (Edit(INT8, "mode: static", "mode: static\nmode: dynamic"), Edit(INT8, "weights: int8", "weights: int5")),
        (
            f"{INT8}: mode: given twice (lines 3 and 4); keep one",
            f"{INT8}: weights: 'int5' is not one of float32, float16, int8, int4; did you mean 'int8'?",
        ),
    ),
    Case(
        "files that nothing refers to",
        (Edit("config/models/unused.yaml", None, "framework: torch\n"), Edit("config/devices/spare.yaml", None, "")),
        (
            "config/models/unused.yaml: builder: missing (function that builds the network: 'package.module:function')",
            "config/models/unused.yaml: dataset: missing (id of a dataset in config/datasets)",
            "config/models/unused.yaml: task: missing (id of a task plugin)",
            "config/models/unused.yaml: training.epochs: missing (the epochs); the framework 'torch' needs it",
            "config/devices/spare.yaml: is empty",
        ),
    ),
]


@pytest.mark.parametrize("wrong", [*CASES, *SEVERAL], ids=lambda wrong: wrong.name)
def test_the_whole_message(wrong: Case, tmp_path: Path, config_plugins: Plugins) -> None:
    write_project(tmp_path, wrong.edits)
    assert find_problems(tmp_path, None, config_plugins) == wrong.problems


def test_the_project_that_the_cases_break_is_good(tmp_path: Path, config_plugins: Plugins) -> None:
    write_project(tmp_path)
    assert find_problems(tmp_path, None, config_plugins) == ()


def test_load_raises_everything_at_once(tmp_path: Path, config_plugins: Plugins) -> None:
    several = SEVERAL[1]
    write_project(tmp_path, several.edits)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, None, config_plugins)
    assert caught.value.problems == several.problems
    assert str(caught.value) == "\n".join(several.problems)


OVERRIDES: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "an unknown scheme": (
        {"schemes": "int4"},
        "--config: schemes: there is no scheme 'int4' in config/schemes; did you mean 'int8'?",
    ),
    "an unknown key": (
        {"scheme": "int8"},
        "--config: scheme: unknown key; did you mean 'schemes'?",
    ),
    "a key without a value": (
        {"exclude": None},
        "--config: exclude: has no value; give it one or remove the key",
    ),
    "a word that YAML 1.1 takes for a boolean": (
        {"title": False},
        "--config: title: expected text, found false; put it in quotes if text is meant",
    ),
    "text that YAML 1.1 takes for a date": (
        {"title": date(2026, 1, 31)},
        "--config: title: expected text, found the date 2026-01-31; put it in quotes if text is meant",
    ),
    "a baseline that is none": (
        {"baseline": "int8"},
        "--config: baseline: 'int8' has int8 weights; the baseline is a scheme with float32 weights",
    ),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_value_from_the_command_line_is_not_blamed_on_the_file(
    name: str, tmp_path: Path, config_plugins: Plugins
) -> None:
    override, message = OVERRIDES[name]
    write_project(tmp_path)
    assert find_problems(tmp_path, {**read_matrix(tmp_path), **override}, config_plugins) == (message,)


def test_a_key_that_is_twice_in_the_file_is_found_where_its_content_is_given(
    tmp_path: Path, config_plugins: Plugins
) -> None:
    write_project(tmp_path, (Edit(MATRIX, "baseline: fp32", "baseline: fp32\nbaseline: int8"),))
    given = {"models": ["kws"], "targets": ["gateway"], "schemes": ["fp32"], "baseline": "fp32"}
    message = f"{MATRIX}: baseline: given twice (lines 4 and 5); keep one"
    assert find_problems(tmp_path, given, config_plugins) == (message,)


def test_a_folder_in_place_of_a_file(tmp_path: Path, config_plugins: Plugins) -> None:
    write_project(tmp_path)
    (tmp_path / "config/targets/board.yaml").mkdir()
    assert find_problems(tmp_path, None, config_plugins) == (
        "config/targets/board.yaml: cannot be read: Is a directory",
    )


def test_an_empty_project(tmp_path: Path, config_plugins: Plugins) -> None:
    assert find_problems(tmp_path, None, config_plugins) == (f"{MATRIX}: no such file",)
    with pytest.raises(ConfigError, match=rf"^{MATRIX}: no such file$"):
        read_matrix(tmp_path)


def test_folders_without_files(tmp_path: Path, config_plugins: Plugins) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / MATRIX).write_text(GOOD[MATRIX])
    assert find_problems(tmp_path, None, config_plugins) == (
        f"{MATRIX}: models[0]: there is no model 'kws' in config/models; none is known",
        f"{MATRIX}: targets[0]: there is no target 'gateway' in config/targets; none is known",
        f"{MATRIX}: targets[1]: there is no target 'sensor' in config/targets; none is known",
        f"{MATRIX}: schemes[0]: there is no scheme 'fp32' in config/schemes; none is known",
        f"{MATRIX}: schemes[1]: there is no scheme 'int8' in config/schemes; none is known",
        f"{MATRIX}: baseline: there is no scheme 'fp32' in config/schemes; none is known",
    )


def test_plugin_files_leaves_what_is_wrong_to_load(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    assert plugin_files({}, tmp_path) == ()
    assert plugin_files({"plugins": "mine.py"}, tmp_path) == ("mine.py",)
    assert plugin_files({"plugins": ["mine.py", "other.py", 3, "mine.py"]}, tmp_path) == ("mine.py",)
