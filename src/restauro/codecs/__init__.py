"""Bytes to samples and back, one file format = one file; nothing here knows about networks.

``formats`` is the table of formats; ``source`` holds the records that pass between the parts; ``jpeg png tiff webp heif
gif bmp`` decode and encode one format each, through ``vips`` and ``pil``; ``transfer``, ``profile`` and ``icc`` move
between the file's samples and sRGB pixels; ``metadata`` and ``ifd`` read and reset EXIF and XMP; ``files`` reads and
writes whole files.
"""

from __future__ import annotations
