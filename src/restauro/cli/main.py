"""``restauro VERB ...``: find the verb, parse its arguments, turn errors into one line and an exit code.

The list of verbs is plain data and its help is plain text, so that ``restauro --help`` imports neither torch nor a
command-line library. A verb's module is imported when that verb is called.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from restauro import __version__
from restauro.errors import RestauroError, surprise

if TYPE_CHECKING:
    from cyclopts import App

#: verb -> (module:function, what it does in one line)
VERBS: dict[str, tuple[str, str]] = {
    "demo": (
        "restauro.cli.demo:demo",
        "smooth a photograph that comes with the installation, and restore it",
    ),
    "smooth": ("restauro.cli.smooth:smooth", "remove texture, keep structure"),
    "desmooth": ("restauro.cli.desmooth:desmooth", "give a smoothed picture its detail back"),
    "deblur": ("restauro.cli.deblur:deblur", "take blur out, by a model or by a known kernel"),
    "translate": ("restauro.cli.translate:translate", "turn label maps into pictures"),
    "renovate": ("restauro.cli.renovate:renovate", "renovate worn faces, in their pictures or aligned"),
    "explain": ("restauro.cli.explain:explain", "draw what a network does to a picture, and what its layers do"),
    "degrade": (
        "restauro.cli.degrade:degrade",
        "make a picture worse by a known law, and write down what was done",
    ),
    "inspect": (
        "restauro.cli.inspect:inspect",
        "estimate whether a picture was smoothed: by what, how strongly, where",
    ),
    "models": ("restauro.cli.models:models", "list the models, or show one: facts, terms, scores"),
    "check-data": ("restauro.cli.check_data:check_data", "look at the pictures of a recipe before training"),
    "train": ("restauro.cli.train:train", "train a network from a recipe and a folder of pictures"),
    "evaluate": (
        "restauro.cli.evaluate:evaluate",
        "score restored pictures, or a model on its validation pictures",
    ),
    "completion": ("restauro.cli.main:completion", "print a shell completion script"),
}

EPILOGUE = """\
Examples:
  restauro demo                                     astronaut, smoothed and restored, in ./restauro-demo
  restauro desmooth portrait.jpg                    writes portrait.desmoothed.jpg beside it
  restauro desmooth album/ -o restored/             a folder, mirrored
  restauro smooth cat.png --method l0 --set lam=0.05 -o flat.png
  cat in.png | restauro desmooth - > out.png

Help on a verb:  restauro VERB --help
Exit codes: 0 all done, 1 some pictures failed, 2 bad usage or nothing done."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(tokens)
        sys.stdout.flush()
        return code
    except RestauroError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("stopped; finished pictures are kept, nothing is half written")
        return 130
    except BrokenPipeError:
        # The reader went away (head, less): not an error of ours; keep the interpreter from flushing into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - a person never meets a traceback
        _complain(surprise(error))
        return 1


def _run(tokens: Sequence[str]) -> int:
    if not tokens or tokens[0] in ("-h", "--help", "help"):
        _say(_help())
        return 0 if tokens else 2
    if tokens[0] in ("-V", "--version"):
        _say(f"restauro {__version__}")
        return 0
    return _call(tokens[0], tokens[1:])


def completion(shell: str) -> int:
    """Print the completion script for a shell.

    Example: ``restauro completion bash > ~/.local/share/bash-completion/completions/restauro``

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from cyclopts import App

    whole = App(name="restauro", help_format="plaintext")
    for verb in VERBS:
        whole.command(_function(verb), name=verb)
    if shell not in ("bash", "zsh", "fish"):
        raise RestauroError(f"completion: found {shell!r}, wanted bash, zsh or fish")
    _say(whole.generate_completion(shell=shell))  # type: ignore[arg-type]
    return 0


def _call(verb: str, tokens: Sequence[str]) -> int:
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see restauro --help"
        _complain(f"{verb!r} is not a verb; {hint}")
        return 2
    from cyclopts import CycloptsError

    app = _app(verb)
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain(f"{verb}: {' '.join(str(error).split())} See restauro {verb} --help.")
        return 2
    result = command(*bound.args, **bound.kwargs)
    return result if isinstance(result, int) else 0


def _app(verb: str) -> App:
    from cyclopts import App, Parameter

    return App(
        name=f"restauro {verb}",
        default_command=_function(verb),
        default_parameter=Parameter(negative=()),  # --force has no --no-force
        help_format="plaintext",
        version_flags=(),
    )


def _function(verb: str) -> Callable[..., Any]:
    module, _, name = VERBS[verb][0].partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def _help() -> str:
    rows = "\n".join(f"  {verb:<11}{text}" for verb, (_, text) in VERBS.items())
    usage = "Usage: restauro VERB [OPTIONS]\n\nTakes detail out of pictures and puts it back."
    return f"{usage}\n\nVerbs:\n{rows}\n\n{EPILOGUE}"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"restauro: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
