"""Trajectories, lines, defocus and kernels from files; scipy and OpenCV are the oracles."""

from __future__ import annotations

import cmath
import json
import math
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from restauro.degrade.kernel_files import choose_kernel, kernel_sha256, read_kernel
from restauro.degrade.kernels import DiscBlur, KernelBlur, LinearBlur, LinearBlurSettings, convolve, draw_linear
from restauro.degrade.laws import degrade_tensor, repeat_steps
from restauro.degrade.motion import (
    GeneralBlurSettings,
    TrajectoryBlur,
    TrajectorySettings,
    draw_general,
    draw_trajectory,
    splat,
    trajectory,
)
from restauro.errors import SettingError, UsageError


def spread(kernel: torch.Tensor) -> float:
    """Root mean square distance of a kernel's taps from its centroid."""
    taps = kernel.numpy()
    y, x = np.mgrid[: taps.shape[0], : taps.shape[1]]
    return math.sqrt((taps * ((y - (taps * y).sum()) ** 2 + (x - (taps * x).sum()) ** 2)).sum())


def centre(kernel: torch.Tensor) -> tuple[float, float]:
    taps = kernel.numpy()
    at = np.arange(len(taps)) - len(taps) // 2
    return float(taps.sum(0) @ at), float(taps.sum(1) @ at)


def walked_with_complex_numbers(
    step: float,
    anxiety: float,
    pull: float,
    jolts: float,
    shake: float,
    angle: float,
    chances: np.ndarray,
    n: np.ndarray,
) -> np.ndarray:
    """The recursion as the fact sheet writes it."""
    v, x = (anxiety or step) * cmath.exp(1j * angle), 0j
    path = [x]
    for t in range(len(n)):
        q = 2 * v * cmath.exp(1j * (math.pi + chances[t, 1] - 0.5)) if chances[t, 0] < jolts * anxiety else 0
        v += q + anxiety * step * (shake * complex(*n[t]) - pull * x)
        v *= step / abs(v)
        x += v
        path.append(x)
    return np.array([[p.real, p.imag] for p in path])


@pytest.mark.parametrize(("anxiety", "jolts"), [(0.005, 0.2), (0.5, 1.0), (0.0, 0.1)])
def test_the_walk_is_the_sheets(anxiety: float, jolts: float):
    rng = np.random.default_rng(3)
    arguments = (0.03, anxiety, 0.5, jolts, 7.0, 0.8, rng.random((300, 2)), rng.standard_normal((300, 2)))
    np.testing.assert_allclose(trajectory(*arguments), walked_with_complex_numbers(*arguments), atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_a_kernel_has_mass_one_and_its_centroid_in_its_middle(seed: int):
    blur = TrajectoryBlur(seed, exposure=0.1 + 0.15 * seed, anxiety=0.004)
    kernel = blur.kernel()
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-12)
    assert float(kernel.min()) >= 0
    assert centre(kernel) == pytest.approx((0, 0), abs=1e-9)
    steps = np.linalg.norm(np.diff(blur.path(), axis=0), axis=1)
    assert steps.sum() == pytest.approx(60)
    assert steps.std() < 1e-9


def test_points_are_spread_bilinearly():
    taps = splat(np.array([[0.25, -1.0]]))
    assert taps.shape == (3, 3)
    assert taps[0].tolist() == [0, 0.75, 0.25]
    assert taps[1:].sum() == 0


def test_supports_are_those_of_the_sheet():
    """Longest side of the box of taps, median of many draws; the sheet has 7, 16 and 20 px at e = 0.005."""
    for exposure, wanted in ((0.1, 7), (0.5, 16), (1.0, 20)):
        sides = []
        for seed in range(50):
            rows, columns = TrajectoryBlur(seed, exposure, 0.005).kernel().numpy().nonzero()
            sides.append(max(np.ptp(rows), np.ptp(columns)) + 1)
        assert np.median(sides) == pytest.approx(wanted, abs=2.5)


def test_strength_goes_from_nothing_to_heavy():
    spreads = [
        np.mean([spread(TrajectoryBlur(seed, exposure, 0.005).kernel()) for seed in range(12)])
        for exposure in (0, 0.02, 0.1, 0.3, 0.6, 1.0)
    ]
    assert TrajectoryBlur(5, 0, 0.005).kernel().tolist() == [[1]]
    assert spreads == sorted(spreads)
    assert spreads[1] < 0.8
    assert spreads[-1] > 4
    assert spread(TrajectoryBlur(1, 1.0, 0.005, length_px=120).kernel()) > spread(TrajectoryBlur(1, 1, 0.005).kernel())


def test_severity_fixes_the_exposure():
    drawn = [draw_trajectory(TrajectorySettings(), torch.Generator().manual_seed(s)) for s in range(300)]
    exposures = [blur.exposure for blur in drawn]
    assert min(exposures) < 0.06
    assert max(exposures) > 0.97
    assert {draw_trajectory(TrajectorySettings(severity=m), torch.Generator()).exposure for m in (0.3, 1.0, 4.0)} == {
        0.3,
        1.0,
    }


def test_it_is_a_convolution_with_a_mirrored_border(astronaut: torch.Tensor):
    blur = TrajectoryBlur(11, 0.7, 0.006, centred=False)
    levels = (astronaut[0].double() * 255).round().numpy()
    wanted = np.stack([ndimage.convolve(plane, blur.kernel().numpy(), mode="mirror") for plane in levels])
    found = blur(astronaut)[0].numpy() * 255
    assert np.abs(found - wanted).max() < 0.501  # rounded to levels
    assert abs(centre(blur.kernel())[0]) + abs(centre(blur.kernel())[1]) > 1  # it moves the picture too


def test_linear_light_keeps_lights_bright():
    x = torch.zeros(1, 1, 41, 41)
    x[..., 20, 20] = 1
    plain = TrajectoryBlur(2, 0.3, 0.005)(x)
    light = TrajectoryBlur(2, 0.3, 0.005, linear_light=True)(x)
    assert float(light.max()) > 1.5 * float(plain.max())
    flat = torch.full((1, 3, 9, 9), 100 / 255)
    assert torch.equal(TrajectoryBlur(2, 0.3, 0.005, linear_light=True)(flat), flat)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (30, 5)])
def test_pictures_smaller_than_the_kernel(shape: tuple[int, int]):
    x = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(1))
    y = TrajectoryBlur(4, 1.0, 0.004)(x)
    assert y.shape == x.shape
    assert float(y.min()) >= float(x.min()) - 1 / 255
    assert float(y.max()) <= float(x.max()) + 1 / 255


def test_the_general_law_draws_what_it_says():
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_general(GeneralBlurSettings(), generator) for _ in range(600)]
    first = [steps[0].name for steps in drawn]
    shares = {
        "trajectory-blur": 0.55,
        "motion-blur": 0.15,
        "gaussian-blur": 0.08,
        "disc-blur": 0.1,
        "gaussian-noise": 0.12,
    }
    for name, share in shares.items():
        assert first.count(name) / 600 == pytest.approx(share / sum(shares.values()), abs=0.05)
    scales = [step.scale for steps in drawn for step in steps if step.name == "gaussian-noise"]
    qualities = [steps[-1].quality for steps in drawn if steps[-1].name == "jpeg"]
    lengths = {steps[0].size_px for steps in drawn if steps[0].name == "motion-blur"}
    assert len(scales) == 600
    assert 0 <= min(scales) <= max(scales) <= 2
    assert len(qualities) == pytest.approx(180, abs=45)
    assert (min(qualities), max(qualities)) == (70, 95)
    assert lengths <= set(range(3, 26, 2))
    assert len(lengths) > 8


def test_a_sharp_clean_picture_stays():
    x = (torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    kinds = {"paths": 0, "lines": 0, "gaussian": 0, "disc": 0, "noise_max": 0, "jpeg": 0}
    assert torch.equal(degrade_tensor(x, "blur-general", kinds, seed=1)[0], x)


def test_general_severity(astronaut: torch.Tensor):
    blurs = {"none": 0, "noise_max": 0, "jpeg": 0}
    errors = []
    for severity in (0.2, 0.5, 1.0):
        y = degrade_tensor(astronaut.expand(12, -1, -1, -1), "blur-general", {**blurs, "severity": severity}, seed=2)[0]
        errors.append(float((y - astronaut).square().mean()))
    assert errors[0] < 0.7 * errors[1]
    assert errors[1] < 0.9 * errors[2]


def test_the_stream_of_seed_7_stays():
    """A blurred set must come out the same from the next version; change this only with a note in the changelog."""
    _, record = degrade_tensor(torch.zeros(1, 3, 4, 4), "blur-general", seed=7)
    assert [dict(step) for step in record.drawn[0]] == [
        {"step": "motion-blur", "size_px": 23, "angle_deg": pytest.approx(178.85246856577524), "ramp": 0.5},
        {"step": "gaussian-noise", "scale": pytest.approx(0.7119097412498241), "seed": 359822356},
    ]
    _, record = degrade_tensor(torch.zeros(1, 3, 4, 4), "motion-trajectory", seed=7)
    assert [dict(step) for step in record.drawn[0]] == [
        {
            "step": "trajectory-blur",
            "seed": 1244530069,
            "exposure": pytest.approx(0.6440342417392292),
            "anxiety": pytest.approx(0.009367605886372081),
            "length_px": 60.0,
            "centred": True,
            "linear_light": False,
        }
    ]


def test_the_reports_test_kernel():
    blur = LinearBlur()
    wanted = np.zeros((9, 9))
    wanted[:, 4] = np.arange(8, -1, -1) / 36
    np.testing.assert_allclose(blur.kernel(), wanted, atol=1e-15)
    assert centre(blur.kernel()) == pytest.approx((0, -5 / 3))  # the picture moves up by 1.67 px
    assert degrade_tensor(torch.zeros(1, 3, 4, 4), "linear-blur-test")[1].drawn[0] == (
        {"step": "linear-blur", **asdict(blur)},
    )


@pytest.mark.parametrize(
    "blur", [LinearBlur(), LinearBlur(13, 37.0, -0.4), LinearBlur(5, -110.0, 0.0, grey_border=False)]
)
def test_lines_are_kornias(astronaut: torch.Tensor, blur: LinearBlur):
    """Correlation with the ramp that OpenCV turns with nearest neighbours; outside is mid-grey, or mirrored."""
    size, begin = blur.size_px, (blur.direction + 1) / 2
    line = np.zeros((size, size))
    line[size // 2] = begin + (1 - 2 * begin) * np.arange(size) / (size - 1)
    turn = cv2.getRotationMatrix2D((size // 2, size // 2), blur.angle_deg, 1)
    taps = cv2.warpAffine(line, turn, (size, size), flags=cv2.INTER_NEAREST)
    levels = (astronaut[0].double().permute(1, 2, 0) * 255).round().numpy()
    margin = size // 2
    wide = (
        cv2.copyMakeBorder(levels, *[margin] * 4, cv2.BORDER_CONSTANT, value=(127.5,) * 3)
        if blur.grey_border
        else cv2.copyMakeBorder(levels, *[margin] * 4, cv2.BORDER_REFLECT_101)
    )
    wanted = cv2.filter2D(wide, cv2.CV_64F, taps / taps.sum())[margin:-margin, margin:-margin]
    found = (blur(astronaut)[0].permute(1, 2, 0) * 255).numpy()
    assert np.abs(found - wanted).max() < 0.501


def test_lines_have_about_as_many_taps_as_the_sheet_counted():
    generator = torch.Generator().manual_seed(0)
    for size, wanted in ((3, 3.2), (7, 6.9), (13, 13.0)):
        counts = [int((draw_linear(LinearBlurSettings(size, size), generator).kernel() > 0).sum()) for _ in range(60)]
        assert np.mean(counts) == pytest.approx(wanted, abs=0.6)


@pytest.mark.parametrize("radius", [1.5, 4.0, 7.3])
def test_a_disc_has_the_spread_of_a_disc(radius: float):
    kernel = DiscBlur(radius).kernel()
    assert float(kernel.sum()) == pytest.approx(1)
    assert spread(kernel) == pytest.approx(math.sqrt(radius**2 / 2 + 1 / 6), rel=0.06)  # 1/6: of the pixels themselves
    assert torch.equal(kernel, kernel.T)


def written_kernels(folder: Path, taps: np.ndarray) -> list[str]:
    np.save(folder / "k.npy", taps)
    np.savez(folder / "k.npz", only=taps)
    np.savetxt(folder / "k.txt", taps)
    np.savetxt(folder / "k.csv", taps, delimiter=",")
    Image.fromarray(taps.astype(np.uint8)).save(folder / "k.png")
    Image.fromarray((taps * 100).astype(np.uint16)).save(folder / "deep.png")
    Image.fromarray(np.dstack([taps.astype(np.uint8)] * 3)).save(folder / "colour.png")
    return [str(folder / name) for name in ("k.npy", "k.npz", "k.txt", "k.csv", "k.png", "deep.png", "colour.png")]


def test_kernels_from_files(tmp_path: Path, astronaut: torch.Tensor):
    taps = np.round(np.random.default_rng(1).random((6, 9)) * 200)
    for path in written_kernels(tmp_path, taps):
        found = read_kernel(path)
        assert found.shape == (7, 9)  # a row of zeros: the middle stays at row 3
        np.testing.assert_allclose(found[:6], taps / taps.sum(), rtol=1e-12)
        y, record = degrade_tensor(astronaut, "kernel-file", {"path": path})
        assert record.drawn[0][0]["sha256"] == kernel_sha256(found)
        assert torch.equal(repeat_steps(astronaut, json.loads(json.dumps(asdict(record)))["drawn"]), y)
    wanted = ndimage.convolve(astronaut[0, 0].double().numpy(), found, mode="mirror")
    assert np.abs(y[0, 0].numpy() - wanted).max() < 1 / 255


def test_one_of_several_kernels_is_drawn(tmp_path: Path):
    path = tmp_path / "set.npz"
    np.savez(path, a1=np.eye(3), a2=np.ones((1, 5)), b1=np.ones((5, 1)))
    assert choose_kernel(f"{path}:a*") == [f"{path}:a1", f"{path}:a2"]
    x = torch.rand(1, 1, 8, 8)
    drawn = {degrade_tensor(x, "kernel-file", {"path": str(path)}, seed=s)[1].drawn[0][0]["path"] for s in range(20)}
    assert drawn == {f"{path}:{name}" for name in ("a1", "a2", "b1")}
    with pytest.raises(UsageError, match="found 3 kernels, wanted one; add :NAME, of a1, a2, b1"):
        read_kernel(path)


def test_another_file_under_the_same_name_is_refused(tmp_path: Path):
    path = tmp_path / "k.npy"
    np.save(path, np.eye(3))
    blur = KernelBlur(str(path), kernel_sha256(read_kernel(path)))
    np.save(path, np.ones((3, 3)))
    with pytest.raises(UsageError, match="wanted those of the record"):
        blur(torch.zeros(1, 1, 4, 4))


BAD = {
    "negative.txt": ("1 -1 1", "negative taps"),
    "zeros.txt": ("0 0 0", "nothing but zeros"),
    "nan.txt": ("1 nan 1", "taps that are no numbers"),
    "words.txt": ("not a kernel", "wanted a grey picture"),
    "text.png": ("not a picture", "wanted a grey picture"),
    "empty.npy": ("", "wanted a grey picture"),
    "broken.npz": ("PK no archive", "wanted a grey picture"),
    "wide.txt": ("1 " * 1001, r"1001x1 taps \(at most 999 a side\)"),
}


@pytest.mark.parametrize(("name", "content", "found"), [(name, *row) for name, row in BAD.items()])
def test_bad_kernels(tmp_path: Path, name: str, content: str, found: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=found) as told:
        read_kernel(tmp_path / name)
    assert "\n" not in str(told.value)


def test_more_bad_kernels(tmp_path: Path):
    with pytest.raises(UsageError, match="No such file"):
        read_kernel(tmp_path / "none.npy")
    np.save(tmp_path / "cube.npy", np.ones((3, 3, 3)))
    with pytest.raises(UsageError, match=r"an array of shape \[3, 3, 3\]"):
        read_kernel(tmp_path / "cube.npy")
    colours = np.random.default_rng(0).integers(0, 255, (4, 4, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "colours.png")
    with pytest.raises(UsageError, match=r"an array of shape \[4, 4, 3\]"):
        read_kernel(tmp_path / "colours.png")
    with pytest.raises(UsageError, match=r"add --set path=KERNEL\.png"):
        degrade_tensor(torch.zeros(1, 3, 4, 4), "kernel-file")


@pytest.mark.parametrize(
    ("settings", "about"),
    [
        ({"exposure_max": 1.5}, "exposure_max"),
        ({"exposure_min": 0.9, "exposure_max": 0.1}, "exposure_min"),
        ({"length_px": -1}, "length_px"),
        ({"centred": "yes"}, "centred"),
        ({"severity": 0}, "severity"),
    ],
)
def test_bad_settings(settings: dict, about: str):
    with pytest.raises(SettingError, match=about):
        degrade_tensor(torch.zeros(1, 3, 4, 4), "motion-trajectory", settings)


def test_bad_settings_of_the_others():
    for law, settings in (
        ("blur-general", {"quality_min": 70.5}),
        ("blur-general", {"jpeg": 2}),
        ("blur-general", {"trajectory.anxiety_max": 7}),
        ("linear-blur", {"size_max_px": 8}),
        ("linear-blur-test", {"direction": 3}),
    ):
        with pytest.raises(SettingError):
            degrade_tensor(torch.zeros(1, 3, 4, 4), law, settings)


def test_convolution_is_exact_in_double():
    rng = np.random.default_rng(0)
    v, k = rng.random((17, 23)), rng.random((5, 9))
    found = convolve(torch.from_numpy(v)[None, None], torch.from_numpy(k))[0, 0].numpy()
    np.testing.assert_allclose(found, ndimage.convolve(v, k, mode="mirror"), atol=1e-12)
