"""Published states: what old PyTorch left out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from restauro.errors import ModelError
from restauro.nets.layers.published import fit_published


def test_states_from_before_batches_were_counted_fit_in_full():
    torch.manual_seed(0)
    trained = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    trained(torch.rand(5, 3, 8, 8))  # moves the running statistics, and counts a batch
    state = {f"module.{key}": value for key, value in trained.state_dict().items() if "num_batches" not in key}
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    net.load_state_dict(fit_published(state, net))
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(net.eval()(x), trained.eval()(x))
    assert int(net[1].num_batches_tracked) == 0
    del state["module.1.running_var"]
    with pytest.raises(ModelError, match=r"found 1 missing \(1\.running_var\)"):
        fit_published(state, net)
