"""Reads a pickle without running anything that it names: a small machine for the operations of all pickle protocols.

Plain values and containers are made. A class, a function or an object of any other kind becomes a `Placeholder`: what a
pickle wants to call is read and left alone, except for the few builders that the caller supplies. Memory is bounded: no
operation makes more than its own bytes and a small object, and their number is limited. Nothing here recurses.
"""

from __future__ import annotations

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # the names that Python 2 wrote
from collections.abc import Callable, Mapping
from typing import IO

from srn_deploy.architectures.weights.pickled_names import is_harmless_call, is_never_data

MOST_OPERATIONS = 3_000_000
"""More than any checkpoint of this field needs by a factor of ten; each costs at most some hundred bytes and 2 µs."""

_DAMAGE = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RuntimeError, MemoryError)
"""What pickletools and the operations raise for a stream that is not right; a deep one is a RuntimeError."""

LONGEST_NAME = 300
"""In characters, for names that are put together."""

Builder = Callable[..., object]

_KEYS = (str, bytes, int, float, bool, type(None))
"""What a key of a mapping may be. A tuple is not: the hash of one that is nested deeply overflows Python's stack."""

_VALUES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
           "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE",
           "BINUNICODE", "BINUNICODE8"}
_MADE: Mapping[str, Callable[[], object]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_DICT": dict}
_IGNORED = {"PROTO", "FRAME", "READONLY_BUFFER"}
_GATHERED: Mapping[str, Callable[[list[object]], object]] = {"TUPLE": tuple, "LIST": list, "FROZENSET": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_FETCHES, _KEEPS = {"GET", "BINGET", "LONG_BINGET"}, {"PUT", "BINPUT", "LONG_BINPUT"}


class InvalidPickle(ValueError):
    """A pickle that is damaged, ends early, or asks for what has no place in a checkpoint."""


class Placeholder:
    """Stands for what a pickle names and this program does not make: a class, a function, or an object of one."""

    __slots__ = ("items", "name", "state")

    def __init__(self, name: str) -> None:
        self.name = name
        """The dotted name of the class or function, as the pickle has it."""
        self.items: dict[object, object] = {}
        """What an object that is a mapping holds."""
        self.state: object = None
        """The attributes of an object."""


class InertUnpickler:
    """Reads one pickle after the other from a file in memory or mapped; raises InvalidPickle for a damaged one."""

    def __init__(self, file: IO[bytes], builders: Mapping[str, Builder], stored: Callable[[object], object]) -> None:
        """builders: what may be called, by its dotted name. stored: returns what a persistent id stands for.

        Both raise InvalidPickle or TypeError for arguments that they cannot take; `load` turns either into the first.
        """
        self._file, self._builders, self._stored = file, builders, stored
        self._operations = 0
        self.programs: list[str] = []
        """What the pickles ask to call, by name, apart from classes and functions that only make values."""

    def load(self) -> object:
        """Read one pickle; raises InvalidPickle if it is damaged, ends early, or has more operations than allowed."""
        self._stack: list[object] = []
        self._below: list[list[object]] = []
        self._memo: dict[int, object] = {}
        try:
            for operation, argument, _ in pickletools.genops(self._file):
                self._count(1)
                if operation.name == "STOP":
                    return self._stack.pop()
                self._run(operation.name, argument)
        except InvalidPickle:
            raise
        except _DAMAGE as error:
            raise InvalidPickle(f"damaged pickle: {type(error).__name__} {error}") from error
        raise InvalidPickle("the pickle has no end")

    def _count(self, more: int) -> None:
        self._operations += more
        if self._operations > MOST_OPERATIONS:
            raise InvalidPickle(f"more than {MOST_OPERATIONS:,} objects")

    def _run(self, name: str, argument: object) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _MADE:
            self._stack.append(_MADE[name]())
        elif name in _KEEPS and isinstance(argument, int):
            self._memo[argument] = self._stack[-1]
        elif name in _FETCHES and isinstance(argument, int):
            self._stack.append(self._memo[argument])
        elif name in _GATHERED:
            gathered = self._since_mark()
            self._stack.append(_GATHERED[name](gathered))
        elif name in _TUPLES:
            self._stack[-_TUPLES[name]:] = [tuple(self._stack[-_TUPLES[name]:])]
        elif name not in _IGNORED:
            _STEPS[name](self, argument)  # a KeyError for what has no place in a checkpoint, such as EXT1

    def _since_mark(self) -> list[object]:
        gathered, self._stack = self._stack, self._below.pop()
        return gathered

    def _mark(self, _: object) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _pop(self, _: object) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._since_mark()

    def _pop_to_mark(self, _: object) -> None:
        self._since_mark()

    def _duplicate(self, _: object) -> None:
        self._stack.append(self._stack[-1])

    def _memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _append(self, _: object) -> None:
        self._extend([self._stack.pop()])

    def _append_all(self, _: object) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: list[object]) -> None:
        if isinstance(target := self._stack[-1], list):
            target.extend(values)
        elif isinstance(target, Placeholder):  # a list of a class of its own
            target.items.update(enumerate(values, len(target.items)))
        else:
            raise InvalidPickle(f"{type(target).__name__} is not a list")

    def _set_item(self, _: object) -> None:
        pair = self._stack[-2:]
        del self._stack[-2:]
        self._set(pair)

    def _set_items(self, _: object) -> None:
        self._set(self._since_mark())

    def _set(self, pairs: list[object]) -> None:
        target = self._stack[-1]
        mapping = target.items if isinstance(target, Placeholder) else target
        if not isinstance(mapping, dict):
            raise InvalidPickle(f"{type(target).__name__} is not a mapping")
        mapping.update(_entries(pairs))

    def _dict(self, _: object) -> None:
        gathered = self._since_mark()
        self._stack.append(_entries(gathered))

    def _global(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self._refer(module, name)

    def _stack_global(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise InvalidPickle("a name that is not text")
        self._refer(module, name)

    def _refer(self, module: str, name: str) -> None:
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        module = "os" if module in ("posix", "nt") else module  # as its writer calls it
        if len(module) + len(name) > LONGEST_NAME:
            raise InvalidPickle("a name that is too long")
        full = f"{module}.{name}"
        if is_never_data(full):
            self._note(full)
        self._stack.append(Placeholder(full))

    def _reduce(self, _: object) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        if not isinstance(arguments, tuple):
            raise InvalidPickle("arguments that are not a tuple")
        self._stack.append(self._result(called, arguments))

    def _new(self, _: object) -> None:
        arguments, kind = self._stack.pop(), self._stack.pop()
        if not isinstance(arguments, tuple):
            raise InvalidPickle("arguments that are not a tuple")
        self._stack.append(self._object(kind, arguments))

    def _new_with_names(self, _: object) -> None:
        self._stack.pop()
        self._new(None)

    def _old_object(self, _: object) -> None:
        kind, *arguments = self._since_mark()
        self._stack.append(self._object(kind, tuple(arguments)))

    def _instance(self, argument: object) -> None:
        arguments = self._since_mark()
        self._global(argument)
        self._stack.append(self._object(self._stack.pop(), tuple(arguments)))

    def _result(self, called: object, arguments: tuple[object, ...]) -> object:
        """What a call gives: made by a builder, or a placeholder; the call itself is never made."""
        name = _name_of(called)
        if name == "builtins.getattr" and len(arguments) == 2:  # how members of enums and inner classes are named
            member = arguments[1] if isinstance(arguments[1], str) else "?"
            return Placeholder(f"{_name_of(arguments[0])}.{member}"[:LONGEST_NAME])
        if not is_harmless_call(name):
            self._note(name)
        return self._object(called, arguments)

    def _object(self, kind: object, arguments: tuple[object, ...]) -> object:
        name = _name_of(kind)
        if name in ("copyreg._reconstructor", "copyreg.__newobj__", "copyreg.__newobj_ex__") and arguments:
            return self._object(arguments[0], ())
        builder = self._builders.get(name)
        # A builder may copy a list, and a placeholder keeps what it was made of.
        self._count(len(arguments) + sum(len(one) for one in arguments if isinstance(one, list)))
        return _placeholder(name, arguments) if builder is None else builder(*arguments)

    def _build(self, _: object) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Placeholder):
            # Two states are attributes and slots.
            target.state = next((one for one in state if one), None) if (
                isinstance(state, tuple) and len(state) == 2) else state

    def _persistent(self, _: object) -> None:
        self._stack.append(self._stored(self._stack.pop()))

    def _note(self, name: str) -> None:
        if name not in self.programs[:8]:
            self.programs.append(name[:LONGEST_NAME])


def _placeholder(name: str, arguments: tuple[object, ...]) -> Placeholder:
    """An object with what it was made of, by number: a named tuple holds its fields there."""
    made = Placeholder(name)
    made.items.update((number, one) for number, one in enumerate(arguments)
                      if isinstance(one, dict | list | tuple | Placeholder))
    return made


def _name_of(found: object) -> str:
    return found.name if isinstance(found, Placeholder) else f"the value of a {type(found).__name__}"


def _entries(pairs: list[object]) -> dict[object, object]:
    """A mapping of keys and values in turn; entries whose keys are not plain values are left out."""
    keys, values = pairs[::2], pairs[1::2]
    if len(keys) != len(values):
        raise InvalidPickle("a key without a value")
    return {key: value for key, value in zip(keys, values, strict=True) if isinstance(key, _KEYS)}


_STEPS: Mapping[str, Callable[[InertUnpickler, object], None]] = {
    "MARK": InertUnpickler._mark, "POP": InertUnpickler._pop, "POP_MARK": InertUnpickler._pop_to_mark,
    "DUP": InertUnpickler._duplicate, "MEMOIZE": InertUnpickler._memoize,
    "APPEND": InertUnpickler._append, "APPENDS": InertUnpickler._append_all, "ADDITEMS": InertUnpickler._append_all,
    "SETITEM": InertUnpickler._set_item, "SETITEMS": InertUnpickler._set_items, "DICT": InertUnpickler._dict,
    "GLOBAL": InertUnpickler._global, "STACK_GLOBAL": InertUnpickler._stack_global,
    "REDUCE": InertUnpickler._reduce, "NEWOBJ": InertUnpickler._new, "NEWOBJ_EX": InertUnpickler._new_with_names,
    "OBJ": InertUnpickler._old_object, "INST": InertUnpickler._instance, "BUILD": InertUnpickler._build,
    "BINPERSID": InertUnpickler._persistent,
}
