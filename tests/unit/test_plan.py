"""The plan: who shares what, how many jobs that saves, and what is refused to be shared."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from edgeflow import pointers
from edgeflow.config import Project, load, read_matrix
from edgeflow.config.models import Identity
from edgeflow.errors import PluginError
from edgeflow.plan import Plan, plan
from edgeflow.plugin import LoadJob, Unsupported
from edgeflow.registry import Plugins, discover
from edgeflow.runners import identity
from edgeflow.types.variants import Scheme, Target
from edgeflow.wiring import IDENTITY, Job, Wiring, claim_identity, identity_of_run

DSCNN = "digits_dscnn"
COMPILED = ("model", "runtime", "platform", "scheme")
VELA = "ethos-u55-128-high_end_embedded-shared_sram-2097152"


@pytest.fixture
def plugins() -> Plugins:
    return discover()


@pytest.fixture
def make(project: Path, plugins: Plugins) -> Callable[..., tuple[Project, Plan]]:
    """The default matrix with other lists, and its plan."""

    def made(plugins: Plugins = plugins, **matrix: Any) -> tuple[Project, Plan]:
        loaded = load(project, {**read_matrix(project), **matrix}, plugins)
        return loaded, plan(loaded, plugins)

    return made


def with_runtime(plugins: Plugins, name: str, **changes: Any) -> Plugins:
    return replace(plugins, runtimes={**plugins.runtimes, name: replace(plugins.runtimes[name], **changes)})


def test_cells_name_the_program_that_they_share(make: Callable[..., tuple[Project, Plan]]) -> None:
    _, planned = make()
    programs = {
        cell.target: cell.program for cell in planned.cells if (cell.model, cell.scheme) == (DSCNN, "int8_static")
    }
    assert programs == {
        "linux_x86_ort": "digits_dscnn/onnxruntime/x86/int8_static",
        "linux_x86_litert": "digits_dscnn/litert/any/int8_static",
        "android_arm64_litert": "digits_dscnn/litert/any/int8_static",
        "cortex_m4_tflm": "digits_dscnn/tflite_micro/any/int8_static",
        "ethos_u55_128": f"digits_dscnn/ethos_u/{VELA}/int8_static",
    }
    refused = planned.by_id[DSCNN, "ethos_u55_128", "fp32"]
    assert (refused.runtime, refused.platform) == ("", "")
    assert planned.to_json()["cells"][0] == {
        **{"model": DSCNN, "target": "linux_x86_ort", "scheme": "fp32", "runtime": "onnxruntime", "platform": "any"}
    }


def test_jobs_of_the_default_matrix(make: Callable[..., tuple[Project, Plan]]) -> None:
    _, planned = make()
    assert planned.jobs() == {  # with sharing, and if every cell had its own
        "prepare": (2, 40),
        "train": (2, 40),
        "convert": (4, 40),
        "optimize": (20, 40),
        "compile": (30, 44),  # per model: 5 ONNX Runtime, 5 LiteRT for both its targets, 3 TFLite Micro, 2 vela
        "measure": (40, 40),
        "judge": (40, 40),
        "package": (50, 50),  # infeasible cells have a record too
    }


def test_what_is_timed_has_its_baseline_also_where_that_is_not_selected(
    make: Callable[..., tuple[Project, Plan]], plugins: Plugins
) -> None:
    targets = ["linux_x86_ort", "cortex_m4_tflm", "ethos_u55_128"]
    loaded, planned = make(models=[DSCNN], targets=targets, schemes=["int8_static"])
    assert [cell.scheme for cell in planned.cells] == ["int8_static"] * 3
    assert planned.jobs()["compile"] == (4, 5)
    assert planned.jobs()["optimize"] == (3, 4)
    assert planned.jobs()["measure"] == planned.jobs()["package"] == (3, 3)
    assert planned.to_json()["recipes"] == {"base": ["int8_static"]}
    wiring = Wiring(loaded, plugins, planned)
    timed, simulated, integers = (
        wiring.job("measure", {"model": DSCNN, "target": target, "scheme": "int8_static"}) for target in targets
    )
    assert timed.inputs["baseline"] == "results/compile/digits_dscnn/onnxruntime/any/fp32/program.bin"
    assert (simulated.inputs["baseline"], simulated.spec["without_baseline"]) == ([], "")  # unmeasured, and no pass
    assert timed.spec["without_baseline"] == ""
    assert integers.spec["without_baseline"].startswith("fp32 is infeasible on this target: Ethos-U executes int8")


def test_rules_hand_over_all_that_their_jobs_read(
    make: Callable[..., tuple[Project, Plan]], plugins: Plugins, project: Path
) -> None:
    """An input that is optional to a stage and forgotten in its rule changes figures, and no job fails."""
    loaded, planned = make(models=[DSCNN], targets=["cortex_m4_tflm"], schemes=["int8_static"])
    wiring = Wiring(loaded, plugins, planned)
    of_variant = {"model": DSCNN, "target": "cortex_m4_tflm", "scheme": "int8_static"}
    program = dict(zip(COMPILED, (DSCNN, "tflite_micro", "any", "int8_static"), strict=True))
    for stage, rules, keys in (("compile", "compile", program), ("measure", "validate", of_variant)):
        text = (project / "rules" / f"{rules}.smk").read_text()
        shell = text[text.index(f"edgeflow {stage} ") :]
        handed = set(re.findall(r"\{input\.(\w+):q\}", shell[: shell.index("--output")]))
        assert handed == {*wiring.job(stage, keys).inputs}, stage


def test_what_is_not_timed_says_why_it_has_no_baseline(
    make: Callable[..., tuple[Project, Plan]], plugins: Plugins
) -> None:
    loaded, planned = make(models=[DSCNN])  # with the baseline
    wiring = Wiring(loaded, plugins, planned)
    said = {
        target: wiring.job("measure", {"model": DSCNN, "target": target, "scheme": "int8_static"}).spec[
            "without_baseline"
        ]
        for target in loaded.targets
    }
    assert said.pop("ethos_u55_128").startswith("fp32 is infeasible on this target: Ethos-U executes int8")
    assert set(said.values()) == {""}


def test_what_is_timed_depends_on_the_machine_that_starts_the_run_or_on_the_one_that_is_the_device(
    make: Callable[..., tuple[Project, Plan]], plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of the spec is what Snakemake measures again for."""
    loaded, planned = make(models=[DSCNN], schemes=["int8_static"])
    pinned = loaded.devices["this_host"].model_copy(update={"identity": Identity(machine_id="0" * 32, governor="")})

    def identities(project: Project) -> dict[str, dict[str, str]]:
        wiring = Wiring(project, plugins, planned)
        return {
            cell.target: dict(
                wiring.job("measure", {"model": DSCNN, "target": cell.target, "scheme": "int8_static"}).spec["identity"]
            )
            for cell in planned.cells
        }

    here, elsewhere = dict(identity.here()), {**identity.here(), "machine_id": "f" * 32}
    timed = ("linux_x86_ort", "linux_x86_litert", "android_arm64_litert")
    simulated: dict[str, dict[str, str]] = {"cortex_m4_tflm": {}, "ethos_u55_128": {}}
    for machine in (here, elsewhere):
        monkeypatch.setenv(IDENTITY, quote(json.dumps(machine)))
        assert identities(loaded) == {**dict.fromkeys(timed, machine), **simulated}
        pinned_ones = {target: {"machine_id": "0" * 32, "governor": ""} for target in timed[:2]}
        expected = {**pinned_ones, timed[2]: machine, **simulated}
        assert identities(replace(loaded, devices={"this_host": pinned})) == expected
    monkeypatch.delenv(IDENTITY)
    assert identities(loaded)["linux_x86_ort"] == here


def test_a_node_of_a_cluster_knows_which_machine_started_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    started = {**identity.here(), "cpu": "O'Neil's \"CPU\" 100 % @ 3 GHz $HOME"}
    monkeypatch.setenv(IDENTITY, quote(json.dumps(started)))
    claim_identity()
    # as Snakemake's executors write variables into the command lines of jobs
    command = f"export {IDENTITY}={os.environ.pop(IDENTITY)!r} && printenv {IDENTITY}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    monkeypatch.setenv(IDENTITY, done.stdout.strip())
    assert identity_of_run() == started


def test_a_baseline_that_cannot_be_made_is_no_comparison(
    make: Callable[..., tuple[Project, Plan]], plugins: Plugins
) -> None:
    def refuse(scheme: Scheme, target: Target) -> Unsupported | None:
        return Unsupported("no floats here") if scheme.weights == "float32" else None

    integers = with_runtime(plugins, "onnxruntime", supports=refuse)
    loaded, planned = make(integers, models=[DSCNN], targets=["linux_x86_ort"], schemes=["int8_static"])
    job = Wiring(loaded, integers, planned).job(
        "measure", {"model": DSCNN, "target": "linux_x86_ort", "scheme": "int8_static"}
    )
    assert job.inputs["baseline"] == []
    assert job.spec["without_baseline"] == "fp32 is infeasible on this target: no floats here"


def test_what_is_said_of_a_scheme_changes_no_spec(make: Callable[..., tuple[Project, Plan]], plugins: Plugins) -> None:
    loaded, planned = make(models=[DSCNN], targets=["linux_x86_ort"])
    assert loaded.scheme("int8_static").description
    wiring = Wiring(loaded, plugins, planned)
    for stage, cell in planned.keys.items():
        for key in cell:
            names = {"optimize": ("model", "format", "profile", "scheme"), "compile": COMPILED}.get(stage)
            if names:
                assert wiring.job(stage, dict(zip(names, key, strict=True))).spec["scheme"]["description"] == ""


def test_the_content_of_data_counts_whatever_its_time_is(
    project: Path, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project / "config", tmp_path / "config")
    (tmp_path / "config/datasets/parts.yaml").write_text(
        "loader: npz\noptions: { file: parts.npz }\nclasses: 2\nshape: [1, 4, 4]\n"
        "splits: { calibration: 8, evaluation: 20, golden: 4 }\nsource: made up\nlicense: internal\n"
    )
    monkeypatch.chdir(tmp_path)
    loaded = load(tmp_path, read_matrix(project), plugins)
    wiring = Wiring(loaded, plugins, plan(loaded, plugins))
    fingerprints = []
    for content in (b"one", b"two", b"one"):
        Path("new.npz").write_bytes(content)
        os.utime("new.npz", (1, 1))  # long before anything was made from it
        Path("new.npz").replace("parts.npz")
        fingerprints.append(wiring.job("prepare", {"dataset": "parts"}).fingerprint())
    assert fingerprints[0] == fingerprints[2] != fingerprints[1]


def test_a_target_for_which_nothing_new_is_compiled(make: Callable[..., tuple[Project, Plan]]) -> None:
    both, one = (
        make(models=[DSCNN], schemes=["fp32"], targets=targets)[1]
        for targets in (["linux_x86_litert", "android_arm64_litert"], ["linux_x86_litert"])
    )
    assert both.jobs()["compile"] == (1, 2)
    assert set(both.programs) == set(one.programs) == {(DSCNN, "litert", "any", "fp32")}


def test_vela_takes_what_tflite_micro_compiled(make: Callable[..., tuple[Project, Plan]], plugins: Plugins) -> None:
    loaded, planned = make(models=[DSCNN], targets=["ethos_u55_128"], schemes=["fp32", "int8_static"])
    assert planned.jobs()["compile"] == (2, 2)
    wiring = Wiring(loaded, plugins, planned)
    micro = {"model": DSCNN, "runtime": "tflite_micro", "platform": "any", "scheme": "int8_static"}
    first = wiring.job("compile", micro)
    second = wiring.job("compile", {**micro, "runtime": "ethos_u", "platform": VELA})
    folder = "results/compile/digits_dscnn/tflite_micro/any/int8_static"
    assert first.inputs["source_info"] == []
    assert first.spec["runtime"] == "edgeflow.runtimes.tflite_micro:plugin"
    names = {"model": "program.bin", "source_info": "program.json", "outputs": "outputs.safetensors"}
    assert {name: second.inputs[name] for name in names} == {name: f"{folder}/{file}" for name, file in names.items()}
    measured = wiring.job("measure", {"model": DSCNN, "target": "ethos_u55_128", "scheme": "int8_static"})
    assert measured.inputs["source"] == f"{folder}/program.bin"


def test_compile_sees_nothing_that_was_erased(make: Callable[..., tuple[Project, Plan]], plugins: Plugins) -> None:
    loaded, planned = make()
    job = Wiring(loaded, plugins, planned).job(
        "compile", {"model": DSCNN, "runtime": "litert", "platform": "any", "scheme": "fp32"}
    )
    seen: Mapping[str, Any] = job.spec["target"]
    assert seen["id"] == "any"
    assert (seen["arch"], seen["clock_hz"], seen["ram_bytes"], seen["options"]) == ("", None, None, {})


def test_a_runtime_that_says_nothing_shares_nothing(
    make: Callable[..., tuple[Project, Plan]], plugins: Plugins
) -> None:
    silent = with_runtime(plugins, "litert", compiles_for=None)
    _, planned = make(silent, models=[DSCNN], schemes=["fp32"])
    builds = {cell.target: cell.platform for cell in planned.feasible if cell.runtime == "litert"}
    assert builds == {name: name for name in ("linux_x86_litert", "android_arm64_litert")}


def test_nothing_is_shared_that_differs(make: Callable[..., tuple[Project, Plan]], plugins: Plugins) -> None:
    def careless(scheme: Scheme, target: Target) -> Target:
        return replace(target, id="any")

    with pytest.raises(PluginError) as caught:
        make(with_runtime(plugins, "litert", compiles_for=careless))
    assert str(caught.value) == (
        "runtime litert: compiles_for gives linux_x86_litert and android_arm64_litert the same id 'any' for fp32, but "
        "they differ in arch (x86_64, aarch64); make the id say so, or erase it"
    )


def test_programs_of_different_models_are_not_shared(
    make: Callable[..., tuple[Project, Plan]], plugins: Plugins
) -> None:
    def own(scheme: Scheme, target: Target) -> str:
        return target.id

    with pytest.raises(PluginError, match=r"differ in profile \(linux_x86_litert, android_arm64_litert\)"):
        make(with_runtime(plugins, "litert", profile=own))


@pytest.mark.parametrize("name", ["", "a/b", "..", "x y"])
def test_a_build_is_the_name_of_a_folder(
    make: Callable[..., tuple[Project, Plan]], plugins: Plugins, name: str
) -> None:
    def named(scheme: Scheme, target: Target) -> Target:
        return Target(name, "litert", "", "cpu")

    with pytest.raises(PluginError, match="which names no folder"):
        make(with_runtime(plugins, "litert", compiles_for=named))


def test_what_the_runtime_before_refuses_is_infeasible(
    make: Callable[..., tuple[Project, Plan]], plugins: Plugins
) -> None:
    anything = with_runtime(plugins, "ethos_u", supports=lambda scheme, target: None)
    _, planned = make(anything, models=[DSCNN], targets=["ethos_u55_128"], schemes=["fp16"], baseline="fp32")
    (cell,) = planned.cells
    assert cell.reason.startswith("TFLite Micro has no float16 kernels")


# --- training-time steps ---------------------------------------------------------------------------------------------


@pytest.fixture
def with_schemes(project: Path, tmp_path: Path, plugins: Plugins) -> Callable[..., tuple[Project, Plan]]:
    """The default models on ONNX Runtime and LiteRT with fp32 and schemes of the test's choice: name → steps."""

    def made(plugins: Plugins = plugins, **steps: list[dict[str, Any]]) -> tuple[Project, Plan]:
        shutil.copytree(project / "config", tmp_path / "config")
        text = (project / "config/schemes/fp32.yaml").read_text()
        for name, own in steps.items():
            (tmp_path / f"config/schemes/{name}.yaml").write_text(f"{text}\nsteps: {json.dumps(own)}\n")
        matrix = {"targets": ["linux_x86_ort", "linux_x86_litert"], "schemes": ["fp32", *steps]}
        loaded = load(tmp_path, {**read_matrix(project), **matrix}, plugins)
        return loaded, plan(loaded, plugins)

    return made


PRUNE = {"prune": {"epochs": 4, "sparsity": "70 %"}}
FINE_TUNE = {"fine_tune": {"epochs": 3, "learning_rate": 0.01}}


def test_schemes_with_the_same_steps_share_a_checkpoint_and_its_control(with_schemes: Any) -> None:
    loaded, planned = with_schemes(
        a=[PRUNE, FINE_TUNE], b=[{"prune": {"sparsity": 0.7, "epochs": 4}}, FINE_TUNE], c=[FINE_TUNE, PRUNE], d=[]
    )
    recipes = {name: loaded.scheme(name).recipe for name in "abcd"}
    assert recipes["a"] == recipes["b"]
    assert recipes["a"].startswith("prune_fine_tune_")
    assert recipes["c"].startswith("fine_tune_prune_")
    assert recipes["d"] == "base"
    trained = [recipe for model, recipe in planned.keys["train"] if model == DSCNN]
    assert len(trained) == len(set(trained)) == 5  # base, two recipes and the control of each
    controls = set(trained) - {*recipes.values()}
    assert {tuple((s.kind, s.epochs, s.learning_rate) for s in loaded.recipes[name]) for name in controls} == {
        (("fine_tune", 4, 0.001), ("fine_tune", 3, 0.01)),
        (("fine_tune", 3, 0.01), ("fine_tune", 4, 0.001)),
    }
    assert planned.jobs()["convert"] == (12, 20)  # two models x two formats x three checkpoints


def test_a_step_starts_from_the_base_and_is_held_against_its_control(with_schemes: Any, plugins: Plugins) -> None:
    loaded, planned = with_schemes(pruned=[PRUNE])
    wiring = Wiring(loaded, plugins, planned)
    recipe = loaded.scheme("pruned").recipe
    (control,) = {r for m, r in planned.keys["train"] if m == DSCNN} - {"base", recipe}
    job = wiring.job("train", {"model": DSCNN, "recipe": recipe})
    assert job.inputs["start"] == f"results/train/{DSCNN}/base/checkpoint.safetensors"
    assert job.inputs["control"] == f"results/train/{DSCNN}/{control}/outputs.safetensors"
    assert wiring.job("train", {"model": DSCNN, "recipe": control}).inputs["control"] == []
    base = wiring.job("train", {"model": DSCNN, "recipe": "base"})
    assert (base.inputs["start"], base.inputs["control"], base.spec["steps"]) == ([], [], [])


def test_the_report_holds_a_scheme_with_steps_against_the_same_without(with_schemes: Any, plugins: Plugins) -> None:
    loaded, planned = with_schemes(pruned=[PRUNE], longer=[FINE_TUNE], plain=[])
    assert Wiring(loaded, plugins, planned).job("report", {}).spec["dense"] == {"pruned": "fp32", "longer": "fp32"}


def test_a_scheme_of_fine_tuning_is_its_own_control(with_schemes: Any, plugins: Plugins) -> None:
    loaded, planned = with_schemes(longer=[FINE_TUNE])
    recipe = loaded.scheme("longer").recipe
    assert {r for _, r in planned.keys["train"]} == {"base", recipe}
    assert Wiring(loaded, plugins, planned).job("train", {"model": DSCNN, "recipe": recipe}).inputs["control"] == []


def test_a_teacher_is_trained_first_and_must_know_the_same_data(with_schemes: Any, plugins: Plugins) -> None:
    loaded, planned = with_schemes(taught=[{"distill": {"epochs": 2, "teacher": "digits_resnet8"}}])
    recipe = loaded.scheme("taught").recipe
    refused = planned.by_id[DSCNN, "linux_x86_ort", "taught"]
    assert refused.reason == (
        "its teacher digits_resnet8 is a torch model of digits_3x32x32; digits_dscnn is a torch model of digits_1x49x10"
    )
    job = Wiring(loaded, plugins, planned).job("train", {"model": "digits_resnet8", "recipe": recipe})
    assert job.inputs["teachers"] == ["results/train/digits_resnet8/base/checkpoint.safetensors"]
    assert [teacher["id"] for teacher in job.spec["teachers"]] == ["digits_resnet8"]


def test_a_framework_without_a_step_makes_the_variant_infeasible(with_schemes: Any, plugins: Plugins) -> None:
    torch = replace(plugins.frameworks["torch"], steps=("fine_tune",))
    _, planned = with_schemes(replace(plugins, frameworks={"torch": torch}), pruned=[PRUNE])
    assert planned.by_id[DSCNN, "linux_x86_ort", "pruned"].reason == "torch has no training-time step 'prune'"


@pytest.fixture
def with_data(project: Path, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Job]:
    """Plan, in a folder of its own, the training of a model that names files."""
    shutil.copytree(project / "config", tmp_path / "config")
    (tmp_path / "config/models/own.yaml").write_text(
        "framework: torch\nbuilder: edgeflow.zoo.dscnn:build\ndataset: digits_1x49x10\ntask: classification\n"
        "arguments: { pretrained: [{ file: data/pre.pt }], tables: data/tables, mode: relu }\n"
        "weights: own.safetensors\n"
    )
    (tmp_path / "data/tables").mkdir(parents=True)
    for name in ("data/pre.pt", "data/tables/a", "own.safetensors"):
        (tmp_path / name).write_bytes(b"one")
    monkeypatch.chdir(tmp_path)
    loaded = load(tmp_path, {**read_matrix(project), "models": ["own"]}, plugins)

    def train() -> Job:
        return Wiring(loaded, plugins, plan(loaded, plugins)).job("train", {"model": "own", "recipe": "base"})

    return train


@pytest.mark.parametrize("file", ["data/pre.pt", "data/tables/a", "data/tables/deep/b", "own.safetensors"])
def test_the_files_that_a_model_names_count(with_data: Callable[[], Job], file: str) -> None:
    before = with_data()
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_bytes(b"two")
    after = with_data()
    assert before.fingerprint() != after.fingerprint()
    assert file in after.inputs["files"]
    assert before.fault == after.fault == ""


def test_a_pointer_stands_for_the_files_that_a_model_names(with_data: Callable[[], Job]) -> None:
    for name in ("data", "own.safetensors"):
        digest = pointers.digest(Path(name))
        Path(f"{name}.dvc").write_text(f"outs:\n- md5: {digest}\n  size: 3\n  hash: md5\n  path: {name}\n")
    here = with_data()
    assert here.inputs["files"] == []
    assert here.inputs["pointers"] == ["data.dvc", "own.safetensors.dvc"]
    shutil.rmtree("data")
    Path("own.safetensors").unlink()
    absent = with_data()  # they are brought before the job runs
    assert (absent.fingerprint(), absent.inputs, absent.fault) == (here.fingerprint(), here.inputs, "")
    Path("own.safetensors").write_bytes(b"two")
    assert with_data().fault.startswith("own.safetensors: differs from own.safetensors.dvc; 'dvc add own.safetensors'")


@pytest.mark.parametrize("value", ["x" * 300, ["data/pre.pt", "y" * 2000]])
def test_a_text_that_is_no_name_is_an_argument_like_any_other(with_data: Callable[[], Job], value: object) -> None:
    own = Path("config/models/own.yaml")
    own.write_text(own.read_text().replace("mode: relu", f"mode: {json.dumps(value)}"))
    assert with_data().fault == ""


def test_a_loader_that_breaks_makes_its_cells_fail_and_no_others(
    make: Callable[..., tuple[Project, Plan]], plugins: Plugins
) -> None:
    def broken(job: LoadJob) -> tuple[Path, ...]:
        return tuple(job.options["no such option"])

    loader = replace(plugins.loaders["npz"], id="broken", files=broken)
    plugins = replace(
        plugins,
        loaders={**plugins.loaders, "broken": loader},
        references={**plugins.references, ("loader", "broken"): "mine/loader.py:plugin"},
    )
    project, planned = make(plugins)
    dataset = project.models[DSCNN].dataset
    config = project.datasets[dataset].model_copy(update={"loader": "broken"})
    project = replace(project, datasets={**project.datasets, dataset: config})
    faults = Wiring(project, plugins, planned).faults()
    assert {cell.model for cell in faults} == {m for m, c in project.models.items() if c.dataset == dataset}
    assert {*faults.values()} == {
        f"mine/loader.py:plugin: cannot list the files of dataset {dataset}: "
        f"tests/unit/test_plan.py:{broken.__code__.co_firstlineno + 1}: KeyError: 'no such option'"
    }


def test_weights_that_are_not_there_are_told_before_anything_runs(with_data: Callable[[], Job]) -> None:
    Path("own.safetensors").unlink()
    expected = "config/models/own.yaml: weights: own.safetensors: no such file; paths start at the project folder"
    assert with_data().fault == expected
