"""Files of torch.save, looked at before torch opens them: does a small one ask for endless memory?"""

from __future__ import annotations

import mmap
import zipfile
from pathlib import Path

from srn_deploy.errors import DamagedCheckpoint, UnsafeCheckpoint

GROWING = {
    b"\nbytearray\n": "builtins.bytearray",
    b"c_codecs\nencode\n": "_codecs.encode",
    b"\n_rebuild_device_tensor_from_": "torch._utils._rebuild_device_tensor",
}
"""Calls that torch's restricted unpickler allows, as pickle writes them, and whose result can be any number of times
as large as the file. Weights of a network need none of them."""


def check_bounded(path: Path) -> None:
    """Raise UnsafeCheckpoint or DamagedCheckpoint for a file that would grow in memory; others pass, whatever they are.

    Raises OSError as open() does.
    """
    _check_stored(path)
    with path.open("rb") as file:
        if not path.stat().st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            call = next((name for written, name in GROWING.items() if data.find(written) >= 0), None)
    if call:
        raise UnsafeCheckpoint(f"{path} asks for {call}, which can take any amount of memory; it was not run.",
                               remedy="Save module.state_dict() alone with torch.save, or as safetensors.")


def _check_stored(path: Path) -> None:
    """Of a zip archive: torch.save stores records as they are, so together they are no larger than the file."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError) as error:
        raise DamagedCheckpoint(f"{path} is truncated or damaged ({path.stat().st_size} bytes).",
                                remedy="Download or copy it again and compare its size.") from error
    if any(one.filename.endswith("/constants.pkl") for one in records):  # TorchScript packs; torch refuses it unread
        return
    packed = next((one.filename for one in records if one.compress_type != zipfile.ZIP_STORED), None)
    size_bytes = sum(one.file_size for one in records)
    if packed is not None or size_bytes > path.stat().st_size:
        raise DamagedCheckpoint(
            f"{path} is no archive as torch.save writes it: " + (
                f"{packed} is compressed." if packed is not None else f"its records claim {size_bytes} bytes."),
            remedy="Load it where you trust it, and save module.state_dict() with torch.save.")
