"""Checks files of torch.save before torch opens them: a small file must not fill the memory."""

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
"""Calls, as pickle writes them, that torch's restricted unpickler allows and whose result can be many times as large as
the file. The weights of a network need none of them."""


def check_bounded(path: Path) -> None:
    """Raise UnsafeCheckpoint or DamagedCheckpoint for a file that would grow in memory; any other file passes.

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
    """Check a zip archive: torch.save does not compress records, so together they are not larger than the file."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError) as error:
        raise DamagedCheckpoint(f"{path} is truncated or damaged ({path.stat().st_size} bytes).",
                                remedy="Download or copy it again and compare its size.") from error
    if any(one.filename.endswith("/constants.pkl") for one in records):  # TorchScript; torch refuses it unread
        return
    packed = next((one.filename for one in records if one.compress_type != zipfile.ZIP_STORED), None)
    size_bytes = sum(one.file_size for one in records)
    if packed is not None or size_bytes > path.stat().st_size:
        raise DamagedCheckpoint(
            f"{path} is not an archive as torch.save writes it: " + (
                f"{packed} is compressed." if packed is not None else f"its records claim {size_bytes} bytes."),
            remedy="If you trust it, load it and save module.state_dict() with torch.save.")
