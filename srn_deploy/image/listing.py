"""The images of a folder, and what is passed over in it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from srn_deploy.errors import UnreadableImage
from srn_deploy.image.files import FORMATS, is_image_name
from srn_deploy.system.arguments import as_path
from srn_deploy.system.atomic import TEMPORARY_MARK

_OTHER_IMAGES = re.compile(r"""\.(?:
    3fr|apng|arw|avifs|bpg|cr2|cr3|crw|cur|dcm|dcr|dds|dng|emf|eps|erf|exr|fff|fit|fits|flif|gif|hdp|hdr|
    heic|heics|heif|hif|icns|ico|iiq|j2c|j2k|jng|jp2|jpf|jps|jpx|jxl|jxr|kdc|kra|mef|mng|mos|mpo|mrw|nef|nrw|
    orf|pam|pbm|pcx|pef|pfm|pgm|pic|pict|pnm|ppm|psb|psd|qoi|raf|ras|raw|rgb|rw2|sgi|sr2|srf|srw|svg|svgz|tga|
    wbmp|wdp|wmf|x3f|xbm|xcf|xpm
    )""", re.IGNORECASE | re.VERBOSE)
"""Suffixes of image files in formats that are not read."""

_DEBRIS_FOLDER = "__MACOSX"
_DEBRIS_NAME = "._"
_OF_FILE_MANAGERS = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".directory"})
_APPLE_DOUBLE = bytes.fromhex("00051607")
"""The first bytes of an AppleDouble file (RFC 1740), where macOS keeps attributes of the file of the same name."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """What a folder and its subfolders hold, each list in the order of the file system."""

    images: list[Path] = field(default_factory=list)
    other_images: list[Path] = field(default_factory=list)
    linked_folders: list[Path] = field(default_factory=list)
    debris: list[Path] = field(default_factory=list)
    """AppleDouble files and the folders in which archives keep them."""


def find_images(folder: str | Path, *, without: Path | None = None,
                also: Callable[[Path], bool] = lambda path: False) -> list[Path]:
    """Every image file under a folder and its subfolders, sorted by path.

    What is passed over is logged, a line for each kind: image files of formats that are not read, symbolic links to
    folders, and what macOS keeps beside images. without: a subfolder that is not searched, such as that of the
    results. also: which other files are taken, by their names. Raises UnreadableImage for a folder that cannot be
    listed.
    """
    folder, listing = as_path(folder, "folder"), _Listing()
    skipped = None if without is None else os.path.realpath(without)
    for root, folders, names in os.walk(folder, followlinks=False, onerror=_refuse_folder):
        _sort_folders(Path(root), folders, listing, skipped)
        for path in (Path(root, name) for name in names if not name.startswith(TEMPORARY_MARK)):
            _sort_file(path, listing, also)
    _log_passed_over(listing)
    return sorted(listing.images)


def without_debris(named: Sequence[Path]) -> list[Path]:
    """The files and folders that were named, as a shell's `*` does, without what file managers keep beside images.

    What macOS keeps is logged in one line; the others hold no image and are not mentioned, as in a folder.
    """
    debris = [path for path in named if _is_debris(path)]
    _log_passed_over(_Listing(debris=debris))
    return [path for path in named if path not in debris and path.name.lower() not in _OF_FILE_MANAGERS]


def _is_debris(path: Path) -> bool:
    return _is_apple_double(path) or (path.name == _DEBRIS_FOLDER and path.is_dir())


def _sort_folders(root: Path, folders: list[str], listing: _Listing, skipped: str | None) -> None:
    """Note the folders that are not searched and take them out of the list, which `os.walk` goes by."""
    for path in [root / name for name in folders]:
        if path.is_symlink():
            listing.linked_folders.append(path)
        elif path.name == _DEBRIS_FOLDER:
            listing.debris.append(path)
        elif skipped is None or os.path.realpath(path) != skipped:
            continue
        folders.remove(path.name)


def _sort_file(path: Path, listing: _Listing, also: Callable[[Path], bool]) -> None:
    if is_image_name(path) or also(path):
        (listing.debris if _is_apple_double(path) else listing.images).append(path)
    elif _OTHER_IMAGES.fullmatch(path.suffix):
        (listing.debris if _is_apple_double(path) else listing.other_images).append(path)


def _is_apple_double(path: Path) -> bool:
    if not path.name.startswith(_DEBRIS_NAME) or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_APPLE_DOUBLE)) == _APPLE_DOUBLE
    except OSError:  # an image that may not be read is one of those to be reported
        return False


def _log_passed_over(listing: _Listing) -> None:
    for level, sentence in _passed_over(listing):
        _log.log(level, sentence)


def _passed_over(listing: _Listing) -> Iterator[tuple[int, str]]:
    """The level and the sentence for each kind of thing that is not read, with how many there are and the first."""
    if others := sorted(listing.other_images):
        yield logging.WARNING, (f"Left out: {_counted(others, 'image')} of a format that is not read, "
                                f"{_first(others)}. Convert to {FORMATS}.")
    if links := sorted(listing.linked_folders):
        yield logging.WARNING, (f"Left out: {_counted(links, 'link')} to a folder, {_first(links)}. Links to folders "
                                "are not followed: give the folder itself.")
    if debris := sorted(listing.debris):
        yield logging.INFO, (f"Passed over: {_counted(debris, 'item')} that macOS keeps beside images, "
                             f"{_first(debris)}.")


def _counted(paths: list[Path], thing: str) -> str:
    return f"{len(paths)} {thing}{'s' if len(paths) > 1 else ''}"


def _first(paths: list[Path]) -> str:
    return f"{paths[0]}" + (" is the first" if len(paths) > 1 else "")


def _refuse_folder(error: OSError) -> None:
    raise UnreadableImage(f"The folder {error.filename} cannot be listed: {error.strerror}.",
                          remedy="Check the path and its permissions.") from error
