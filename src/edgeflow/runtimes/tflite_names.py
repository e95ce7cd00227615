"""Names in TFLite models: of tensors, of the modules that they come from, of operators."""

from __future__ import annotations

import re
from typing import Any

from edgeflow.runtimes import names

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
# A module in the converter's name of a tensor, "torch.nn.modules.conv.Conv2d_conv1": class, then attribute.
MODULE = re.compile(r"(?:.*\.)?_*[A-Z][A-Za-z0-9]*_(?P<attribute>\w+)")


def tensor_names(model: Any, graph: Any) -> dict[int, str]:
    """Number of a tensor → the module that it comes from, of what operators write: "blocks.0.conv1", "blocks.0.add"."""
    written = [operator.outputs[0] for operator in graph.operators]
    modules = (_name(text(graph.tensors[op.outputs[0]].name), kind_of(model, op)) for op in graph.operators)
    return dict(zip(written, names.distinct(modules), strict=True))


def _name(text: str, kind: str) -> str:
    """The last of the modules that were folded into an operator owns its weights; other operators are named too."""
    parts = text.rpartition(";;")[2].partition(";")[0].split("/")
    wrapped = next((i for i, part in enumerate(parts) if part.endswith("_wrapped")), 0)
    matches = (MODULE.fullmatch(part) for part in parts[wrapped + 1 :])
    module = ".".join(match["attribute"] for match in matches if match)
    return module if kind in WEIGHTED and module else names.of(module, kind)


def distinct_names(model: Any) -> bool:
    """Give tensors whose names come twice in a graph others; False where there are none."""
    renamed = False
    for graph in model.subgraphs:
        given = [text(tensor.name or b"") for tensor in graph.tensors]
        for tensor, before, name in zip(graph.tensors, given, names.distinct(given), strict=True):
            if name != before:
                tensor.name = name.encode()
                renamed = True
    return renamed


def kind_of(model: Any, operator: Any) -> str:
    """As the schema calls it: "CONV_2D"."""
    from ai_edge_litert import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    value = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next((name for name, number in vars(schema.BuiltinOperator).items() if number == value), str(value))


def text(name: bytes | str) -> str:
    """A name as the writers' libraries hold it."""
    return name.decode(errors="replace") if isinstance(name, bytes) else name
