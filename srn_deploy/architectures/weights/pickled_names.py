"""What the names in a pickle stand for, and in a user's words: values that are saved beside weights, or a program."""

from __future__ import annotations

import re

_NEVER_DATA = {"os", "posix", "nt", "sys", "subprocess", "socket", "ctypes", "_ctypes", "importlib", "runpy", "pty",
               "code", "codeop", "multiprocessing", "webbrowser", "shutil", "signal", "pdb", "bdb", "marshal",
               "asyncio"}
"""Modules whose mere mention makes a file a program: nothing in them is a value that belongs beside weights."""

_MAKE_VALUES = (
    r"builtins\.(bool|bytearray|bytes|complex|dict|float|frozenset|int|list|object|range|set|slice|str|tuple)",
    r"collections\.(defaultdict|deque)",
    r"copyreg\.(_reconstructor|__newobj__|__newobj_ex__)",
    r"_codecs\.encode",
    r"datetime\.(date|datetime|time|timedelta|timezone)",
    r"logging\.getLogger|time\.struct_time|itertools\.count|torch\.return_types\.\w+",
    r"zoneinfo\.ZoneInfo\._unpickle|pytz\._\w+|dateutil\.tz\.tz\.\w+",
    r"functools\.partial|re\._compile|array\.(array|_array_reconstructor)|types\.SimpleNamespace",
    r"numpy\.(dtype|ndarray|matrix|\w*int\d+|float\d+|bool_?)",
    r"numpy\.(core|_core)\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)",
    r"numpy\.random\._(pickle|generator)\.\w+",
    r"numpy\.ma\.core\._mareconstruct|[\w.]+\.__pyx_unpickle_\w+",
    r"pandas\._libs\.[\w.]+\._unpickle_\w+|pandas\.core\.indexes\.\w+\._new_\w+",
    r"torch\.(device|dtype|\w*Storage)|torch\._utils\._\w+|torch\._tensor\._rebuild_from_type_v2",
    r"torch\.storage\._load_from_bytes|torch\.serialization\._get_layout|torch\.nn\.\w+\.\w+\._\w+_from_\w+",
    r"torch\.nn\.backends\.thnn\._get_\w+",
)
"""Patterns of functions, and of classes with the names of functions, whose calls only make values."""

NUMPY_ARRAY = "a numpy array"

_WORDS = (
    (r"numpy\.(core|_core)\.multiarray\.scalar|numpy\.\w*(int|float|bool)\w*", "a numpy number"),
    (r"numpy\.random\..*", "a state of numpy's random numbers"),
    (r"numpy\..*", NUMPY_ARRAY),
    (r"datetime\..*|pandas\._libs\.tslibs\..*", "a date"),
    (r"argparse\.Namespace", "an argparse.Namespace"),
    (r"pathlib\..*", "a path"),
    (r"omegaconf\..*", "an OmegaConf object"),
    (r"_codecs\.encode", "bytes"),
    (r"torch\._utils\._rebuild_.*", "a tensor that is not stored as plain numbers"),
)


def is_harmless_call(name: str) -> bool:
    """Whether a call of this name makes a value: a class, by its capital, or a function that is known to.

    Nothing is called in either case; a file that asks for any other call is refused.
    """
    last = name.rpartition(".")[2].lstrip("_")
    return not is_never_data(name) and (last[:1].isupper() or any(re.fullmatch(one, name) for one in _MAKE_VALUES))


def is_never_data(name: str) -> bool:
    """Whether a name belongs to a module that has no place in a checkpoint."""
    return name.partition(".")[0] in _NEVER_DATA


def in_words(name: str) -> str:
    """What an object with this class or function is, in the words of its user."""
    return next((words for pattern, words in _WORDS if re.fullmatch(pattern, name)), f"an object of class {name}")
