"""What can be wrong with a scheme and its steps."""

from __future__ import annotations

from tests.unit.bad_configs.project import FP32, INT8, case

CASES = [
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
        "no for false",
        INT8,
        "per_channel: true",
        "per_channel: no",
        f"{INT8}: per_channel: expected true or false, found 'no'; write false",
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
        "types of a model that stays as it is",
        INT8,
        "mode: static",
        "mode: as_is",
        f"{INT8}: weights: mode 'as_is' leaves the model as it is; remove the key or change the mode",
        f"{INT8}: activations: mode 'as_is' leaves the model as it is; remove the key or change the mode",
        f"{INT8}: per_channel: mode 'as_is' leaves the model as it is; remove the key or change the mode",
        f"{INT8}: calibration: mode 'as_is' does not calibrate; remove the key",
    ),
    case(
        "no types",
        "config/schemes/bare.yaml",
        None,
        "mode: dynamic\n",
        "config/schemes/bare.yaml: weights: missing; mode 'dynamic' takes int8",
        "config/schemes/bare.yaml: activations: missing; mode 'dynamic' takes int8",
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
        f"{INT8}: steps[0].fine_tune.learning_rate: expected a number, found '0.01'; write 0.01",
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
        f"{INT8}: mode: 'statik' is not one of float, weight_only, dynamic, static, as_is; did you mean 'static'?",
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
    *(
        case(
            f"{name} of {value} without its sign",
            INT8,
            "mode: static",
            "mode: static\n" + text.replace("VALUE", value),
            f"{INT8}: {path}: {problem}",
        )
        for name, text, path in (
            ("the drop of mixed precision", "mixed_precision: {drop: VALUE}", "mixed_precision.drop"),
            ("a sparsity", "steps:\n  - prune: {epochs: 2, sparsity: VALUE}", "steps[0].prune.sparsity"),
            (
                "channels",
                "steps:\n  - prune_channels: {epochs: 2, channels: VALUE}",
                "steps[0].prune_channels.channels",
            ),
            ("operations", "steps:\n  - prune_channels: {epochs: 2, macs: VALUE}", "steps[0].prune_channels.macs"),
            (
                "parameters",
                "steps:\n  - prune_channels: {epochs: 2, parameters: VALUE}",
                "steps[0].prune_channels.parameters",
            ),
            (
                "a weight of the teacher",
                "steps:\n  - distill: {epochs: 2, teacher: kws, soft_weight: VALUE}",
                "steps[0].distill.soft_weight",
            ),
        )
        for value, problem in (
            ("1", "1 may mean 1 % or 100 %; write '1 %' or '100 %'"),
            ("5", "5 is more than 100 %; write '5 %' if percent is meant"),
        )
    ),
    case(
        "a percentile of 1 without its sign",
        INT8,
        "{samples: 128}",
        "{samples: 128, method: percentile, percentile: 1}",
        f"{INT8}: calibration.percentile: 1 may mean 1 % or 100 %; write '1 %' or '100 %'",
    ),
]
