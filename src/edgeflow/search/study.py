"""The study: what Optuna knows of the schemes that were tried, in a file that any death of the search leaves whole."""

from __future__ import annotations

import fcntl
import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.config.space import Alternative, Filled, Parameter, fill, size
from edgeflow.errors import UsageError
from edgeflow.report import pareto
from edgeflow.search.tried import Ending, Rules, Tried
from edgeflow.types.plain import from_json, to_json

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna import Trial

TRIED = "tried"  # attribute of a trial that ended: Tried as JSON
SAME_AS = "same as"  # attribute of a trial whose scheme was tried before


class Study:
    """One study; every scheme in it was tried under the same rules on the same model, data and code."""

    def __init__(self, path: Path, name: str, rules: Rules, space: Sequence[Alternative], seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        self._study: OptunaStudy = optuna.create_study(
            storage=self._storage, study_name=name, directions=["minimize", "minimize"], load_if_exists=True
        )
        self._study.set_user_attr("minimised", [rules.drop, rules.objective])
        # another start is another place in the same row of random numbers: the same seed would ask the same again
        seed += len(self._study.get_trials(deepcopy=False))
        self._study.sampler = optuna.samplers.TPESampler(seed=seed)
        self._chance = random.Random(seed)
        self.name = name
        self.size = size(space)
        self._rules = rules
        self._space = space
        self._settings: dict[str, Mapping[str, Any]] = {}  # of schemes of which the sampler has seen what came of them
        self.tried: dict[str, Tried] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if TRIED in trial.user_attrs and trial.state.is_finished():  # else its search ended while it was told
                tried = from_json(Tried, trial.user_attrs[TRIED])
                self.tried[tried.scheme] = tried
                if trial.params:
                    self._settings[tried.scheme] = trial.params

    def close(self) -> None:
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def give_up_unfinished(self) -> int:
        """Trials that no search works on any more fail, and their settings will be asked for again; how many."""
        from optuna.trial import TrialState

        unfinished = self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        for trial in unfinished:
            if trial.params:  # there are none where the search ended between two writes
                self.enqueue(trial.params)
            self._study.tell(trial.number, state=TrialState.FAIL)
        return len(unfinished)

    def ask(self) -> tuple[Trial, Filled]:
        """The next settings to try."""
        trial = self._study.ask()
        return trial, fill(self._space, lambda parameter: _suggest(trial, parameter))

    def draw(self, near: bool) -> tuple[Filled, dict[str, Any]]:
        """A scheme by chance, and the settings that lead to it; `near`: all but one as on the Pareto front."""
        front = self._front() if near else []
        kept = dict(self._chance.choice(front)) if front else {}
        kept.pop(self._chance.choice([*kept]) if kept else "", None)
        params: dict[str, Any] = {}

        def choose(parameter: Parameter) -> int:
            known = parameter.name in kept
            count = len(parameter.values)
            place = _place(parameter, kept[parameter.name]) if known else self._chance.randrange(count)
            params[parameter.name] = parameter.values[place]
            return place

        return fill(self._space, choose), params

    def _front(self) -> list[Mapping[str, Any]]:
        """The settings of the schemes that nobody beats, whether or not they keep the budgets."""
        tried = (self.tried[scheme] for scheme in self._settings)
        measured = [t for t in tried if t.ending == Ending.MEASURED]
        costs = [(t.figures[self._rules.objective].value, -self._lost(t)) for t in measured]
        return [self._settings[measured[i].scheme] for i in pareto.front(costs)]

    def _lost(self, tried: Tried) -> float:
        return self._rules.lost(tried.figures[self._rules.drop].value)

    def enqueue(self, params: Mapping[str, Any]) -> None:
        """Have these settings asked for before others."""
        self._study.enqueue_trial(dict(params))

    def tell(self, trial: Trial, tried: Tried) -> None:
        """What came of a trial."""
        from optuna.trial import TrialState

        for name, value in self._constraints(tried).items():
            trial.set_constraint(name, value)
        trial.set_user_attr(TRIED, to_json(tried))
        values, state = self._result(tried)
        self._study.tell(trial, values, TrialState[state])
        self.tried[tried.scheme] = tried
        self._settings[tried.scheme] = trial.params

    def tell_again(self, trial: Trial, scheme: str) -> None:
        """The settings lead to a scheme that was asked for before: the sampler hears of each scheme once."""
        from optuna.trial import TrialState

        trial.set_user_attr(SAME_AS, scheme)
        known = self.tried.get(scheme)  # None while another trial of the same scheme is being built
        if known is None or scheme in self._settings:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self.tell(trial, known)

    def add(self, tried: Tried) -> None:
        """A scheme that is in no space, with what came of it; nothing when that is known."""
        from optuna.trial import TrialState, create_trial

        if self.tried.get(tried.scheme) == tried:
            return
        values, state = self._result(tried)
        self._study.add_trial(
            create_trial(
                state=TrialState[state],
                values=values,
                user_attrs={TRIED: to_json(tried)},
                constraints=self._constraints(tried),
            )
        )
        self.tried[tried.scheme] = tried

    def _result(self, tried: Tried) -> tuple[list[float] | None, str]:
        """Values and state as Optuna has them. What cannot be built teaches the sampler too, what failed does not."""
        if tried.ending == Ending.MEASURED:
            return [self._lost(tried), tried.figures[self._rules.objective].value], "COMPLETE"
        return None, "FAIL" if tried.ending == Ending.FAILED else "PRUNED"

    def _constraints(self, tried: Tried) -> dict[str, float]:
        """How far beyond the limit of the drop a scheme is, by the end of the interval that decides; ≤ 0 is inside."""
        if tried.ending == Ending.INFEASIBLE:
            return {self._rules.drop: 1.0}
        drop = tried.figures.get(self._rules.drop)
        overshoot = None if drop is None else self._rules.overshoot(drop)
        return {} if overshoot is None else {self._rules.drop: overshoot}

    def trials(self) -> list[Mapping[str, Any]]:
        """Every trial as plain JSON values, in the order in which they were asked for."""
        return [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "params": dict(trial.params),
                **{key: trial.user_attrs[key] for key in (SAME_AS, TRIED) if key in trial.user_attrs},
            }
            for trial in self._study.get_trials(deepcopy=False)
        ]


def _suggest(trial: Trial, parameter: Parameter) -> int:
    """The place of the value that the sampler proposes for a parameter."""
    if not parameter.ordered:
        return _place(parameter, trial.suggest_categorical(parameter.name, parameter.values))
    low, high = parameter.values[0], parameter.values[-1]
    step = round(parameter.values[1] - low, 12)  # without what binary fractions leave over
    if isinstance(low, int):
        return _place(parameter, trial.suggest_int(parameter.name, low, high, step=step))
    return _place(parameter, trial.suggest_float(parameter.name, low, high, step=step))


def _place(parameter: Parameter, value: Any) -> int:
    """Where a value is among those of its parameter: true is not 1, and numbers of a range are those of Optuna."""
    if parameter.ordered:  # multiples of the step, but for rounding
        return min(range(len(parameter.values)), key=lambda i: abs(parameter.values[i] - value))
    return [json.dumps(v) for v in parameter.values].index(json.dumps(value))


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a study's folder, so that no other search works on it; the kernel lets go however this process ends.

    Raises UsageError when another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: another search works on it; wait for it or end it") from None
        yield
    finally:
        os.close(descriptor)
