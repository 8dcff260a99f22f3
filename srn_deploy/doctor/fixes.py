"""The commands that fix what is missing or broken, for this machine and this installation."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

_ROOT = Path(__file__).resolve().parents[2]

CHECKOUT = _ROOT if (_ROOT / "setup.cfg").is_file() else None
"""The checkout that srn-deploy runs from; None where it is installed as a package."""

_CPU_BUILDS = "https://download.pytorch.org/whl/cpu"
"""PyTorch's index of builds without CUDA: on Linux the usual build brings gigabytes of CUDA libraries."""

_APT_PACKAGES = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0", "libgomp.so.1": "libgomp1",
                 "libstdc++.so.6": "libstdc++6", "libX11.so.6": "libx11-6", "libXext.so.6": "libxext6",
                 "libSM.so.6": "libsm6", "libICE.so.6": "libice6"}
"""Shared libraries that wheels expect on the system, and their packages in Debian and Ubuntu."""

_TOOLKITS = ("/usr/local/cuda", "/usr")


def pip() -> str:
    """The command that calls pip in the environment srn-deploy runs in."""
    here = Path(sys.executable).parent
    if importlib.util.find_spec("pip") is None:
        if shutil.which("uv"):
            return f"UV_PYTHON={shlex.quote(sys.executable)} uv pip"
        return f"{shlex.quote(sys.executable)} -m ensurepip && {shlex.quote(sys.executable)} -m pip"
    found = shutil.which("pip")
    return "pip" if found and Path(found).parent == here else f"{shlex.quote(sys.executable)} -m pip"


def install(*requirements: str, options: str = "") -> str:
    """The command that installs packages, with these options of pip install."""
    return " ".join([f"{pip()} install", *([options] if options else []), *map(quoted, requirements)])


def reinstall(requirement: str) -> str:
    """The command that installs a broken package again, but not what it depends on."""
    return install(requirement, options="--force-reinstall --no-deps")


def replace_packages(packages: Sequence[str], requirement: str) -> str:
    """The command that removes packages which write the same folder and installs the required one.

    All are removed, because removing only one damages the other.
    """
    return f"{pip()} uninstall -y {' '.join(packages)} && {reinstall(requirement)}"


def quoted(requirement: str) -> str:
    """A requirement in single quotes, which shells need for brackets and comparisons."""
    return shlex.quote(requirement) if "'" in requirement else f"'{requirement}'"


def install_extra(extra: str, requirements: Sequence[str]) -> str:
    """The command that installs an extra from where srn-deploy came from; where that is gone, its requirements."""
    origin = _origin()
    if CHECKOUT:
        return f"{pip()} install -e {quoted(f'{_shown(CHECKOUT)}[{extra}]')}"
    if origin is None:
        return install(*requirements)
    if origin.is_dir():
        return f"{pip()} install {quoted(f'{_shown(origin)}[{extra}]')}"
    return f"{pip()} install {quoted(f'srn-deploy[{extra}] @ {origin.as_uri()}')}"


def install_itself() -> str:
    """The command that installs srn-deploy from its checkout or from where it came from, or a sentence."""
    if CHECKOUT:
        return f"{pip()} install -e {quoted(_shown(CHECKOUT))}"
    origin = _origin()
    if origin is None:
        return "Install srn-deploy again, from where you got it."
    return install(_shown(origin), options="--force-reinstall --no-deps")


def restore(path: Path) -> str:
    """The command that restores a file which is shipped with srn-deploy."""
    if CHECKOUT and (CHECKOUT / ".git").exists() and path.is_relative_to(CHECKOUT):
        return f"git -C {shlex.quote(str(CHECKOUT))} restore {shlex.quote(str(path.relative_to(CHECKOUT)))}"
    return install_itself()


def install_torch(requirement: str, *, with_cuda: bool) -> str:
    """The command that installs PyTorch for this machine: its CPU build where there is no GPU."""
    if with_cuda or sys.platform != "linux":
        return install(requirement)
    return install(requirement, options=f"--index-url {_CPU_BUILDS}")


def _origin() -> Path | None:
    """The folder or wheel that srn-deploy was installed from, where pip recorded it and it still exists."""
    try:
        recorded = metadata.distribution("srn-deploy").read_text("direct_url.json")
        address = urlparse(json.loads(recorded or "{}")["url"])
    except (metadata.PackageNotFoundError, ValueError, KeyError):
        return None
    path = Path(unquote(address.path))
    return path if address.scheme == "file" and path.exists() else None


def _shown(path: Path) -> str:
    return "." if path == Path.cwd() else str(path)


def apt(*packages: str) -> str:
    """The command of Debian and Ubuntu, or a sentence with what to install on other systems."""
    if not shutil.which("apt-get"):
        return f"Install with your system's package manager the packages that Debian calls {', '.join(packages)}."
    by_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return f"{'' if by_root else 'sudo '}apt-get install -y {' '.join(packages)}"


def missing_library(text: str) -> str:
    """The command for a shared library of the system that an error names; empty where it names no known one."""
    return next((apt(package) for library, package in _APT_PACKAGES.items() if library in text), "")


def build_pycuda(requirement: str, *, again: bool = False) -> str:
    """The command that builds PyCUDA from source, after installing the compiler and CUDA headers that are missing."""
    toolkit, nvcc = cuda_toolkit(), shutil.which("nvcc")
    # Not from pip's cache, which keeps what was built with another toolkit.
    command = install(requirement, options="--force-reinstall --no-deps --no-cache-dir" if again else "")
    if toolkit and not (nvcc and Path(nvcc).parent.parent == toolkit):
        # The build looks for the headers next to the nvcc that is first on the path.
        command = f"PATH={shlex.quote(str(toolkit))}/bin:$PATH {command}"
    missing = [*([] if shutil.which("g++") else ["g++"]), *([] if toolkit else ["nvidia-cuda-toolkit"])]
    return after(apt(*missing), command) if missing else command


def after(first: str, then: str) -> str:
    """Two steps in one line; the first may be a sentence."""
    return f"{first} Then: {then}" if first.endswith(".") else f"{first} && {then}"


def cuda_toolkit() -> Path | None:
    """The folder of a CUDA toolkit that has its headers; None where there is none."""
    nvcc = shutil.which("nvcc")
    named = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH", "CUDA_ROOT")]
    folders = [*([str(Path(nvcc).parent.parent)] if nvcc else []), *filter(None, named), *_TOOLKITS]
    return next((Path(folder) for folder in folders if (Path(folder) / "include" / "cuda.h").is_file()), None)


def install_driver() -> str:
    """How to install an NVIDIA driver on this machine, as far as this can be seen from inside."""
    if Path("/proc/sys/fs/binfmt_misc/WSLInterop").exists():
        return "Install NVIDIA's driver in Windows: WSL sees it from there."
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return ("Install the driver and the NVIDIA Container Toolkit on the host, and start the container with "
                "--gpus all. Without a GPU: --device cpu.")
    if sys.platform != "linux" or has_nvidia_card():
        if shutil.which("ubuntu-drivers"):
            return "sudo ubuntu-drivers install && sudo reboot"
        return "Install NVIDIA's driver as your system provides it (Debian: apt-get install nvidia-driver) and reboot."
    return "No NVIDIA card is on the PCI bus: there is nothing to install, and --device cpu works without one."


def has_nvidia_card() -> bool:
    """Whether an NVIDIA display controller is on the PCI bus of a Linux machine."""
    return any(_read(card / "vendor") == "0x10de" and _read(card / "class").startswith("0x03")
               for card in Path("/sys/bus/pci/devices").glob("*"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
