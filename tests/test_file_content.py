"""A model file is what its content says, whatever it is called, and what is not read is called what it is."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.errors import (
    CheckpointError,
    DamagedCheckpoint,
    GraphError,
    SrnDeployError,
    UnknownModel,
    UnsafeCheckpoint,
    UnsupportedCheckpoint,
)
from srn_deploy.registry.file_content import Content, content_of
from srn_deploy.registry.resolve import ModelKind, kind_of, resolve, resolve_file
from tests.test_checkpoint_damage import tiny_state, written
from tests.test_weight_sets import is_taken


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.onnx", "a", "a.bin", "a.ckpt", "a.PTH", "a.pkl"])
def test_weights_are_read_under_any_name(tmp_path: Path, name: str) -> None:
    for data in (written(tiny_state()), written(tiny_state(), as_zip=False), safetensors.torch.save(tiny_state())):
        (tmp_path / name).write_bytes(data)
        assert kind_of(tmp_path / name) is ModelKind.CHECKPOINT
        assert is_taken(load_checkpoint(tmp_path / name), tiny_state())


@pytest.mark.parametrize("name", ["graph.pth", "graph.safetensors", "graph"])
def test_a_graph_is_a_graph_under_any_name(tmp_path: Path, name: str) -> None:
    shutil.copy(resolve(None).path, tmp_path / name)
    assert resolve(tmp_path / name).kind is ModelKind.GRAPH
    with pytest.raises(UnsupportedCheckpoint, match="an ONNX graph"):
        load_checkpoint(tmp_path / name)


def zipped(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def zipped_nothing() -> bytes:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


def taped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def arrays(save: Callable[..., None]) -> bytes:
    buffer = io.BytesIO()
    save(buffer, np.zeros((2, 3), np.float32))
    return buffer.getvalue()


NODE = b"\x0a\x05input\x12\x0bPlaceholder"
OTHERS: dict[str, tuple[bytes, str, str]] = {
    "HTML": (b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>", "a web page", "login"),
    "HTML in capitals": (b"\n\n<HTML><BODY>404</BODY></HTML>", "a web page", "login"),
    "XHTML": (b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>', "a web page", "login"),
    "HTML, long": (b"<html><body>" + "é".encode() * 3000, "a web page", "login"),
    "XML": (b'<?xml version="1.0"?><net name="model" version="11"/>', "an XML file", "checkpoint"),
    "JSON": (json.dumps({"scale": 4, "name": "x" * 30}).encode(), "a JSON file", "weights"),
    "JSON, long": (json.dumps({"metadata": ["é" * 9] * 900}, ensure_ascii=False).encode(), "a JSON file", "weights"),
    "text": (b"Not Found\n", "a text file", "weights"),
    "zip": (zipped("srn.pth", written(tiny_state())), r"a zip archive with srn\.pth", "Unpack it"),
    "zip, packed": (zipped("srn.pth", written(tiny_state()), zipfile.ZIP_DEFLATED), r"with srn\.pth", "Unpack"),
    "gzip": (gzip.compress(written(tiny_state())), "compressed with gzip", "Unpack it"),
    "bzip2": (bz2.compress(written(tiny_state())), "compressed with bzip2", "Unpack it"),
    "xz": (lzma.compress(written(tiny_state())), "compressed with xz", "Unpack it"),
    "tar": (taped("srn.pth", written(tiny_state())), r"a tar archive with srn\.pth", "Unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(90), "a 7z archive", "Unpack it"),
    "npy": (arrays(np.save), r"a numpy array \(.npy\)", "from_numpy"),
    "npz": (arrays(np.savez), r"an archive of numpy arrays \(.npz\)", "from_numpy"),
    "npz, packed": (arrays(np.savez_compressed), r"an archive of numpy arrays \(.npz\)", "from_numpy"),
    "Keras": (zipped("model.weights.h5", b"\x89HDF"), "a Keras model", "state_dict"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(90), "an HDF5 file", "state_dict"),
    "GraphDef": (b"\x0a" + bytes([len(NODE)]) + NODE + bytes(90), "a TensorFlow graph", "state_dict"),
    "SavedModel": (b"\x08\x01\x12\xff\x01" + bytes(300), "a TensorFlow graph", "state_dict"),
    "TFLite": (b"\x1c\x00\x00\x00TFL3" + bytes(90), "a TensorFlow Lite model", "state_dict"),
    "GGUF": (b"GGUF\x03\x00\x00\x00" + bytes(90), "a GGUF file", "state_dict"),
    "MATLAB": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(90), "a MATLAB file", "torch.save"),
    "engine": (b"ptrt" + bytes(90), "a TensorRT engine", "manifest"),
    "ncnn": (b"7767517\n75 83\n", "an ncnn model", "state_dict"),
    "PDF": (b"%PDF-1.7\n" + bytes(90), "a PDF document", "weights"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(90), "an image", "weights"),
    "WebP": (b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(90), "an image", "weights"),
    "BMP": (b"BM\x7a\x00\x00\x00" + bytes(90), "an image", "weights"),
    "zip, empty": (zipped_nothing(), "a zip archive with nothing in it", "weights"),
    "lzma": (lzma.compress(written(tiny_state()), lzma.FORMAT_ALONE), "compressed with lzma", "Unpack it"),
    "lz4": (b"\x04\x22\x4d\x18" + bytes(90), "compressed with lz4", "Unpack it"),
    "SQLite": (b"SQLite format 3\x00" + bytes(90), "an SQLite database", "weights"),
    "Parquet": (b"PAR1" + bytes(90), "a Parquet file", "weights"),
    "ELF": (b"\x7fELF" + bytes(90), "a program or library of Linux", "weights"),
    "AVIF": (b"\x00\x00\x00\x1cftypavif" + bytes(90), "an AVIF image", "weights"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
@pytest.mark.parametrize("kind", OTHERS)
def test_a_whole_file_of_another_kind_is_called_what_it_is(tmp_path: Path, kind: str, suffix: str) -> None:
    data, said, cure = OTHERS[kind]
    (tmp_path / f"file{suffix}").write_bytes(data)
    with pytest.raises(UnsupportedCheckpoint, match=said) as caught:
        load_checkpoint(tmp_path / f"file{suffix}")
    assert cure in caught.value.remedy
    assert "damaged" not in str(caught.value)
    assert "truncated" not in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in OTHERS if kind not in ("text", "AVIF")])
def test_a_file_that_is_called_a_graph_is_called_what_it_is_too(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file.onnx").write_bytes(OTHERS[kind][0])
    with pytest.raises(GraphError, match="not an ONNX graph"):
        resolve_file(tmp_path / "file.onnx")


@pytest.mark.parametrize(("record", "said"), [
    ("program/archive_format", r"torch\.export"), ("serialized_exported_program.json", r"torch\.export"),
    ("package/.data/extern_modules", r"torch\.package")])
def test_other_programs_of_torch_are_called_so(tmp_path: Path, record: str, said: str) -> None:
    (tmp_path / "program.pth").write_bytes(zipped(record, b"pt2"))  # torch needs seconds to write a real one
    with pytest.raises(UnsafeCheckpoint, match=f"{said}.*was not run"):
        load_checkpoint(tmp_path / "program.pth")


@pytest.mark.parametrize(("data", "said"), [
    (b"", "an empty file"), (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git-LFS pointer")])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_whose_content_is_missing_is_called_so(tmp_path: Path, data: bytes, said: str, suffix: str) -> None:
    (tmp_path / f"file{suffix}").write_bytes(data)
    with pytest.raises(DamagedCheckpoint, match=said):
        load_checkpoint(tmp_path / f"file{suffix}")


def test_every_kind_that_is_not_read_has_a_remedy() -> None:
    read = {Content.TORCH, Content.SAFETENSORS, Content.ONNX, Content.UNKNOWN}
    assert {kind for kind in Content if not kind.remedy} == read


@pytest.mark.parametrize("length", [1, 2, 3, 5, 9, 30, 100])
def test_the_beginning_of_any_file_ends_in_an_error(tmp_path: Path, length: int) -> None:
    for kind, (data, _, _) in OTHERS.items():
        for name in ("file.pth", "file.safetensors", "file.onnx"):
            (tmp_path / name).write_bytes(data[:length])
            assert content_of(tmp_path / name) in Content, kind
            with pytest.raises(SrnDeployError):
                resolve_file(tmp_path / name)
                load_checkpoint(tmp_path / name)


def test_a_cut_torch_file_is_still_called_truncated(tmp_path: Path) -> None:
    for as_zip in (True, False):
        (tmp_path / "file.safetensors").write_bytes(written(tiny_state(), as_zip=as_zip)[:2000])
        with pytest.raises(CheckpointError, match="truncated"):
            load_checkpoint(tmp_path / "file.safetensors")


def test_a_folder_in_place_of_a_model_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="is a folder, not a file"):
        resolve(tmp_path)
