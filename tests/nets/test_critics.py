"""PatchGAN: the counts, the 70-pixel patch, the two ways of asking."""

from __future__ import annotations

import pytest
import torch

from restauro.errors import SettingError
from restauro.nets.critics import PatchCritic


@pytest.fixture(autouse=True)
def _one_thread():
    """Small networks: on a busy machine threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("conditional", "count"), [(True, 2_768_705), (False, 2_765_633)])
def test_published_sizes(conditional: bool, count: int):
    with torch.device("meta"):
        critic = PatchCritic(conditional)
    assert sum(p.numel() for p in critic.parameters()) == count


@pytest.mark.parametrize(("layers", "patch"), [(2, 34), (3, 70)])
def test_one_logit_sees_one_patch(layers: int, patch: int):
    torch.manual_seed(0)
    critic = PatchCritic(conditional=False, width=2, layers=layers).eval()
    for p in critic.parameters():
        p.data = p.data.abs() + 0.01
    x = torch.rand(1, 3, 128, 128, requires_grad=True)
    logits = critic(x)
    middle = logits.shape[2] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], x)
    touched = gradient[0].abs().sum(0).nonzero()
    assert (touched.amax(0) - touched.amin(0) + 1).tolist() == [patch, patch]


def test_a_conditional_critic_looks_at_both():
    torch.manual_seed(0)
    critic = PatchCritic(width=4).eval()
    a, b, c = torch.rand(3, 2, 3, 64, 64)
    assert critic(a, b).shape == (2, 1, 6, 6)
    assert not torch.equal(critic(a, b), critic(c, b))
    assert not torch.equal(critic(a, b), critic(a, c))


def test_it_learns_to_tell_two_pictures_apart():
    torch.manual_seed(0)
    critic = PatchCritic(conditional=False, width=4)
    real, fake = torch.rand(2, 3, 32, 32), torch.full((2, 3, 32, 32), 0.5)
    optimiser = torch.optim.Adam(critic.parameters(), 2e-3, (0.5, 0.999))
    for _ in range(12):
        right, wrong = critic(real), critic(fake)
        loss = torch.nn.functional.softplus(-right).mean() + torch.nn.functional.softplus(wrong).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(right.detach().mean()) > float(wrong.detach().mean()) + 1


def test_wrong_use_is_named():
    x = torch.rand(1, 3, 64, 64)
    with pytest.raises(SettingError, match="source: found 'nothing', wanted the source"):
        PatchCritic(width=2)(x)
    with pytest.raises(SettingError, match="source: found 'a tensor', wanted a picture alone"):
        PatchCritic(conditional=False, width=2)(x, x)
    with pytest.raises(SettingError, match="layers: found 0"):
        PatchCritic(layers=0)
    with pytest.raises(SettingError, match="width: found 0"):
        PatchCritic(width=0)
