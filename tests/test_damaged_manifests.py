"""A manifest or a catalogue that is none is an error with a remedy in every command that reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from srn_deploy.cli import main
from srn_deploy.errors import DamagedCheckpoint
from srn_deploy.image import Image, find_images, write_image
from srn_deploy.registry import published, shipped
from srn_deploy.registry.published import published_models

DAMAGED = ["", "no JSON", "{}", "[]", '{"models": [{"name": "x"}], "default": "x"}', '{"models": 1}', "\udcff"]


@pytest.fixture(params=DAMAGED)
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that is not what its name says."""
    path = tmp_path / "manifest.json"
    path.write_bytes(str(request.param).encode("utf-8", "surrogateescape"))
    return path


@pytest.mark.parametrize("arguments", [("models", "list"), ("models", "pull", "edsr"),
                                       ("upscale", "in.png", "out.png")])
def test_a_damaged_manifest_is_an_error_with_a_remedy(damaged: Path, monkeypatch: pytest.MonkeyPatch,
                                                      arguments: tuple[str, ...]) -> None:
    monkeypatch.chdir(damaged.parent)
    monkeypatch.setattr(shipped, "models_folder", lambda: damaged.parent)
    write_image(Path("in.png"), Image(pixels=np.zeros((4, 4, 3), np.uint8)))
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert "manifest.json is damaged" in done.stderr
    assert "Install srn-deploy again" in done.stderr


def test_a_damaged_catalogue_is_an_error_with_a_remedy(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "CATALOGUE", damaged)
    with pytest.raises(DamagedCheckpoint, match="Install srn-deploy again"):
        published_models()


def test_a_file_that_is_all_suffix_is_no_image(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=np.zeros((4, 4, 3), np.uint8)))
    (tmp_path / ".png").write_bytes((tmp_path / "in.png").read_bytes())
    assert find_images(tmp_path) == [tmp_path / "in.png"]
