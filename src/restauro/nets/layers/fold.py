"""Fold what training needs and use does not: spectral norm and batch norm become part of the weights."""

from __future__ import annotations

import copy
from itertools import pairwise

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(net: nn.Module) -> nn.Module:
    """Make a network for use: the same function to rounding, fewer operations, no gradients.

    Parameters
    ----------
    net
        Any network. It is not changed.

    Returns
    -------
    nn.Module
        A copy in evaluation mode. Spectral norm (and any other parametrisation) is applied to the weights once
        and for all; a batch norm that follows a convolution in an ``nn.Sequential`` is folded into it. The names of
        the state change with it: a folded network is not to be saved or trained.

    Examples
    --------
    >>> import torch
    >>> conv = torch.nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 8, 3))
    >>> net = nn.Sequential(conv, nn.BatchNorm2d(8)).eval()
    >>> x = torch.rand(1, 3, 8, 8)
    >>> torch.allclose(fold(net)(x), net(x), atol=1e-6)
    True
    >>> [type(module).__name__ for module in fold(net)]
    ['Conv2d', 'Identity']
    """
    net = copy.deepcopy(net).eval().requires_grad_(False)
    for module in list(net.modules()):
        if parametrize.is_parametrized(module):
            _settle(module)
    for module in net.modules():
        if isinstance(module, nn.Sequential):
            for index, (conv, norm) in enumerate(pairwise(list(module))):
                if isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d)) and isinstance(norm, nn.BatchNorm2d):
                    module[index] = fuse_conv_bn_eval(conv, norm, isinstance(conv, nn.ConvTranspose2d))
                    module[index + 1] = nn.Identity()
    return net.eval().requires_grad_(False)  # the new parts too


def _settle(module: nn.Module) -> None:
    """Make parametrised tensors plain parameters again.

    torch's own ``remove_parametrizations`` takes the tensor's property off the module's class, which a copied module
    shares with its original: that one would be broken.
    """
    values = {name: getattr(module, name).detach().clone() for name in module.parametrizations}  # type: ignore[union-attr]
    module.__class__ = type(module).__bases__[0]  # as torch does
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value))
