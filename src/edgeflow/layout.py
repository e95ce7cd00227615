"""The only owner of paths: where each stage's files are, by the key that decides what is shared.

Every function takes names or Snakemake wildcards ("{model}") and returns file paths by the name under which a stage
knows them. Folders are relative to the project.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

TYPE_CHECKING = False  # as in typing, which with pathlib takes longer to import than a stage command may
if TYPE_CHECKING:
    from pathlib import Path

RESULTS = "results"
TOOLCHAINS = ".toolchains"
LOCKS = "envs"
TRACKING = ".tracking"
POINTER = ".dvc"  # suffix of the small file by which git knows what DVC holds
UNTRACKED = ("logs", "ledger", "ota")  # in the results, and not an artifact of the workflow

# The workflow as it is installed: what a project of configuration alone takes from here.
PACKAGED = f"{os.path.dirname(os.path.abspath(__file__))}/project"
SNAKEFILE = f"{PACKAGED}/Snakefile"

Files = Mapping[str, str]


def prepare(dataset: str) -> Files:
    """Key: dataset."""
    folder = f"{RESULTS}/prepare/{dataset}"
    splits = {name: f"{folder}/{name}.safetensors" for name in ("train", "calibration", "evaluation", "golden")}
    return {
        **splits,
        "golden_raw": f"{folder}/golden_raw.safetensors",  # golden samples as they were before preprocessing
        "samples": f"{folder}/samples.csv",  # which sample is in which split
        "info": f"{folder}/dataset.json",
    }


def prepared(project: Path) -> list[str]:
    """The datasets that there are splits of."""
    return sorted(path.parent.name for path in project.glob(prepare("*")["samples"]))


def train(model: str, recipe: str) -> Files:
    """Key: model, recipe; shared by all schemes with the same training-time steps."""
    folder = f"{RESULTS}/train/{model}/{recipe}"
    return {"checkpoint": f"{folder}/checkpoint.safetensors", "info": f"{folder}/train.json", **_checked(folder)}


def source(model: str) -> Files:
    """Key: model; of imported models only. The file itself stays where it is."""
    folder = f"{RESULTS}/source/{model}"
    return {"info": f"{folder}/source.json", **_checked(folder)}


def origin(model: str, recipe: str, *, imported: bool) -> Files:
    """What the model is held against, and what is said of it: as it was trained, or brought."""
    return source(model) if imported else train(model, recipe)


def convert(model: str, recipe: str, file_format: str) -> Files:
    """Key: model, recipe, format; one edge of a route, shared by all whose routes begin with the same edges."""
    folder = f"{RESULTS}/convert/{model}/{recipe}"
    return {"model": f"{folder}/{file_format}/model.{file_format}", **_checked(f"{folder}/{file_format}")}


def sensitivity(model: str, profile: str, scheme: str, file_format: str) -> Files:
    """Key: as optimize; of schemes with mixed precision only."""
    return {"sensitivity": f"{RESULTS}/sensitivity/{model}/{file_format}/{profile}/{scheme}/sensitivity.json"}


def optimize(model: str, profile: str, scheme: str, file_format: str) -> Files:
    """Key: model, profile, scheme; shared by all targets with the same profile (a profile has one format)."""
    folder = f"{RESULTS}/optimize/{model}/{file_format}/{profile}/{scheme}"
    return {"model": f"{folder}/model.{file_format}", **_checked(folder)}


def compile(model: str, runtime: str, platform: str, scheme: str) -> Files:
    """Key: model, runtime, platform, scheme; shared by all targets of which the runtime's compiler sees the same.

    The program gets its runtime's suffix in the package; its ladder is in `info`.
    """
    folder = f"{RESULTS}/compile/{model}/{runtime}/{platform}/{scheme}"
    return {
        "program": f"{folder}/program.bin",
        "info": f"{folder}/program.json",
        "outputs": f"{folder}/outputs.safetensors",
    }


def measure(model: str, target: str, scheme: str) -> Files:
    """Key: model, target, scheme."""
    return {"measurement": f"{RESULTS}/measure/{model}/{target}/{scheme}/measurement.json"}


def judge(model: str, target: str, scheme: str) -> Files:
    """Key: model, target, scheme."""
    return {"verdict": f"{RESULTS}/judge/{model}/{target}/{scheme}/verdict.json"}


def package(model: str, target: str, scheme: str) -> Files:
    """Key: model, target, scheme; the package is the folder of its record."""
    return {"record": f"{RESULTS}/package/{model}/{target}/{scheme}/package.json"}


def plan() -> Files:
    """The matrix as JSON."""
    return {"plan": f"{RESULTS}/plan.json"}


def report() -> Files:
    """The report, its figures as a table, what to ship per target, and what all of it was made from."""
    return {
        "html": f"{RESULTS}/report/index.html",
        "summary": f"{RESULTS}/summary.csv",
        "decision": f"{RESULTS}/report/decision.json",
        "sources": f"{RESULTS}/report/sources.json",
    }


def failures() -> str:
    """The jobs that broke in the last run; not there when none did. No output of a rule: Snakemake tries them again."""
    return f"{RESULTS}/report/failures.json"


def search(model: str, target: str) -> Files:
    """Key: model, target. The study, the schemes that it made, the matrix that builds them, and what came of them.

    DVC holds them: without its scheme a package of a search cannot be built again.
    """
    folder = f"{RESULTS}/search/{model}--{target}"
    return {
        "folder": folder,
        "study": f"{folder}/study.db",
        "schemes": f"{folder}/schemes",
        "matrix": f"{folder}/matrix.yaml",
        "record": f"{folder}/search.json",
    }


def _checked(folder: str) -> Files:
    """What every stage before compile leaves beside its artifact: its outputs and the ladder so far."""
    return {"outputs": f"{folder}/outputs.safetensors", "ladder": f"{folder}/ladder.json"}


def log(stage: str, *keys: str) -> str:
    """The log of one job."""
    return "/".join((RESULTS, "logs", stage, *keys)) + ".log"


def job(stage: str, *keys: str) -> str:
    """What one job cost: time, memory, and whether a warm worker ran it."""
    return "/".join((RESULTS, "jobs", stage, *keys, "job.json"))


def provenance() -> Files:
    """What Snakemake recorded of every job, and which commit, matrix and host the results come from."""
    folder = f"{RESULTS}/provenance"
    return {"jobs": f"{folder}/jobs.jsonl", "build": f"{folder}/build.json"}


def tracked(project: Path) -> list[str]:
    """What DVC holds: each folder and file of the results that has something in it."""
    results = (project / RESULTS).iterdir() if (project / RESULTS).is_dir() else iter(())
    return sorted(
        f"{RESULTS}/{path.name}"
        for path in results
        if path.name not in UNTRACKED and not path.name.startswith(".") and path.suffix != POINTER and _filled(path)
    )


def _filled(path: Path) -> bool:
    return path.is_file() or any(part.is_file() for part in path.rglob("*"))


def named_by_digest(path: Path) -> bool:
    """True for what a package's manifest names by its digest; false for outputs, ladders and other records."""
    records = (".json", ".jsonl", ".csv", ".html", ".yaml", ".db")
    record = path.suffix in records or path.name == "outputs.safetensors" or path.name[0] == "."
    return path.name == "dataset.json" or not record


def pointers(project: Path) -> list[Path]:
    """The DVC pointers of the results, as git sees them."""
    return sorted((project / RESULTS).glob(f"*{POINTER}"))


def tracking() -> Files:
    """What belongs to this checkout alone: never in git, never in DVC."""
    return {
        "lock": f"{TRACKING}/lock",
        "toolchain_lock": f"{TRACKING}/toolchain.lock",
        "flush_lock": f"{TRACKING}/flush.lock",
        "spool_lock": f"{TRACKING}/spool.lock",
        "store_lock": f"{TRACKING}/store.lock",
        "spool": f"{TRACKING}/spool",
        "dvc": f"{TRACKING}/dvc",
        "hashes": f"{TRACKING}/hashes.json",
        "log": f"{TRACKING}/mlflow.log",
        "store": "mlflow.db",  # where `mlflow ui` looks by itself
        "copies": "mlartifacts",
    }


def running() -> str:
    """Held shared by every run of the workflow in this checkout, until it ends, however it ends."""
    return ".snakemake/edgeflow.alive"


def sources() -> str:
    """What is known of edgeflow's own sources, so that no run parses again what did not change."""
    return ".snakemake/edgeflow.sources.json"


def locks() -> Files:
    """Snakemake's locks of this checkout, and which run took which of them."""
    return {"folder": ".snakemake/locks", "runs": ".snakemake/edgeflow.runs"}


def toolchain(toolchain_id: str) -> Files:
    """The lock of a toolchain, the project's own or the installed one, its environment, and the stamp that says it is
    whole.
    """
    own = f"{LOCKS}/{toolchain_id}.txt"
    return {
        "lock": own if os.path.exists(own) else f"{PACKAGED}/{own}",
        "environment": f"{TOOLCHAINS}/{toolchain_id}",
        "stamp": f"{TOOLCHAINS}/{toolchain_id}.json",
    }
