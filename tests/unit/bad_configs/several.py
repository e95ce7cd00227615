"""What is wrong in several places at once."""

from __future__ import annotations

from tests.unit.bad_configs.project import DESK, GATEWAY, INT8, KWS, MATRIX, SENSOR, WORDS, Case, Edit

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
            "config/models/unused.yaml: dataset: missing (id of a dataset in config/datasets)",
            "config/models/unused.yaml: task: missing (id of a task plugin)",
            "config/models/unused.yaml: builder: missing (function that builds the network: 'package.module:function')",
            "config/models/unused.yaml: training.epochs: missing (the epochs); the framework 'torch' needs it",
            "config/devices/spare.yaml: is empty",
        ),
    ),
]
