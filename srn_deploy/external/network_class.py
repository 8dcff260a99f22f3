"""Makes a network of the user's own class. It imports, and so executes, the user's file: only in a bounded process."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from srn_deploy.errors import DeviceUnavailable, OptionError
from srn_deploy.external.source_files import NetworkSource
from srn_deploy.spec import Scalar

_INSTALLED, _OURS = str(Path(torch.__file__).parents[1]), str(Path(__file__).parents[1])
"""Where no line of the user's stands."""

_GPU_WORDS = ("cuda", "nvidia")


def load_class(source: NetworkSource) -> Callable[..., object]:
    """Import the file of a network and return its class, or a function that makes one.

    Raises OptionError where the file cannot be imported or has nothing of that name.
    """
    module = _imported(source)
    made_by: object = getattr(module, source.class_name, None)
    if made_by is None:
        known = [name for name, _ in classes_in(module)]
        nearest = difflib.get_close_matches(source.class_name, known, n=1, cutoff=0.3)
        raise OptionError(f"{source.file.name} has no class {source.class_name!r}.",
                          remedy=f"Did you mean {nearest[0]}?" if nearest else
                          f"It has: {', '.join(known) or 'no network at all'}.")
    is_other_class = isinstance(made_by, type) and not issubclass(made_by, nn.Module)
    if not callable(made_by) or is_other_class:
        raise OptionError(f"{source.title} is not a torch.nn.Module.", remedy="Name the class of the network.")
    return made_by


def classes_in(module: ModuleType) -> Iterator[tuple[str, type[nn.Module]]]:
    """The networks that a module defines itself, by name."""
    for name, value in vars(module).items():
        if inspect.isclass(value) and issubclass(value, nn.Module) and value.__module__ == module.__name__:
            yield name, value


def _imported(source: NetworkSource) -> ModuleType:
    sys.path.insert(0, str(source.root))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(source.module)
    except ModuleNotFoundError as error:
        raise OptionError(f"{source.file.name} imports {error.name}, which is not installed.",
                          remedy=f"Install it, or remove the import if {source.class_name} does not need it."
                          ) from error
    except (Exception, SystemExit) as error:  # code of the user may raise anything
        raise OptionError(f"{source.file.name} cannot be imported: {in_one_line(error)}.",
                          remedy=f"Try it: python -c 'import {source.module}' in {source.root}") from error


def construct(made_by: Callable[..., object], settings: Mapping[str, Scalar], title: str) -> nn.Module:
    """Make the network. settings: arguments by name; texts are read as the annotation or the default says.

    Raises OptionError for arguments that it does not have, that it needs, or with which it cannot be made, and
    DeviceUnavailable where it wants a GPU.
    """
    arguments = _arguments(made_by, settings, title)
    try:
        with torch.no_grad():  # what is computed from weights meanwhile, as weight_norm does, can be copied later
            network = made_by(**arguments)
    except (Exception, SystemExit) as error:  # as above
        if wants_gpu(error):
            raise gpu_wanted(title, error) from error
        raise OptionError(f"{title} cannot be made with {_listed(arguments)}: {in_one_line(error)}.",
                          remedy="Give its arguments with --set NAME=VALUE.") from error
    if not isinstance(network, nn.Module):
        raise OptionError(f"{title} gives a {type(network).__name__}, not a torch.nn.Module.",
                          remedy="Name the class of the network.")
    network.register_forward_pre_hook(_contiguous)
    return network.eval().requires_grad_(False)


def _contiguous(network: nn.Module, images: tuple[Any, ...]) -> tuple[Any, ...]:
    """The images as training gives them: the deploy form turns NHWC around, of which a `view` may not be possible."""
    return tuple(one.contiguous() if isinstance(one, torch.Tensor) else one for one in images)


def _arguments(made_by: Callable[..., object], settings: Mapping[str, Scalar], title: str) -> dict[str, Any]:
    try:
        parameters = inspect.signature(made_by).parameters
    except (TypeError, ValueError):  # classes written in C
        return {name: _by_look(value) for name, value in settings.items()}
    named = {name: one for name, one in parameters.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    unknown = [name for name in settings if name not in named and not takes_any]
    if unknown:
        raise OptionError(f"{title} has no argument {unknown[0]!r}.", remedy=f"It has: {', '.join(named) or 'none'}.")
    missing = [name for name, one in named.items() if one.default is one.empty and name not in settings]
    if missing:
        raise OptionError(f"{title} needs {', '.join(missing)}.",
                          remedy=f"Give {'them' if missing[1:] else 'it'}: "
                                 f"{' '.join(f'--set {name}=VALUE' for name in missing)}")
    return {name: _typed(value, named.get(name), f"{title}: {name}") for name, value in settings.items()}


def _typed(value: Scalar, parameter: inspect.Parameter | None, where: str) -> object:
    """A setting as its argument wants it; raises OptionError for a text that is none of that type."""
    if not isinstance(value, str) or parameter is None:
        return _by_look(value)
    wanted = parameter.annotation
    kind = next((kind for kind in (bool, int, float, str) if wanted in (kind, kind.__name__)), None)
    if kind is None and parameter.default not in (parameter.empty, None):
        kind = next((kind for kind in (bool, int, float, str) if type(parameter.default) is kind), None)
    looks = _by_look(value)
    if kind in (None, str):
        return value if kind is str else looks
    if isinstance(looks, kind) and not (kind is int and isinstance(looks, bool)):
        return looks
    if isinstance(looks, int | float) and not isinstance(looks, bool) and kind in (int, float):
        return looks  # classes write int where they mean a number
    raise OptionError(f"{where}={value} is not of type {kind.__name__}.", remedy="Correct the value.")


def _by_look(value: Scalar) -> object:
    """A text as Python reads it: a number, true, none, a tuple, else the text itself."""
    if not isinstance(value, str):
        return value
    words: dict[str, object] = {"true": True, "false": False, "none": None}
    if value.lower() in words:
        return words[value.lower()]
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def wants_gpu(error: BaseException) -> bool:
    """Whether code failed because there is no GPU."""
    return any(word in str(error).lower() for word in _GPU_WORDS)


def gpu_wanted(title: str, error: BaseException) -> DeviceUnavailable:
    """The error for code that asks for a GPU."""
    return DeviceUnavailable(f"{title} asks for a GPU: {in_one_line(error)}.",
                             remedy="Move its tensors with .to(x.device) instead of .cuda().")


def in_one_line(error: BaseException) -> str:
    """The type and the message of an error, and the line of the user's code that raised it."""
    text = (str(error).strip().splitlines() or [""])[0].rstrip(".")[:200]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((_INSTALLED, _OURS, "<"))]
    where = f", at line {own[-1].lineno} of {Path(own[-1].filename).name}" if own else ""
    if isinstance(error, SyntaxError):
        where = f", at line {error.lineno}"
    return f"{type(error).__name__}{': ' if text else ''}{text}{where}"


def _listed(arguments: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items()) or "no arguments"
