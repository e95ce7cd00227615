"""What can be wrong with config.yaml: the matrix, budgets, the search."""

from __future__ import annotations

from tests.unit.bad_configs.project import FP32, GOOD, INT8, MATRIX, WORDS, Case, Edit, case

from edgeflow.config.budgets import METRICS

CASES = [
    case(
        "a folder of schemes is not there",
        MATRIX,
        "baseline: fp32\n",
        "baseline: fp32\nscheme_folders: more/schemes\n",
        f"{MATRIX}: scheme_folders[0]: no such folder: more/schemes; paths start at the project folder",
    ),
    case(
        "a folder of schemes has a name that no system takes",
        MATRIX,
        "baseline: fp32\n",
        f"baseline: fp32\nscheme_folders: {'m' * 300}\n",
        f"{MATRIX}: scheme_folders[0]: no such folder: {'m' * 300}; paths start at the project folder",
    ),
    Case(
        "a scheme is in two folders",
        (
            Edit(MATRIX, "baseline: fp32\n", "baseline: fp32\nscheme_folders: [more]\n"),
            Edit("more/int8.yaml", None, GOOD[INT8]),
        ),
        ("config/schemes/int8.yaml: more/int8.yaml has the same id; rename one of them",),
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
            "more/none.yaml: mode: 'flout' is not one of float, weight_only, dynamic, static, as_is; did you mean "
            "'float'?",
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
        - [none, {prune: {sparsity: [30 %, 130 %, 1], epochs: 2}}]
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
        f"{MATRIX}: search.space[0].steps[0][1].prune.sparsity: 1 may mean 1 % or 100 %; write '1 %' or '100 %'",
    ),
    case(
        "a range of percentages without their sign",
        MATRIX,
        "baseline: fp32\n",
        """baseline: fp32
search:
  space:
    - mode: float
      weights: float32
      activations: float32
      steps: [prune: {epochs: 2, sparsity: {from: 1, to: 61, step: 30}}]
""",
        f"{MATRIX}: search.space[0].steps[0].prune.sparsity: 1 may mean 1 % or 100 %; write '1 %' or '100 %'",
        f"{MATRIX}: search.space[0].steps[0].prune.sparsity: 61 is more than 100 %; write '61 %' if percent is meant",
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
        "a list item has no value",
        MATRIX,
        "models: [kws]",
        "models: [kws, ]\nexclude: [~]",
        f"{MATRIX}: exclude[0]: expected keys and values, found nothing",
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
        "an unknown model in the matrix",
        MATRIX,
        "[kws]",
        "[kws, resnet]",
        f"{MATRIX}: models[1]: there is no model 'resnet' in config/models; known: kws",
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
]
