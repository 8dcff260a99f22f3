"""Names of the image formats that can be written; here, because helps show them before an image library is loaded."""

from __future__ import annotations

WRITTEN_FORMATS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "avif": ".avif", "bmp": ".bmp"}
"""Name of a format to the suffix of its files."""
