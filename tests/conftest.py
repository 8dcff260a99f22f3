"""What every test may ask for: the repository, the real data, a GPU."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from srn_deploy.backends.first_run import run_without_trial
from srn_deploy.system.cuda_driver import why_no_gpu
from tests.optional import TORCH
from tests.run_folder import make_run_folder, run_folder
from tests.shared_exports import share_exports

if TYPE_CHECKING:
    from tests.banded import BothWays

# Before any library reads it: as many workers run as there are processors, and the networks are tiny.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# In the background of a shell and under nohup Ctrl-C is ignored, and processes that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent

# No deadline: a test measures no time. Derandomised: the same examples on every machine.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data() -> Path:
    """Published checkpoints, pictures and reference outputs; never part of the repository."""
    folder = Path(os.environ.get("SRN_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there; point SRN_DATA at it")
    return folder


@pytest.fixture
def run_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> BothWays:
    """Upscales a file whole and by bands."""
    from tests.banded import BothWays

    return BothWays(tmp_path, monkeypatch, caplog)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, which tiny networks are fastest with."""
    torch = pytest.importorskip("torch", reason=TORCH)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers on this machine are reached directly, whatever the environment says."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="session")
def is_soak(pytestconfig: pytest.Config) -> bool:
    """Whether tests marked `soak` take their full counts instead of a representative few."""
    return bool(pytestconfig.getoption("soak"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="full counts for the tests marked soak")


def pytest_configure(config: pytest.Config) -> None:
    """Every process of this run shares a folder."""
    config.add_cleanup(make_run_folder())
    os.environ["XDG_CACHE_HOME"] = str(run_folder())  # what is found out about a checkpoint is kept for the run alone
    run_without_trial()  # graphs that tests make run at once; commands that they start try them first


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `gpu` where no GPU can be used, with the driver's own reason."""
    share_exports()
    if item.get_closest_marker("gpu") and (reason := why_no_gpu()):
        pytest.skip(f"needs a GPU: {reason}")
