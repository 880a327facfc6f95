"""What the documents promise: the two commands, links that lead somewhere, code that parses, one version."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import restauro

ROOT = Path(__file__).resolve().parents[1]
DEMO = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/restauro demo"
TEST = 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest'

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|<(?:img|source|a)\b[^>]*\b(?:src|srcset|href)=\"([^\"]+)\""
)


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links(text: str) -> list[str]:
    """Relative targets of a page's links and pictures, without anchors; code is left out."""
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    targets = [a or b for a, b in LINK.findall(text)]
    return [t.split("#")[0] for t in targets if t.split("#")[0] and not re.match(r"[a-z][a-z0-9+.-]*:", t)]


def python_blocks(text: str) -> list[str]:
    """Source of a page's Python blocks; of a ``>>>`` session, what is typed."""
    blocks = [code for language, code in FENCE.findall(text) if language in ("python", "py", "pycon")]
    return [
        "".join(example.source for example in doctest.DocTestParser().get_examples(code)) if ">>>" in code else code
        for code in blocks
    ]


def test_the_readme_sets_up_with_exactly_two_commands() -> None:
    lines = [line.strip() for _, code in FENCE.findall(read("README.md")) for line in code.splitlines()]
    assert [line for line in lines if "-m venv" in line] == [DEMO, TEST]


def test_ci_runs_the_readmes_test_command() -> None:
    assert TEST in [line.strip() for line in read(".ci/run").splitlines()]


@pytest.mark.parametrize("failing", ["python3", "pip", "pytest", "ruff", "mypy", None])
def test_ci_fails_when_a_step_fails(tmp_path: Path, failing: str | None) -> None:
    bin_folder = tmp_path / ".venv" / "bin"  # from an earlier run, so that later steps could go on
    bin_folder.mkdir(parents=True)
    for tool in ("python3", "pip", "pytest", "ruff", "mypy"):
        stub = bin_folder / tool
        stub.write_text(f"#!/bin/sh\nexit {int(tool == failing)}\n")
        stub.chmod(0o755)
    done = subprocess.run(
        ["bash", ROOT / ".ci" / "run"],
        cwd=tmp_path,
        env={"PATH": f"{bin_folder}:/usr/bin:/bin"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode != 0) == (failing is not None)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [target for target in links(page.read_text("utf-8")) if not (page.parent / target).exists()]
    assert not missing, f"{name_of(page)} links to what is not there: {', '.join(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_parse(page: Path) -> None:
    for block in python_blocks(page.read_text("utf-8")):
        assert ast.parse(block, filename=name_of(page)).body, "a statement at least"


def test_links_and_blocks_are_found() -> None:
    page = (
        'See [a](docs/a.md#top), ![b](b.png "B"), [c](https://example.org), `[e](f)` '
        'and <img width="9" src="d.png">.\n'
        "```python\n>>> 1 +\\\n...   1\n2\n```\n```\n[g](h)\n```\n"
    )
    assert links(page) == ["docs/a.md", "b.png", "d.png"]
    assert [ast.unparse(ast.parse(block)) for block in python_blocks(page)] == ["1 + 1"]


def test_one_version_everywhere() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert restauro.__version__ == version
    assert re.findall(r'^version: "?([^"\n]+)', read("CITATION.cff"), re.MULTILINE) == [version]
    assert f"## [{version}]" in read("CHANGELOG.md")


def test_constraints_are_names_and_versions_only() -> None:
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    odd = [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)]
    assert not odd, f"not name==version: {odd}"
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(names)
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    missing = {re.split(r"[^A-Za-z0-9-]", need)[0].lower() for need in wanted} - set(names)
    assert not missing, f"constraints.txt has no version of {missing}; renew it (CONTRIBUTING.md)"
