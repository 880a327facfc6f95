from __future__ import annotations

import pytest
import torch
from torch import nn

from restauro.errors import SettingError
from restauro.nets.layers.cbam import CBAM


def test_equals_the_equations_written_out():
    torch.manual_seed(0)
    attention = CBAM(32, "batch").eval()
    attention.norm.running_mean.fill_(0.1)
    attention.norm.running_var.fill_(2.0)
    v = torch.randn(2, 32, 9, 7)
    with torch.no_grad():
        rows = v.flatten(2)
        hidden = [torch.relu(attention.mlp[0](pooled)) for pooled in (rows.mean(2), rows.max(2).values)]
        gated = v * torch.sigmoid(sum(attention.mlp[2](h) for h in hidden))[:, :, None, None]
        maps = torch.stack([gated.max(1).values, gated.mean(1)], dim=1)
        logits = (nn.functional.conv2d(maps, attention.spatial.weight, padding=3) - 0.1) / (2 + 1e-5) ** 0.5
        torch.testing.assert_close(attention(v), gated * torch.sigmoid(logits))


def test_counts():
    """64 channels: 64 * 4 + 4 + 4 * 64 + 64 for the MLP, 98 for the 7x7, 2 for the norm."""
    assert [sum(p.numel() for p in CBAM(64, norm).parameters()) for norm in ("frozen", "batch", "none")] == [
        680,
        680,
        678,
    ]


def test_frozen_norm_has_no_memory_and_a_picture_is_the_same_alone_and_in_a_batch():
    torch.manual_seed(0)
    v = torch.randn(3, 16, 5, 5) + 1
    frozen = CBAM(16, "frozen").train()
    before = {key: value.clone() for key, value in frozen.state_dict().items()}
    torch.testing.assert_close(frozen(v)[:1], frozen(v[:1]))
    assert all(torch.equal(before[key], value) for key, value in frozen.state_dict().items())
    batch = CBAM(16, "batch").train()
    assert not torch.allclose(batch(v)[:1], batch(v[:1]), atol=1e-4)


def test_unknown_norm_is_named():
    with pytest.raises(SettingError, match="norm: found 'instance'"):
        CBAM(16, "instance")
