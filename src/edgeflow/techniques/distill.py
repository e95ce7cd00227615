"""Distillation from the answers of a teacher, and from what its layers give on the way to them.

Answers: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv:1503.02531. Layers: Romero et al.,
"FitNets", arXiv:1412.6550, here with both sides brought to length one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeflow.errors import StageError
from edgeflow.techniques.training import Loss

SIDES = ("the model", "the teacher")  # in messages


def loss(teacher: Any, temperature: float, soft_weight: float, hard: Loss) -> Loss:
    """`soft_weight` of the distance to the teacher's softened answers, and the rest of the loss against the labels.

    The teacher (an nn.Module in inference mode) sees the student's inputs, noise and all. The distance is scaled by
    temperature², so that its gradients keep their size whatever the temperature.
    """
    import torch
    from torch.nn.functional import kl_div, log_softmax

    def both(x: Any, outputs: Any, labels: Any) -> Any:
        with torch.no_grad():
            wanted = log_softmax(teacher(x) / temperature, dim=1)
        given = log_softmax(outputs / temperature, dim=1)
        soft = kl_div(given, wanted, reduction="batchmean", log_target=True) * temperature**2
        return soft_weight * soft + (1 - soft_weight) * hard(x, outputs, labels)

    return both


class Features:
    """Watches pairs of modules, one of the student and one of the teacher, that should give the same.

    `network` is the student with a projection, a linear map of channels, for each pair whose numbers of channels
    differ: what is to be trained, so that projections and their optimizer are part of what a killed training keeps.
    """

    def __init__(self, student: Any, teacher: Any, pairs: Mapping[str, str], example: Any) -> None:
        """`pairs`: name of the student's module → name of the teacher's; `example` is float32[1, …].

        Raises StageError that names the modules when there are no such, or their outputs cannot be compared.
        """
        self._pairs = pairs
        self._seen: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        self._handles = [
            *(_watch(student, name, SIDES[0], self._seen[0]) for name in pairs),
            *(_watch(teacher, name, SIDES[1], self._seen[1]) for name in dict.fromkeys(pairs.values())),
        ]
        self._sizes, projections = self._look(student, teacher, example)
        self.network = _network(student, projections)
        self._projections = projections

    def _look(self, student: Any, teacher: Any, example: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
        """For each pair the sizes that both are averaged to, and a projection where it needs one."""
        import torch
        from torch import nn

        training = student.training
        with torch.no_grad():
            student.eval()(example)
            teacher(example)
        student.train(training)
        sizes, projections = {}, {}
        for own, other in self._pairs.items():
            given, wanted = (self._shape(side, name) for side, name in enumerate((own, other)))
            where = f"train: distill: features: {own} of the model gives {given}, {other} of the teacher gives {wanted}"
            if len(given) != len(wanted) or len(given) < 2:
                raise StageError(f"{where}; both must be batches of channels with as many further axes")
            if any(max(pair) % min(pair) for pair in zip(given[2:], wanted[2:], strict=True)):
                raise StageError(f"{where}; the larger size of each axis must be a multiple of the smaller")
            sizes[own] = tuple(map(min, zip(given[2:], wanted[2:], strict=True)))
            if given[1] != wanted[1]:
                projections[own] = nn.Linear(given[1], wanted[1], bias=False)
        return sizes, projections

    def _shape(self, side: int, name: str) -> list[int]:
        """Of what a module of the model (0) or the teacher (1) gave."""
        output: Any = self._seen[side].get(name)
        if not hasattr(output, "shape"):
            raise StageError(f"train: distill: features: {name} of {SIDES[side]} is not run, or gives no tensor")
        return [*output.shape]

    def added_to(self, answers: Loss, weight: float) -> Loss:
        """A loss of `answers`, which asks the teacher, and `weight` times the distance of all pairs."""

        def total(x: Any, outputs: Any, labels: Any) -> Any:
            return answers(x, outputs, labels) + weight * self._distance()  # the teacher was just asked about x

        return total

    def _distance(self) -> Any:
        """Squared distance of vectors of channels of length one, from 0 to 4; its mean over samples and positions."""
        from torch.nn.functional import normalize

        total: Any = 0.0
        for own, other in self._pairs.items():
            given, wanted = (
                _positions(seen[name], self._sizes[own]) for seen, name in zip(self._seen, (own, other), strict=True)
            )
            if own in self._projections:
                given = self._projections[own](given)
            total = total + (normalize(given, dim=-1) - normalize(wanted, dim=-1)).square().sum(dim=-1).mean()
        return total

    def close(self) -> None:
        """Stop watching."""
        for handle in self._handles:
            handle.remove()


def _watch(model: Any, name: str, whose: str, seen: dict[str, Any]) -> Any:
    """Keep what a module gives; StageError when there is none of this name."""
    modules = dict(model.named_modules())
    if name not in modules or not name:
        known = ", ".join(filter(None, modules))
        raise StageError(f"train: distill: features: {whose} has no module {name!r}; it has {known}")

    def keep(_: Any, __: Any, output: Any) -> None:
        seen[name] = output

    return modules[name].register_forward_hook(keep)


def _network(student: Any, projections: Mapping[str, Any]) -> Any:
    from torch import nn

    class Taught(nn.Module):
        """Answers as the student does."""

        def __init__(self) -> None:
            super().__init__()
            self.student = student
            self.projections = nn.ModuleList(projections.values())

        def forward(self, x: Any) -> Any:
            return self.student(x)

    return Taught().train()


def _positions(features: Any, sizes: tuple[int, ...]) -> Any:
    """[N, C, …] averaged to these sizes of the further axes → [N, positions, C]."""
    for axis, size in enumerate(sizes, start=2):
        features = features.unflatten(axis, (size, -1)).mean(dim=axis + 1)
    return features.flatten(2).transpose(1, 2) if sizes else features.unsqueeze(1)
