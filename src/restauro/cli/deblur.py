"""``restauro deblur``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from restauro.cli.files import each_picture
from restauro.cli.options import EngineOptions, FileOptions, Inputs
from restauro.errors import UsageError
from restauro.models import find
from restauro.picture import Picture, read
from restauro.restore.outcome import Outcome, Progress

if TYPE_CHECKING:
    from restauro.deconvolution.deconvolve import DeconvolutionSettings
    from restauro.degrade.kernel_files import Taps


def deblur(
    *inputs: Inputs,
    model: Annotated[str | None, Parameter(name=["--model", "-m"])] = None,
    kernel: str | None = None,
    method: Literal["wiener", "richardson-lucy"] | None = None,
    balance: float | None = None,
    iterations: int | None = None,
    linear_light: bool = False,
    kernel_size: int | None = None,
    strength: float = 1.0,
    mask: str | None = None,
    files: FileOptions = FileOptions(),
    engine: EngineOptions = EngineOptions(),
) -> int:
    """Take blur out of pictures: by a model, or by a kernel, known or estimated.

    A kernel is what a point of light became, and is taken as true. It is a small grey picture, rows of numbers in a
    .txt, a .npy, or FILE.npz:NAME; its middle is where the point was. --kernel estimate finds it in the picture, where
    one blur lies over all of it (a shaken camera).

    Examples:

    restauro deblur shaken.jpg

    restauro deblur shaken.jpg --kernel estimate

    restauro deblur shaken.jpg --kernel kernel.png --method richardson-lucy --iterations 40

    restauro deblur album/ -o sharp/ --strength 0.7

    Parameters
    ----------
    inputs
        Files, folders, globs, or - for stdin.
    model
        A model's name (see: restauro models list) or the path of a .safetensors file; without it deblur-general.
    kernel
        The file of a kernel, or estimate; then no model is used.
    method
        With a kernel: wiener (without it; one linear filter) or richardson-lucy (iterations, slower).
    balance
        Of wiener: more is smoother, less is sharper and noisier; without it 0.01.
    iterations
        Of richardson-lucy: more is sharper and noisier; without it 30.
    linear_light
        With a kernel: the blur was of light, as in a camera, and not of sRGB values.
    kernel_size
        Of an estimated kernel: its side in pixels, odd, somewhat larger than the blur is long; without it 25.
    strength
        0 = the input bit for bit, 1 = all that is proposed.
    mask
        A grey picture of the same size: white is deblurred, black stays as it is.
    """
    settings = _deconvolution(kernel, method, balance, iterations, linear_light, kernel_size)
    if kernel is not None and model is not None:
        raise UsageError("deblur: found --model and --kernel, wanted one of them; leave the other out")
    weights = find(model or "deblur-general") if kernel is None else None
    taps = None if kernel is None else _taps(kernel)
    area = read(mask) if mask else None
    run = engine.settings()

    def change(picture: Picture, progress: Progress) -> Outcome:
        from restauro.restore.verbs import deblur as deblur_picture

        return deblur_picture(
            picture,
            weights,
            kernel=taps,
            deconvolution=settings,
            strength=strength,
            mask=area,
            engine=run,
            progress=progress,
        )

    return each_picture(inputs, files, made="deblurred", change=change)


def _taps(kernel: str) -> str | Taps:
    from restauro.degrade.kernel_files import read_kernel
    from restauro.restore.by_kernel import ESTIMATE

    return kernel if kernel == ESTIMATE else read_kernel(kernel)


def _deconvolution(
    kernel: str | None,
    method: str | None,
    balance: float | None,
    iterations: int | None,
    linear_light: bool,
    kernel_size: int | None,
) -> DeconvolutionSettings | None:
    """The settings of deconvolution; an option that would do nothing is refused."""
    if kernel is None:
        given = {"--method": method, "--balance": balance, "--iterations": iterations, "--linear-light": linear_light}
        given |= {"--kernel-size": kernel_size}
        for option, value in given.items():
            if value:
                raise UsageError(f"{option}: found no --kernel beside it, wanted one; name the kernel, or leave it out")
        return None
    from restauro.deconvolution.deconvolve import DeconvolutionSettings
    from restauro.restore.by_kernel import ESTIMATE

    if method == "richardson-lucy" and balance is not None:
        raise UsageError("--balance: found richardson-lucy, wanted wiener; leave one of them out, or use --iterations")
    if method != "richardson-lucy" and iterations is not None:
        raise UsageError("--iterations: found wiener, wanted richardson-lucy; add --method richardson-lucy")
    if kernel != ESTIMATE and kernel_size is not None:
        raise UsageError("--kernel-size: found a kernel that is known, wanted --kernel estimate; leave one of them out")
    default = DeconvolutionSettings()
    return DeconvolutionSettings(
        "richardson-lucy" if method == "richardson-lucy" else "wiener",
        default.balance if balance is None else balance,
        default.iterations if iterations is None else iterations,
        linear_light,
        default.size_px if kernel_size is None else kernel_size,
    )
