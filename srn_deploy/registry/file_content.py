"""What a file is by its content, whatever its name says; from its first bytes, and for an archive from its members."""

from __future__ import annotations

import mmap
import tarfile
import zipfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

HEAD_BYTES = 1024


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What a kind of file is called in a sentence, and what to do with one that is not read; empty for what is."""

    title: str
    remedy: str = ""


_STATE_DICT = "save its weights with torch.save(model.state_dict(), 'weights.pth')"
_FROM_TRAINING = f"Use the checkpoint that it was made from, or open it where it was made and {_STATE_DICT}."
_UNPACK = "Unpack it and give the file inside."
_GIVE = "Give the file with the weights."
_DOWNLOAD = "Download the file itself, not the page about it; the site may want a login first."


class Content(Enum):
    """Kinds of files; those with a remedy are not read."""

    TORCH = _Kind(title="a file of torch.save")
    SAFETENSORS = _Kind(title="a safetensors file")
    ONNX = _Kind(title="an ONNX graph")
    UNKNOWN = _Kind(title="a file of an unknown kind")
    EMPTY = _Kind(title="an empty file: truncated, or never written", remedy="Copy or download it again.")
    LFS_POINTER = _Kind(title="a Git-LFS pointer, not the weights themselves",
                        remedy="Run `git lfs pull` where it came from, or download the file itself.")
    HTML = _Kind(title="a web page (HTML)", remedy=_DOWNLOAD)
    XML = _Kind(title="an XML file", remedy="Give the checkpoint: a file of torch.save or safetensors.")
    JSON = _Kind(title="a JSON file", remedy="Give the file with the weights, which usually lies beside it.")
    TEXT = _Kind(title="a text file", remedy=_GIVE)
    PDF = _Kind(title="a PDF document", remedy=_GIVE)
    IMAGE = _Kind(title="an image", remedy=_GIVE)
    TORCHSCRIPT = _Kind(title="a TorchScript program, not a weights file",
                        remedy="Save module.state_dict() with torch.save and use that file.")
    EXPORTED_PROGRAM = _Kind(title="a program of torch.export (.pt2)",
                             remedy=f"Use the network that was exported: {_STATE_DICT}.")
    TORCH_PACKAGE = _Kind(title="a program of torch.package",
                          remedy=f"Open it with torch.package.PackageImporter and {_STATE_DICT}.")
    PICKLE = _Kind(title="a Python pickle, which torch.save did not write",
                   remedy=f"If you trust it: open it where it was made and {_STATE_DICT}.")
    NUMPY = _Kind(title="a numpy array (.npy)",
                  remedy="Give all arrays their names and save tensors: torch.save({name: torch.from_numpy(array), …}, "
                         "'weights.pth').")
    NUMPY_ARCHIVE = _Kind(title="an archive of numpy arrays (.npz)",
                          remedy="Save tensors: python -c \"import numpy, torch; a = numpy.load('FILE'); torch.save("
                                 "{k: torch.from_numpy(a[k]) for k in a}, 'weights.pth')\"")
    HDF5 = _Kind(title="an HDF5 file, as Keras and MATLAB write it", remedy=_FROM_TRAINING)
    KERAS = _Kind(title="a Keras model (.keras)", remedy=_FROM_TRAINING)
    TENSORFLOW = _Kind(title="a TensorFlow graph (.pb)", remedy=_FROM_TRAINING)
    TFLITE = _Kind(title="a TensorFlow Lite model", remedy=_FROM_TRAINING)
    GGUF = _Kind(title="a GGUF file", remedy=_FROM_TRAINING)
    GGML = _Kind(title="a GGML file", remedy=_FROM_TRAINING)
    ENGINE = _Kind(title="a TensorRT engine", remedy="Name it .engine and keep its manifest next to it.")
    MATLAB = _Kind(title="a MATLAB file (.mat)",
                   remedy="Convert its arrays to tensors under the network's names and save them with torch.save.")
    NCNN = _Kind(title="an ncnn model", remedy=_FROM_TRAINING)
    GZIP = _Kind(title="a file compressed with gzip", remedy=_UNPACK)
    BZIP2 = _Kind(title="a file compressed with bzip2", remedy=_UNPACK)
    XZ = _Kind(title="a file compressed with xz", remedy=_UNPACK)
    ZSTD = _Kind(title="a file compressed with zstd", remedy=_UNPACK)
    SEVEN_ZIP = _Kind(title="a 7z archive", remedy=_UNPACK)
    RAR = _Kind(title="a RAR archive", remedy=_UNPACK)
    TAR = _Kind(title="a tar archive", remedy=_UNPACK)
    ZIP = _Kind(title="a zip archive", remedy=_UNPACK)
    EMPTY_ZIP = _Kind(title="a zip archive with nothing in it", remedy=_GIVE)
    LZ4 = _Kind(title="a file compressed with lz4", remedy=_UNPACK)
    LZMA = _Kind(title="a file compressed with lzma", remedy=_UNPACK)
    SQLITE = _Kind(title="an SQLite database", remedy=_GIVE)
    PARQUET = _Kind(title="a Parquet file", remedy=_GIVE)
    ARROW = _Kind(title="an Arrow file", remedy=_GIVE)
    ELF = _Kind(title="a program or library of Linux", remedy=_GIVE)

    @property
    def title(self) -> str:
        """What it is, as it follows "is" in a sentence."""
        return self.value.title

    @property
    def remedy(self) -> str:
        """What to do about a file of this kind; empty for those that are read, and for an unknown one."""
        return self.value.remedy


_FIRST_BYTES = (
    (b"version https://git-lfs", Content.LFS_POINTER), (b"\x89HDF\r\n\x1a\n", Content.HDF5), (b"GGUF", Content.GGUF),
    (b"lmgg", Content.GGML), (b"tjgg", Content.GGML), (b"\x93NUMPY", Content.NUMPY), (b"%PDF-", Content.PDF),
    (b"MATLAB 5.0 MAT-file", Content.MATLAB), (b"ptrt", Content.ENGINE), (b"ftrt", Content.ENGINE),
    (b"7767517\n", Content.NCNN), (b"\x1f\x8b", Content.GZIP), (b"BZh", Content.BZIP2),
    (b"\xfd7zXZ\x00", Content.XZ), (b"\x28\xb5\x2f\xfd", Content.ZSTD), (b"7z\xbc\xaf\x27\x1c", Content.SEVEN_ZIP),
    (b"Rar!\x1a\x07", Content.RAR), (b"\x89PNG\r\n", Content.IMAGE), (b"\xff\xd8\xff", Content.IMAGE),
    (b"GIF8", Content.IMAGE), (b"II*\x00", Content.IMAGE), (b"MM\x00*", Content.IMAGE),
    (b"PK\x05\x06", Content.EMPTY_ZIP), (b"\x04\x22\x4d\x18", Content.LZ4), (b"\x5d\x00\x00", Content.LZMA),
    (b"SQLite format 3\x00", Content.SQLITE), (b"PAR1", Content.PARQUET), (b"ARROW1\x00\x00", Content.ARROW),
    (b"\x7fELF", Content.ELF),
)
"""The beginnings of files that tell their kind."""

_OLDER_TORCH = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The magic number of torch.save's older form, after the two bytes of the pickle's protocol."""


def content_of(path: Path) -> Content:
    """What kind of file this is; UNKNOWN where nothing says so. Raises OSError as open() does."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return Content.EMPTY
    if known := next((kind for beginning, kind in _FIRST_BYTES if head.startswith(beginning)), None):
        return known
    if head.startswith(b"PK\x03\x04"):
        return _content_of_zip(path)
    if head[257:262] == b"ustar":
        return Content.TAR
    if (head[:4], head[8:12]) == (b"RIFF", b"WEBP") or (head[:2] == b"BM" and head[6:10] == bytes(4)):
        return Content.IMAGE
    if head[4:8] == b"TFL3":
        return Content.TFLITE
    return _content_of_bytes(head, path.stat().st_size)


def holds(path: Path, text: bytes) -> bool:
    """Whether a text occurs anywhere in a file; false where it cannot be read, which whoever opens it says."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(text) >= 0
    except (OSError, ValueError):  # ValueError: an empty file
        return False


def members(path: Path, kind: Content) -> list[str]:
    """The names of the files in a zip or tar archive; empty for other kinds and for damaged archives."""
    try:
        if kind is Content.ZIP:
            with zipfile.ZipFile(path) as archive:
                return [one.filename for one in archive.infolist() if not one.is_dir()]
        if kind is Content.TAR:
            with tarfile.open(path, "r:") as tape:
                return [one.name for one in tape if one.isfile()]
    except (zipfile.BadZipFile, tarfile.TarError, ValueError, NotImplementedError, EOFError, OverflowError, OSError):
        pass
    return []


def _content_of_zip(path: Path) -> Content:
    names = members(path, Content.ZIP)
    last = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in last:
        return Content.TORCHSCRIPT
    if "serialized_exported_program.json" in last or "archive_format" in last:
        return Content.EXPORTED_PROGRAM
    if "extern_modules" in last:
        return Content.TORCH_PACKAGE
    if any(name == "data.pkl" or (name.endswith("/data.pkl") and name.count("/") == 1) for name in names):
        return Content.TORCH
    if names and all(name.endswith(".npy") for name in names):
        return Content.NUMPY_ARCHIVE
    if "model.weights.h5" in last:
        return Content.KERAS
    return Content.ZIP if names else Content.TORCH  # the end of the archive is missing


def _content_of_bytes(head: bytes, size_bytes: int) -> Content:
    """Of what has no magic number: safetensors, pickles, protocol buffers and texts."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= max(size_bytes, 2**27):
        return Content.SAFETENSORS
    if head[:1] == b"\x80" and len(head) > 1 and 0 < head[1] < 6:
        return Content.TORCH if _OLDER_TORCH.startswith(head[2:2 + len(_OLDER_TORCH)]) else Content.PICKLE
    return _content_of_protocol_buffer(head) or _content_of_text(head) or Content.UNKNOWN


def _content_of_protocol_buffer(head: bytes) -> Content | None:
    """An ONNX graph begins with its version and a known field; TensorFlow's with a node, or version 1 and a graph."""
    if len(head) < 4:
        return None
    if head[0] == 0x08 and head[1] == 1 and head[2] == 0x12:
        return Content.TENSORFLOW
    if head[0] == 0x08 and 1 <= head[1] < 32 and head[2] in (0x12, 0x1A, 0x22, 0x32, 0x3A, 0x42, 0x72):
        return Content.ONNX
    inner = 3 if head[1] & 0x80 else 2
    name = head[inner + 2:inner + 2 + head[inner + 1]] if head[0] == 0x0A and head[inner] == 0x0A else b""
    return Content.TENSORFLOW if name and name.isascii() and name.decode().isprintable() else None


def _content_of_text(head: bytes) -> Content | None:
    try:
        text = head.decode("utf-8-sig").lstrip()
    except UnicodeDecodeError as error:
        if len(head) < HEAD_BYTES or error.start < len(head) - 3:  # else a letter is cut at the end
            return None
        text = head[:error.start].decode("utf-8-sig").lstrip()
    if not all(letter.isprintable() or letter.isspace() for letter in text):
        return None
    lowered = text.lower()
    if lowered.startswith(("<!doctype html", "<html", "<head", "<body")) or "<html" in lowered:
        return Content.HTML
    if text.startswith("<?xml"):
        return Content.XML
    if text.startswith(("{", "[")) and '"' in text:
        return Content.JSON
    return Content.TEXT if len(text) > 7 else None
