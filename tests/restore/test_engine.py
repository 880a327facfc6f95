"""The engine gives what the network gives, whatever the picture's size, the memory and the precision."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from restauro.errors import EngineError, SettingError
from restauro.facts import Facts
from restauro.restore import device as device_module
from restauro.restore import engine
from restauro.restore.engine import EngineSettings, choose_device, choose_precision, run

CPU = EngineSettings(device="cpu")


def tiled(tile_px, **more):
    return EngineSettings(device="cpu", tile_px=tile_px, **more)


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).random((height, width, channels), dtype=np.float32)


def conv_stack(depth=3):
    """3 x 3 convolutions with zero padding: the receptive field's radius is the depth."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()]
    layers += [layer for _ in range(depth - 2) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*layers, nn.Conv2d(8, 3, 3, padding=1)).eval()


def hourglass():
    """Three halvings and three doublings: sides must be multiples of 8, and tiles must start at them."""
    torch.manual_seed(0)
    down = [layer for c in (3, 8, 8) for layer in (nn.Conv2d(c, 8, 3, stride=2, padding=1), nn.ReLU())]
    up = [layer for _ in range(2) for layer in (nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1), nn.ReLU())]
    return nn.Sequential(*down, *up, nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)).eval()


class Wrapped(nn.Module):
    """A network that is a function, and counts how often it was called."""

    def __init__(self, function):
        super().__init__()
        self.function, self.shapes = function, []
        self.eval()

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        return self.function(x, len(self.shapes))


# --- tiles change nothing ---


def test_the_identity_gives_the_input_back_bit_for_bit():
    pixels = noise(70, 90)
    made = run(nn.Identity().eval(), Facts(multiple=16), pixels, CPU)
    assert (made.tiles, made.tile_px, made.device, made.precision, made.notes) == (
        1,
        90,
        "cpu",
        "float32",
        (),
    )
    np.testing.assert_array_equal(made.pixels, pixels)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 150),
    st.integers(1, 150),
    st.integers(1, 100),
    st.integers(0, 20),
    st.sampled_from([1, 3, 8, 32]),
    st.sampled_from([1, 3]),
)
def test_the_identity_in_tiles_of_any_kind(height, width, tile, halo, multiple, channels):
    pixels = noise(height, width, channels)
    facts = Facts(multiple=multiple, halo_px=halo)
    made = run(nn.Identity().eval(), facts, pixels, tiled(tile))
    assert made.pixels.shape == pixels.shape
    np.testing.assert_allclose(made.pixels, pixels, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(100, 130), (65, 64), (1, 300), (300, 5)])
def test_a_conv_stack_is_the_same_in_tiles(size):
    net, pixels = conv_stack(), noise(*size)
    whole = run(net, Facts(halo_px=3), pixels, CPU)
    with torch.inference_mode():
        direct = net(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(whole.pixels, direct, rtol=0, atol=1e-6)
    parts = run(net, Facts(halo_px=3), pixels, tiled(40))
    assert parts.tiles > whole.tiles == 1
    np.testing.assert_allclose(parts.pixels, whole.pixels, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(96, 136), (101, 67), (9, 200)])
def test_a_strided_network_is_the_same_in_tiles(size):
    net, pixels = hourglass(), noise(*size)
    whole = run(net, Facts(multiple=8, halo_px=30), pixels, CPU)
    parts = run(net, Facts(multiple=8, halo_px=30), pixels, tiled(32))
    assert parts.tiles > whole.tiles == 1
    np.testing.assert_allclose(parts.pixels, whole.pixels, rtol=0, atol=1e-6)


def test_a_halo_that_is_too_small_does_show():
    net, pixels = conv_stack(), noise(100, 100)
    whole = run(net, Facts(halo_px=3), pixels, CPU)
    parts = run(net, Facts(halo_px=0), pixels, tiled(40))
    assert np.abs(parts.pixels - whole.pixels).max() > 1e-3


def test_the_picture_is_padded_by_reflection_or_where_that_cannot_be_by_replication():
    inputs = []
    net = Wrapped(lambda x, _: inputs.append(x.clone()) or x)
    pixels = noise(5, 2)
    run(net, Facts(multiple=8), pixels, CPU)
    expected = np.pad(np.pad(pixels, [(0, 3), (0, 0), (0, 0)], "reflect"), [(0, 0), (0, 6), (0, 0)], "edge")
    np.testing.assert_array_equal(inputs[0][0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("size", [(1, 1), (3, 5000), (5000, 3)])
def test_extreme_sizes(size):
    pixels = noise(*size)
    made = run(hourglass(), Facts(multiple=8, halo_px=30), pixels, tiled(512))
    assert made.pixels.shape == pixels.shape
    assert made.tiles == (1 if size == (1, 1) else 11)
    whole = run(hourglass(), Facts(multiple=8, halo_px=30), pixels, CPU)
    np.testing.assert_allclose(made.pixels, whole.pixels, rtol=0, atol=1e-6)


def test_grey_goes_through_a_colour_network_as_three_equal_channels():
    net, pixels = conv_stack(), noise(40, 50, 1)
    colour = run(net, Facts(halo_px=3), np.repeat(pixels, 3, axis=2), CPU).pixels
    for setting in (CPU, tiled(20)):
        grey = run(net, Facts(halo_px=3), pixels, setting).pixels
        np.testing.assert_allclose(grey, colour.mean(axis=2, keepdims=True), rtol=0, atol=1e-6)


def test_the_callers_pixels_are_never_written_and_may_be_read_only_views():
    pixels = noise(64, 64)[::-1, :, ::-1]
    before = pixels.copy()
    pixels.flags.writeable = False
    made = run(Wrapped(lambda x, _: x.mul_(2)), Facts(), pixels, tiled(32))
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_allclose(made.pixels, 2 * before, rtol=1e-6)


def test_a_network_with_global_statistics_is_noted_only_when_cut():
    facts = Facts(global_statistics=True)
    assert run(nn.Identity().eval(), facts, noise(64, 64), CPU).notes == ()
    (note,) = run(nn.Identity().eval(), facts, noise(64, 64), tiled(40)).notes
    assert note == "this network looks at the whole picture; 4 tiles change the result"


# --- memory ---

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


def hungry(largest_px, error, late=0):
    """Fails above a tile size; the first ``late`` calls go well in any case."""

    def forward(x, call):
        if call > late and x.shape[2] * x.shape[3] > largest_px:
            raise error
        return x

    return Wrapped(forward)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_out_of_memory_halves_the_tile_until_it_fits(error):
    pixels = noise(300, 400)
    made = run(hungry(130 * 130, error), Facts(halo_px=8), pixels, CPU, name="a.png")
    assert made.notes == (
        "out of memory at tiles of 400 px: went on with 200 px",
        "out of memory at tiles of 200 px: went on with 100 px",
    )
    assert made.tile_px == 100
    np.testing.assert_allclose(made.pixels, pixels, rtol=0, atol=1e-6)


def test_out_of_memory_in_the_middle_leaves_no_trace_of_the_larger_tiles():
    net = Wrapped(lambda x, call: x + call * 0.25)  # every tile has its own shade
    expected = run(net, Facts(), noise(200, 200), tiled(64)).pixels
    late = hungry(64 * 64, MemoryError(), late=3)
    shades = Wrapped(lambda x, call: late(x) + max(call - 4, 0) * 0.25)
    made = run(shades, Facts(), noise(200, 200), tiled(128))
    np.testing.assert_array_equal(made.pixels, expected)


def test_out_of_memory_at_the_floor_is_one_clear_line():
    net = hungry(1, MemoryError())
    with pytest.raises(EngineError) as caught:
        run(net, Facts(halo_px=4), noise(300, 300), EngineSettings(device="cpu", min_tile_px=50), name="a.png")
    assert str(caught.value) == (
        "a.png: found no memory for a tile of 50 px, wanted 300 x 300 px in tiles of at least 50 px; "
        "free some memory, lower min_tile_px, or take a smaller network"
    )
    assert min(shape[2] for shape in net.shapes) > 50
    assert len(net.shapes) == 4


def test_a_halo_as_large_as_the_picture_does_not_loop_in_vain():
    net = hungry(1, MemoryError())
    with pytest.raises(EngineError, match="found no memory for a tile"):
        run(net, Facts(halo_px=500), noise(300, 300), CPU)
    assert len(net.shapes) == 1, "no smaller tile exists: it would read the whole picture again"


def test_the_limit_chooses_the_tiles():
    pixels, facts = noise(400, 400), Facts(halo_px=10, bytes_per_px=1000)
    net = Wrapped(lambda x, _: x)
    limit = pixels.nbytes + 200 * 200 * 1040
    made = run(net, facts, pixels, EngineSettings(device="cpu", memory_limit=limit))
    assert made.tile_px == 180
    assert made.notes == ()
    assert max(shape[2] * shape[3] for shape in net.shapes) <= 200 * 200
    made = run(net, facts, pixels, EngineSettings(device="cpu", memory_limit=limit, tile_px=300))
    assert made.notes == ("tiles of 300 px exceed the memory limit: took 180 px",)
    assert run(net, facts, pixels, EngineSettings(device="cpu", memory_limit=limit, tile_px=64)).tile_px == 64


def test_a_limit_below_the_smallest_tile_says_what_is_needed():
    facts = Facts(halo_px=10, bytes_per_px=1000)
    net = Wrapped(lambda x, _: x)
    with pytest.raises(EngineError, match=r"a\.png: found a memory limit of 4 MiB, wanted at least 9 MiB for 400 x"):
        run(net, facts, noise(400, 400), EngineSettings(device="cpu", memory_limit=2**22), name="a.png")
    assert net.shapes == []


def test_half_of_what_is_free_is_the_default(monkeypatch):
    pixels, facts = noise(400, 400), Facts(bytes_per_px=1000)
    monkeypatch.setattr(engine, "free_bytes", lambda device: 2 * (pixels.nbytes + 100 * 100 * 1040))
    assert run(nn.Identity().eval(), facts, pixels, CPU).tile_px == 100


# --- precision ---

BOTH = Facts(precisions=("bfloat16", "float32"), bfloat16_db=60.0)


def fragile(bad_calls):
    """NaN in some calls, and only where autocast is on."""

    def forward(x, call):
        return x * float("nan") if torch.is_autocast_enabled("cpu") and call in bad_calls else x

    return Wrapped(forward)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_tiles_reach_the_network_in_channels_last(precision):
    seen = []
    conv = nn.Conv2d(3, 8, 3, padding=1).eval()
    # The output tells what the convolution made of the strides: is_contiguous(x) alone is fooled by N = 1.
    net = Wrapped(lambda x, _: seen.append(conv(x).is_contiguous(memory_format=torch.channels_last)) or x)
    for channels in (1, 3):
        run(net, BOTH, noise(40, 50, channels), EngineSettings(device="cpu", precision=precision))
    assert seen == [True, True]


def test_bfloat16_comes_from_autocast_and_goes_back_to_float32():
    seen = []
    conv = nn.Conv2d(3, 3, 3, padding=1).eval()
    net = Wrapped(lambda x, _: seen.append((x.dtype, conv(x).dtype)) or conv(x))
    made = run(net, BOTH, noise(40, 40), EngineSettings(device="cpu", precision="bfloat16"))
    assert seen == [(torch.float32, torch.bfloat16)]
    assert (made.precision, made.pixels.dtype, made.notes) == ("bfloat16", np.float32, ())
    exact = run(conv, BOTH, noise(40, 40), EngineSettings(device="cpu", precision="float32"))
    assert 0 < np.abs(exact.pixels - made.pixels).max() < 0.02


def test_a_tile_that_is_not_finite_in_bfloat16_is_computed_again_and_reported():
    pixels = noise(200, 200)
    net = fragile({2, 5})
    made = run(net, BOTH, pixels, tiled(64, precision="bfloat16"))
    assert made.notes == (f"non-finite output in bfloat16 for 2 of {made.tiles} tiles: computed again in float32",)
    assert len(net.shapes) == made.tiles + 2
    np.testing.assert_allclose(made.pixels, pixels, rtol=0, atol=1e-6)


def test_not_finite_in_float32_is_an_error_that_names_the_tile():
    pixels = noise(200, 200)
    for precision in ("float32", "bfloat16"):
        net = Wrapped(lambda x, call: x / 0 if call >= 3 else x)
        with pytest.raises(EngineError, match=r"a\.png: .*tile at x = 92, y = 0 .*try another model"):
            run(net, BOTH, pixels, tiled(64, precision=precision), name="a.png")


def test_not_finite_input_is_told_from_a_weak_network():
    pixels = noise(80, 80)
    pixels[70, 10] = np.inf
    with pytest.raises(EngineError, match="the picture has them already: repair it first"):
        run(nn.Identity().eval(), Facts(), pixels, tiled(64))


@pytest.mark.parametrize(
    ("fast", "precisions", "expected"),
    [
        (True, ("bfloat16", "float32"), "bfloat16"),
        (False, ("bfloat16", "float32"), "float32"),
        (True, ("float32", "bfloat16"), "float32"),
        (False, ("bfloat16",), "float32"),
    ],
)
def test_automatic_precision_is_the_first_that_the_device_is_fast_in(monkeypatch, fast, precisions, expected):
    monkeypatch.setattr(device_module, "_is_fast_in_bfloat16", lambda device: fast)
    facts = Facts(precisions=precisions, bfloat16_db=50.0)
    assert choose_precision("auto", facts, torch.device("cpu")) == (expected, [])
    for reached in (None, 49.9):  # not measured with these weights, or measured and not good enough
        poor = Facts(precisions=precisions, bfloat16_db=reached)
        assert choose_precision("auto", poor, torch.device("cpu")) == ("float32", [])


def test_bfloat16_that_is_known_to_be_poor_is_noted():
    facts = Facts(precisions=("bfloat16", "float32"), bfloat16_db=41.26)
    assert choose_precision("bfloat16", facts, torch.device("cpu")) == (
        "bfloat16",
        ["bfloat16 was asked for: these weights reach 41.3 dB to float32 in it"],
    )


def test_a_precision_the_network_was_not_measured_in_is_noted():
    made = run(conv_stack(), Facts(halo_px=3), noise(9, 9), EngineSettings(device="cpu", precision="bfloat16"))
    assert made.notes == ("bfloat16 was asked for, and this network was not measured in it",)


# --- device, settings, errors ---


def test_the_automatic_device_is_one_that_is_there():
    assert choose_device().type in ("cuda", "mps", "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("device", ["xla", "nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_a_setting_error(device):
    with pytest.raises(SettingError, match=r"wanted auto or a device of this machine \(.*cpu\)"):
        run(nn.Identity().eval(), Facts(), noise(8, 8), EngineSettings(device=device))


def test_a_network_elsewhere_is_copied_not_moved():
    net = conv_stack()
    assert device_module.on_device(net, torch.device("cpu"), "a.png") is net
    moved = device_module.on_device(net, torch.device("meta"), "a.png")
    assert {tensor.device.type for tensor in moved.parameters()} == {"meta"}
    assert {tensor.device.type for tensor in net.parameters()} == {"cpu"}


def test_a_network_too_large_for_the_device_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(nn.Module, "to", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA ...")))
    with pytest.raises(EngineError, match=r"a\.png: found no memory on meta for the network's weights"):
        device_module.on_device(conv_stack(), torch.device("meta"), "a.png")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("precision", "float16"), ("memory_limit", 0), ("tile_px", -1), ("min_tile_px", 0), ("threads", 0)],
)
def test_settings_check_themselves(setting, value):
    with pytest.raises(SettingError, match=f"{setting}: found {value!r}"):
        EngineSettings(**{setting: value})


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((8, 8, 3), np.uint8), r"found uint8 pixels of shape \[8, 8, 3\]"),
        (np.zeros((8, 8), np.float32), r"found float32 pixels of shape \[8, 8\]"),
        (np.zeros((0, 8, 3), np.float32), r"found float32 pixels of shape \[0, 8, 3\]"),
        (np.zeros((8, 8, 4), np.float32), "found 4 channels, wanted 1 or 3; split off alpha"),
    ],
)
def test_what_is_not_a_picture_is_refused(pixels, message):
    with pytest.raises(EngineError, match=f"a.png: {message}"):
        run(nn.Identity().eval(), Facts(), pixels, CPU, name="a.png")


def test_a_network_in_training_mode_is_refused_even_if_only_a_part_is():
    net = conv_stack()
    net[0].train()
    with pytest.raises(EngineError, match=r"wanted eval mode; call net\.eval\(\)"):
        run(net, Facts(), noise(8, 8), CPU)


def test_a_network_that_changes_the_size_is_refused():
    with pytest.raises(EngineError, match=r"found a result of shape \[1, 3, 4, 4\] for a tile of \[1, 3, 8, 8\]"):
        run(nn.AvgPool2d(2).eval(), Facts(), noise(8, 8), CPU)


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), KeyError("k"), KeyboardInterrupt()])
def test_any_other_error_of_the_network_comes_through_as_it_is(error):
    def forward(x, call):
        if call == 3:
            raise error
        return x

    net = Wrapped(forward)
    with pytest.raises(type(error)) as caught:
        run(net, Facts(), noise(200, 200), tiled(64))
    assert caught.value is error
    assert len(net.shapes) == 3, "no second try"


# --- progress, threads, repeatability ---


def test_progress_rises_to_the_end():
    calls = []
    made = run(nn.Identity().eval(), Facts(), noise(200, 200), tiled(64), progress=lambda *call: calls.append(call))
    assert calls == [(done, made.tiles) for done in range(1, made.tiles + 1)]


def test_progress_rises_even_when_the_picture_is_begun_again():
    calls = []
    net = hungry(80 * 80, MemoryError(), late=2)
    made = run(net, Facts(), noise(200, 200), tiled(128), progress=lambda *call: calls.append(call))
    assert [done for done, _ in calls] == list(range(1, made.tiles + 3))
    assert calls[-1] == (made.tiles + 2, made.tiles + 2)
    totals = [total for _, total in calls]
    assert totals == sorted(totals)


def test_the_same_input_gives_the_same_bytes():
    net, pixels = conv_stack(), noise(130, 110)
    for precision in ("float32", "bfloat16"):
        one, two = (run(net, BOTH, pixels, tiled(48, precision=precision)).pixels for _ in range(2))
        assert one.tobytes() == two.tobytes()


def test_threads_may_share_a_network():
    net, facts = hourglass(), Facts(multiple=8, halo_px=30)
    jobs = [(noise(60 + 9 * k, 70, seed=k), tiled((24, 48)[k % 2], threads=None)) for k in range(8)]
    alone = [run(net, facts, *job).pixels for job in jobs]
    together = Barrier(4)

    def work(job):
        together.wait(timeout=60)
        return run(net, facts, *job).pixels

    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(work, jobs), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_the_thread_count_is_used_and_put_back_even_after_an_error():
    before = torch.get_num_threads()
    seen = []

    def forward(x, call):
        seen.append(torch.get_num_threads())
        if call == 2:
            raise ValueError("enough")
        return x

    with pytest.raises(ValueError, match="enough"):
        run(Wrapped(forward), Facts(), noise(100, 100), tiled(64, threads=before + 1))
    assert seen == [before + 1] * 2
    assert torch.get_num_threads() == before
