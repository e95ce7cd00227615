"""The search itself: settings are asked for, schemes built as far as they are worth it, and what came of them told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeflow.search.candidates import Candidate, Candidates
from edgeflow.search.evaluator import Evaluator, OutOfTimeError
from edgeflow.search.study import Study
from edgeflow.search.tried import Ending, Figure, Rules, Tried
from edgeflow.types.figures import Evidence
from edgeflow.types.programs import Measured

if TYPE_CHECKING:
    from optuna import Trial

DRAWS = 10_000  # of schemes that were all tried, after which there is taken to be no other


@dataclass(frozen=True)
class Search:
    """Everything that a search works with."""

    candidates: Candidates
    rules: Rules
    evaluator: Evaluator
    say: Callable[[Tried], None]  # as soon as something came of a scheme

    def own(self) -> list[Tried]:
        """What came of the project's own schemes, each with all its figures: they are what is to be beaten."""
        return self._measure(self.candidates.hand_written)

    def known(self, study: Study) -> dict[str, Tried]:
        """What came of each scheme, less what the project once had and has no more, or cannot build any more."""
        own = {candidate.id for candidate in self.candidates.hand_written}
        return {name: t for name, t in study.tried.items() if not t.hand_written or name in own}

    def run(self, study: Study, trials: int | None, batch: int) -> str:
        """Try schemes, `batch` at a time, until `trials` of the space were tried or the time is over; why it ended."""
        study.give_up_unfinished()
        try:
            while trials is None or _built(study) < trials:
                wanted = batch if trials is None else min(batch, trials - _built(study))
                asked = self._ask(study, wanted)
                if not asked:
                    return "every scheme of the space was tried"
                self._try(study, asked)
        except OutOfTimeError:
            return "the time is over"
        finally:
            study.give_up_unfinished()
        return f"{trials} schemes were tried"

    def _ask(self, study: Study, wanted: int) -> dict[str, tuple[Trial, Candidate]]:
        """Up to `wanted` schemes that can be built and were not tried yet, by id; what is known is told at once."""
        asked: dict[str, tuple[Trial, Candidate]] = {}
        while len(asked) < wanted:
            trial, filled = study.ask()
            candidate = self.candidates.candidate(filled.content)
            if candidate.id in study.tried or candidate.id in asked:
                study.tell_again(trial, candidate.id)
                if not self._propose(study, {*study.tried, *asked}):
                    break
            elif reason := self.candidates.refusal(candidate):
                self._tell(study, trial, _without_figures(candidate, Ending.INFEASIBLE, reason))
            else:
                asked[candidate.id] = (trial, candidate)
        return asked

    def _propose(self, study: Study, known: Collection[str]) -> bool:
        """Have a scheme asked for that is new, by chance; false when there is none.

        The sampler goes back to what was good, and in a space of some hundred schemes that is soon all known. What is
        close to the best comes as often as any other.
        """
        drawn: set[str] = set()
        for i in range(DRAWS):
            filled, params = study.draw(near=i % 2 == 0)
            settings = repr(params)
            if settings in drawn:
                continue
            if self.candidates.candidate(filled.content).id not in known:
                study.enqueue(params)
                return True
            drawn.add(settings)
            if len(drawn) == study.size:
                break
        return False

    def _try(self, study: Study, asked: Mapping[str, tuple[Trial, Candidate]]) -> None:
        """Optimize all; compile, measure and package those that are not clearly beyond the budget of the task."""
        drops = self.evaluator.drops([candidate for _, candidate in asked.values()])
        worth = []
        for name, (trial, candidate) in asked.items():
            drop = drops[name]
            if isinstance(drop, str):
                self._tell(study, trial, _without_figures(candidate, Ending.FAILED, drop))
            elif reason := self.rules.excess(drop):
                figure = Figure(drop.value, drop.interval.low, drop.interval.high, Evidence.HOST)
                pruned = _without_figures(candidate, Ending.PRUNED, reason)
                self._tell(study, trial, replace(pruned, figures={self.rules.drop: figure}))
            else:
                worth.append(candidate)
        for tried in self._measure(worth):
            self._tell(study, asked[tried.scheme][0], tried)

    def _tell(self, study: Study, trial: Trial, tried: Tried) -> None:
        study.tell(trial, tried)
        self.say(tried)

    def _measure(self, candidates: Sequence[Candidate]) -> list[Tried]:
        if not candidates:
            return []
        outcomes = self.evaluator.measured(candidates)
        return [self._tried(candidate, outcomes[candidate.id]) for candidate in candidates]

    def _tried(self, candidate: Candidate, measured: Measured | str) -> Tried:
        if isinstance(measured, str):
            return _without_figures(candidate, Ending.FAILED, measured)
        return self.rules.tried(candidate.id, candidate.words, candidate.hand_written, measured)


def _without_figures(candidate: Candidate, ending: Ending, reason: str) -> Tried:
    return Tried(candidate.id, candidate.words, candidate.hand_written, ending, reason)


def _built(study: Study) -> int:
    """Schemes of the space that took time."""
    return sum(not tried.hand_written and tried.ending != Ending.INFEASIBLE for tried in study.tried.values())
