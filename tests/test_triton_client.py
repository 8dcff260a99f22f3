"""`srn-deploy upscale --server`: the files that a local run writes, and errors that say what happened."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from benchmarks.triton_process import Address, free_address
from srn_deploy.errors import ModelNotServed, RequestRefused
from srn_deploy.image import Image, read_image, write_image
from tests.commands import srn_deploy
from tests.triton_server import BROKEN, MEGAPIXELS, MODEL, needs_server, own_server, shared_server

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install '.[triton]'")


from srn_deploy.serving.client import ServedModelClient
from srn_deploy.serving.remote import RemoteUpscaler

ORIENTATION, MAKER = 0x0112, 0x010F
"""Tags of EXIF."""

IMAGES = 30


@pytest.fixture(scope="module")
def address() -> Address:
    needs_server()
    return shared_server()


def pixels(height: int, width: int, channels: int = 3, seed: int = 0, dtype: Any = np.uint8) -> Any:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype)


def put(path: Path, image: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)
    return path


def folder_of_every_kind(folder: Path) -> Path:
    """Images with all that a result keeps: 16 bits, grey, alpha, a profile, EXIF, an orientation; and a tree."""
    put(folder / "plain.png", Image(pixels=pixels(20, 31)))
    put(folder / "sub/deep.png", Image(pixels=pixels(18, 24, dtype=np.uint16)))
    put(folder / "sub/grey.tif", Image(pixels=pixels(21, 17, 1)))
    alpha = np.zeros((24, 24, 1), np.uint8)
    alpha[6:18, 6:18] = 255
    put(folder / "alpha.png", Image(pixels=pixels(24, 24), alpha=alpha))
    put(folder / "grey_alpha.png", Image(pixels=pixels(24, 24, 1), alpha=alpha))
    exif = Pillow.Exif()
    exif[ORIENTATION], exif[MAKER] = 6, "A maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Pillow.fromarray(pixels(30, 40)).save(folder / "photo.jpg", exif=exif, icc_profile=profile)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def upscaled(address: Address, source: Path, target: Path, *options: str) -> Any:
    return srn_deploy("upscale", source, target, "--server", address.url, "--model", MODEL, *options)


def test_a_folder_becomes_the_files_of_a_local_run_byte_for_byte(address: Address, tmp_path: Path) -> None:
    source = folder_of_every_kind(tmp_path / "in")
    (source / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    options = ("--name", "{stem}_x{scale}{suffix}", "--scale", "1.5", "--keep-times")
    remote = upscaled(address, source, tmp_path / "remote", *options)
    local = srn_deploy("upscale", source, tmp_path / "local", "--model", MODEL, "--device", "cpu", *options)
    assert (remote.returncode, local.returncode) == (1, 1)  # the broken one
    assert files_of(tmp_path / "remote") == files_of(tmp_path / "local")
    assert sorted(remote.stdout.replace("remote", "local").split()) == sorted(local.stdout.split())
    assert "broken.png" in remote.stderr
    assert "6 written, 1 failed" in remote.stderr


def test_what_exists_is_skipped_and_what_is_outdated_replaced(address: Address, tmp_path: Path) -> None:
    source = folder_of_every_kind(tmp_path / "in")
    assert upscaled(address, source, tmp_path / "out").returncode == 0
    whole = files_of(tmp_path / "out")
    (tmp_path / "out/photo.jpg").unlink()
    again = upscaled(address, source, tmp_path / "out", "--skip-existing")
    assert again.stdout.split() == [str(tmp_path / "out/photo.jpg")]
    os.utime(source / "plain.png")
    later = upscaled(address, source, tmp_path / "out", "--update")
    assert later.stdout.split() == [str(tmp_path / "out/plain.png")]
    assert files_of(tmp_path / "out") == whole


def test_the_report_for_programs_counts_requests_as_the_network(address: Address, tmp_path: Path) -> None:
    source = put(tmp_path / "in/a.png", Image(pixels=pixels(20, 31)))
    report = json.loads(upscaled(address, source, tmp_path / "out.png", "--json").stdout)
    assert report["files"][0]["error"] is None
    assert report["stages_s"]["network"] > 0
    assert report["stages_s"]["decode"] >= 0


def test_an_image_beyond_the_limit_is_refused_by_the_server_and_told_and_the_others_are_written(
        address: Address, tmp_path: Path) -> None:
    put(tmp_path / "in/huge.png", Image(pixels=pixels(120, 200)))
    put(tmp_path / "in/small.png", Image(pixels=pixels(9, 9)))
    done = upscaled(address, tmp_path / "in", tmp_path / "out")
    assert done.returncode == 1
    assert "huge.png: The image has 200 x 120 px (0.024 megapixels), and this server takes 0.02." in done.stderr
    assert "--max-megapixels" in done.stderr
    assert list(files_of(tmp_path / "out")) == ["small.png"]


def test_what_the_server_itself_refuses_is_told_with_its_remedy(address: Address) -> None:
    client = ServedModelClient(address.url, MODEL)
    assert client.most_megapixels == MEGAPIXELS
    client.most_megapixels = math.inf
    with pytest.raises(RequestRefused, match=r"120 px \(0\.024 megapixels\), and this server takes 0\.02\.") as caught:
        client.upscale(pixels(120, 200))
    assert caught.value.remedy == "Send a smaller one, or serve the model with more --max-megapixels."
    client.close()


def test_what_the_guard_finds_is_told_and_repaired_where_that_is_asked_for(address: Address, tmp_path: Path) -> None:
    source = put(tmp_path / "in/a.png", Image(pixels=pixels(40, 40) // 2 + 100))
    how = ("--server", address.url, "--model", BROKEN)
    told = srn_deploy("upscale", source, tmp_path / "black.png", *how)
    assert told.returncode == 0
    assert "Warning: " in told.stderr
    assert "does not resemble the input" in told.stderr
    assert not read_image(tmp_path / "black.png").pixels.any()
    srn_deploy("upscale", source, tmp_path / "repaired.png", *how, "--guard", "repair")
    assert read_image(tmp_path / "repaired.png").pixels.any()


def test_a_model_that_is_not_there_is_an_error_that_names_those_that_are(address: Address, tmp_path: Path) -> None:
    source = put(tmp_path / "in/a.png", Image(pixels=pixels(9, 9)))
    done = srn_deploy("upscale", source, tmp_path / "out.png", "--server", address.url, "--model", "absent")
    assert done.returncode == 1
    assert f"has no model absent that is ready.\nReady are: {BROKEN}, {MODEL}." in done.stderr


def test_without_a_model_it_is_the_default_one(address: Address) -> None:
    with pytest.raises(ModelNotServed, match="has no model srn-s-b4-x4-photo"):
        RemoteUpscaler(address.url)


def test_a_server_that_is_killed_in_the_middle_of_a_folder_costs_what_is_missing_until_it_is_back(
        tmp_path: Path) -> None:
    needs_server()
    address, source = free_address(), tmp_path / "in"
    for number in range(IMAGES):
        put(source / f"{number:02}.png", Image(pixels=pixels(60, 70, seed=number)))
    with own_server(tmp_path / "server", address) as server:
        run = subprocess.Popen([sys.executable, "-m", "srn_deploy", "upscale", source, tmp_path / "out", "--server",
                                address.url, "--model", MODEL, "--jobs", "2"], stderr=subprocess.PIPE, text=True,
                               stdout=subprocess.DEVNULL)
        while len(list((tmp_path / "out").glob("*.png"))) < 5:
            assert run.poll() is None
            time.sleep(0.01)
        server.send_signal(signal.SIGKILL)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    assert f"No server answers at {address.url}" in said
    written = files_of(tmp_path / "out")
    assert 5 <= len(written) < IMAGES
    failed, left = said.count("Error: "), int(said.partition(" were not started, because the server was lost")[0]
                                              .split()[-1])
    assert len(written) + failed + left == IMAGES
    assert "Start it again, then: Continue with --skip-existing." in said
    with own_server(tmp_path / "server", address):
        again = upscaled(address, source, tmp_path / "out", "--skip-existing")
    assert again.returncode == 0
    assert len(again.stdout.split()) == IMAGES - len(written)
    found = files_of(tmp_path / "out")
    assert {name: found[name] for name in written} == written
    assert len(found) == IMAGES


def test_no_server_is_an_error_at_once(tmp_path: Path) -> None:
    source = put(tmp_path / "in/a.png", Image(pixels=pixels(9, 9)))
    url = free_address().url
    done = srn_deploy("upscale", source, tmp_path / "out.png", "--server", url)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: No server answers at {url} (")
    assert "8001" in done.stderr
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("option", ["--device", "--precision", "--tile", "--threads"])
def test_what_the_server_decides_is_no_option_beside_it(option: str, tmp_path: Path) -> None:
    value = {"--device": "cpu", "--precision": "fp32", "--tile": "64", "--threads": "1"}[option]
    source = put(tmp_path / "in/a.png", Image(pixels=pixels(9, 9)))
    done = srn_deploy("upscale", source, tmp_path / "out.png", "--server", "grpc://localhost:8001", option, value)
    assert done.returncode == 2
    assert f"{option} is not for --server" in done.stderr


def test_videos_are_not_sent(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs PyAV: pip install '.[video]'")
    (tmp_path / "a.mp4").write_bytes(b"")
    done = srn_deploy("upscale", tmp_path / "a.mp4", tmp_path / "b.mp4", "--server", "grpc://localhost:8001")
    assert done.returncode == 1
    assert "videos are not sent to a server" in done.stderr
