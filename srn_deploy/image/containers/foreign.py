"""Names files of other kinds by their content, whatever they are called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from srn_deploy.errors import ImageError, UnreadableImage, UnsupportedImage
from srn_deploy.image.containers.unpacked import FORMATS

_CONVERT = "Open it in an image program and save it as PNG or TIFF."
_GIF = "Take one of its frames: for upscale --frame 1, in Python read_image(path, frame=1)."
_DEVELOP = "Develop it with a raw converter and save it as PNG or as a TIFF of 16 bits."
_UNPACK = "Unpack it and give the images in it."
_FRAMES = "Save its frames as PNG, for example with ffmpeg -i VIDEO frame%05d.png."
_RENDER = "Render it to PNG at the size that it needs: a drawing has no pixels to upscale."
_PAGE = "Save its pages or images as PNG, for example with pdftoppm -png or pdfimages -png."
_FETCH = "The download gave this instead of the image: fetch the image itself."
_COPY = "Its copy or download was not completed: get the file again."
_IMAGE = f"Give a complete {FORMATS} file."


class Kind(NamedTuple):
    """A kind of file that is not read."""

    name: str
    """With its article, as in `a GIF image`."""
    remedy: str = _CONVERT
    is_image: bool = True
    """Whether there is an image that another program could convert."""


_RAW_SUFFIX = " raw file of a camera"

_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"GIF87a", Kind("a GIF image", _GIF)), (b"GIF89a", Kind("a GIF image", _GIF)),
    (b"\0\0\0\x0cJXL \r\n\x87\n", Kind("a JPEG XL image")), (b"\xff\x0a", Kind("a JPEG XL image")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Kind("a JPEG 2000 image")), (b"\xff\x4f\xff\x51", Kind("a JPEG 2000 image")),
    (b"II\xbc", Kind("a JPEG XR image")), (b"8BPS", Kind("a Photoshop document (PSD)")),
    (b"gimp xcf", Kind("a GIMP document (XCF)")), (b"v/1\x01", Kind("an OpenEXR image")),
    (b"#?RADIANCE", Kind("a Radiance HDR image")), (b"#?RGBE", Kind("a Radiance HDR image")),
    (b"DDS ", Kind("a DDS texture")), (b"\xabKTX ", Kind("a KTX texture")), (b"qoif", Kind("a QOI image")),
    (b"BPG\xfb", Kind("a BPG image")), (b"FLIF", Kind("a FLIF image")), (b"\0\0\1\0", Kind("an icon (ICO)")),
    (b"\0\0\2\0", Kind("a cursor or TGA image")), (b"icns", Kind("an icon (ICNS)")),
    (b"\x8aMNG\r\n\x1a\n", Kind("an MNG animation")), (b"\x8bJNG\r\n\x1a\n", Kind("a JNG image")),
    (b"AT&TFORM", Kind("a DjVu document", _PAGE)), (b"\x59\xa6\x6a\x95", Kind("a Sun raster image")),
    (b"SIMPLE  =", Kind("a FITS image")), (b"\x01\xda\0\1", Kind("an SGI image")),
    (b"\x01\xda\1\1", Kind("an SGI image")), (b"IIU\0", Kind("a Panasonic" + _RAW_SUFFIX, _DEVELOP)),
    (b"FUJIFILMCCD-RAW", Kind("a Fujifilm" + _RAW_SUFFIX, _DEVELOP)),
    *((start, Kind("an Olympus" + _RAW_SUFFIX, _DEVELOP)) for start in (b"IIRO", b"IIRS", b"MMOR")),
    (b"FOVb", Kind("a Sigma" + _RAW_SUFFIX, _DEVELOP)), (b"\0MRM", Kind("a Minolta" + _RAW_SUFFIX, _DEVELOP)),
    (b"II\x1a\0\0\0HEAPCCDR", Kind("a Canon" + _RAW_SUFFIX, _DEVELOP)),
    (b"%PDF-", Kind("a PDF document", _PAGE)), (b"%!PS", Kind("a PostScript document", _PAGE)),
    (b"\xc5\xd0\xd3\xc6", Kind("a PostScript document", _PAGE)),
    (b"\x1aE\xdf\xa3", Kind("a video (Matroska or WebM)", _FRAMES)), (b"FLV\1", Kind("a video (FLV)", _FRAMES)),
    (b"\0\0\1\xba", Kind("a video (MPEG)", _FRAMES)), (b"\0\0\1\xb3", Kind("a video (MPEG)", _FRAMES)),
    (b"PK\3\4", Kind("a ZIP archive, or a document that consists of one", _UNPACK, is_image=False)),
    (b"\x1f\x8b", Kind("a gzip archive", _UNPACK, is_image=False)),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip archive", _UNPACK, is_image=False)),
    (b"Rar!\x1a\7", Kind("a RAR archive", _UNPACK, is_image=False)),
    (b"BZh", Kind("a bzip2 archive", _UNPACK, is_image=False)),
    (b"\xfd7zXZ\0", Kind("an xz archive", _UNPACK, is_image=False)),
    (b"\x28\xb5\x2f\xfd", Kind("a Zstandard archive", _UNPACK, is_image=False)),
    (b"\x93NUMPY", Kind("a NumPy array", "Save its pixels as an image, or pass the array to the Python API.",
                        is_image=False)),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file", "Save the image in it as PNG or TIFF.", is_image=False)),
    (b"\0\5\x16\7", Kind("an AppleDouble file: what macOS keeps beside an image, without its pixels",
                         "Give the file of the same name without the leading ._ instead.", is_image=False)),
    (b"\0\5\x16\0", Kind("an AppleSingle file", _CONVERT, is_image=False)),
    (b"version https://git-lfs", Kind("a Git LFS pointer, not the file itself", "Run: git lfs pull", is_image=False)),
)

_BRANDS = {b"avif": Kind("an AVIF image"), b"avis": Kind("an AVIF image"), b"jp2 ": Kind("a JPEG 2000 image"),
           b"jxl ": Kind("a JPEG XL image"), b"jpx ": Kind("a JPEG 2000 image"),
           b"crx ": Kind("a Canon" + _RAW_SUFFIX, _DEVELOP),
           **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), Kind("a HEIC image"))}
_OTHER_HEIF = Kind("a HEIF image")
_VIDEO = Kind("a video (MP4 or QuickTime)", _FRAMES)

_RIFF = {b"AVI ": Kind("a video (AVI)", _FRAMES), b"WAVE": Kind("a sound file (WAV)", _IMAGE, is_image=False),
         b"ACON": Kind("an animated cursor")}

_NETPBM = re.compile(rb"P[1-7fF][ \t\r\n]")
_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_SVG = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<(?:\w+:)?svg\b", re.DOTALL)
_DICOM_AT = 128
_LOOKED_AT_BYTES = 4096
_LEAST_TEXT_BYTES = 16
_CONTROLS = bytes({*range(32)} - set(b"\t\n\r\f\x1b"))


def foreign(data: bytes, path: Path) -> ImageError | None:
    """The error for a file of a kind that is recognised but not read; None if the content is not known either."""
    kind = _kind(data)
    if kind is None:
        return None
    suffix = path.suffix
    called = f", named {suffix}" if suffix and suffix[1:].lower() not in kind.name.lower() else ""
    error = UnsupportedImage if kind.is_image else UnreadableImage
    return error(f"{path} is {kind.name}{called}.", remedy=kind.remedy)


def is_text(data: bytes) -> bool:
    """Whether a file begins with text in UTF-8 or UTF-16, long enough not to be the beginning of something else."""
    head = data[:_LOOKED_AT_BYTES]
    if len(head) < _LEAST_TEXT_BYTES:
        return False
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _decodes(head[:len(head) // 2 * 2], "utf-16")
    return not set(head) & set(_CONTROLS) and any(_decodes(head[:len(head) - cut], "utf-8") for cut in range(4))


def _decodes(head: bytes, encoding: str) -> bool:
    try:
        return head.decode(encoding).isprintable() or bool(head.decode(encoding).strip())
    except UnicodeDecodeError:
        return False


def _kind(data: bytes) -> Kind | None:
    found = next((kind for start, kind in _STARTS if data.startswith(start)), None)
    if found is not None:
        return found
    if data[4:8] == b"ftyp":
        return _of_brands(data)
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if _NETPBM.match(data):
        return Kind("a Netpbm image (PBM, PGM, PPM, PAM or PFM)")
    if data[_DICOM_AT:_DICOM_AT + 4] == b"DICM":
        return Kind("a DICOM image")
    return _written(data)


def _of_brands(data: bytes) -> Kind:
    """By the major brand and the compatible ones (ISO/IEC 14496-12, "File type box")."""
    end = max(16, min(int.from_bytes(data[:4], "big"), len(data), _LOOKED_AT_BYTES))
    brands = [data[8:12], *(data[at:at + 4] for at in range(16, end, 4))]
    found = next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)
    return found or (_OTHER_HEIF if {b"mif1", b"msf1"} & set(brands) else _VIDEO)


def _written(data: bytes) -> Kind | None:
    """Text of some kind, or nothing but zeros."""
    head = data[:_LOOKED_AT_BYTES].removeprefix(b"\xef\xbb\xbf")
    if _SVG.match(head):
        return Kind("an SVG drawing", _RENDER)
    if _HTML.match(head):
        return Kind("a web page (HTML), not an image", _FETCH, is_image=False)
    if head.lstrip()[:1] in (b"{", b"[") and is_text(data):
        return Kind("a text file (JSON), not an image", _FETCH, is_image=False)
    if is_text(data):
        return Kind("a text file, not an image", _IMAGE, is_image=False)
    if len(data) >= _LEAST_TEXT_BYTES and not data.strip(b"\0"):
        return Kind("a file of zeros, without any content", _COPY, is_image=False)
    return None
