"""One export of each network in a whole run of the tests: PyTorch's exporter takes 4 to 8 s for the smallest one.

`share_exports` puts a cache into `torch.onnx.export`. What is kept is keyed by all that the exporter is given:
every weight, every attribute and the class of every module, the example inputs and the options. The cache lives in
the temporary folder of one run, so a changed network is never answered with the graph of an earlier one.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from tests.run_folder import run_folder

if TYPE_CHECKING:
    from torch import nn

_AN_ADDRESS = " at 0x"


def share_exports() -> None:
    """Put the cache into PyTorch's exporter, if PyTorch is imported and this is a run of the tests; once."""
    exporter, folder = sys.modules.get("torch.onnx"), run_folder()
    if folder is not None and exporter is not None and hasattr(exporter, "export"):
        original = exporter.export
        if not isinstance(original, _CachedExport):
            vars(exporter)["export"] = _CachedExport(original, folder)


class _CachedExport:
    """`torch.onnx.export` as the package calls it, answered from the folder where it can be."""

    def __init__(self, original: Callable[..., Any], folder: Path) -> None:
        self._original = original
        self._folder = folder

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], **options: Any) -> Any:
        if "f" in options:  # written by the caller, as by the older exporter
            return self._original(module, inputs, **options)
        import onnx

        path = self._folder / f"{_key_of(module, inputs, options)}.onnx"
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                program = self._original(module, inputs, **options)
                path.write_bytes(program.model_proto.SerializeToString())
                return program
        return SimpleNamespace(model_proto=onnx.load(path))


def _key_of(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for part in _described(module, inputs, options):
        assert _AN_ADDRESS not in part, f"two runs cannot share what is keyed by an address: {part}"
        digest.update(part.encode())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _described(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Iterator[str]:
    for name, part in module.named_modules():
        own = {key: value for key, value in vars(part).items() if not key.startswith("_")}
        yield f"{name} {type(part).__module__}.{type(part).__qualname__} {own}"
    yield from (f"{tuple(each.shape)} {each.dtype}" for each in inputs)
    yield repr(sorted(options.items()))
