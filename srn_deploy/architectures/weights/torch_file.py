"""Opens files of torch.save, the zip archives of today and the older form. Nothing that they name is ever run."""

from __future__ import annotations

import io
import mmap
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from srn_deploy.architectures.weights.inert_pickle import Builder, InertUnpickler, InvalidPickle, Placeholder
from srn_deploy.architectures.weights.stored_tensors import BUILDERS, Storages
from srn_deploy.errors import DamagedCheckpoint

MAGIC = 0x1950A86A20F9469CFC6C
"""The first object of a file in the older form."""

VERSION = 1001
"""The second one."""


@dataclass(frozen=True, kw_only=True)
class TorchFile:
    """What a file holds: tensors, plain values and containers, and placeholders for all else."""

    content: object
    programs: tuple[str, ...]
    """Functions that it asks to call and that do not only make values; none was called."""


def read_torch_file(path: Path) -> TorchFile:
    """Read a file of torch.save. Raises DamagedCheckpoint for one that is not whole, OSError as open() does."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
        return _read_zip(path) if head == b"PK\x03\x04" else _read_older_form(path)
    except (zipfile.BadZipFile, ValueError, TypeError, KeyError, NotImplementedError, EOFError, OverflowError,
            RuntimeError) as error:
        raise DamagedCheckpoint(f"{path} is truncated or damaged ({path.stat().st_size} bytes: {str(error)[:120]}).",
                                remedy="Download or copy it again and compare its size.") from error


def _read_zip(path: Path) -> TorchFile:
    with zipfile.ZipFile(path) as archive:
        _check_stored(path, archive)
        records = {record.filename: record for record in archive.infolist()}
        pickled = next((name for name in records if name.endswith("data.pkl") and name.count("/") <= 1), "")
        if not pickled:
            raise InvalidPickle("it has no data.pkl")
        root = pickled.removesuffix("data.pkl")
        is_foreign_order = f"{root}byteorder" in records and archive.read(f"{root}byteorder") == b"big"

        def load(key: str, dtype: torch.dtype, count: int) -> torch.UntypedStorage:
            data = archive.read(records[f"{root}data/{key}"])
            if len(data) < count * dtype.itemsize:
                raise InvalidPickle(f"data/{key} has {len(data)} bytes")
            storage = _storage_of(data)
            if is_foreign_order:
                storage.byteswap(dtype)  # type: ignore[no-untyped-call]
            return storage

        unpickler = InertUnpickler(io.BytesIO(archive.read(pickled)), BUILDERS, Storages(load))
        return TorchFile(content=unpickler.load(), programs=tuple(unpickler.programs))


def _check_stored(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse records that would grow: torch.save does not compress them, so together they are not larger than the file.

    Raises DamagedCheckpoint.
    """
    records = archive.infolist()
    packed = next((one.filename for one in records if one.compress_type != zipfile.ZIP_STORED), None)
    size_bytes = sum(one.file_size for one in records)
    if packed is not None or size_bytes > path.stat().st_size:
        raise DamagedCheckpoint(
            f"{path} is not an archive as torch.save writes it: " + (
                f"{packed} is compressed." if packed is not None else f"its records claim {size_bytes} bytes."),
            remedy="If you trust it, load it and save module.state_dict() with torch.save.")


def _read_older_form(path: Path) -> TorchFile:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # mmap reads as a file does. A plain pickle has each storage as the bytes of a file of its own.
        within = {**BUILDERS, "torch.storage._load_from_bytes": _Within()}
        return _read_pickles(data, len(data), within)  # type: ignore[arg-type]


class _Within:
    """Reads the older form from the bytes in a pickle; each is read once, or a memo would make them many."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[bytes, object]] = {}

    def __call__(self, data: object) -> object:
        """Raises InvalidPickle for damaged bytes and for a program in them."""
        if not isinstance(data, bytes):  # protocols before 3 have no bytes and ask for a conversion
            return Placeholder("torch.storage._load_from_bytes")
        if id(data) not in self._read:
            file = _read_pickles(io.BytesIO(data), len(data), BUILDERS)
            if file.programs:
                raise InvalidPickle(f"a storage asks for {file.programs[0]}")
            self._read[id(data)] = data, file.content
        return self._read[id(data)][1]


def _read_pickles(file: IO[bytes], size_bytes: int, builders: Mapping[str, Builder]) -> TorchFile:
    """Magic number, version, system, the object, the keys of its storages, and the storages; or one plain pickle."""
    left_bytes = size_bytes
    made: dict[str, tuple[torch.UntypedStorage, int]] = {}

    def reserve(key: str, dtype: torch.dtype, count: int) -> torch.UntypedStorage:
        nonlocal left_bytes
        left_bytes -= count * dtype.itemsize
        if left_bytes < 0:
            raise InvalidPickle("its tensors are larger than the file")
        storage = _empty_storage(count * dtype.itemsize)
        made[key] = storage, dtype.itemsize
        return storage

    unpickler = InertUnpickler(file, builders, Storages(reserve))
    content = unpickler.load()
    if content == MAGIC:
        if unpickler.load() != VERSION:
            raise InvalidPickle("another version of the older form")
        unpickler.load()
        content = unpickler.load()
        _fill(file, unpickler.load(), made)
    return TorchFile(content=content, programs=tuple(unpickler.programs))


def _fill(file: IO[bytes], keys: object, made: Mapping[str, tuple[torch.UntypedStorage, int]]) -> None:
    """Read the storages, each after its number of elements."""
    if not isinstance(keys, list) or any(key not in keys for key in made):
        raise InvalidPickle("its storages are not listed")
    for key in keys:
        if not isinstance(key, str):
            raise InvalidPickle("a storage without a name")
        storage, item_bytes = made[key]
        size_bytes = int.from_bytes(file.read(8), "little") * item_bytes
        if size_bytes != storage.nbytes():
            raise InvalidPickle(f"storage {key[:40]} has another size")
        if size_bytes:
            found = file.read(size_bytes)
            if len(found) < size_bytes:
                raise InvalidPickle("a storage ends early")
            storage.copy_(_storage_of(found))


def _storage_of(data: bytes) -> torch.UntypedStorage:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).untyped_storage() if data else _empty_storage(0)


def _empty_storage(size_bytes: int) -> torch.UntypedStorage:
    return torch.UntypedStorage(size_bytes)  # type: ignore[no-untyped-call]
