"""The search with an evaluator that only pretends: what is built, pruned, refused, resumed, and what is concluded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeflow import layout
from edgeflow.config import load, read_matrix
from edgeflow.config.budgets import RatioLimit
from edgeflow.config.models import Identity
from edgeflow.config.search import Search as SearchConfig
from edgeflow.errors import ConfigError, UsageError
from edgeflow.figures import RATIO
from edgeflow.plugin import Drop
from edgeflow.registry import Plugins, discover
from edgeflow.search.candidates import Candidate, Candidates, digest, text, write
from edgeflow.search.command import rules_for
from edgeflow.search.command import search as command
from edgeflow.search.conclusion import Conclusion, conclude
from edgeflow.search.evaluator import OutOfTimeError
from edgeflow.search.loop import Search
from edgeflow.search.study import Study, exclusive
from edgeflow.search.tried import Ending, Figure, Rules, Tried
from edgeflow.stats import paired_difference
from edgeflow.types.figures import Budget, Direction, Evidence, Interval, Measurement
from edgeflow.types.programs import Measured
from edgeflow.types.verdicts import Release

MODEL, TARGET = "digits_resnet8", "linux_x86_ort"
SAMPLES = 900
PRUNED = {"prune_channels": {"channels": {"from": "20 %", "to": "80 %", "step": "30 %"}, "epochs": 1}}
SPACE: tuple[dict[str, Any], ...] = (
    {"mode": "dynamic", "weights": "int8", "activations": "int8", "per_channel": [True, False]},
    {
        "mode": "static",
        "weights": "int8",
        "activations": "int8",
        "calibration": {"samples": [32, 128, 4096]},
        "steps": [["none", PRUNED]],
    },
)
# of the space: what makes a scheme that can be built here and that the project does not have
NEW = 1 + 2 * 4 - 1


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return discover()


@pytest.fixture
def candidates(project: Path, plugins: Plugins) -> Candidates:
    return Candidates(load(project, read_matrix(project), plugins), plugins, MODEL, TARGET)


def rules(limit: float = 0.01, objective: str = RATIO) -> Rules:
    budget = Budget("accuracy_drop", limit, "ratio", Direction.MAX, Evidence.HOST)
    return Rules(MODEL, TARGET, "fp32", "accuracy_drop", objective, (budget,), ())


def lost(candidate: Candidate) -> int:
    """Of 900 answers: the more, the more channels are pruned."""
    pruned = (step.prune_channels.channels or 0 for step in candidate.config.steps if step.prune_channels)
    return round(50 * max(pruned, default=0))


def time_ratio(candidate: Candidate) -> float:
    """Static is faster than dynamic, and what has fewer channels than what has more."""
    if candidate.config.mode == "float":
        return 1.0
    return (0.5 if candidate.config.mode == "static" else 0.8) - lost(candidate) / 100


def measurement(metric: str, value: float, interval: Interval | None = None) -> Measurement:
    return Measurement(metric, value, "ratio", Evidence.DEVICE, "", "", "", SAMPLES, interval)


@dataclass
class Pretended:
    """Figures without builds; counts what it was asked to build, and stops when the time is over."""

    optimized: list[str] = field(default_factory=list)
    packaged: list[str] = field(default_factory=list)
    builds: int = 10**9  # that there is time for
    failing: str = ""

    def drops(self, schemes: Sequence[Candidate]) -> Mapping[str, Drop | str]:
        self._take_time()
        self.optimized += [c.id for c in schemes]
        return {c.id: self.failing or self.drop(c) for c in schemes}

    def measured(self, schemes: Sequence[Candidate]) -> Mapping[str, Measured | str]:
        self._take_time()
        self.packaged += [c.id for c in schemes]
        return {c.id: self._measured(c) for c in schemes}

    def compare(self, scheme: Candidate, other: Candidate) -> Figure | None:
        raise AssertionError("nothing is compared here")

    def drop(self, candidate: Candidate) -> Drop:
        interval = paired_difference(lost(candidate), 0, SAMPLES)
        return Drop(lost(candidate) / SAMPLES, SAMPLES, interval)

    def _measured(self, candidate: Candidate) -> Measured:
        drop = self.drop(candidate)
        figures = [measurement("accuracy_drop", drop.value, drop.interval)]
        if candidate.id != "fp32":
            figures.append(measurement(RATIO, time_ratio(candidate)))
        return Measured(MODEL, TARGET, candidate.id, "", tuple(figures), (), None)

    def _take_time(self) -> None:
        if self.builds == 0:
            raise OutOfTimeError
        self.builds -= 1


@contextmanager
def opened(folder: Path, searched: Rules, space: Sequence[Mapping[str, Any]] = SPACE) -> Iterator[Study]:
    study = Study(folder / "study.db", "one", searched, space, seed=0)
    try:
        yield study
    finally:
        study.close()


def run(
    folder: Path, candidates: Candidates, evaluator: Pretended, trials: int | None = None, **changes: Any
) -> list[Tried]:
    """One run of a search; everything that its study knows then."""
    changed = replace(rules(), **changes)
    searching = Search(candidates, changed, evaluator, lambda tried: None)
    with opened(folder, changed) as study:
        for tried in searching.own():
            study.add(tried)
        searching.run(study, trials, batch=2)
        return [*study.tried.values()]


def test_hand_written_schemes_are_measured_and_nothing_is_built_twice(candidates: Candidates, tmp_path: Path) -> None:
    evaluator = Pretended()
    tried = run(tmp_path, candidates, evaluator, trials=6)
    own = [t.scheme for t in tried if t.hand_written]
    assert own == ["fp32", "fp16", "int16x8", "int8_dynamic", "int8_static"]
    assert evaluator.packaged[:5] == own
    assert len(evaluator.optimized) == len(set(evaluator.optimized)) == 6
    assert not set(evaluator.optimized) & set(own)
    assert set(evaluator.packaged[5:]) <= set(evaluator.optimized)
    assert next(t for t in tried if t.scheme == "fp32").figures[RATIO].value == 1


def test_a_small_space_is_tried_to_its_end(candidates: Candidates, tmp_path: Path) -> None:
    evaluator = Pretended()
    tried = run(tmp_path, candidates, evaluator)
    assert len(evaluator.optimized) == NEW
    infeasible = [t for t in tried if t.ending == Ending.INFEASIBLE]
    assert infeasible
    assert {t.reason.partition(";")[0] for t in infeasible} == {
        "calibration.samples: 4096 is more than dataset 'digits_3x32x32' has"
    }
    assert not {t.scheme for t in infeasible} & set(evaluator.optimized)


def test_what_is_clearly_over_the_budget_is_not_compiled(candidates: Candidates, tmp_path: Path) -> None:
    evaluator = Pretended()
    tried = {t.scheme: t for t in run(tmp_path, candidates, evaluator)}
    pruned = [t for t in tried.values() if t.ending == Ending.PRUNED]
    assert {t.scheme for t in pruned} == set(evaluator.optimized) - set(evaluator.packaged)
    # of 900 answers 10, 25 and 40 are lost: of the first the interval reaches below 1 %, of the others it does not
    assert {t.words.partition("prune_channels channels ")[2] for t in pruned} == {"0.5 × 1", "0.8 × 1"}
    worst = next(t for t in pruned if "0.8" in t.words)
    low = paired_difference(40, 0, SAMPLES).low
    assert worst.reason == (
        f"accuracy drop 4.44 points, at least {100 * low:.2f} points, is over 1.00 points before anything is compiled"
    )


def test_a_looser_budget_prunes_less(candidates: Candidates, tmp_path: Path) -> None:
    tried = run(tmp_path, candidates, Pretended(), budgets=rules(limit=0.2).budgets)
    assert Ending.PRUNED not in {t.ending for t in tried}
    assert {t.release for t in tried if t.ending == Ending.MEASURED} == {Release.RELEASED}


@pytest.mark.parametrize("builds", [1, 2, 3, 6])
def test_a_search_that_ran_out_of_time_goes_on_and_builds_nothing_twice(
    candidates: Candidates, tmp_path: Path, builds: int
) -> None:
    first = Pretended(builds=builds)
    known = run(tmp_path, candidates, first)
    second = Pretended()
    tried = {t.scheme for t in run(tmp_path, candidates, second)}
    finished = {t.scheme for t in known}
    assert not finished & set(second.optimized)
    # what was begun comes first
    begun = [name for name in first.optimized if name not in finished]
    assert second.optimized[: len(begun)] == begun
    assert len({*first.optimized, *second.optimized}) == NEW
    assert finished < tried


def test_a_trial_of_a_killed_search_is_asked_for_again(tmp_path: Path) -> None:
    with opened(tmp_path, rules()) as study:  # what a kill leaves: a trial that runs
        killed, filled = study.ask()
    with opened(tmp_path, rules()) as study:
        assert study.give_up_unfinished() == 1
        again, same = study.ask()
        assert (again.params, same) == (killed.params, filled)
        assert again.number != killed.number
        states = [trial["state"] for trial in study.trials()]
    assert states == ["fail", "running"]


def test_what_is_drawn_near_the_best_differs_in_one_setting(tmp_path: Path) -> None:
    space = [{key: [value] if isinstance(value, str) else value for key, value in SPACE[1].items()}]
    space[0] |= {"per_channel": [True, False], "calibration": {"samples": {"from": 1, "to": 900, "step": 1}}}
    with opened(tmp_path, rules(), space) as study:
        front: list[Mapping[str, Any]] = []
        for name, drop, ratio in (("s_slow", 0.0, 0.9), ("s_fast", 0.1, 0.3), ("s_worse", 0.2, 0.95)):
            study.enqueue(study.draw(near=False)[1])
            trial, _ = study.ask()
            study.tell(trial, tried(name, drop, ratio))
            front += [trial.params] * (name != "s_worse")
        far = [study.draw(near=False)[1] for _ in range(50)]
        near = [study.draw(near=True)[1] for _ in range(50)]
    assert {min(differences(base, drawn) for base in front) for drawn in near} == {0, 1}
    assert max(min(differences(base, drawn) for base in front) for drawn in far) > 1


def differences(base: Mapping[str, Any], drawn: Mapping[str, Any]) -> int:
    """Settings of `base` that were drawn otherwise."""
    return sum(name in drawn and drawn[name] != value for name, value in base.items())


def test_trials_are_counted_over_all_runs(candidates: Candidates, tmp_path: Path) -> None:
    first, second, third = Pretended(), Pretended(), Pretended()
    run(tmp_path, candidates, first, trials=3)
    run(tmp_path, candidates, second, trials=5)
    run(tmp_path, candidates, third, trials=5)
    assert [len(b.optimized) for b in (first, second, third)] == [3, 2, 0]


def test_what_people_deleted_is_not_compared_any_more(candidates: Candidates, tmp_path: Path) -> None:
    """Its figures stay in the study; there is no scheme any more that a find could be timed beside."""
    run(tmp_path, candidates, Pretended(), trials=1)
    schemes = {name: config for name, config in candidates.project.schemes.items() if name != "int8_static"}
    left = Candidates(replace(candidates.project, schemes=schemes), candidates.plugins, MODEL, TARGET)
    with opened(tmp_path, rules()) as study:
        known = Search(left, rules(), Pretended(), lambda tried: None).known(study)
        assert {*study.tried} - {*known} == {"int8_static"}
    conclusion = conclude([*known.values()], rules(), lambda one, other: None)
    assert conclusion.hand_written in schemes


def test_a_build_that_fails_is_recorded_and_not_repeated(candidates: Candidates, tmp_path: Path) -> None:
    failing = "optimize: MismatchError: no (see results/logs/optimize/x.log)"
    tried = run(tmp_path, candidates, Pretended(failing=failing), trials=2)
    failed = {t.scheme for t in tried if t.ending == Ending.FAILED}
    assert len(failed) == 2
    assert {t.reason for t in tried if t.ending == Ending.FAILED} == {failing}
    again = Pretended()
    run(tmp_path, candidates, again)
    assert not failed & set(again.optimized)


def test_an_objective_without_a_figure_says_so(candidates: Candidates, tmp_path: Path) -> None:
    tried = run(tmp_path, candidates, Pretended(), trials=1, objective="accelerator_cycles")
    assert {t.ending for t in tried} == {Ending.FAILED}
    assert {t.reason for t in tried} == {"has no accelerator_cycles, which is searched for; choose another --objective"}


def test_one_search_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(UsageError, match="another search works on it"), exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass


def test_what_a_search_leaves_is_tracked(tmp_path: Path) -> None:
    paths = {name: tmp_path / path for name, path in layout.search(MODEL, TARGET).items()}
    paths["study"].parent.mkdir(parents=True)
    paths["study"].touch()
    assert layout.tracked(tmp_path) == ["results/search"]
    # no manifest of a package names them
    assert not any(layout.named_by_digest(paths[name]) for name in ("study", "matrix", "record"))


# --- candidates ----------------------------------------------------------------------------------------------------


def test_a_scheme_is_named_after_what_it_says(candidates: Candidates, tmp_path: Path) -> None:
    content = {**SPACE[0], "per_channel": False}
    one, other = candidates.candidate(content), candidates.candidate({**content, "steps": []})
    assert isinstance(one, Candidate)
    assert one == other
    assert one.id == f"s_{digest(one.config)}"
    assert one.words == "int8 dynamic, per tensor"
    write(tmp_path, one)
    assert candidates.named(one.id, tmp_path) == one
    (tmp_path / f"{one.id}.yaml").write_text("mode: dynamic\n")
    with pytest.raises(ConfigError, match=r"weights: missing"):
        candidates.named(one.id, tmp_path)


def test_what_the_project_has_keeps_its_name(candidates: Candidates, project: Path) -> None:
    content = yaml.safe_load((project / "config/schemes/int8_static.yaml").read_text())
    del content["description"]
    candidate = candidates.candidate(content)
    assert isinstance(candidate, Candidate)
    assert (candidate.id, candidate.hand_written) == ("int8_static", True)


def test_a_scheme_in_words(candidates: Candidates) -> None:
    steps = [{"prune_channels": {"channels": "40 %", "epochs": 5}}, {"quantize_aware": {"epochs": 3}}]
    content = {
        "mode": "static",
        "weights": "int8",
        "activations": "int16",
        "calibration": {"samples": 8},
        "steps": steps,
    }
    candidate = candidates.candidate(content)
    assert isinstance(candidate, Candidate)
    words = (
        "int8 with int16 activations static, calibration samples 8; prune_channels channels 0.4 × 5; quantize_aware × 3"
    )
    assert candidate.words == words
    assert yaml.safe_load(text(candidate.config, "mine")) == {
        "description": "mine",
        **content,
        "steps": [{"prune_channels": {"channels": 0.4, "epochs": 5}}, steps[1]],
    }


@pytest.mark.parametrize(
    ("target", "content", "reason"),
    [
        (
            "cortex_m4_tflm",
            SPACE[0] | {"per_channel": True},
            "TFLite Micro has no kernels for ranges found at run time",
        ),
        ("linux_x86_litert", SPACE[0] | {"per_channel": False}, "LiteRT's dynamic depthwise convolutions read a scale"),
    ],
)
def test_what_a_target_cannot_do_is_refused(
    project: Path, plugins: Plugins, target: str, content: dict[str, Any], reason: str
) -> None:
    candidates = Candidates(load(project, read_matrix(project), plugins), plugins, MODEL, target)
    candidate = candidates.candidate(content)
    assert isinstance(candidate, Candidate)
    assert candidates.refusal(candidate).startswith(reason)


# --- the conclusion ------------------------------------------------------------------------------------------------


def tried(name: str, drop: float, ratio: float, release: Release = Release.RELEASED, **figures: float) -> Tried:
    metrics = {"accuracy_drop": drop, RATIO: ratio, **figures}
    kept = {m: Figure(v, None, None, Evidence.DEVICE) for m, v in metrics.items()}
    return Tried(name, f"{name} in words", not name.startswith("s_"), Ending.MEASURED, "", release, kept)


OWN = [tried("fp32", 0, 1), tried("int8", 0.002, 0.5), tried("fast", 0.05, 0.1, Release.REJECTED)]


def concluded(
    *others: Tried,
    side_by_side: Figure | Mapping[str, Figure | None] | None = None,
    own: Sequence[Tried] = OWN,
    objective: str = RATIO,
) -> Conclusion:
    """The conclusion; `side_by_side` is what comes of timing beside each hand-written scheme, or beside each by id."""
    ratios = side_by_side if isinstance(side_by_side, Mapping) else dict.fromkeys((t.scheme for t in own), side_by_side)
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> Figure | None:
        compared.append((one, other))
        return ratios[other]

    timed = objective == RATIO
    conclusion = conclude([*own, *others], rules(objective=objective), compare if timed else None)
    asked = ratios if isinstance(side_by_side, Mapping) else [conclusion.hand_written]
    assert compared in ([], [(conclusion.found, name) for name in asked])
    return conclusion


def test_what_is_faster_side_by_side_beats_what_people_wrote() -> None:
    conclusion = concluded(
        tried("s_1", 0.003, 0.35), tried("s_2", 0.001, 0.4), side_by_side=Figure(0.7, 0.68, 0.72, Evidence.DEVICE)
    )
    assert (conclusion.better, conclusion.hand_written, conclusion.found) == (True, "int8", "s_1")
    assert conclusion.front == ("fast", "s_1", "s_2", "fp32")
    assert conclusion.sentence == (
        "s_1 (s_1 in words) beats int8, the best hand-written scheme, by 30.0 % in time: it takes 0.70× its time side "
        "by side (90 % interval 0.68× – 0.72×). Both are released at accuracy drop ≤ 1.00 points. The accuracy drop of "
        "s_1 may look better than it is: the evaluation samples that judge it also chose it among 2 schemes."
    )


def test_a_difference_that_timing_does_not_resolve_is_none() -> None:
    conclusion = concluded(tried("s_1", 0.003, 0.48), side_by_side=Figure(0.97, 0.93, 0.99, Evidence.DEVICE))
    assert not conclusion.better
    assert conclusion.sentence == (
        "Found nothing better than int8, latency vs fp32 0.50×, among schemes that are released at accuracy drop ≤ "
        "1.00 points: the best other one, s_1 (s_1 in words), takes 0.97× its time side by side (90 % interval 0.93× – "
        "0.99×), and 5 % is what such timing resolves."
    )
    assert "took too few runs" in concluded(tried("s_1", 0.003, 0.48)).sentence


def test_a_find_must_beat_each_hand_written_scheme_that_is_near_the_best_one() -> None:
    own = [*OWN, tried("near", 0.002, 0.54), tried("far", 0.002, 0.56)]
    ahead, behind = Figure(0.7, 0.68, 0.72, Evidence.DEVICE), Figure(0.98, 0.96, 0.99, Evidence.DEVICE)
    beaten = concluded(tried("s_1", 0, 0.45), own=own, side_by_side={"int8": ahead, "near": replace(ahead, high=0.73)})
    assert (beaten.better, beaten.hand_written) == (True, "near")
    assert "beats near, the best hand-written scheme, by 30.0 % in time" in beaten.sentence
    for ratios in ({"int8": ahead, "near": behind}, {"int8": ahead, "near": None}):
        kept = concluded(tried("s_1", 0, 0.45), own=own, side_by_side=ratios)
        assert (kept.better, kept.hand_written, kept.side_by_side) == (False, "near", ratios["near"])


def test_what_seems_a_little_slower_in_a_run_of_its_own_is_compared() -> None:
    conclusion = concluded(tried("s_1", 0, 0.54), side_by_side=Figure(0.9, 0.88, 0.92, Evidence.DEVICE))
    assert (conclusion.better, conclusion.hand_written) == (True, "int8")


def test_what_is_slower_is_not_even_compared() -> None:
    conclusion = concluded(tried("s_1", 0, 0.6))
    assert (conclusion.better, conclusion.side_by_side) == (False, None)
    assert "s_1 (s_1 in words), has latency vs fp32 0.60× against 0.50×." in conclusion.sentence


def test_what_breaks_a_budget_is_no_find() -> None:
    conclusion = concluded(tried("s_1", 0.04, 0.2, Release.REJECTED), tried("s_2", 0.02, 0.3, Release.HELD))
    assert (conclusion.better, conclusion.found) == (False, None)
    assert conclusion.sentence == (
        "Found nothing better than int8, latency vs fp32 0.50×: none of 2 other schemes is released at accuracy drop ≤ "
        "1.00 points."
    )


def test_where_nothing_is_released_what_is_held_is_compared() -> None:
    own = [replace(t, release=Release.HELD) for t in OWN[:2]]
    better = Figure(0.7, 0.68, 0.72, Evidence.HOST)
    conclusion = concluded(tried("s_1", 0, 0.3, Release.HELD), own=own, side_by_side=better)
    assert conclusion.better
    assert conclusion.sentence.endswith("Both are held at accuracy drop ≤ 1.00 points.")


def test_what_is_held_for_its_drop_does_not_keep_the_budget() -> None:
    """0.44 points, but up to 1.13, is no find at ≤ 1 point; without an interval the value decides."""
    own = [replace(t, release=Release.HELD) for t in OWN[:2]]
    doubtful, sure = (tried(name, 0.0044, 0.3, Release.HELD) for name in ("s_1", "s_2"))
    for high, best in ((0.0113, None), (0.0099, "s_1")):
        drop = Figure(0.0044, -0.001, high, Evidence.DEVICE)
        held = replace(doubtful, figures={**doubtful.figures, "accuracy_drop": drop})
        assert concluded(held, own=own).found == best
    assert concluded(sure, own=own).found == "s_2"
    assert concluded(tried("s_3", 0.02, 0.3, Release.HELD), own=own).found is None


def test_without_a_limit_of_the_drop_all_that_is_held_is_compared() -> None:
    free = replace(rules(), budgets=())
    held = [tried("int8", 0.002, 0.5, Release.HELD), tried("s_1", 0.3, 0.3, Release.HELD)]
    assert conclude(held, free, lambda one, other: None).found == "s_1"


def test_bytes_are_compared_as_they_are() -> None:
    own = [tried("int8", 0, 0.5, memory_peak_bytes=2048)]
    conclusion = concluded(tried("s_1", 0, 9, memory_peak_bytes=1024), own=own, objective="memory_peak_bytes")
    assert conclusion.better
    assert "by 50.0 % in peak memory: 1 KiB against 2 KiB" in conclusion.sentence
    assert not concluded(tried("s_1", 0, 0.1, memory_peak_bytes=2048), own=own, objective="memory_peak_bytes").better


def test_without_a_scheme_that_people_wrote_every_one_is_a_find() -> None:
    conclusion = concluded(tried("s_1", 0, 0.3), own=[tried("fp32", 0.5, 1, Release.REJECTED)])
    assert (conclusion.better, conclusion.hand_written) == (True, None)
    assert conclusion.sentence.startswith("No hand-written scheme is released at accuracy drop ≤ 1.00 points; s_1")
    assert "may look better" not in conclusion.sentence  # there was no choice
    conclusion = concluded(tried("s_1", 0, 0.3), tried("s_2", 0, 0.4), own=[])
    assert conclusion.sentence.endswith("also chose it among 2 schemes.")


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "objective", "budget"),
    [
        ("linux_x86_ort", RATIO, Evidence.DEVICE),
        ("cortex_m4_tflm", "memory_peak_bytes", Evidence.SIMULATOR),
        ("ethos_u55_128", "latency_p50_s", Evidence.HOST),
        ("android_arm64_litert", "size_bytes", Evidence.HOST),  # no phone is attached
    ],
)
def test_what_is_searched_for_on_a_target(
    project: Path, plugins: Plugins, target: str, objective: str, budget: Evidence
) -> None:
    wanted = rules_for(
        load(project, None, plugins), plugins, MODEL, target, None, ["accuracy_drop=2 %", "cpu_operators=3"]
    )
    assert (wanted.drop, wanted.objective, wanted.limit) == ("accuracy_drop", objective, 0.02)
    budgets = {b.metric: b for b in wanted.budgets}
    assert budgets["accuracy_drop"].evidence == budget
    assert budgets["cpu_operators"] == Budget("cpu_operators", 3, "count", Direction.MAX, Evidence.ESTIMATE)
    assert len(budgets) == len(load(project, None, plugins).budgets(target)) + 1
    assert rules_for(load(project, None, plugins), plugins, MODEL, target, "size_bytes", ()).objective == "size_bytes"


@pytest.mark.parametrize("objective", ["latency_p50_s", RATIO])
def test_the_clock_of_another_machine_is_no_objective(project: Path, plugins: Plugins, objective: str) -> None:
    loaded = load(project, None, plugins)
    with pytest.raises(UsageError) as caught:
        rules_for(loaded, plugins, MODEL, "android_arm64_litert", objective, ())
    assert str(caught.value) == (
        f"--objective: {objective} would be of this machine, which is no android_arm64_litert, and chooses nothing "
        "there; use size_bytes, name a device in config/devices, or give the target a budget that takes such evidence"
    )
    phone = loaded.targets["android_arm64_litert"]
    budgets = phone.budgets.model_copy(update={objective: RatioLimit.model_construct(max=2.0, evidence=Evidence.HOST)})
    accepting = {**loaded.targets, "android_arm64_litert": phone.model_copy(update={"budgets": budgets})}
    rules_for(replace(loaded, targets=accepting), plugins, MODEL, "android_arm64_litert", objective, ())


def test_a_device_that_is_another_machine_gives_no_times_to_search_by(project: Path, plugins: Plugins) -> None:
    loaded = load(project, None, plugins)
    name = loaded.device_of(TARGET)
    assert name is not None
    elsewhere = loaded.devices[name].model_copy(update={"identity": Identity(machine_id="0" * 32)})
    moved = replace(loaded, devices={**loaded.devices, name: elsewhere})
    with pytest.raises(UsageError, match="would be of this machine, which is no linux_x86_ort, and chooses nothing"):
        rules_for(moved, plugins, MODEL, TARGET, RATIO, ())
    assert rules_for(moved, plugins, MODEL, TARGET, None, ()).objective == "size_bytes"


def test_a_scheme_that_was_timed_elsewhere_is_none_that_was_measured() -> None:
    drop = measurement("accuracy_drop", 0.0, paired_difference(0, 0, SAMPLES))
    timed = replace(measurement("latency_p50_s", 1e-4), evidence=Evidence.HOST)
    measured = Measured(MODEL, TARGET, "s_1", "", (drop, timed), (), None)
    outcome = rules(objective="latency_p50_s").tried("s_1", "", False, measured)
    assert outcome.ending == Ending.FAILED
    assert outcome.reason == "its latency_p50_s is host evidence, which chooses nothing; choose another --objective"
    moved = replace(
        timed, conditions={"elsewhere": "not measured on bench: CPU governor 'powersave', not 'performance'"}
    )
    outcome = rules(objective="latency_p50_s").tried("s_1", "", False, replace(measured, measurements=(drop, moved)))
    assert outcome.reason.startswith(
        "its latency_p50_s is host evidence (not measured on bench: CPU governor 'powersave'"
    )


@pytest.mark.parametrize("objective", ["first_inference_s", "memory_peak_bytes"])
def test_single_figures_of_processes_are_no_objective(project: Path, plugins: Plugins, objective: str) -> None:
    loaded = load(project, None, plugins)
    with pytest.raises(UsageError) as caught:
        rules_for(loaded, plugins, MODEL, TARGET, objective, ())
    reason = (
        f"{objective} on {TARGET} is taken once from a process, so that no difference can be told from chance; "
        "use latency_ratio_fp32 or size_bytes"
    )
    assert str(caught.value) == f"--objective: {reason}"
    search = SearchConfig(objective=objective)
    configured = replace(loaded, matrix=loaded.matrix.model_copy(update={"search": search}))
    with pytest.raises(UsageError) as caught:
        rules_for(configured, plugins, MODEL, TARGET, None, ())
    assert str(caught.value) == f"config/config.yaml: search.objective: {reason}"
    # the arena of an interpreter is exact
    assert rules_for(loaded, plugins, MODEL, "cortex_m4_tflm", "memory_peak_bytes", ()).objective == "memory_peak_bytes"


def test_the_board_of_the_readme_is_searched_by_what_it_has(
    project: Path, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its only device budget is on a latency, which nothing here can take: refused before anything is built."""
    shutil.copytree(project / "config", tmp_path / "config")
    shutil.copytree(project / "envs", tmp_path / "envs")
    (tmp_path / "config/targets/my_board.yaml").write_text(board(project))
    monkeypatch.chdir(tmp_path)
    arguments = ["--model", MODEL, "--target", "my_board"]
    with pytest.raises(UsageError) as caught:
        command(arguments)
    reason = (
        "nothing here measures or estimates latency_p50_s of tflite_micro programs, so that no scheme on my_board "
        "would be found better; search with --objective memory_peak_bytes or size_bytes, or name one of them in "
    )
    file = "config/targets/my_board.yaml: prefer"
    assert str(caught.value) == f"{file}: {reason}{file}"
    with pytest.raises(UsageError, match=f"^--objective: nothing here measures or estimates {RATIO} of"):
        command([*arguments, "--objective", RATIO])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config", "envs"]
    loaded = load(tmp_path, None, plugins)
    for objective in ("size_bytes", "memory_peak_bytes"):
        assert rules_for(loaded, plugins, MODEL, "my_board", objective, ()).objective == objective


def board(project: Path) -> str:
    """The target that the README adds."""
    return (project / "README.md").read_text().partition("`config/targets/my_board.yaml`")[2].split("```")[1][5:]


def test_what_only_a_compiler_knows_can_be_searched_by_where_it_says_so(project: Path, plugins: Plugins) -> None:
    loaded = load(project, None, plugins)
    assert (
        rules_for(loaded, plugins, MODEL, "ethos_u55_128", "accelerator_cycles", ()).objective == "accelerator_cycles"
    )
    for target in (TARGET, "cortex_m4_tflm"):
        with pytest.raises(UsageError, match="nothing here measures or estimates accelerator_cycles of"):
            rules_for(loaded, plugins, MODEL, target, "accelerator_cycles", ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--model digits_resnet9 --target T",
            "--model: there is no model 'digits_resnet9' in config/models; did you mean",
        ),
        ("--model M --target linux_x86", "--target: there is no target 'linux_x86' in config/targets; did you mean"),
        ("--model M --target T --trials 0", "--trials 0: must be at least 1"),
        ("--model M --target T --timeout 10", "--timeout: '10' is not a quantity in second"),
        ("--model M --target T --timeout 0 min", "--timeout: must be more than zero"),
        ("--model M --target T --objective accuracy", "--objective: 'accuracy' is not one of latency_p50_s"),
        ("--model M --target T --budget accuracy_dorp=1%", "--budget accuracy_dorp=1%: write METRIC=LIMIT"),
        (
            "--model M --target T --budget accuracy_drop=1",
            "--budget accuracy_drop: '1' may mean 1 % or 100 %; write '1 %' or '100 %'",
        ),
        ("--model M --target T --budget latency_p50_s=1", "--budget latency_p50_s: '1' is not a quantity in second"),
        (
            '--model M --target T --config search={"objective":"first_inference_s"}',
            "config/config.yaml: search.objective: first_inference_s on linux_x86_ort is taken once",
        ),
        ("--model M --target T --configfile absent.yaml", "--configfile absent.yaml: no such file"),
        ("--model M --target T --write int8_static", "--write: there is a scheme 'int8_static' already"),
        ("--model M --target T --write Fast", "--write: 'Fast' is not an id"),
    ],
)
def test_what_the_command_refuses(
    arguments: str, message: str, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").symlink_to(project / "config")
    monkeypatch.chdir(tmp_path)
    given = [{"M": MODEL, "T": TARGET}.get(word, word) for word in arguments.split()]
    with pytest.raises(UsageError) as caught:
        command(given)
    assert str(caught.value).startswith(message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config"]
