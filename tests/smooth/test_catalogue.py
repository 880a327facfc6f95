"""The table of filters: every line works on every size, and mistakes are answered with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restauro.errors import SettingError, UsageError
from restauro.smooth import catalogue
from restauro.smooth.catalogue import METHODS, smooth_tensor
from tests.smooth.oracles import noise

SERVICE = {"__init__", "catalogue", "inputs", "kernels", "lines", "poisson", "threads", "grids", "solvers", "sweeps"}
every = pytest.mark.parametrize("method", METHODS)


def test_every_file_of_the_folder_is_a_method_or_known_to_serve_one() -> None:
    files = {path.stem for path in Path(catalogue.__file__).parent.glob("*.py")}
    homes = {method.function.__module__.rpartition(".")[2] for method in METHODS.values()}
    assert files - SERVICE == homes


@every
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 50), (50, 3), (17, 18)])
def test_any_size_and_number_of_colours(method: str, size: tuple[int, int]) -> None:
    for colours in (1, 3):
        x = noise(0, 2, colours, *size)
        before = x.clone()
        y = smooth_tensor(x, method, {})
        assert y.shape == x.shape
        assert y.dtype == x.dtype
        assert y.is_contiguous()
        assert torch.isfinite(y).all()
        assert torch.equal(x, before)


@every
def test_float32_is_not_far_from_float64(method: str) -> None:
    x = noise(0, 1, 3, 17, 18)
    y = smooth_tensor(x.float(), method, {})
    assert y.dtype == torch.float32
    assert (y - smooth_tensor(x, method, {})).abs().max() < 1e-2


@every
def test_constant_stays_constant(method: str) -> None:
    x = torch.full((1, 3, 12, 15), 0.7)
    assert (smooth_tensor(x, method, {}) - x).abs().max() < 1e-5


def test_settings_reach_the_filter() -> None:
    x = noise(0, 1, 3, 17, 18)
    strong, weak = (smooth_tensor(x, "l0", {"lam": lam}) for lam in (0.2, 0.001))
    assert strong.std() < weak.std()
    assert torch.equal(smooth_tensor(x, "fgs", {"lam": 900, "passes": 3}), smooth_tensor(x, "fgs", {}))


def test_the_nearest_name_is_offered() -> None:
    x = noise(0, 1, 3, 4, 4)
    with pytest.raises(UsageError, match="'rolling-guidance' perhaps"):
        smooth_tensor(x, "rolling_guidance", {})
    with pytest.raises(UsageError, match="one of l0, "):
        smooth_tensor(x, "?", {})
    with pytest.raises(UsageError, match="'lam' perhaps"):
        smooth_tensor(x, "l0", {"lambda": 0.02})


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [("l0", "lam", "much"), ("l0", "lam", True), ("fgs", "passes", 2.0), ("ils", "penalty", 1), ("l0", "lam", -1.0)],
)
def test_a_value_of_the_wrong_kind_is_refused(method: str, name: str, value: object) -> None:
    with pytest.raises(SettingError, match=name):
        smooth_tensor(noise(0, 1, 3, 4, 4), method, {name: value})
