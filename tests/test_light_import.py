"""``import restauro`` and ``restauro --help`` answer at once: no torch, no codec, no compiler is loaded."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest

from restauro.cli.main import VERBS

HEAVY = ("torch", "numpy", "scipy", "numba", "skimage", "pyvips", "PIL")

HELP_SECONDS = 0.3
# A shared CI machine runs the same code up to twice as slowly as a desk; the promise is about the desk.
SLACK = 2 if os.environ.get("CI") else 1

HELP = """
import sys
sys.argv = ["restauro", "--help"]
from restauro.cli.main import main
try:
    code = main()
except SystemExit as end:
    code = end.code
"""

HELP_ON_VERBS = """
from restauro.cli.main import VERBS, main
for verb in VERBS:
    assert main([verb, "--help"]) == 0, verb
"""

MISSING = """
from restauro.cli.main import main
for verb in (["smooth"], ["desmooth"], ["deblur"], ["renovate"], ["degrade", "l0"]):
    assert main([*verb, "no-such-picture.jpg"]) == 2, verb
    assert main([*verb, "no-such-picture.jpg", "--dry-run"]) == 0, verb
"""


def run(code: str) -> tuple[str, float]:
    """Output and user CPU seconds of a fresh interpreter that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert done.returncode == 0, done.stderr
    return done.stdout, seconds


def heavy_modules_after(code: str) -> list[str]:
    listing = f"\nimport json, sys; print('\\n' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    return json.loads(run(code + listing)[0].splitlines()[-1])


def test_the_check_sees_a_heavy_module() -> None:
    assert heavy_modules_after("import numpy") == ["numpy"]


@pytest.mark.parametrize(
    "code",
    ["import restauro", "import restauro.errors", "import restauro.facts", "import restauro\ndir(restauro)"],
)
def test_import_is_light(code: str) -> None:
    assert heavy_modules_after(code) == []


def test_help_is_light_and_says_how_to_use_it() -> None:
    output, _ = run(HELP + "sys.exit(code)")
    assert "Usage: restauro" in output
    assert heavy_modules_after(HELP) == []


def test_help_on_a_verb_loads_no_rooms() -> None:
    """Each in a fresh interpreter would take seconds; after all of them nothing heavy may be there."""
    output, _ = run(HELP_ON_VERBS)
    assert output.count("Usage: restauro") == len(VERBS)
    assert set(heavy_modules_after(HELP_ON_VERBS)) <= {"numpy"}


def test_a_missing_picture_is_told_without_loading_torch() -> None:
    assert set(heavy_modules_after(MISSING)) <= {"numpy"}


def test_help_is_quick() -> None:
    best = min(run(HELP)[1] for _ in range(3))
    assert best < HELP_SECONDS * SLACK, f"restauro --help took {best:.2f} s of CPU, the promise is {HELP_SECONDS} s"
