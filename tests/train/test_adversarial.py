"""Adversarial training: the objectives against what is written in the papers, and the step against its promises."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

from restauro.errors import DataError, ModelError
from restauro.models import build, find, load, save_weights
from restauro.train import adversarial as adv
from restauro.train.loop import Training, train
from restauro.train.recipe import Recipe
from restauro.train.sections import AdversarialSection, CriticSection
from tests.train.small import ADVERSARIAL, tiny

PAIR = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("label", "logit"), [*product([0.0, 1.0], [-2.0, 0.3, 5.0])])
def test_vanilla_is_binary_cross_entropy(label: float, logit: float):
    x = torch.tensor([logit])
    wanted = nn.functional.binary_cross_entropy_with_logits(x, torch.tensor([label]))
    neutral = torch.tensor([-100.0 if label else 100.0])  # the other side's term, exactly 100
    if label:
        found = adv.critic_objective("vanilla", x, neutral)
        torch.testing.assert_close(adv.generator_objective("vanilla", [x]), wanted)
    else:
        found = adv.critic_objective("vanilla", neutral, x)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("objective", ["vanilla", "lsgan", "hinge", "wgan-gp"])
def test_the_generator_descends_towards_what_the_critic_calls_real(objective: str):
    fake = torch.zeros(4, requires_grad=True)
    adv.generator_objective(objective, [fake]).backward()
    assert (fake.grad < 0).all(), "higher logits, lower loss"
    real, made = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    adv.critic_objective(objective, real, made).backward()
    assert (real.grad < 0).all(), "the critic wants real up"
    assert (made.grad >= 0).all(), "and made ones down"


def test_gradient_penalty_of_a_linear_critic_is_known():
    class Linear(nn.Module):
        def forward(self, picture: torch.Tensor, source: torch.Tensor) -> list[list[torch.Tensor]]:
            return [[3.0 * picture[:, :1, :1, :1] + 4.0 * picture[:, 1:2, :1, :1]]]  # |gradient| = 5

    value = adv.gradient_penalty(Linear(), *PAIR, PAIR[0], torch.rand(2, 1, 1, 1))  # type: ignore[arg-type]
    torch.testing.assert_close(value, torch.tensor(16.0))


@pytest.mark.parametrize(
    ("architecture", "conditional"), [*product(["patchgan", "spade", "pix2pixhd", "deblurgan"], [True, False])]
)
def test_every_critic_gives_features_and_logits(architecture: str, conditional: bool):
    critic = adv.Critic(CriticSection(architecture=architecture, conditional=conditional, width=4))  # type: ignore[arg-type]
    source, picture = PAIR
    features = critic(picture, source)
    assert len(features) == (2 if architecture in ("spade", "pix2pixhd") else 1)
    for scale in features:
        assert len(scale) == 5
        assert scale[-1].shape[:2] == (2, 1)
    other = critic(picture, source.flip(0))
    assert torch.equal(features[0][0], other[0][0]) != conditional, "only a conditional critic looks at the source"


def test_feature_matching_ignores_logits_and_the_real_side():
    fake = [torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True)]
    real = [torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([100.0])]
    value = adv.feature_matching([fake], [real])
    assert float(value.detach()) == 2.0
    value.backward()
    assert real[0].grad is None


def _training(**changes: object) -> Training:
    return Training(tiny(**{**ADVERSARIAL, **changes}))


def test_the_generator_step_leaves_the_critic_alone_and_both_steps_move_their_own(monkeypatch: pytest.MonkeyPatch):
    state = _training()
    before = {name: value.clone() for name, value in state.net.state_dict().items()}
    critic = {name: value.clone() for name, value in state.critic.state_dict().items()}
    parts = [(PAIR[0], PAIR[1])]
    terms, fakes = state._generator_step(parts)
    assert {"l1", "ssim", "adversarial", "matching"} == set(terms)
    assert all(parameter.grad is None for parameter in state.critic.parameters())
    assert all(torch.equal(value, critic[name]) for name, value in state.critic.state_dict().items())
    moved = {name: value.clone() for name, value in state.net.state_dict().items()}
    assert any(not torch.equal(value, before[name]) for name, value in moved.items())
    state._critic_steps(parts, fakes)
    assert all(torch.equal(value, moved[name]) for name, value in state.net.state_dict().items())
    assert any(not torch.equal(value, critic[name]) for name, value in state.critic.state_dict().items())


@pytest.mark.parametrize("objective", ["vanilla", "lsgan", "hinge", "wgan-gp"])
def test_a_critic_learns_to_tell_grey_from_pictures(objective: str):
    section = {**ADVERSARIAL["adversarial"], "objective": objective}
    state = _training(adversarial=section)
    source, truth = PAIR
    grey = torch.full_like(truth, 0.5)
    for _ in range(15):
        state._critic_steps([(source, truth)], [grey])
    with torch.no_grad():
        real, fake = (adv.logits(state.critic(x, source))[0].mean() for x in (truth, grey))
    assert real > fake + 0.05


def test_reused_and_regenerated_fakes_differ_and_steps_are_counted(monkeypatch: pytest.MonkeyPatch):
    seen: dict[str, list[torch.Tensor]] = {"reused": [], "regenerated": []}
    for fake, list_ in seen.items():
        state = _training(adversarial={**ADVERSARIAL["adversarial"], "fake": fake, "critic_steps": 3})
        state.critic_loss.register_forward_pre_hook(lambda _, inputs, list_=list_: list_.append(inputs[2]))
        state.step(*PAIR)
    assert len(seen["reused"]) == len(seen["regenerated"]) == 3
    assert torch.equal(seen["reused"][0], PAIR[0]), "an untrained residual network is the identity"
    assert not torch.equal(seen["regenerated"][0], PAIR[0]), "after its step it is not"


@pytest.mark.parametrize("extra", [{}, ADVERSARIAL], ids=["pixel", "adversarial"])
def test_accumulation_takes_the_step_of_the_larger_batch(extra: dict[str, object]):
    x = torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    large, small = Training(tiny(batch=4, **extra)), Training(tiny(batch=2, accumulate=2, **extra))
    for _ in range(3):
        terms = large.step(*x), small.step(*x)
    assert terms[0] == pytest.approx(terms[1], rel=1e-3)
    for a, b in zip(large.net.parameters(), small.net.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("architecture", "objective"),
    [
        ("patchgan", "vanilla"),
        ("spade", "hinge"),
        ("pix2pixhd", "lsgan"),
        ("deblurgan", "wgan-gp"),
        ("spade", "wgan-gp"),
    ],
)
def test_every_critic_steps_in_bfloat16(architecture: str, objective: str):
    state = _training(
        critic={"architecture": architecture, "width": 4},
        adversarial={**ADVERSARIAL["adversarial"], "objective": objective},
        precision="bfloat16",
    )
    before = [parameter.detach().clone() for parameter in state.critic.parameters()]
    for _ in range(2):
        terms = state.step(*PAIR)
    assert all(torch.isfinite(torch.tensor(value)) for value in terms.values())
    assert any(not torch.equal(a, b) for a, b in zip(state.critic.parameters(), before, strict=True))
    assert {parameter.dtype for parameter in state.critic.parameters()} == {torch.float32}


def test_two_time_scales():
    state = _training(
        critic={**ADVERSARIAL["critic"], "optimiser": {"lr": 4e-4, "warmup": 0}}, optimiser={"lr": 1e-4, "warmup": 0}
    )
    state.step(*PAIR)
    assert state.optimiser.param_groups[0]["lr"] == pytest.approx(1e-4)
    assert state.critic_optimiser.param_groups[0]["lr"] == pytest.approx(4e-4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"critic": {"width": 4}}, "critic and adversarial together"),
        ({"critic": {"width": 4}, "adversarial": {"objective": "wgan-gp"}}, "without batch norm for wgan-gp"),
    ],
)
def test_sections_that_do_not_fit_are_refused(changes: dict[str, object], says: str):
    with pytest.raises(ValueError, match=says):
        tiny(**changes)


def test_json_of_a_recipe_without_the_later_sections_stays_as_it_was():
    text = tiny().to_json()
    assert not any(key in text for key in ("critic", "adversarial", "accumulate", "start", "fresh", "inputs"))
    whole = tiny(**ADVERSARIAL)
    assert Recipe.model_validate_json(whole.to_json()) == whole
    assert AdversarialSection().penalty == 10.0


def test_fine_tuning_starts_from_given_weights(root: Path, tmp_path: Path):
    recipe = tiny()
    net = build("desmoothgan", **recipe.model.options)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.25)
    start = tmp_path / "start.safetensors"
    save_weights(net, start, "desmoothgan", recipe.model.options, {})
    state = Training(tiny(start=str(start)))
    for a, b, c in zip(state.net.parameters(), net.parameters(), state.average.module.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)  # weights travel in half precision
        assert torch.equal(a, c)
    made = train(tiny(start=str(start), iterations=1), root=root, run=tmp_path / "run")
    assert made
    assert find(made).metadata["start_sha256"] == find(start).sha256
    more = {"architecture": "desmoothgan", "options": {**recipe.model.options, "refine": 4}}
    refined = Training(tiny(start=str(start), model=more)).net.state_dict()  # which starts as it would without
    for name, given in load(find(start)).state_dict().items():
        assert torch.equal(refined[name], given)
    assert not refined["refine.last.weight"].any()
    other = {"architecture": "desmoothgan", "options": {"width": 8, "norm": "none", "residual": True}}
    with pytest.raises(ModelError, match="correct one of them"):
        Training(tiny(start=str(start), model=other))
    with pytest.raises(DataError, match="another recipe"):
        train(tiny(iterations=1), root=root, run=tmp_path / "run", resume=True)
