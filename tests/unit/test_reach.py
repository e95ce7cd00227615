"""What a builder reaches, told from text: what it uses counts wherever that is, and nothing else does."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow import reach

NET = '''"""Two networks in one file."""
from torch import nn

from .blocks import Block, unused
from .parts import heads

WIDTH = 8
OTHER_WIDTH = 16


def helper(width):
    """Doubles."""
    return width * 2  # channels


class Base(nn.Module):
    def forward(self, x):
        return self.body(x)


class Small(Base):
    """The small one."""

    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(Block(helper(WIDTH)), heads.linear(classes))


def small(input_shape, classes):
    return Small(classes)


def large(input_shape, classes):
    return Block(OTHER_WIDTH)


if __name__ == "__main__":
    print(small((1, 2, 3), 4))
'''
PROJECT = {
    "nets/net.py": NET,
    "nets/blocks.py": "from torch import nn\nfrom .deep.inner import scale\n\nclass Block(nn.Module):\n"
    "    def __init__(self, width):\n        self.width = scale(width)\n\ndef unused():\n    return 1\n",
    "nets/parts/__init__.py": "VERSION = 1\n",
    "nets/parts/heads.py": "from torch import nn\n\ndef linear(classes):\n    return nn.LazyLinear(classes)\n\n"
    "def other(classes):\n    return 2\n",
    "nets/deep/inner.py": "def scale(width):\n    return width + 1\n\ndef shrink(width):\n    return width - 1\n",
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def changes(folder: Path, file: str, old: str, new: str, reference: str = "nets/net.py:small") -> bool:
    """Whether an edit of one file changes what a reference reaches."""
    before = reach.of(reference, folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    return reach.of(reference, folder).code != before.code


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    write(tmp_path, PROJECT)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("nets/net.py", "return Small(classes)", "return Small(classes + 0)"),
        ("nets/net.py", "WIDTH = 8", "WIDTH = 9"),
        ("nets/net.py", "width * 2", "width * 3"),
        ("nets/net.py", "return self.body(x)", "return -self.body(x)"),  # a base class
        ("nets/net.py", "from torch import nn", "from torchlike import nn"),
        ("nets/blocks.py", "scale(width)", "scale(width) + 1"),
        ("nets/parts/heads.py", "LazyLinear(classes)", "LazyLinear(classes, bias=False)"),
        ("nets/deep/inner.py", "width + 1", "width + 2"),
        ("nets/parts/__init__.py", "VERSION = 1", "import torch\n\ntorch.manual_seed(3)"),  # an import executes it
        ("nets/blocks.py", "def unused", "nn.Linear.bias = None\n\ndef unused"),
    ],
)
def test_an_edit_of_what_is_reached_counts(nets: Path, file: str, old: str, new: str) -> None:
    assert changes(nets, file, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("nets/net.py", "# channels", "# features"),
        ("nets/net.py", '"""Doubles."""', '"""Twice."""'),
        ("nets/net.py", '    """The small one."""\n', ""),
        ("nets/net.py", "width * 2", "(width\n            * 2)"),
        ("nets/net.py", "OTHER_WIDTH = 16", "OTHER_WIDTH = 17"),
        ("nets/net.py", "return Block(OTHER_WIDTH)", "return Block(3)"),
        ("nets/net.py", "print(small", "print(3, small"),
        ("nets/net.py", "import Block, unused", "import Block"),
        ("nets/blocks.py", "return 1", "return 2"),
        ("nets/parts/heads.py", "return 2", "return 3"),
        ("nets/parts/__init__.py", "VERSION = 1", "VERSION = 2"),
        ("nets/deep/inner.py", "width - 1", "width - 2"),
    ],
)
def test_an_edit_of_what_is_not_reached_does_not(nets: Path, file: str, old: str, new: str) -> None:
    assert not changes(nets, file, old, new)


@pytest.mark.parametrize(
    "net",
    [
        "from blocks import f\nbuild = lambda shape, classes: f()\n",
        "from nets.blocks import f\ndef build(shape, classes): return f()\n",
        "from . import blocks\ndef build(shape, classes): return blocks.f()\n",
        "import blocks\ndef build(shape, classes): return blocks.f()\n",
        "import nets.blocks\ndef build(shape, classes): return nets.blocks.f()\n",
        "import nets.blocks as b\ndef build(shape, classes): return b.f()\n",
        "def build(shape, classes):\n    from blocks import f\n    return f()\n",
        "try:\n    from blocks import f\nexcept ImportError:\n    f = None\ndef build(shape, classes): return f()\n",
        "from blocks import *\ndef build(shape, classes): return f()\n",
        "import blocks\ndef build(shape, classes): return getattr(blocks, 'f')()\n",
        "import importlib\ndef build(shape, classes): return importlib.import_module('blocks').f()\n",
        "import importlib\ndef build(shape, classes): return importlib.import_module('.' + 'blocks', 'nets').f()\n",
        "import blocks\nTABLE = {'f': blocks.f}\ndef build(shape, classes): return TABLE['f']()\n",
        "from functools import partial\nfrom blocks import f\nbuild = partial(f, None)\n",
        "from blocks import f as build\n",
        "from pack import build\n",
        "from pack import again\ndef build(shape, classes): return again.g()\n",
        "import blocks\n@blocks.f\ndef build(shape, classes): pass\n",
        "from blocks import f\nclass Net:\n    size = f\ndef build(shape, classes): return Net()\n",
        "from blocks import f\ndef build(shape, classes, width=f): return width()\n",
        "STATE = 0\ndef set_state():\n    global STATE\n    from blocks import f\n    STATE = f()\n"
        "set_state()\ndef build(shape, classes): return STATE\n",
        "import blocks\ndef build(shape, classes): return blocks.__dict__['f']()\n",
        "from blocks import f\ndef other(): return f()\ndef build(shape, classes) -> 'other': pass\n",
        "import sys\nsys.path.append('nets')\nfrom blocks import f\ndef build(shape, classes): return f()\n",
        "import blocks\ndef build(shape, classes): return globals()['other']()\ndef other(): return blocks.f()\n",
        "from registry import made\nimport listed\ndef build(shape, classes): return made['it']()\n",
    ],
)
def test_ways_to_use_another_file(tmp_path: Path, net: str) -> None:
    files = {
        "nets/net.py": net,
        "nets/blocks.py": "def f(*a): return 1\ndef g(): return 1\n",
        "nets/pack/__init__.py": "from ..blocks import f as build\nfrom .. import blocks as again\n",
        "nets/registry.py": "made = {}\ndef register(f):\n    made['it'] = f\n    return f\n",
        "nets/listed.py": "from blocks import f\nfrom registry import register\n\n@register\ndef it(): return f()\n",
    }
    write(tmp_path, {**files, "nets/pack/__init__.py": files["nets/pack/__init__.py"] + "again.g = again.f\n"})
    assert reach.fault("nets/net.py:build", tmp_path) == ""
    assert changes(tmp_path, "nets/blocks.py", "def f(*a): return 1", "def f(*a): return 2", "nets/net.py:build")


def test_what_notices_its_subclasses_reaches_all_of_them(tmp_path: Path) -> None:
    write(tmp_path, {
        "net.py": "import kinds, base\ndef build(shape, classes): return base.Base.made[0]()\n",
        "base.py": "class Base:\n    made = []\n    def __init_subclass__(cls): cls.made.append(cls)\n",
        "kinds.py": "from base import Base\nclass Kind(Base):\n    depth = 3\n",
    })  # fmt: skip
    assert changes(tmp_path, "kinds.py", "depth = 3", "depth = 4", "net.py:build")


def test_data_that_the_code_names_are_reached(tmp_path: Path) -> None:
    write(tmp_path, {
        "nets/net.py": "import numpy\ndef build(shape, classes): return numpy.load('data/a.npy'), 'b.npy'\n"
        "exec(open('nets/more.py').read())\n"
        "def other(): return 'data/c.npy'\n",
        "data/a.npy": "", "data/c.npy": "", "nets/b.npy": "", "nets/more.py": "",
    })  # fmt: skip
    files = reach.of("nets/net.py:build", tmp_path).files
    assert sorted(path.name for path in files) == [
        "a.npy",
        "b.npy",
        "c.npy",
        "more.py",
    ]  # all of a file that calls exec


def test_text_that_can_be_no_name_of_a_file_is_none(tmp_path: Path) -> None:
    """A name has as many bytes as it may have, and not as many letters."""
    message, word = "ж " * 100, "ж" * 200
    net = (
        f"import importlib, sys\nsys.path\ndef build(s, c): raise ValueError({message!r}, '{word}', 'a\\0b', 'ж.npy')\n"
    )
    write(tmp_path, {"net.py": f"{net}def more(): importlib.import_module('{word}')\n", "ж.npy": ""})
    assert [path.name for path in reach.of("net.py:build", tmp_path).files] == ["ж.npy"]
    assert reach.of("net.py:more", tmp_path).code
    assert reach.data([message, word, "a\0b", "ж.npy"], tmp_path) == [tmp_path / "ж.npy"]


def test_the_folder_of_the_project_does_not_count(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "somewhere" / "b"):
        write(folder, PROJECT)
    assert reach.of("nets/net.py:small", tmp_path / "a").code == reach.of(
        "nets/net.py:small", tmp_path / "somewhere" / "b"
    ).code  # fmt: skip


def test_a_module_is_reached_as_its_file_is(nets: Path) -> None:
    assert reach.of("nets.net:small", nets) == reach.of("nets/net.py:small", nets)


def test_what_edgeflow_has_is_told_by_its_modules(tmp_path: Path) -> None:
    write(tmp_path, {"net.py": "from edgeflow.zoo import dscnn\ndef build(s, c): return dscnn.build(s, c)\n"})
    assert "edgeflow.zoo.dscnn" in reach.of("net.py:build", tmp_path).own


@pytest.mark.parametrize(
    "content", [b"def build(:\n", b"\xff\xfe", b"a\0b", b"(" * 3000 + b")" * 3000, b"1" + b"+1" * 4000]
)
def test_a_source_that_cannot_be_told_counts_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "net.py"
    file.write_bytes(content)
    before = reach.of("net.py:build", tmp_path).code
    file.write_bytes(content + b"\n# more\n")
    assert reach.of("net.py:build", tmp_path).code != before
    file.unlink()
    assert reach.of("net.py:build", tmp_path).code


@settings(deadline=None)
@given(st.text(alphabet="abn_ :=()[]{}.,*@'\"#\n\t0\\", max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name, "net.py").write_text(text)
        reach.of("net.py:build", Path(name))
        reach.fault("net.py:build", Path(name))


MODULES = ("net", "a", "b")
STYLES = (  # how one module uses a function of another: import statement, expression
    ("from .{module} import {name}", "{name}()"),
    ("from .{module} import {name} as other_{name}", "other_{name}()"),
    ("from . import {module}", "{module}.{name}()"),
    ("import nets.{module}", "nets.{module}.{name}()"),
    ("from nets.{module} import {name}", "{name}()"),
)


@st.composite
def programs(draw: st.DrawFn) -> tuple[dict[str, str], set[int], int]:
    """Functions of three modules that call each other: the files, which of them `build` calls in the end, how many."""
    count = draw(st.integers(2, 8))
    places = [draw(st.sampled_from(MODULES)) for _ in range(count)]
    calls = {
        i: draw(st.sets(st.integers(i + 1, count - 1), max_size=3)) if i + 1 < count else set() for i in range(count)
    }
    top: dict[str, list[str]] = {name: [] for name in MODULES}
    bodies: dict[str, list[str]] = {name: [] for name in MODULES}
    for i in range(count):
        terms, inside = [f"CONSTANT_{i}", f"7{i}00"], []
        for j in sorted(calls[i]):
            statement, expression = "", f"f{j}()"
            if places[j] != places[i]:
                statement, expression = (
                    part.format(module=places[j], name=f"f{j}") for part in draw(st.sampled_from(STYLES))
                )
                (inside if draw(st.booleans()) else top[places[i]]).append(statement)
            terms.append(expression)
        lines = [f"    {line}\n" for line in inside]
        bodies[places[i]] += [f"CONSTANT_{i} = 1\n", f"def f{i}():\n", *lines, f"    return {' + '.join(terms)}\n"]
    first = draw(st.integers(0, count - 1))
    bodies["net"].append(
        f"def build(shape, classes):\n    from nets import {places[first]}\n    return {places[first]}.f{first}()\n"
    )
    reached, todo = set(), [first]
    while todo:
        if (i := todo.pop()) not in reached:
            reached.add(i)
            todo += calls[i]
    return {f"nets/{name}.py": "\n".join(top[name]) + "\n" + "".join(bodies[name]) for name in MODULES}, reached, count


@settings(deadline=None, max_examples=60)
@given(programs())
def test_reach_is_what_is_called_and_nothing_else(program: tuple[dict[str, str], set[int], int]) -> None:
    files, reached, count = program
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, files)
        before = reach.of("nets/net.py:build", folder).code
        for edited in range(count):
            for old, new in ((f"CONSTANT_{edited} = 1", f"CONSTANT_{edited} = 2"), (f" 7{edited}00", f" 7{edited}01")):
                write(folder, {path: text.replace(old, new) for path, text in files.items()})
                assert (reach.of("nets/net.py:build", folder).code != before) == (edited in reached)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nets/net.py:small", ""),
        ("nets.net:small", ""),
        ("nets/none.py:build", "nets/none.py: no such file; paths start at the project folder"),
        ("nets/net.py:smal", "nets/net.py: does not define 'smal'; it defines Base, Small, helper, large, small"),
        ("nets/broken.py:build", "nets/broken.py:4: SyntaxError: invalid syntax"),
        ("nets/uses_broken.py:build", "nets/broken.py:4: SyntaxError: invalid syntax"),
        ("nets/star.py:build", ""),
        ("nets/tricks.py:build", ""),
        ("edgeflow.zoo.dscnn:build", ""),
        ("edgeflow.zoo.nowhere:build", "edgeflow.zoo.nowhere:build: there is no module edgeflow.zoo.nowhere"),
        ("timm.models:create_model", ""),  # the toolchain knows
    ],
)
def test_what_is_wrong_with_a_builder(
    nets: Path, reference: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(nets, {
        "nets/broken.py": "x = 1\n\ndef build(shape, classes):\n    return x y\n",
        "nets/uses_broken.py": "from .broken import x\ndef build(shape, classes): return x\n",
        "nets/star.py": "from .blocks import *\n",
        "nets/tricks.py": "globals()['build'] = print\n",
    })  # fmt: skip
    monkeypatch.chdir(nets)
    assert reach.fault(reference) == message
