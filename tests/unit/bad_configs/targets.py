"""What can be wrong with a target or a device."""

from __future__ import annotations

from tests.unit.bad_configs.project import DESK, GATEWAY, SENSOR, case

CASES = [
    case(
        "a key is there twice",
        GATEWAY,
        "threads: 1\n",
        "threads: 1\nruntime: litert\n",
        f"{GATEWAY}: runtime: given twice (lines 1 and 4); keep one",
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
        "a budget has no value",
        GATEWAY,
        "latency_p90_s: {max: 5 ms, evidence: device}",
        "latency_p90_s:",
        f"{GATEWAY}: budgets.latency_p90_s: has no value; give it one or remove the key",
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
        f"{DESK}: usb_port: unknown key; known: description, identity, reach, targets",
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
        "one without a percent sign",
        SENSOR,
        "max: 1 %",
        "max: 1",
        f"{SENSOR}: budgets.accuracy_drop.max: 1 may mean 1 % or 100 %; write '1 %' or '100 %'",
    ),
    case(
        "one in quotes without a percent sign",
        SENSOR,
        "max: 1 %",
        "max: '1.0'",
        f"{SENSOR}: budgets.accuracy_drop.max: '1.0' may mean 1 % or 100 %; write '1 %' or '100 %'",
    ),
    case(
        "a negative percentage",
        SENSOR,
        "max: 1 %",
        "max: -1 %",
        f"{SENSOR}: budgets.accuracy_drop.max: '-1 %' must not be negative",
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
        "an unknown runtime",
        GATEWAY,
        "runtime: onnxruntime",
        "runtime: onnx_runtime",
        f"{GATEWAY}: runtime: there is no runtime 'onnx_runtime'; did you mean 'onnxruntime'?",
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
        "two devices for one target",
        "config/devices/lab.yaml",
        None,
        "targets: [gateway]\n",
        "config/devices/lab.yaml: targets[0]: 'gateway' already has the device 'desk'; one device a target",
    ),
]
