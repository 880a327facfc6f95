"""The shape of the house: imports point down, files stay small, the library does not print or name machines.

The picture that ``ARROWS`` spells out:

    cli, web -> batch -> restore, metrics, train -> models -> nets, smooth, degrade -> (torch)
    leaves, open to all: picture and labels (with codecs), errors, facts, axes, sheet
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from restauro import _WHERE as LAZY_NAMES

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "restauro"
MAX_LINES = 450

LEAVES = {"axes", "picture", "codecs", "errors", "facts", "labels", "sheet"}
BOTTOM = {"nets", "smooth", "degrade", "deconvolution"}
BELOW_RESTORE = LEAVES | BOTTOM | {"models", "weights"}

# Room -> the rooms it may import, besides itself. A new room gets a line here, and the reviewer a question.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "axes": set(),
    "facts": {"errors"},
    "codecs": {"errors"},
    "picture": {"codecs", "errors"},
    "sheet": {"errors"},
    "labels": {"codecs", "errors"},
    "weights": {"errors"},
    "nets": {"errors", "facts", "deconvolution"},
    "smooth": {"errors", "facts"},
    "degrade": {"errors", "facts", "smooth"},
    "deconvolution": {"errors", "degrade"},
    "models": LEAVES | BOTTOM | {"weights"},
    "metrics": BELOW_RESTORE,
    "train": BELOW_RESTORE | {"metrics"},
    "restore": BELOW_RESTORE | {"metrics"},
    "batch": BELOW_RESTORE | {"metrics", "train", "restore"},
    "cli": BELOW_RESTORE | {"metrics", "train", "restore", "batch"},
    "web": BELOW_RESTORE | {"metrics", "train", "restore", "batch"},
}
LAZY_ENTRY = re.compile(r"restauro(?:\.\w+)+:\w+")
STANDARD_LIBRARY_ONLY = {"errors", "facts"}


@dataclass(frozen=True)
class Import:
    """One imported module, and the line that imports it."""

    module: str
    line: int


def room_of(module: str) -> str:
    """The room of a dotted name: ``restauro.nets.layers.norm`` is in ``nets``; ``restauro`` is in none."""
    return module.partition(".")[2].partition(".")[0]


def module_of(file: Path, src: Path) -> str:
    parts = ["restauro", *file.relative_to(src).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """Every import of a file, inside functions too, except what stands under ``if TYPE_CHECKING:``.

    ``from restauro import X`` is an import of the place X comes from: a room, or what the lazy table says.
    ``import_module("restauro.x")`` and a ``"restauro.x:name"`` in a lazy table count as well.
    """
    package = module if is_package else module.rpartition(".")[0]
    todo: list[ast.AST] = [ast.parse(source)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            todo.extend(node.orelse)
            continue
        todo.extend(ast.iter_child_nodes(node))
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(alias.name, node.lineno)
            case ast.ImportFrom():
                parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*parents, *([node.module] if node.module else [])])
                for alias in node.names:
                    name = LAZY_NAMES.get(alias.name, alias.name) if base == "restauro" else ""
                    if name != "__version__":
                        yield Import(f"{base}.{name}".rstrip("."), node.lineno)
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if ast.unparse(node.func).endswith(
                ("import_module", "__import__")
            ):
                yield Import(name, node.lineno)
            case ast.Constant(value=str(name)) if LAZY_ENTRY.fullmatch(name):
                yield Import(name.partition(":")[0], node.lineno)


def wrong_arrows(src: Path) -> list[str]:
    """One line for each import that points up or sideways: ``file:line: what; the rule``."""
    wrong = []
    for file in sorted(src.rglob("*.py")):
        module, where = module_of(file, src), file.relative_to(src.parent)
        room = room_of(module)
        if module == "restauro":
            continue  # the lazy table: names only
        if room not in ARROWS:
            wrong.append(f"{where}: the room {room!r} has no line in ARROWS; say there what it may import")
            continue
        allowed = ", ".join(sorted(ARROWS[room])) or "none of ours"
        for found in imports(file.read_text("utf-8"), module, is_package=file.name == "__init__.py"):
            top, target = found.module.split(".")[0], room_of(found.module)
            at = f"{where}:{found.line}"
            if top == "restauro" and target == "":
                wrong.append(f"{at}: imports the whole package; name the room (from restauro.picture import read)")
            elif top == "restauro" and target != room and target not in ARROWS[room]:
                wrong.append(f"{at}: {room} imports {target}; rule: {room} -> {allowed}")
            elif room in STANDARD_LIBRARY_ONLY and top != "restauro" and top not in sys.stdlib_module_names:
                wrong.append(f"{at}: {room} imports {top}; rule: {room} uses the standard library only")
    return wrong


def test_arrows_point_down() -> None:
    assert (SRC / "errors.py").exists(), f"nothing to check in {SRC}"
    wrong = wrong_arrows(SRC)
    assert not wrong, "imports that do not point down:\n  " + "\n  ".join(wrong)


def test_the_allowed_arrows_have_no_cycle() -> None:
    order = list(TopologicalSorter(ARROWS).static_order())  # raises CycleError
    assert set(order) == set(ARROWS), "ARROWS speaks of a room that has no line of its own"


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        (
            "nets/a.py",
            "import torch\n\ndef f():\n    from restauro.restore.engine import run\n",
            "a.py:4: nets imports restore",
        ),
        ("nets/layers/b.py", "from ...models import load", "b.py:1: nets imports models"),
        ("metrics/c.py", "from restauro import train", "c.py:1: metrics imports train"),
        ("smooth/d.py", "from restauro import read", "d.py:1: smooth imports picture"),
        ("restore/e.py", "import restauro.train.loop as loop", "e.py:1: restore imports train"),
        ("facts.py", "import torch", "facts.py:1: facts imports torch"),
        ("batch/g.py", "import restauro", "g.py:1: imports the whole package"),
        (
            "models.py",
            "from importlib import import_module\nimport_module('restauro.cli.main')",
            "models imports cli",
        ),
        ("models.py", "TABLE = {'unet': 'restauro.train.loop:train'}", "models.py:1: models imports train"),
        ("attic/h.py", "", "the room 'attic' has no line in ARROWS"),
    ],
)
def test_a_wrong_arrow_is_named(tmp_path: Path, file: str, source: str, complaint: str) -> None:
    target = tmp_path / "restauro" / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(source)
    (message,) = wrong_arrows(tmp_path / "restauro")
    assert complaint in message


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("degrade/a.py", "from restauro.smooth.l0 import l0\nfrom . import laws"),
        ("train/b.py", "from restauro.metrics.psnr import psnr\nfrom restauro import __version__"),
        (
            "nets/c.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from restauro.models import load",
        ),
        ("metrics/d.py", "from restauro.picture import read"),
    ],
)
def test_a_right_arrow_passes(tmp_path: Path, file: str, source: str) -> None:
    target = tmp_path / "restauro" / file
    target.parent.mkdir(parents=True)
    target.write_text(source)
    assert wrong_arrows(tmp_path / "restauro") == []


def test_files_stay_small() -> None:
    sizes = {file.relative_to(ROOT): len(file.read_text("utf-8").splitlines()) for file in SRC.rglob("*.py")}
    long = [f"{file}: {lines} lines" for file, lines in sizes.items() if lines > MAX_LINES]
    assert not long, f"over {MAX_LINES} lines; split by what changes together:\n  " + "\n  ".join(long)


def test_only_the_command_prints() -> None:
    printing = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in SRC.rglob("*.py")
        if room_of(module_of(file, SRC)) != "cli"
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing, "print() outside cli; return the value, or raise:\n  " + "\n  ".join(printing)


# Where packages come from, and folders of one machine. Written so that this file does not match itself.
MACHINES = re.compile(
    r"\b(?:pypi[.]org|pythonhosted[.]org|download[.]pytorch[.]org|deb[.]debian[.]org)\b"
    r"|(?<![\w./~])/(?:home|root|work|Users|opt)/\w"
)
TEXT = {".py", ".md", ".toml", ".txt", ".json", ".cff", ".yaml", ".yml", ".ini", ".cfg", ".sh", ".csv"}
ROOMS_WITH_TEXT = ["src", "tests", "benchmarks", "tools", "recipes", "results", "docs", ".ci"]


def test_no_file_names_a_machine() -> None:
    assert MACHINES.search("/".join(["see ", "home", "anna"]))
    files = [f for room in ROOMS_WITH_TEXT for f in (ROOT / room).rglob("*")] + list(ROOT.iterdir())
    named = [
        f"{file.relative_to(ROOT)}:{number}: {found.group(0)}"
        for file in files
        if file.is_file() and (file.suffix in TEXT or file.parent.name == ".ci")
        for number, line in enumerate(file.read_text("utf-8", errors="replace").splitlines(), 1)
        for found in MACHINES.finditer(line)
    ]
    assert not named, "a registry's host or a path of one machine:\n  " + "\n  ".join(named)
