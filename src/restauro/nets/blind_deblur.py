"""A deblurrer that sees the whole picture's blur: a small network on classical deconvolutions.

No paper's, ours. A network of a few million parameters that sees 128 pixels cannot tell how the camera shook; the
whole picture can (:mod:`restauro.deconvolution.blind`). So the kernel is estimated first, the picture deconvolved with
it twice, boldly and safely, and the U-Net of pix2pix gets all three pictures and how credible the estimate is. It
learns to take detail where it is sound, to leave ringing and noise behind, and to leave alone what has no blur or
several.

What it adds passes a gate that closes where it is about as faint as noise, and a picture whose edges are as steep as a
sharp one's stays as it is.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from restauro.deconvolution.planes import PLANES, REACH_PX, Deconvolution
from restauro.errors import SettingError
from restauro.facts import Facts
from restauro.nets.desmoothgan import Pix2Pix

GATE_PX = 31


class BlindDeblur(nn.Module):
    """Input plus a correction, learnt from the input and its deconvolutions.

    Parameters
    ----------
    width
        Channels after the first convolution of the U-Net.
    downs
        Its halvings; sides of the input must be divisible by ``2 ** downs``.
    quiet_levels
        A correction whose root mean square in a window of 31 px is this many levels of 255 is halved, a fainter one
        reduced more, a stronger one less: times (e + q^2 / 100) / (e + q^2) with its mean square e. 0: no gate.

    Examples
    --------
    >>> x = torch.rand(1, 3, 32, 64)
    >>> bool((BlindDeblur(8)(x) == x).all())  # untrained: the identity
    True
    """

    def __init__(self, width: int = 40, downs: int = 5, quiet_levels: float = 2.0) -> None:
        super().__init__()
        if not 0 <= quiet_levels <= 255:
            raise SettingError("quiet_levels", quiet_levels, "0 (no gate) to 255")
        self.quiet_levels = quiet_levels
        self.body = Pix2Pix(width, downs, norm="none", residual=True)
        self.body.down[0] = nn.Conv2d(3 + PLANES, width, 4, stride=2, padding=1)
        self.known: Deconvolution | None = None
        self.notes: tuple[str, ...] = ()
        self.facts = Facts(
            multiple=2**downs,
            halo_px=REACH_PX + self.body.facts.halo_px + GATE_PX // 2,
            global_statistics=True,
            looks_first=True,
            precisions=("bfloat16", "float32"),
            bytes_per_px=self.body.facts.bytes_per_px + 60,  # measured: 311 at width 32 and 1024 x 1024
        )

    def forward(self, x: Tensor) -> Tensor:
        """Deblur x [N, 3, H, W], 0..1, to the same shape; not clipped.

        In training x is [N, 3 + 8, H, W]: crops, with the planes of the pictures that they were cut from.
        """
        if x.shape[1] == 3:
            if self.known is not None and not self.known.blurred:
                return x
            planes, blurred = self.looked(x)
            deblurred: Tensor = self(torch.cat([x, planes], dim=1))
            return x + blurred * (deblurred - x)
        correction: Tensor = self.body.head(self.body.decode(x).relu()).float()
        return x[:, :3] + self._gated(correction)

    def looked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What :class:`restauro.deconvolution.planes.Deconvolution` has to say of each picture [N, 3, H, W].

        Its planes [N, 8, H, W], and whether the picture is blurred at all, [N, 1, 1, 1] in 0..1.
        """
        planes, blurred = [], []
        for pixels in x.detach().float().permute(0, 2, 3, 1).cpu().contiguous().numpy():
            known = self.known or Deconvolution(pixels)
            planes.append(known.planes(pixels))
            blurred.append(known.blurred)
        return torch.from_numpy(np.stack(planes)).permute(0, 3, 1, 2).to(x), x.new_tensor(blurred)[:, None, None, None]

    def for_use(self) -> nn.Module:
        """The copy that the engine runs."""
        quick = copy.deepcopy(self)
        body = self.body.for_use()
        assert isinstance(body, Pix2Pix)
        quick.body = body
        return quick.eval()

    def seeing(self, x: Tensor, tile_px: int) -> nn.Module:
        """For tiles of the picture x [1, 3, H, W]: its kernel, estimated once."""
        seen = copy.copy(self)
        seen.known = Deconvolution(x[0].float().permute(1, 2, 0).cpu().contiguous().numpy())
        seen.notes = (str(seen.known),)
        seen.facts = replace(self.facts, global_statistics=False, looks_first=False)
        return seen

    def _gated(self, correction: Tensor) -> Tensor:
        if not self.quiet_levels:
            return correction
        power = correction.square().mean(dim=1, keepdim=True)
        around = nn.functional.avg_pool2d(power, GATE_PX, 1, GATE_PX // 2, count_include_pad=False)
        quiet = (self.quiet_levels / 255) ** 2
        return correction * ((around + quiet / 100) / (around + quiet))  # never shut, or nothing would ever be learnt
