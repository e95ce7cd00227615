"""What `torch.export.save` writes, read and loaded so that nothing of it is executed.

`torch.export.load` runs code of the file in more ways than one (PyTorch 2.13; tests/formats see each of them run):
- pickles: `data/sample_inputs/*.pt`, weights and constants with `use_pickle`, objects that are no tensors;
- `expr_str`, the length of a free axis, goes through sympy's parser, which evaluates it;
- names of nodes and arguments, and `guards_code`, become the source of functions.
Besides, operators are looked up by name from the module `torch` on, and what describes nested inputs imports modules.

So a copy is made of what is known and no more: the graph, with every text in it checked against what such a text can
be, and tensors that are stored as raw bytes. That copy is loaded. Standard library only but for `load`.
"""

from __future__ import annotations

import ast
import functools
import json
import keyword
import math
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeflow.runners.archive import Archive, ArchiveError
else:
    try:
        from archive import Archive, ArchiveError  # beside this file on a device
    except ImportError:
        from edgeflow.runners.archive import Archive, ArchiveError

GRAPH_BYTES = 48 * 2**20  # of models/model.json
TEXT_BYTES = 2**16  # of a text that an operator takes
EXPRESSION_BYTES = 2000
TYPES = {  # ScalarType of torch/_export/serde/schema.py → name, bytes
    **{1: ("uint8", 1), 2: ("int8", 1), 3: ("int16", 2), 4: ("int32", 4), 5: ("int64", 8), 6: ("float16", 2)},
    **{7: ("float32", 4), 8: ("float64", 8), 9: ("complex32", 4), 10: ("complex64", 8), 11: ("complex128", 16)},
    **{12: ("bool", 1), 13: ("bfloat16", 2), 28: ("uint16", 2), 34: ("uint32", 4), 35: ("uint64", 8)},
    **dict.fromkeys((29, 30, 31, 32, 33), ("float8", 1)),
}
SAFE = re.compile(r"[\w.:+-]*", re.ASCII)  # of all texts that no rule below is for: no call can be written with these
OPERATOR = re.compile(r"torch\.ops\.(aten|prims|quantized_decomposed)\.(_{0,2}[a-z0-9]\w*)\.([A-Za-z]\w*)", re.ASCII)
PLAIN_OPERATORS = {
    *(
        f"_operator.{name}"
        for name in ("eq", "ne", "le", "ge", "lt", "gt", "neg", "pos", "mul", "add", "sub", "floordiv")
    ),
    *(f"_operator.{name}" for name in ("mod", "pow", "truediv", "and_", "or_", "lshift", "rshift", "getitem")),
    *(f"torch.sym_{name}" for name in ("not", "int", "float", "ite", "max", "min", "sqrt", "sum")),
    "math.trunc",
    *(f"torch.ops.higher_order.{name}" for name in ("cond", "while_loop", "scan", "wrap_with_set_grad_enabled")),
}
READS_FILES = {"aten.from_file"}
MODULES = re.compile(r"[\w.,;@\[\]]*", re.ASCII)  # of `nn_module_stack`, that exporters name layers after
# What lengths are written with: functions of sympy, and of torch.utils._sympy.functions.
LENGTHS = """
Symbol Integer Float Rational Max Min Mod Abs Add Mul Eq Ne Ge Gt Le Lt And Or Not floor ceiling FloorDiv
ModularIndexing Where PythonMod CleanDiv CeilToInt FloorToInt CeilDiv FloatTrueDiv IntTrueDiv Identity ToFloat
IsNonOverlappingAndDenseIndicator TruncToFloat TruncToInt RoundToInt RoundDecimal
"""
FUNCTIONS = set(LENGTHS.split())
POWERS = {"Pow", "PowByNatural", "FloatPow", "LShift", "RShift"}
MOST_EXPONENT = 62  # of all powers of a length together: numbers of a few thousand bits
SYMBOL = re.compile(r"[a-z]{1,4}\d{1,9}", re.ASCII)
TEXTS = ("expr_str", "target", "as_operator", "in_spec", "out_spec", "name", "as_name", "as_string")
NODES = (ast.Expression, ast.Load, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.keyword)
TREES = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
NORMS = (
    *("batch_norm", "native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm", "_native_batch_norm_legit"),
    *("_native_batch_norm_legit_functional", "_batch_norm_with_update", "_batch_norm_with_update_functional"),
)
DROPOUTS = ("dropout", "native_dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "dropout_")
AGAIN = "export it again with torch.export.save of PyTorch 2.9 or newer"
DAMAGE = (KeyError, IndexError, TypeError, AttributeError, ValueError)  # what code that expects a graph meets otherwise


class Pt2Error(ValueError):
    """A file is no .pt2, is damaged, or would execute something; the message names the file."""


def is_pt2(members: tuple[str, ...]) -> bool:
    """Whether these are the members of an exported program, of this format or the one before it."""
    return any("models/" in name and name.endswith(".json") for name in members) or (
        "serialized_exported_program.json" in members
    )


@dataclass(frozen=True)
class Described:
    """An input or output. Free axes that have the same name have the same length."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Program:
    """An exported program: its graph as checked JSON, and where its tensors are."""

    inputs: list[Described]
    outputs: list[Described]
    arguments: list[
        tuple[str, Any]
    ]  # all that is passed to it: Ellipsis for a tensor, else the constant that it must be
    nodes: list[tuple[str, Mapping[str, Any]]]  # target ("torch.ops.aten.linear.default") and arguments by name
    targets: set[str]

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: dict[str, str] = {}  # name in the clean copy → name of the member
        try:
            with Archive(path) as archive:
                self._root = self._find(archive)
                self.graph_module: dict[str, Any] = {}
                self._program = self._read_program(archive)
                self._configs = {kind: self._read_config(archive, kind) for kind in ("data/weights", "data/constants")}
        except ArchiveError as error:
            raise Pt2Error(str(error)) from None

    # --- what is in it -----------------------------------------------------------------------------------------------

    def _arguments(self) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        for spec in self._signature("input_specs"):
            if "user_input" in spec:
                argument = _one(spec["user_input"]["arg"])
                if argument[0] != "as_tensor":
                    raise self._error(f"an input is no tensor ({argument[0]}); export it with tensors alone")
                found.append((argument[1]["name"], ...))
            elif "constant_input" in spec:
                kind, value = _one(spec["constant_input"]["value"])
                found.append((spec["constant_input"]["name"], None if kind == "as_none" else value))
        return found

    def _outputs(self) -> list[Described]:
        """Names are the keys of the mapping that it returns, "output", or "output_0", "output_1" and so on."""
        specs = self._signature("output_specs")
        changed = [_one(spec)[1] for spec in specs if "user_output" not in spec]
        if changed:
            state = next((str(value) for one in changed for key, value in one.items() if key != "arg"), "a tensor")
            raise self._error(f"it changes {state!r} when it runs: answers would depend on what was asked before")
        arguments = [_one(spec["user_output"]["arg"]) for spec in specs]
        if wrong := next((kind for kind, _ in arguments if kind != "as_tensor"), ""):
            raise self._error(f"an output is no tensor ({wrong}); export it with tensors alone")
        names = self._output_names(len(arguments))
        return [self._described(name, one["name"]) for name, (_, one) in zip(names, arguments, strict=True)]

    def _output_names(self, count: int) -> list[str]:
        signature = self.graph_module["module_call_graph"][0]["signature"]
        names = [".".join(path) for path in _leaves(json.loads(signature["out_spec"])[1])] if signature else []
        if len(names) == count and all(re.fullmatch(r"[^\W\d]\w*(\.\w+)*", name) for name in names):
            return names
        return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]

    def stored(self) -> Iterator[tuple[str, int]]:
        """Type and number of elements of each weight."""
        for config in self._configs.values():
            for entry in config.values():
                yield _type(entry["tensor_meta"]), math.prod(s["as_int"] for s in entry["tensor_meta"]["sizes"])

    def _operators(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Target and arguments by name of each node, those of subgraphs too."""
        graphs = [self.graph_module["graph"]]
        while graphs:
            for node in graphs.pop()["nodes"]:
                arguments = {one["name"]: _one(one["arg"]) for one in node["inputs"]}
                graphs += [value["graph"] for kind, value in arguments.values() if kind == "as_graph"]
                yield node["target"], {name: value for name, (_, value) in arguments.items()}

    def _check_training(self) -> None:
        for target, arguments in self.nodes:
            name = target.removeprefix("torch.ops.aten.").split(".")[0]
            trains = arguments.get("training") is True or arguments.get("train") is True
            if name in NORMS and trains and arguments.get("running_mean") not in (None, True):
                raise self._in_training("so an answer depends on what else is in its batch (batch normalization)")
            if name in DROPOUTS and trains and arguments.get("p", 0.5):
                raise self._in_training("so answers are drawn by chance (dropout)")

    def _in_training(self, why: str) -> Pt2Error:
        return self._error(f"it was exported in training mode, {why}; call model.eval() before torch.export.export")

    def _signature(self, side: str) -> list[dict[str, Any]]:
        specs: list[dict[str, Any]] = self.graph_module["signature"][side]
        return specs

    def _described(self, name: str, tensor: str) -> Described:
        value = self.graph_module["graph"]["tensor_values"][tensor]
        return Described(name, _type(value), tuple(_length(size) for size in value["sizes"]))

    # --- reading -----------------------------------------------------------------------------------------------------

    def _find(self, archive: Archive) -> str:
        """The folder that all members are in."""
        if "serialized_exported_program.json" in archive.names:
            raise self._error(f"it is of PyTorch 2.7 or older, which pickled the weights; {AGAIN}")
        graphs = [name for name in archive.names if re.fullmatch(r"[^/]+/models/[^/]+\.json", name)]
        if len(graphs) != 1:
            raise self._error(f"it holds {len(graphs)} exported programs instead of one; {AGAIN}")
        root, _, file = graphs[0].split("/")
        if file != "model.json":
            raise self._error(f"its program is called {file!r} instead of 'model.json'; {AGAIN}")
        if compiled := [name for name in archive.names if name.startswith(f"{root}/data/aotinductor/")]:
            raise self._error(f"{compiled[0]!r} is machine code, which is not run; bring the exported program")
        return root

    def _read_json(self, archive: Archive, name: str) -> Any:
        try:
            return json.loads(archive.read(f"{self._root}/{name}", GRAPH_BYTES))
        except ArchiveError:
            raise
        except ValueError as error:
            raise self._error(f"{name} is no JSON: {error}") from None

    def _read_program(self, archive: Archive) -> Any:
        program = self._read_json(archive, "models/model.json")
        try:
            program["guards_code"] = []
            self._clean(program, "")
            self.graph_module = program["graph_module"]
            if self.graph_module.get("treespec_namedtuple_fields"):
                raise self._error("it takes or gives a class of its own; export it with tuples and mappings")
            entry = self.graph_module["module_call_graph"][0]
            if entry["fqn"] != "":
                raise KeyError("signature")
            self.arguments = self._arguments()
            self.inputs = [self._described(name, name) for name, value in self.arguments if value is Ellipsis]
            self.nodes = list(self._operators())
            self.targets = {target for target, _ in self.nodes}
            self._check_training()
            self.outputs = self._outputs()
        except DAMAGE as error:
            if isinstance(error, Pt2Error):
                raise
            raise self._error(f"models/model.json is not as PyTorch writes it ({error!r}): it is damaged") from None
        return program

    def _read_config(self, archive: Archive, folder: str) -> dict[str, Any]:
        """Where the tensors of a kind are; all are raw bytes, as many as their shapes ask for."""
        name = folder.rpartition("/")[2]
        if f"{self._root}/{folder}/model.pt" in archive.names:
            raise self._error(f"its {name} are pickled, as PyTorch 2.8 did it; {AGAIN}")
        config = self._read_json(archive, f"{folder}/model_{name}_config.json")
        try:
            entries = config["config"]
            self._clean(config, "")
            for key, entry in entries.items():
                self._check_entry(archive, folder, key, entry)
        except DAMAGE as error:
            if isinstance(error, Pt2Error | ArchiveError):
                raise
            raise self._error(f"the list of its {name} is not as PyTorch writes it ({error!r})") from None
        tensors: dict[str, Any] = entries
        return tensors

    def _check_entry(self, archive: Archive, folder: str, key: str, entry: Mapping[str, Any]) -> None:
        file = entry["path_name"]
        raw = re.fullmatch(r"(weight|tensor)_\d+", file) is not None
        if entry["use_pickle"] is not False or not raw:
            raise self._error(f"{key!r} is pickled, and unpickling executes code; export it with plain tensors alone")
        meta = entry["tensor_meta"]
        sizes, strides = ([int(axis["as_int"]) for axis in meta[part]] for part in ("sizes", "strides"))
        start, width = int(meta["storage_offset"]["as_int"]), TYPES[meta["dtype"]][1]
        if min([start, *sizes, *strides], default=0) < 0 or len(sizes) != len(strides):
            raise self._error(f"{key!r} has the shape {sizes}: it is damaged")
        last = start + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        name = f"{folder}/{file}"
        held = archive.size(f"{self._root}/{name}")
        empty = 0 in sizes
        if not empty and (last + 1) * width > held:
            raise self._error(f"{key!r} has {held:,} bytes where its shape {sizes} asks for {(last + 1) * width:,}")
        if not empty and math.prod(sizes) * width > max(2**26, 16 * held):  # an axis that repeats one number
            raise self._error(f"{key!r} says the shape {sizes} of {held:,} bytes: it is made to fill memory")
        self._members[name] = f"{self._root}/{name}"

    # --- every text of the graph -------------------------------------------------------------------------------------

    def _clean(self, value: Any, key: str) -> None:
        """Check all that is below a value, which is that of a key; what is not needed is taken out."""
        if isinstance(value, dict):
            if "metadata" in value:
                value["metadata"] = _layer_names(value["metadata"])
            for part in value:
                self._check_text(part, "")
            for part, below in value.items():
                if part.startswith(("as_custom_obj", "custom_obj")) and below:
                    raise self._error(
                        "it holds an object that is no tensor, which would be unpickled; export it without"
                    )
                if part in TEXTS and below is not None and not isinstance(below, str):
                    raise self._error(f"{part!r} of its graph is no text: it is damaged or made to do harm")
                if part != "metadata":
                    self._clean(below, part)
        elif isinstance(value, list):
            for below in value:
                self._clean(below, key)
        elif isinstance(value, str):
            self._check_text(value, key)

    def _check_text(self, text: str, key: str) -> None:
        if key == "expr_str":
            self._check_expression(text)
        elif key in ("target", "as_operator"):
            self._check_operator(text)
        elif key in ("in_spec", "out_spec"):
            self._check_tree(text)
        elif key in ("as_string", "as_strings"):
            if len(text) > TEXT_BYTES:
                raise self._error(f"an operator takes a text of {len(text):,} bytes: it is damaged")
        elif key in ("name", "as_name", "forward_arg_names"):
            if text and (not text.isascii() or not text.isidentifier() or keyword.iskeyword(text)):
                raise self._error(f"{text!r} stands where a name must be: it would be executed")
        elif not SAFE.fullmatch(text):
            raise self._error(f"{text[:80]!r} stands where {key or 'a key'} must be: it is damaged or made to do harm")

    def _check_operator(self, target: str) -> None:
        known = OPERATOR.fullmatch(target)
        if known and f"{known[1]}.{known[2]}" in READS_FILES:
            raise self._error(f"its operator {target} reads a file of this machine")
        if not known and target not in PLAIN_OPERATORS:
            raise self._error(
                f"its operator {target[:80]} is none of PyTorch's own; export the model without custom operators"
            )

    def _check_expression(self, text: str) -> None:
        try:
            if len(text) > EXPRESSION_BYTES:
                raise ValueError
            nodes = list(ast.walk(ast.parse(text, mode="eval")))
            for node in nodes:
                _check_node(node)
            texts = sum(isinstance(node, ast.Constant) and isinstance(node.value, str) for node in nodes)
            if texts != sum(isinstance(node, ast.Call) and _is_symbol(node) for node in nodes):
                raise ValueError  # sympy evaluates texts, also those that others are put together to
            if math.prod(map(_power, nodes)) > MOST_EXPONENT:
                raise ValueError
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._error(
                f"{text[:80]!r} stands where the length of an axis must be: it would be executed"
            ) from None

    def _check_tree(self, text: str) -> None:
        try:
            protocol, tree = json.loads(text)
            if protocol != 1:
                raise ValueError
            todo = [tree]
            while todo:
                node = todo.pop()
                if node["type"] is not None and node["type"] not in TREES:
                    kind = str(node["type"])[:80]
                    raise self._error(f"it takes or gives a {kind}; export it with tuples, lists and mappings")
                context = node["context"]
                keys = json.loads(context) if node["type"] in TREES[2:] else []
                plain = context is None or context == "null" or node["type"] in TREES[2:]
                if not plain or not isinstance(keys, list) or not all(isinstance(k, str | int) for k in keys):
                    raise ValueError
                for name in keys:
                    self._check_text(str(name), "")
                todo += node["children_spec"]
        except Pt2Error:
            raise
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self._error(f"{text[:80]!r} is no description of inputs or outputs: it is damaged") from None

    def _error(self, what: str) -> Pt2Error:
        return Pt2Error(f"{self._path}: {what}")

    # --- a copy that can be loaded -----------------------------------------------------------------------------------

    def write(self, output: Path) -> None:
        """Write a .pt2 with what was checked, and nothing else."""
        fixed = {"archive_format": "pt2", "archive_version": "0", "byteorder": "little", ".data/version": "6\n"}
        with (
            Archive(self._path) as archive,
            zipfile.ZipFile(output, "w", zipfile.ZIP_STORED, allowZip64=True) as copy,
        ):
            for name, member in self._members.items():
                with copy.open(f"model/{name}", "w", force_zip64=True) as stream:
                    archive.copy(member, stream)  # type: ignore[arg-type] # IO[bytes]
            for folder, tensors in self._configs.items():
                kind = folder.rpartition("/")[2]
                copy.writestr(f"model/{folder}/model_{kind}_config.json", json.dumps({"config": tensors}))
            copy.writestr("model/models/model.json", json.dumps(self._program))
            copy.writestr("model/data/sample_inputs/model.pt", b"")
            for name, content in fixed.items():
                copy.writestr(f"model/{name}", content)


def load(path: Path) -> Any:
    """The ExportedProgram of a .pt2, of which nothing is executed; it has no example inputs. Needs torch.

    Raises Pt2Error for a file that is refused, and where PyTorch cannot load what is left of it.
    """
    import torch

    program = Program(path)
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
        clean = Path(folder) / "clean.pt2"
        program.write(clean)
        try:
            exported = torch.export.load(clean)
        except Exception as error:  # PyTorch raises whatever its parts do
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise Pt2Error(f"{path}: PyTorch {torch.__version__} cannot load it: {reason[0]}") from error
    for module in exported.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            _check_target(path, node)
    return exported


def _check_target(path: Path, node: Any) -> None:
    """What the names of operators turned out to be, once more."""
    import torch

    operators = (torch._ops.OpOverload, torch._ops.HigherOrderOperator)
    plain = node.op != "call_function" or isinstance(node.target, operators)
    if not plain and getattr(node.target, "__module__", "") not in ("_operator", "math", "torch"):
        raise Pt2Error(f"{path}: its operator {node.target} is none of PyTorch's own")


# --- parts of the graph ----------------------------------------------------------------------------------------------


def _one(union: Mapping[str, Any]) -> tuple[str, Any]:
    """The kind and the value of one of several kinds of things."""
    ((kind, value),) = union.items()
    return kind, value


def _type(described: Mapping[str, Any]) -> str:
    return TYPES.get(described["dtype"], (f"type {described['dtype']}", 0))[0]


def _length(size: Mapping[str, Any]) -> int | str:
    if "as_int" in size:
        return int(size["as_int"])
    return ast.unparse(_Plain().visit(ast.parse(size["as_expr"]["expr_str"], mode="eval"))).replace(" ", "")


class _Plain(ast.NodeTransformer):
    """Rewrites "Mul(Integer(2), Symbol('s0', integer=True))" as 2*s0."""

    def visit_Call(self, node: ast.Call) -> Any:
        arguments = [self.visit(one) for one in node.args]
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "Symbol":
            return ast.Name(str(node.args[0].value), ast.Load()) if isinstance(node.args[0], ast.Constant) else node
        if name == "Integer" and arguments:
            return arguments[0]
        if name in ("Mul", "Add") and arguments:
            operation = ast.Mult() if name == "Mul" else ast.Add()
            return functools.reduce(lambda left, right: ast.BinOp(left, operation, right), arguments)
        return ast.Call(node.func, arguments, [])


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to each tensor of a nested output: keys of mappings, places in tuples."""
    if tree["type"] is None:
        yield path
        return
    children = tree["children_spec"]
    keys = json.loads(tree["context"]) if tree["type"] in TREES[2:] else range(len(children))
    for key, child in zip(keys, children, strict=True):
        yield from _leaves(child, (*path, str(key)))


def _layer_names(metadata: Any) -> dict[str, str]:
    """Of what is noted with a node only the module that it is of, which converters name layers after."""
    stack = metadata.get("nn_module_stack") if isinstance(metadata, dict) else None
    if not isinstance(stack, str) or not MODULES.fullmatch(stack):
        return {}
    return {"nn_module_stack": stack} if all(part.count(",") == 2 for part in stack.split(";")) else {}


def _check_node(node: ast.AST) -> None:
    """ValueError for what no length of an axis is written with."""
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS | POWERS:
            raise ValueError
        texts = [one for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if len(texts) != _is_symbol(node) or not all(SYMBOL.fullmatch(str(one.value)) for one in texts):
            raise ValueError
        if any(one.arg is None or not isinstance(one.value, ast.Constant) for one in node.keywords):
            raise ValueError
    elif isinstance(node, ast.Name):
        if node.id not in FUNCTIONS | POWERS | {"oo", "int_oo", "true", "false"} and not SYMBOL.fullmatch(node.id):
            raise ValueError
    elif isinstance(node, ast.Constant):
        if not isinstance(node.value, int | float | str) or (isinstance(node.value, int) and abs(node.value) >= 2**63):
            raise ValueError
    elif not isinstance(node, (*NODES, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)):
        raise ValueError


def _is_symbol(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "Symbol"


def _power(node: ast.AST) -> float:
    """The exponent of a power or a shift, which must be a small number; 1 for anything else."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.LShift | ast.RShift):
        exponent: ast.AST = node.right
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in POWERS:
        if len(node.args) != 2:
            raise ValueError
        exponent = node.args[1]
    else:
        return 1
    if isinstance(exponent, ast.UnaryOp):
        exponent = exponent.operand
    if not isinstance(exponent, ast.Constant) or not isinstance(exponent.value, int | float):
        raise ValueError
    if abs(exponent.value) > MOST_EXPONENT:
        raise ValueError
    return max(2, abs(exponent.value))  # no more than five of them, whatever they are
