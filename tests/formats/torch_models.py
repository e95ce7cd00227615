"""Files of PyTorch, sound and hostile: torch_models.py FOLDER.

Every payload makes an empty file `canary` in the working directory: whoever executes one can be told.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

PAYLOAD = "__import__('pathlib').Path('canary').touch()"


class Pickled:
    """Executes the payload when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (PAYLOAD,)


class Net(nn.Module):
    """Two inputs whose names sort against their order, two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.3)
        self.linear = nn.Linear(4, 5)
        self.register_buffer("ranks", torch.arange(5.0))
        self.offset = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])

    def forward(self, words: torch.Tensor, image: torch.Tensor, twice: bool = False) -> dict[str, torch.Tensor]:
        """int64[N, length], float32[N, 3, 8, 8] → zeta float32[N, 5], alpha int64[N]."""
        features = self.dropout(torch.relu(self.norm(self.convolution(image)))).mean((2, 3))
        logits = self.linear(features) + self.ranks + self.offset
        return {"zeta": logits * 2 if twice else logits, "alpha": words.sum(1)}


class Positional(nn.Module):
    """Answers that have no names, one of them half as long."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float32[N, 8] → float32[N, 16], float32[2 N, 4]."""
        return torch.cat([x, x], 1), x.reshape(-1, 4)


def example() -> tuple[torch.Tensor, torch.Tensor]:
    """Two of each."""
    generator = torch.Generator().manual_seed(5)
    return torch.arange(6).reshape(2, 3), torch.randn(2, 3, 8, 8, generator=generator)


def sound(folder: Path) -> None:
    """Files that can be read."""
    torch.manual_seed(3)
    net = Net().eval()
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    free = {"words": {0: batch, 1: length}, "image": {0: batch}, "twice": None}
    torch.export.save(torch.export.export(net, (*example(), True), dynamic_shapes=free), folder / "free.pt2")
    fixed = torch.export.export(net, (example()[0],), {"image": example()[1]})
    torch.export.save(fixed, folder / "fixed.pt2")
    torch.export.save(fixed.run_decompositions(), folder / "decomposed.pt2")
    torch.export.save(
        torch.export.export(Positional(), (torch.randn(2, 8),), dynamic_shapes=({0: batch},)), folder / "positional.pt2"
    )
    torch.export.save(torch.export.export(net.half(), (example()[0], example()[1].half())), folder / "half.pt2")


def hostile(folder: Path) -> None:
    """Files that must be refused."""
    torch.manual_seed(3)
    net = Net()
    program = torch.export.export(net, example())
    torch.export.save(program, folder / "training.pt2")
    torch.export.save(program.run_decompositions(), folder / "training_decomposed.pt2")
    net.norm.eval()
    torch.export.save(torch.export.export(net, example()), folder / "dropout.pt2")
    clean = folder.parent / "sound" / "fixed.pt2"
    kind = Rewriter(clean, folder)
    buffer = io.BytesIO()
    torch.save(Pickled(), buffer)
    kind.write("pickled_weight", {"data/weights/weight_0": buffer.getvalue()}, weights=_pickled)
    kind.write("pickled_constant", {"data/constants/tensor_0": buffer.getvalue()}, constants=_pickled)
    opaque = {"data/constants/opaque_obj_0": buffer.getvalue()}
    kind.write("opaque", opaque, constants=lambda c: c["offset"].update(path_name="opaque_obj_0"))
    kind.write("older_weights", {"data/weights/model.pt": buffer.getvalue()})
    kind.write("machine_code", {"data/aotinductor/model/model.so": b"\x7fELF"})
    kind.write("expression", graph=_expression(f"{PAYLOAD} or Symbol('s0')"))
    kind.write("expression_put_together", graph=_expression(f'Max("{PAYLOAD}" + "", Integer(3))'))
    kind.write("expression_by_keyword", graph=_expression(f'Rational(p="{PAYLOAD}")'))
    kind.write("power", graph=_expression("9**9**9**9"))
    kind.write("powers", graph=_expression("((9**62)**62)**62"))
    kind.write("expression_in_a_mapping", graph=_expression({"as_string": PAYLOAD}))
    kind.write("function", graph=_target("torch.os.system"))
    kind.write("reads", graph=_target("torch.ops.aten.from_file.default"))
    kind.write("custom", graph=_target("torch.ops.acme.spy.default"))
    kind.write("attribute", graph=_target("torch.ops.aten.relu.__init__"))
    kind.write("name", graph=_rename(f"image=({PAYLOAD})"))
    kind.write("tree", graph=_tree("enum:Enum"))
    kind.write("small_weight", {"data/weights/weight_0": bytes(8)})
    kind.write("huge_weight", weights=lambda c: _sizes(c)[0].update(as_int=2**40))
    kind.write("repeated", weights=_repeated)
    kind.write("no_graph", graph=lambda program: program.pop("graph_module"))
    kind.write("no_outputs", graph=lambda program: program["graph_module"]["signature"].pop("output_specs"))
    with zipfile.ZipFile(folder / "older.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    with zipfile.ZipFile(folder / "deep.pt2", "w") as archive:
        archive.writestr("model/models/model.json", "[" * 1_000_000)
    with zipfile.ZipFile(folder / "bomb.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/models/model.json", bytes(256 * 2**20))
    with zipfile.ZipFile(folder / "outside.pt2", "w") as archive:
        archive.writestr("model/models/model.json", "{}")
        archive.writestr("model/../../x", "")
    (folder / "cut.pt2").write_bytes(clean.read_bytes()[:-100])


def live(folder: Path) -> None:
    """What executes its payload if PyTorch itself loads and runs it, each its own way."""
    clean = folder.parent / "sound" / "fixed.pt2"
    kind = Rewriter(clean, folder)
    buffer = io.BytesIO()
    torch.save(Pickled(), buffer)
    kind.write("sample_inputs", {"data/sample_inputs/model.pt": buffer.getvalue()})
    kind.write("guards", graph=lambda program: program.update(guards_code=[PAYLOAD]))
    for name in ("pickled_weight", "pickled_constant", "expression", "expression_put_together", "name"):
        (folder / f"{name}.pt2").write_bytes((folder.parent / "hostile" / f"{name}.pt2").read_bytes())


def pickles(folder: Path) -> None:
    """Files that hold a pickle."""
    torch.save(Pickled(), folder / "model.pt")
    torch.save(Pickled(), folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3)).save(folder / "script.pt")


class Rewriter:
    """Writes a .pt2 again with some of its parts changed."""

    def __init__(self, clean: Path, folder: Path) -> None:
        self._clean, self._folder = clean, folder

    def write(self, name: str, members: dict[str, bytes] | None = None, **changes: Callable[[Any], Any]) -> None:
        """`members` by their names below the root; changes of the parts `graph`, `weights` and `constants`."""
        parts = {
            "graph": "models/model.json",
            "weights": "data/weights/model_weights_config.json",
            "constants": "data/constants/model_constants_config.json",
        }
        with zipfile.ZipFile(self._clean) as archive:
            contents = {member.partition("/")[2]: archive.read(member) for member in archive.namelist()}
        contents.update(members or {})
        for part, change in changes.items():
            value = json.loads(contents[parts[part]])
            change(value if part == "graph" else value["config"])
            contents[parts[part]] = json.dumps(value).encode()
        with zipfile.ZipFile(self._folder / f"{name}.pt2", "w", zipfile.ZIP_STORED) as archive:
            for member, content in contents.items():
                archive.writestr(f"{name}/{member}", content)


def _pickled(config: dict[str, Any]) -> None:
    next(iter(config.values()))["use_pickle"] = True


def _sizes(config: dict[str, Any]) -> Any:
    return next(iter(config.values()))["tensor_meta"]["sizes"]


def _repeated(config: dict[str, Any]) -> None:
    """One number, so many times."""
    meta = next(iter(config.values()))["tensor_meta"]
    meta["sizes"], meta["strides"] = [{"as_int": 2**36}], [{"as_int": 0}]


def _expression(text: Any) -> Callable[[Any], None]:
    def change(program: Any) -> None:
        values = program["graph_module"]["graph"]["tensor_values"]
        values["words"]["sizes"][1] = {"as_expr": {"expr_str": text, "hint": {"as_int": 3}}}

    return change


def _target(target: str) -> Callable[[Any], None]:
    def change(program: Any) -> None:
        node = next(node for node in program["graph_module"]["graph"]["nodes"] if "relu" in node["target"])
        node["target"] = target
        node["inputs"] = [{"name": "", "arg": {"as_string": "touch canary"}, "kind": 1}]

    return change


def _rename(name: str) -> Callable[[Any], None]:
    """A name of an input that is the source of an argument with a default."""

    def change(program: Any) -> None:
        module = program["graph_module"]
        text = json.dumps(module).replace('"image"', json.dumps(name))
        program["graph_module"] = json.loads(text)

    return change


def _tree(fqn: str) -> Callable[[Any], None]:
    def change(program: Any) -> None:
        context = json.dumps({"__enum__": True, "fqn": fqn, "name": "x"})
        tree = {"type": "builtins.dict", "context": context, "children_spec": []}
        program["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps([1, tree])

    return change


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for make in (sound, hostile, live, pickles):
        (root / make.__name__).mkdir()
        make(root / make.__name__)
