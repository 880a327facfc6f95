from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from restauro import __version__
from restauro.cli import main as cli


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in cli.VERBS:
        assert f"\n  {verb} " in text


def test_no_verb_is_bad_usage(capsys: pytest.CaptureFixture[str]):
    assert cli.main([]) == 2


def test_version(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"restauro {__version__}\n"


@pytest.mark.parametrize("metrics", ["", " --metrics psnr,grid"])
def test_the_command_of_a_table_gives_its_columns(metrics: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Image.new("RGB", (16, 16), "teal").save(tmp_path / "a.png")
    command = f"restauro evaluate --restored {tmp_path} --truth {tmp_path}{metrics}"
    assert cli.main(command.split()[1:]) == 0
    assert f"- command: {command}\n" in capsys.readouterr().out


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_every_verb_has_help_with_its_parameters(verb: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"restauro {verb}" in text
    if verb != "completion":
        assert "Example" in text or verb == "demo"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["desmoth", "x"], "did you mean 'desmooth'?"),
        (["desmooth", "--no-such-option", "x.png"], "no-such-option"),
        (["desmooth", "x.png", "--strength", "strong"], "strong"),
        (["desmooth"], "found nothing, wanted files"),
        (["desmooth", "x.png", "--model", "desmooth-genral"], "'desmooth-general' perhaps"),
        (["desmooth", "x.png", "--memory", "lots"], "--memory: found 'lots'"),
        (["smooth", "x.png", "--set", "lam"], "wanted name=value"),
        (["models", "show"], "wanted a model's name"),
        (["completion", "tcsh"], "wanted bash, zsh or fish"),
        (["train", "none.toml", "--root", "."], "none.toml"),
        (["evaluate"], "wanted either"),
    ],
)
def test_bad_usage_is_one_line_and_not_zero(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(argv) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.startswith("restauro: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_verbs(shell: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "desmooth" in script
    assert "--strength" in script or "strength" in script


def test_a_closed_pipe_is_no_traceback():
    code = "import sys; from restauro.cli.main import main; sys.exit(main(['--help']))"
    ran = subprocess.run(
        f"'{sys.executable}' -c \"{code}\" | true", shell=True, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in ran.stderr


def test_help_of_smooth_lists_every_filter(capsys: pytest.CaptureFixture[str]):
    from restauro.smooth.catalogue import METHODS

    cli.main(["smooth", "--help"])
    words = capsys.readouterr().out.replace("│", " ").replace(",", " ").replace(".", " ").split()
    assert set(METHODS) <= set(words)


def test_help_of_degrade_lists_every_law(capsys: pytest.CaptureFixture[str]):
    from restauro.degrade.laws import LAWS

    cli.main(["degrade", "--help"])
    words = capsys.readouterr().out.replace("│", " ").replace(",", " ").replace(".", " ").split()
    assert set(LAWS) <= set(words)
