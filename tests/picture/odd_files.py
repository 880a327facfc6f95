"""Makes the odd files the tests need: profiles, EXIF, PNG chunks, all generated here."""

from __future__ import annotations

import io
import struct
import zlib
from itertools import product

import numpy as np
import pyvips
from PIL import Image

ORIENTATION, MAKER, ARTIST, EXPOSURE, MAKER_NOTE, LATITUDE = 0x0112, 0x010F, 0x013B, 0x829A, 0x927C, 2
EXIF_IFD, GPS_IFD = 0x8769, 0x8825


def scene(height: int = 40, width: int = 60, bits: int = 8, bands: int = 3) -> np.ndarray:
    """A smooth colourful picture without symmetry, [H, W, bands]."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        0.5 + 0.5 * np.sin(x / 9 + y / 23),
        (y + 0.5) / height,
        (x + 0.5) / width * (1 - 0.5 * y / height),
        0.5 + 0.5 * np.cos(x / 15 - y / 5),
    ]
    top = (1 << bits) - 1
    return np.rint(np.stack(waves[:bands], -1) * top).astype(np.uint8 if bits == 8 else np.uint16)


def noise(rng: np.random.Generator, shape: tuple[int, ...], bits: int = 8) -> np.ndarray:
    return rng.integers(0, 1 << bits, shape, dtype=np.uint8 if bits == 8 else np.uint16)


def saved(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """Bytes of a Pillow image (or of an array) in Pillow's format ``kind``."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image.squeeze())
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def vips_image(array: np.ndarray) -> pyvips.Image:
    height, width, bands = array.shape
    kind = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}[array.dtype.name]
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(array).tobytes(), width, height, bands, kind)
    suffix = "16" if array.dtype == np.uint16 else ""
    name = {1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}[bands] if not suffix else ("grey16" if bands < 3 else "rgb16")
    return image.copy(interpretation=name)


def exif(orientation: int | None = None, *, width: int = 60, height: int = 40) -> bytes:
    """An EXIF block with the camera's usual parts, as big-endian as most cameras write it."""
    block = Image.Exif()
    block[MAKER] = "Restauro Works"
    block[ARTIST] = "A. Painter"
    if orientation is not None:
        block[ORIENTATION] = orientation
    inner = block.get_ifd(EXIF_IFD)
    inner[EXPOSURE] = 0.004
    inner[MAKER_NOTE] = b"Vendor\0\1\2\3 private offsets"
    inner[0xA002], inner[0xA003] = width, height
    gps = block.get_ifd(GPS_IFD)
    gps[1], gps[LATITUDE] = "N", (52.0, 10.0, 3.5)
    return block.tobytes()


def with_thumbnail(block: bytes, small: bytes) -> bytes:
    """The EXIF block with a second directory that holds a JPEG thumbnail."""
    head, tiff = block[:6], bytearray(block[6:])
    order = "<" if tiff[:2] == b"II" else ">"
    first = struct.unpack_from(order + "I", tiff, 4)[0]
    count = struct.unpack_from(order + "H", tiff, first)[0]
    tiff += b"\0" * (len(tiff) % 2)
    at = len(tiff)
    struct.pack_into(order + "I", tiff, first + 2 + 12 * count, at)
    start = at + 2 + 24 + 4
    rows = struct.pack(order + "HHII", 0x0201, 4, 1, start) + struct.pack(order + "HHII", 0x0202, 4, 1, len(small))
    return head + bytes(tiff) + struct.pack(order + "H", 2) + rows + struct.pack(order + "I", 0) + small


def read_exif(block: bytes | None) -> Image.Exif:
    """Parse an EXIF block with Pillow."""
    parsed = Image.Exif()
    parsed.load(block if not block or block.startswith(b"Exif") else b"Exif\0\0" + block)
    return parsed


def xmp(orientation: int = 1) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}" '
        'title="Zażółć"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def profile(name: str) -> bytes:
    """An ICC profile that libvips carries: ``srgb``, ``p3`` or ``cmyk``."""
    return bytes(pyvips.Operation.call("profile_load", name))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        padded = value + b"\0" * (-len(value) % 4)
        table += struct.pack(">4sII", name, start + len(body), len(value))
        body += padded
    head = bytearray(128)
    struct.pack_into(">I", head, 0, start + len(body))
    head[8:12] = b"\2\x10\0\0"
    head[12:24] = b"mntr" + space + b"XYZ "
    head[36:40] = b"acsp"
    struct.pack_into(">3i", head, 68, *(round(v * 65536) for v in (0.9642, 1.0, 0.8249)))
    return bytes(head) + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def table_curve(values: np.ndarray) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + np.rint(values * 65535).astype(">u2").tobytes()


_TEXT = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78
_COMMON = {b"desc": _TEXT, b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(0.9505, 1.0, 1.0891)}


ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))


def matrix_profile(curve: bytes | None = None, primaries: tuple[tuple[float, ...], ...] = ADOBE_RGB) -> bytes:
    """A display profile: by default Adobe RGB (1998)."""
    curve = curve or gamma_curve(563 / 256)
    columns = {name: _xyz(*column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    return _profile(b"RGB ", _COMMON | columns | {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def parametric_curve(kind: int, *numbers: float) -> bytes:
    fixed = (round(number * 65536) for number in numbers)
    return b"para\0\0\0\0" + struct.pack(f">HH{len(numbers)}i", kind, 0, *fixed)


SRGB_CURVE = parametric_curve(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def lut_profile() -> bytes:
    """An RGB profile built on tables (``mft2``) that hold an identity from RGB to Lab, number for number."""
    unit = [65536 if i % 4 == 0 else 0 for i in range(9)]
    ramp = struct.pack(">2H", 0, 65535) * 3
    corners = b"".join(struct.pack(">3H", *(65280 * v for v in corner)) for corner in product((0, 1), repeat=3))
    table = b"mft2\0\0\0\0" + bytes((3, 3, 2, 0)) + struct.pack(">9iHH", *unit, 2, 2) + ramp + corners + ramp
    made = _profile(b"RGB ", _COMMON | dict.fromkeys((b"A2B0", b"A2B1", b"B2A0", b"B2A1"), table))
    return made[:20] + b"Lab " + made[24:]


def grey_gamma(gamma: float = 1.8) -> bytes:
    return _profile(b"GRAY", _COMMON | {b"kTRC": gamma_curve(gamma)})


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_png_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """The PNG with one more chunk after its header."""
    return data[:33] + png_chunk(kind, body) + data[33:]


def png_kinds(data: bytes) -> list[bytes]:
    """Kinds of all chunks of a PNG, in order."""
    kinds, at = [], 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kinds.append(data[at + 4 : at + 8])
        at += 12 + size
    return kinds


def png_16(array: np.ndarray) -> bytes:
    return bytes(vips_image(array).pngsave_buffer(keep="none"))


def tiff(array: np.ndarray, **options: object) -> bytes:
    return bytes(vips_image(array).tiffsave_buffer(keep="none", **options))


def small_tiff(
    samples: np.ndarray, *, form: int = 1, photometric: int = 1, extra: tuple[int, ...] = (), bits: int = 0
) -> bytes:
    """A TIFF of any type and number of channels, written by hand: one uncompressed strip, little-endian."""
    height, width, bands = samples.shape
    raw = samples.tobytes()
    bits = bits or samples.dtype.itemsize * 8
    depth = struct.pack(f"<{bands}H", *[bits] * bands)
    more = struct.pack(f"<{len(extra)}H", *extra)
    depth_at, extra_at, raw_at = 8, 8 + len(depth), 8 + len(depth) + len(more)
    directory_at = raw_at + len(raw) + len(raw) % 2
    rows = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, bands, depth_at if len(depth) > 4 else depth),
        (259, 3, 1, 1), (262, 3, 1, photometric), (273, 4, 1, raw_at), (277, 3, 1, bands), (278, 4, 1,
        height), (279, 4, 1, len(raw)), (284, 3, 1, 1), (339, 3, 1, form),
    ]  # fmt: skip
    if extra:
        rows.append((338, 3, len(extra), extra_at if len(more) > 4 else more))
    table = struct.pack("<H", len(rows))
    for tag, kind, count, value in sorted(rows, key=lambda row: row[0]):
        packed = value.ljust(4, b"\0") if isinstance(value, bytes) else struct.pack("<I", value)
        table += struct.pack("<HHI", tag, kind, count) + packed
    head = b"II*\0" + struct.pack("<I", directory_at)
    return head + depth + more + raw + b"\0" * (len(raw) % 2) + table + struct.pack("<I", 0)
