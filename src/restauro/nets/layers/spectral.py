"""A convolution divided by the largest singular value of its weight (Miyato et al. 2018).

Written out, because the one of ``torch.nn.utils`` leaves a network that cannot be copied once it has run in training.
The state keeps the published names (``weight_orig``, ``weight_u``, ``weight_v``), so that published weights fit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, normalize
from torch.nn.utils import parametrize


class SpectralConv2d(nn.Module):
    """conv2d with the weight W / (u^T W v), where u and v follow the leading singular vectors of W [C_out, C_in k^2].

    In training each call first takes one step of the power iteration (v = W^T u, u = W v, both to unit length);
    in evaluation u and v stay as they are stored.

    Parameters
    ----------
    c_in, c_out, kernel_px, stride, padding, bias
        As of ``nn.Conv2d``.

    Examples
    --------
    >>> layer = SpectralConv2d(3, 8, 3, padding=1)
    >>> sorted(layer.state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    >>> for _ in range(500):
    ...     y = layer(torch.zeros(1, 3, 4, 4))
    >>> round(torch.linalg.matrix_norm(layer.weight().flatten(1), 2).item(), 3)
    1.0
    """

    def __init__(
        self, c_in: int, c_out: int, kernel_px: int, stride: int = 1, padding: int = 0, bias: bool = True
    ) -> None:
        super().__init__()
        like = nn.Conv2d(c_in, c_out, kernel_px, stride, padding, bias=bias)
        self.stride, self.padding = stride, padding
        self.weight_orig = nn.Parameter(like.weight.detach())
        self.bias = like.bias
        self.weight_u: Tensor
        self.weight_v: Tensor
        self.register_buffer("weight_u", normalize(torch.randn(c_out), dim=0))
        self.register_buffer("weight_v", normalize(torch.randn(c_in * kernel_px**2), dim=0))

    def weight(self) -> Tensor:
        """The weight that is used, [C_out, C_in, k, k]."""
        # Sums, not matrix products: autocast would take those in bfloat16, where sigma is a percent off.
        rows = (self.weight_orig.flatten(1) * self.weight_v.clone()).sum(1)
        return self.weight_orig / (rows * self.weight_u.clone()).sum()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [N, C_in, H, W]."""
        if self.training:
            self._follow()
        return conv2d(x, self.weight(), self.bias, self.stride, self.padding)

    @torch.no_grad()
    def find_spectrum(self, steps: int = 15) -> None:
        """Bring u and v near the leading singular vectors, so that a network that never trained can be used too."""
        if self.weight_orig.is_meta:
            return  # without values there is no spectrum, and the steps are slow to simulate
        for _ in range(steps):
            self._follow()

    @torch.no_grad()
    def _follow(self) -> None:
        matrix = self.weight_orig.flatten(1)
        self.weight_v.copy_(normalize((matrix * self.weight_u[:, None]).sum(0), dim=0))
        self.weight_u.copy_(normalize((matrix * self.weight_v).sum(1), dim=0))


@torch.no_grad()
def find_spectra(net: nn.Module, steps: int = 60) -> None:
    """Bring every spectral norm of a network, of either make, to the weights that the network has now.

    Weights that were averaged need it: the mean of u at different steps has no unit length and belongs to no weight,
    and a convolution divided by its u^T W v can be many times too strong. Steps are many, for an optimiser that makes
    all singular values alike (Muon) leaves the power iteration little to go by.

    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 8, 3))
    >>> layer.parametrizations.weight.original.data *= 7
    >>> find_spectra(layer)
    >>> round(torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item(), 2)
    1.0
    """
    for module in net.modules():
        if isinstance(module, SpectralConv2d):
            module.find_spectrum(steps)
        elif parametrize.is_parametrized(module):
            was = module.training
            module.train()  # in which torch's own takes a step at each look
            for name in module.parametrizations:  # type: ignore[union-attr]
                for _ in range(steps):
                    getattr(module, name)
            module.train(was)
