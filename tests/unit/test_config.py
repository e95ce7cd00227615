"""The default configuration, what a Project gives, how YAML is read, and that schemas and reference page keep up."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import typing
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from edgeflow.config import Project, find_problems, load, read_matrix, schemas
from edgeflow.config.budgets import METRICS, Budgets, FractionLimit, Limit
from edgeflow.config.models import KINDS, Matrix
from edgeflow.config.reader import read
from edgeflow.plugin import ModelSpec
from edgeflow.registry import Plugins
from edgeflow.types.figures import Budget, Direction, Evidence
from edgeflow.types.variants import Scheme, Target
from edgeflow.units import is_fraction

MODELS = ("digits_dscnn", "digits_resnet8")
TARGETS = ("linux_x86_ort", "linux_x86_litert", "android_arm64_litert", "cortex_m4_tflm", "ethos_u55_128")
SCHEMES = ("fp32", "fp16", "int8_dynamic", "int8_static", "int16x8")


@pytest.fixture(scope="module")
def default(project: Path, config_plugins: Plugins) -> Project:
    """The configuration that the repository ships."""
    return load(project, None, config_plugins)


def with_matrix(project: Path, plugins: Plugins, **changes: Any) -> Project:
    """The default configuration with other keys in its matrix."""
    return load(project, {**read_matrix(project), **changes}, plugins)


# --- the default configuration -------------------------------------------------------------------------------------


def test_the_default_matrix_has_every_cell_in_order(default: Project) -> None:
    assert default.cells() == tuple((m, t, s) for m in MODELS for t in TARGETS for s in SCHEMES)


@pytest.mark.parametrize("target", TARGETS)
def test_every_default_target_bounds_the_drop_and_forbids_slower_than_float32(default: Project, target: str) -> None:
    limits = {budget.metric: (budget.direction, budget.limit) for budget in default.budgets(target)}
    assert limits["accuracy_drop"] == (Direction.MAX, 0.01)
    assert limits["latency_ratio_fp32"] == (Direction.MAX, 1.05)
    assert {"memory_peak_bytes", "size_bytes"} < set(limits)
    assert any(metric.startswith("latency_p") for metric in limits)


@pytest.mark.parametrize(
    ("target", "accuracy", "latency", "memory", "without"),
    [
        ("linux_x86_ort", "device", "device", "device", ()),
        ("linux_x86_litert", "device", "device", "device", ()),
        ("android_arm64_litert", "host", "device", "device", ()),
        ("cortex_m4_tflm", "simulator", "device", "simulator", ("latency_p90_s", "latency_ratio_fp32")),
        ("ethos_u55_128", "host", "estimate", "estimate", ()),
    ],
)
def test_the_evidence_that_default_budgets_demand(
    default: Project, target: str, accuracy: str, latency: str, memory: str, without: tuple[str, ...]
) -> None:
    demanded = {budget.metric: budget.evidence for budget in default.budgets(target)}
    assert demanded["accuracy_drop"] == accuracy
    assert {evidence for metric, evidence in demanded.items() if metric.startswith("latency")} == {latency}
    assert demanded["memory_peak_bytes"] == memory
    assert default.targets[target].release_without == without


def test_every_budget_of_a_default_target_says_where_it_comes_from(project: Path) -> None:
    for target in TARGETS:
        lines = (project / f"config/targets/{target}.yaml").read_text().splitlines()
        budgets = [i for i, line in enumerate(lines) if re.match(r"  \w+: \{ (max|min): ", line)]
        assert len(budgets) >= 5
        assert all(lines[i - 1].lstrip().startswith("# ") for i in budgets), target


# --- what a project gives ------------------------------------------------------------------------------------------


def test_a_scheme_as_plugins_see_it(default: Project) -> None:
    assert default.scheme("int8_static") == Scheme(
        id="int8_static",
        weights="int8",
        activations="int8",
        mode="static",
        per_channel=True,
        calibration_samples=128,
        recipe="base",
        description=default.schemes["int8_static"].description,
    )
    assert default.scheme("int8_dynamic").calibration_samples == 0
    assert not default.scheme(default.baseline).quantized


def test_a_target_as_plugins_see_it(default: Project) -> None:
    assert default.target("ethos_u55_128") == Target(
        id="ethos_u55_128",
        runtime="ethos_u",
        arch="armv8.1-m.main",
        accelerator="ethos-u55-128",
        clock_hz=500e6,
        ram_bytes=2 * 2**20,
        flash_bytes=None,
        threads=1,
        options={"system_config": "Ethos_U55_High_End_Embedded", "memory_mode": "Shared_Sram"},
    )
    microcontroller = default.target("cortex_m4_tflm")
    assert (microcontroller.ram_bytes, microcontroller.flash_bytes) == (256 * 2**10, 2**20)


def test_budgets_are_canonical(default: Project) -> None:
    assert default.budgets("android_arm64_litert")[:2] == (
        Budget("accuracy_drop", 0.01, "ratio", Direction.MAX, Evidence.HOST),
        Budget("latency_p90_s", pytest.approx(0.0042), "second", Direction.MAX, Evidence.DEVICE),
    )
    size = {budget.metric: budget for budget in default.budgets("cortex_m4_tflm")}["size_bytes"]
    assert size == Budget("size_bytes", 262144.0, "byte", Direction.MAX, Evidence.SIMULATOR)


def test_a_model_as_frameworks_see_it(default: Project) -> None:
    assert default.model_spec("digits_dscnn") == ModelSpec(
        id="digits_dscnn",
        builder="edgeflow.zoo.dscnn:build",
        arguments={},
        input_shape=(1, 49, 10),
        classes=10,
        training={
            "epochs": 40,
            "batch_size": 64,
            "learning_rate": 0.004,
            "weight_decay": 0.001,
            "label_smoothing": 0.05,
            "noise": 0.1,
        },
    )


def test_the_device_of_a_target(default: Project) -> None:
    assert default.device_of("linux_x86_ort") == "this_host"
    assert default.device_of("android_arm64_litert") is None


def test_excluded_cells_are_not_planned_and_included_ones_come_last(project: Path, config_plugins: Plugins) -> None:
    chosen = with_matrix(
        project,
        config_plugins,
        models=["digits_dscnn"],
        targets=["linux_x86_ort", "cortex_m4_tflm"],
        schemes=["fp32", "fp16", "int8_static"],
        exclude=[{"target": "cortex_m4_tflm", "scheme": ["fp16", "fp32"]}, {"scheme": "fp16"}],
        include=[
            {"model": "digits_resnet8", "target": "ethos_u55_128", "scheme": "int16x8"},
            {"model": "digits_dscnn", "target": "linux_x86_ort", "scheme": "fp32"},
            {"model": "digits_dscnn", "target": "cortex_m4_tflm", "scheme": "fp32"},
        ],
    )
    assert chosen.cells() == (
        ("digits_dscnn", "linux_x86_ort", "fp32"),
        ("digits_dscnn", "linux_x86_ort", "int8_static"),
        ("digits_dscnn", "cortex_m4_tflm", "int8_static"),
        ("digits_resnet8", "ethos_u55_128", "int16x8"),
        ("digits_dscnn", "cortex_m4_tflm", "fp32"),
    )


def test_one_name_stands_for_a_list_of_one(project: Path, config_plugins: Plugins) -> None:
    chosen = with_matrix(project, config_plugins, models="digits_dscnn", targets="linux_x86_ort", schemes="fp32")
    assert chosen.cells() == (("digits_dscnn", "linux_x86_ort", "fp32"),)


def test_the_matrix_may_come_in_any_kind_of_mapping(project: Path, config_plugins: Plugins) -> None:
    matrix = OrderedDict(read_matrix(project), exclude=(OrderedDict(scheme="fp16"),), seed=7, title="sweep")
    chosen = load(project, matrix, config_plugins)
    assert (len(chosen.cells()), chosen.seed, chosen.title) == (40, 7, "sweep")


def test_what_was_read_cannot_be_changed(default: Project) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        default.targets["linux_x86_ort"].threads = 2


def test_calibration_samples_are_checked_for_planned_cells_only(
    project: Path, tmp_path: Path, config_plugins: Plugins
) -> None:
    """A scheme that takes more samples than a dataset has is fine as long as no cell brings them together."""
    shutil.copytree(project / "config", tmp_path / "config")
    scheme = tmp_path / "config/schemes/int16x8.yaml"
    scheme.write_text(scheme.read_text().replace("samples: 128", "samples: 129"))
    matrix = read_matrix(tmp_path)
    assert find_problems(tmp_path, {**matrix, "schemes": ["fp32", "int8_static"]}, config_plugins) == ()
    assert len(find_problems(tmp_path, {**matrix, "schemes": ["fp32", "int16x8"]}, config_plugins)) == 2


# --- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("2026-01-31", "2026-01-31"),
        ("12", 12),
        ("-3", -3),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("1.", 1.0),
        (".nan", ".nan"),
        ("'12'", "12"),
        ("16.7 ms", "16.7 ms"),
        ("1 %", "1 %"),
        ("!!str 12", "12"),
        ("[1, {a: b}]", [1, {"a": "b"}]),
        ("", None),
        ("~", None),
    ],
)
def test_plain_scalars_are_what_they_look_like(text: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(f"key: {text}\n", encoding="utf-8")
    data, problems = read(path, "file.yaml")
    assert problems == []
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


def test_anchors_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("\ufeffa: &x {b: 1}\nc: *x\nd: *x\n", encoding="utf-8")
    assert read(path, "file.yaml") == ({"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1}}, [])


def test_importing_the_configuration_loads_no_heavy_library() -> None:
    code = "import sys, edgeflow.config; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pandas", "rich", "snakemake", "torch", "edgeflow.registry"} & set(loaded)


# --- schemas for editors -------------------------------------------------------------------------------------------

FILES = {
    "config": "config/config.yaml",
    **{kind: f"config/{kind}s/*.yaml" for kind in ("dataset", "model", "target", "scheme", "device")},
}


@pytest.mark.parametrize("name", FILES)
def test_schemas_are_up_to_date(name: str, project: Path) -> None:
    written = json.loads((project / f"config/schema/{name}.json").read_text(encoding="utf-8"))
    assert written == schemas()[name], "the models changed: run 'edgeflow schema' and commit what it writes"


def test_there_is_a_schema_for_each_kind_of_file(project: Path) -> None:
    assert set(schemas()) == set(FILES) == {path.stem for path in (project / "config/schema").glob("*.json")}


@pytest.mark.parametrize("name", FILES)
def test_default_files_fit_their_schemas_and_name_them(name: str, project: Path) -> None:
    checker = jsonschema.Draft202012Validator(schemas()[name])
    checker.check_schema(schemas()[name])
    paths = sorted(project.glob(FILES[name]))
    assert paths
    for path in paths:
        data, _ = read(path, path.name)
        assert not list(checker.iter_errors(data)), path
        first = path.read_text(encoding="utf-8").splitlines()[0]
        named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
        assert named, path
        assert (path.parent / named[1]).resolve() == project / f"config/schema/{name}.json"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("target", {"ram_bytes": "256 KB"}),
        ("target", {"ram_bytes": 262144}),
        ("target", {"clock_hz": None}),
        ("target", {"arch": "x86-64"}),
        ("target", {"prefer": "latency"}),
        ("target", {"budgets": {"latency_p90_s": {"max": "5 MHz", "evidence": "device"}}}),
        ("target", {"budgets": {"latency_p90_s": {"max": "5 ms", "evidence": "devise"}}}),
        ("target", {"budgets": {"latency_p90": {"max": "5 ms", "evidence": "device"}}}),
        ("target", {"budgets": {"accuracy_drop": {"max": 1, "evidence": "device"}}}),
        ("target", {"budgets": {"accuracy_drop": {"max": "1", "evidence": "device"}}}),
        ("target", {"budgets": {"accuracy_drop": {"max": "101 %", "evidence": "device"}}}),
        ("scheme", {"mixed_precision": {"drop": 5}}),
        ("scheme", {"mode": "statik"}),
        ("scheme", {"calibration": {"samples": 0}}),
        ("model", {"dataset": "Words"}),
        ("dataset", {"classes": 1}),
        ("device", {"reach": "ssh"}),
    ],
)
def test_schemas_refuse_what_editors_should_underline(name: str, change: Mapping[str, Any], project: Path) -> None:
    data, _ = read(sorted(project.glob(FILES[name]))[0], "")
    assert data is not None
    checker = jsonschema.Draft202012Validator(schemas()[name])
    assert list(checker.iter_errors({**data, **change}))


@pytest.mark.parametrize("value", [0, 0.01, "1 %", "100 %", "0.5"])
def test_schemas_take_what_a_limit_on_a_drop_may_be(value: float | str, project: Path) -> None:
    data, _ = read(sorted(project.glob(FILES["target"]))[0], "")
    assert data is not None
    checker = jsonschema.Draft202012Validator(schemas()["target"])
    assert not list(checker.iter_errors({**data, "budgets": {"accuracy_drop": {"max": value, "evidence": "host"}}}))


def test_every_metric_that_is_shown_in_percent_has_a_limit_in_percent() -> None:
    fractions = {
        metric for metric, field in Budgets.model_fields.items() if FractionLimit in sections_in(field.annotation)
    }
    assert fractions == {metric for metric in METRICS if is_fraction(metric)} == {"accuracy", "accuracy_drop"}


# --- the reference page --------------------------------------------------------------------------------------------

Row = tuple[str, str, str]  # key, default, meaning


def sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from sections_in(part)


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, BaseModel) or value in (None, "", (), {}):
        return "–"
    return f"`{json.dumps(value[0] if isinstance(value, tuple) else value).strip(chr(34))}`"


def rows_of(cls: type[BaseModel], prefix: str = "") -> Iterator[Row]:
    """Every key of a file with its default and its meaning, nested ones after the key that holds them."""
    for name, field in cls.model_fields.items():
        yield f"{prefix}{name}", default_of(field), str(field.description)
        below = next(sections_in(field.annotation), None)
        if below is not None and not issubclass(below, Limit):
            in_list = "[]" if typing.get_origin(field.annotation) is tuple else ""
            yield from rows_of(below, f"{prefix}{name}{in_list}.")


def rows_in(page: str, heading: str) -> list[Row]:
    """The rows of the tables under a heading; the second column, what a value looks like, is for people."""
    part = re.split(r"^## ", page.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    cells = (re.split(r"(?<!\\)\|", line.strip("|")) for line in part.splitlines() if line.startswith("| `"))
    return [(row[0].strip().strip("`"), row[2].strip(), row[3].strip()) for row in cells]


@pytest.mark.parametrize(
    ("heading", "cls"),
    [("`config/config.yaml`", Matrix), *((f"`config/{kind}s/<id>.yaml`", cls) for kind, cls in KINDS.items())],
)
def test_the_reference_page_has_every_key(heading: str, cls: type[BaseModel], project: Path) -> None:
    page = (project / "docs/reference/configuration.md").read_text(encoding="utf-8")
    assert rows_in(page, heading) == list(rows_of(cls))


def test_the_reference_page_says_what_a_budget_holds(project: Path) -> None:
    page = (project / "docs/reference/configuration.md").read_text(encoding="utf-8")
    assert [key for key, _, _ in rows_in(page, "A budget")] == list(Limit.model_fields)
    assert set(METRICS) == {key.removeprefix("budgets.") for key, _, _ in rows_of(KINDS["target"]) if "budgets." in key}


def test_the_messages_on_the_reference_page_are_real(project: Path, tmp_path: Path, config_plugins: Plugins) -> None:
    page = (project / "docs/reference/configuration.md").read_text(encoding="utf-8")
    shutil.copytree(project / "config", tmp_path / "config")
    for file, old, new in (
        ("models/digits_dscnn.yaml", "dataset: digits_1x49x10", "dataset: digits_1x49"),
        ("targets/cortex_m4_tflm.yaml", "  latency_p90_s:", "  latency_p90:"),
        ("targets/cortex_m4_tflm.yaml", "ram_bytes: 256 KiB", "ram_bytes: 256 KB"),
    ):
        path = tmp_path / "config" / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")
    shown = page.partition("```\n")[2].partition("```")[0].splitlines()
    assert find_problems(tmp_path, None, config_plugins) == tuple(shown)
