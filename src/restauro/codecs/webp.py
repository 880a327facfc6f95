"""WebP: pixels by libvips, written by Pillow, which passes EXIF through unread. Lossless stays lossless."""

from __future__ import annotations

from restauro.codecs import metadata, pil, vips
from restauro.codecs.formats import FORMATS
from restauro.codecs.source import Decoded, Raster, Source


def decode(name: str, data: bytes, max_pixels: int) -> Decoded:
    """Decode a WebP, the first frame of an animation.

    Raises
    ------
    PictureError
        The file is damaged or too large.
    """
    image = vips.load(name, data, "webp", max_pixels)
    samples = vips.samples(name, image, "webp")
    exif = metadata.plain_exif(vips.blob(image, "exif-data"))
    xmp, icc = vips.blob(image, "xmp-data"), vips.blob(image, "icc-profile-data")
    frames = vips.field(image, "n-pages") or 1
    source = Source(
        name, "webp",
        icc=icc, exif=exif, xmp=xmp, dpi=metadata.dpi(exif), lossless=_lossless(data),
        notes=(f"first frame of {frames}",) if frames > 1 else (),
    )  # fmt: skip
    return Decoded(Raster(samples, 8, "rgb", samples.shape[-1] == 4, icc), source, metadata.orientation(exif, xmp))


def encode(raster: Raster, source: Source, quality: int | None) -> bytes:
    """Write lossless when the source was lossless and no ``quality`` is asked for."""
    image = pil.image_of(raster.samples, "RGBA" if raster.alpha else "RGB")
    lossless = quality is None and source.lossless
    options: dict[str, object] = {"lossless": True} if lossless else {"quality": quality or FORMATS["webp"].quality}
    carried = {"icc_profile": raster.icc, "exif": source.exif, "xmp": source.xmp}
    options |= {key: value for key, value in carried.items() if value}
    # exact: colours below full transparency are kept, as every other format keeps them.
    return pil.saved(source.name, image, "WEBP", exact=True, **options)


def _lossless(data: bytes) -> bool:
    # The bitstream chunk is the first one, or follows VP8X, ICCP and ALPH (RFC 9649, section 2).
    at = 12
    while at + 8 <= len(data):
        kind = data[at : at + 4]
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8L"
        at += 24 if kind == b"ANMF" else 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 1) // 2 * 2
    return False
