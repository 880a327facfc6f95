from __future__ import annotations

import torch
import torch.nn.functional as F

from restauro.nets.layers.symmetry import self_ensemble, turned, turned_back


def test_the_eight_views_differ_and_each_is_undone():
    x = torch.arange(2 * 3 * 3).reshape(1, 2, 3, 3).float()
    views = [turned(x, view) for view in range(8)]
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8
    oblong = torch.rand(2, 3, 4, 7)
    for view in range(8):
        assert torch.equal(turned_back(turned(oblong, view), view), oblong)


def test_ensemble_makes_any_network_equivariant():
    kernel = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def net(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, kernel, padding=1).tanh()

    x = torch.rand(1, 3, 5, 8, dtype=torch.float64)
    once = self_ensemble(net, x)
    assert not torch.allclose(net(turned(x, 5)), turned(net(x), 5))
    for view in range(8):
        torch.testing.assert_close(self_ensemble(net, turned(x, view)), turned(once, view))
