"""Which small image belongs to which original, by the layouts and names in which data sets are published.

The role of an image and its scale stand in the names of its folders, or at the end of its own name:

    DIV2K_train_HR/0001.png                DIV2K_train_LR_bicubic/X4/0001x4.png
    HR/train/0001000/0000001.png           X4/train/0001000/0000001x4.png             (LSDIR)
    GTmod12/baby.png                       LRbicx4/baby.png                           (BasicSR)
    HR/Set5/x4/baby_HR_x4.png              LR/LRBI/Set5/x4/baby_LRBI_x4.png           (RCAN)
    image_SRF_4/img_001_SRF_4_HR.png       image_SRF_4/img_001_SRF_4_LR.png           (SelfExSR)
    train_sharp/000/1.png                  train_sharp_bicubic/X4/000/1.png           (REDS)
    any/Canon_001_HR.png                   any/Canon_001_LR4.png                      (RealSR)
    any/0801.png                           any/0801x4.png

An image is compared with others by what is left of its path without these words. Case does not matter.
"""

from __future__ import annotations

import re
import string
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path, PurePosixPath

from srn_deploy.errors import OptionError
from srn_deploy.image.listing import find_images

_HR_FOLDER = re.compile(r"(?P<before>(?:.*_)?)(?:hr|gt(?:mod\d+)?)(?P<after>(?:_.*)?)")
_LR_FOLDER = re.compile(r"(?P<before>(?:.*_)?)lr(?:bi|bd|dn|bic)?(?P<after>(?:_.*|_?bicx\d|_?x\d)?)")
_BICUBIC = re.compile(r"_?bic(?:ubic)?(?=_|x\d|$)")
_SCALE_FOLDER = re.compile(r"x\d")
_SCALE_AT_END = re.compile(r"(?:^|[_-]|(?<=lr)|(?<=bic))(?:x|srf[_-]?)(\d)$")

_OTHER_NAMES = (
    (re.compile(r"[ -]"), "_"), (re.compile(r"(?<![a-z])([hl])q(?![a-z])"), r"\1r"),
    (re.compile(r"^(train|test|valid?)_?([hl])$"), r"\1_\2r"), (re.compile(r"(?:^|(?<=_))(\d)x$"), r"x\1"),
    (re.compile(r"hrx(?=\d$)"), "hr_x"), (re.compile(r"^((?:(?!lr).)*_)?(bicubic(?:_?x\d)?)$"), r"\1lr_\2"))
"""What folders are called elsewhere, and the name that means the same: HQ, trainH (KAIR), sharp_bicubic (REDS), 4x."""

_ROLE_AT_END = re.compile(
    r"(?:[ _-](?:h[rq]|gt|lq|lr(?:bi|bd|dn|bic|\d)?|bic(?:ubic)?(?:lr)?|srf[_-]?\d|mod\d+|\dx)"
    r"|[ _-]?(?:bic|lr|biclr|lrbic)?x\d(?:[dmw]\d?)?)+$", re.IGNORECASE)
_HR_WORD = re.compile(r"[ _-](?:h[rq]|gt)(?![a-z])|[ _-]x1$", re.IGNORECASE)
_LR_WORD = re.compile(r"l[rq]|bic|x\d|\dx", re.IGNORECASE)
_SCALE_WORD = re.compile(r"(?:(?<=x)|(?<=srf)|(?<=srf[_-])|(?<=lr))\d|\d(?=x)", re.IGNORECASE)
_ORIGINAL_SCALE = 1
"""DRealSR's originals end in _x1."""

_PATTERN_FIELDS = {"folder", "stem", "scale"}
_PATTERN_REMEDY = "It is the path of a small image, made of {folder}, {stem} and {scale}, as in {folder}/{stem}_small."
_SAY_WHICH = "Give the folder of the right ones with --lr, or say how they are named with --lr-pattern."


@dataclass(frozen=True, kw_only=True)
class FilePair:
    """An original, and its small image where there is one."""

    name: str
    """Path of the original below the folder that was given, with / between its parts."""
    hr: Path
    lr: Path | None


@dataclass(frozen=True, kw_only=True)
class PairedFiles:
    """What a folder of originals, and one of small images, hold for one scale; names are paths below the folder."""

    pairs: tuple[FilePair, ...]
    """In the order of the originals' paths; without a small image where there is none of this scale for their set."""
    without_lr: tuple[str, ...] = ()
    """Originals without a small image, whose set has small images of this scale; they are not in `pairs`."""
    unused_lr: tuple[str, ...] = ()
    """Small images of this scale that belong to no original."""
    other_scales: tuple[str, ...] = ()
    """Images of other scales."""


class _Role(Enum):
    HR = "original"
    LR = "small image"
    SCALED = "in a folder that is named after a scale: a small image, unless all are originals"
    UNKNOWN = "not said by any folder"


@dataclass(frozen=True, kw_only=True)
class _File:
    """One image, with what its path says."""

    path: Path
    name: str
    role: _Role
    group: tuple[str, ...]
    """What is left of its folders down to the one that says the role: its set."""
    folders: tuple[str, ...]
    """What is left of all its folders."""
    scales: frozenset[int]
    """Those that its folders name."""
    words: str
    """The end of its own name that says role and scale."""

    @property
    def stem(self) -> str:
        """Its own name in lower case."""
        return self.path.stem.casefold()

    @property
    def plain_stem(self) -> str:
        """Its own name without the words."""
        return self.stem[:len(self.stem) - len(self.words)]

    def has_scale(self, scale: int) -> bool:
        """Whether no folder names another scale."""
        return self.scales <= {scale}

    def is_named_for(self, scale: int) -> bool:
        """Whether its own name does not end in another scale."""
        return {int(found) for found in _SCALE_WORD.findall(self.words)} <= {scale, _ORIGINAL_SCALE}


def pair_images(hr: Path, lr: Path | None, scale: int, pattern: str | None = None) -> PairedFiles:
    """Pair the originals of `hr` with the small images of `lr`; without `lr`, with those that lie in `hr` as well.

    hr, lr: a folder, searched with its subfolders, or a single file. pattern: the path of a small image below `lr`, as
    in "{folder}/{stem}_small", with or without a suffix; then nothing else counts. Raises OptionError where an original
    has two small images or a small image two originals, or for a wrong pattern, and what `find_images` raises.
    """
    if not hr.is_dir():
        return PairedFiles(pairs=(FilePair(name=hr.name, hr=hr, lr=_only(lr) if lr else None),))
    in_one = lr is None or (lr.is_dir() and lr.samefile(hr))
    large = _read(hr, find_images(hr))
    small = large if in_one or lr is None else _read(lr, find_images(lr) if lr.is_dir() else [lr])
    if pattern is not None:
        return _by_pattern(large, small, checked_pattern(pattern), scale)
    large = _with_roles(large)
    small_roles = (_Role.LR, _Role.SCALED) if in_one else (_Role.LR,)
    originals = [file for file in large if file.role not in small_roles]
    candidates = [file for file in large if file.role in small_roles] if in_one else \
        [file for file in _with_roles(small) if file.role is not _Role.HR]
    return _matched(originals, candidates, scale, by_name_alone=not in_one)


def _only(lr: Path) -> Path:
    found = find_images(lr) if lr.is_dir() else [lr]
    if len(found) != 1:
        raise OptionError(f"There is one original, and {lr} holds {len(found)} images.",
                          remedy="Give its small image itself.")
    return found[0]


def _read(root: Path, paths: Iterable[Path]) -> list[_File]:
    return [_file_of(path, path.relative_to(root) if path != root else Path(path.name)) for path in paths]


def _file_of(path: Path, inner: Path) -> _File:
    names: list[str] = []
    role, group, scales = _Role.UNKNOWN, None, set()
    for folder in map(_usual_name, inner.parts[:-1]):
        rest = folder
        if role is not _Role.HR and (found := _HR_FOLDER.fullmatch(folder)):
            role, rest = _Role.HR, found["before"] + found["after"]
        elif role in (_Role.UNKNOWN, _Role.SCALED) and (found := _LR_FOLDER.fullmatch(folder)):
            role, rest = _Role.LR, found["before"] + _BICUBIC.sub("", found["after"])
        elif role is _Role.LR and _LR_FOLDER.fullmatch(folder):  # RCAN's LR/LRBI
            rest = ""
        if scale := _SCALE_AT_END.search(folder):
            scales.add(int(scale[1]))
            rest = rest[:max(0, len(rest) - len(scale[0]))] if rest.endswith(scale[0]) else rest
            if role is _Role.UNKNOWN and _SCALE_FOLDER.fullmatch(folder):
                role, group = _Role.SCALED, tuple(names)
        names += [rest.strip("_-")] if rest.strip("_-") else []
        if role is not _Role.UNKNOWN and group is None:
            group = tuple(names)
    found = _ROLE_AT_END.search(path.stem, 1)
    words = found[0] if found else ""
    return _File(path=path, name=inner.as_posix(), role=role, group=tuple(names) if group is None else group,
                 folders=tuple(names), scales=frozenset(scales), words=words)


def _usual_name(folder: str) -> str:
    name = folder.casefold()
    for pattern, usual in _OTHER_NAMES:
        name = pattern.sub(usual, name)
    return name


def _with_roles(files: Sequence[_File]) -> list[_File]:
    """The files, with roles by their own names where no folder says one.

    A name that ends like that of a small image is one only beside its original: elsewhere it is just a name.
    """
    originals = {(file.folders, file.plain_stem if _HR_WORD.search(file.words) else file.stem) for file in files}

    def role(file: _File) -> _Role:
        if file.role is not _Role.UNKNOWN or not file.words:
            return file.role
        if _HR_WORD.search(file.words):
            return _Role.HR
        is_small = _LR_WORD.search(file.words) and (file.folders, file.plain_stem) in originals
        return _Role.LR if is_small else _Role.UNKNOWN

    return [replace(file, role=role(file)) for file in files]


def _matched(originals: Sequence[_File], candidates: Sequence[_File], scale: int, *,
             by_name_alone: bool) -> PairedFiles:
    """Pair by path and name; by_name_alone: then by the name alone, wherever the small image lies."""
    wanted = [file for file in originals if file.has_scale(scale)
              and (file.is_named_for(scale) or not _HR_WORD.search(file.words))]
    index = _Index([file for file in candidates if file.has_scale(scale)], scale)
    groups = {file.group for file in index.files if file.is_named_for(scale)}
    pairs, without_lr, used = [], [], dict[Path, str]()
    for file in wanted:
        small = index.find(file, by_name_alone=by_name_alone)
        if small is None and (by_name_alone or file.group in groups):
            without_lr.append(file.name)
            continue
        pairs.append(FilePair(name=file.name, hr=file.path, lr=small))
        if small is not None and (other := used.setdefault(small, file.name)) != file.name:
            raise OptionError(f"{other} and {file.name} would both be paired with {small}.", remedy=_SAY_WHICH)
    unmatched = [file for file in index.files if file.path not in used]
    kept = {file.path for file in (*wanted, *index.files)} - {f.path for f in unmatched if not f.is_named_for(scale)}
    return PairedFiles(
        pairs=tuple(pairs), without_lr=tuple(without_lr),
        unused_lr=tuple(file.name for file in unmatched if file.is_named_for(scale)),
        other_scales=tuple(file.name for file in (*originals, *candidates) if file.path not in kept))


class _Index:
    """Small images by what identifies them, from the strictest to the loosest."""

    def __init__(self, files: Sequence[_File], scale: int) -> None:
        self.files = files
        self._steps: list[dict[object, list[Path]]] = [defaultdict(list) for _ in range(4)]
        for file in files:
            keys = (file.folders, file.stem), (file.folders, file.plain_stem), file.stem, file.plain_stem
            for number, key in enumerate(keys):
                if number % 2 == 0 or file.is_named_for(scale):
                    self._steps[number][key].append(file.path)

    def find(self, original: _File, *, by_name_alone: bool) -> Path | None:
        """The one small image of an original; raises OptionError where there are several."""
        stems = original.stem, original.plain_stem
        keys: list[object] = [*((original.folders, stem) for stem in stems), *(stems if by_name_alone else ())]
        for step, key in zip(self._steps, keys, strict=False):
            if found := step.get(key):
                if len(found) > 1:
                    raise OptionError(f"{original.name} has {len(found)} small images: {found[0]} and {found[1]}.",
                                      remedy=_SAY_WHICH)
                return found[0]
        return None


def checked_pattern(pattern: str) -> str:
    """The pattern, if it can be filled in; raises OptionError."""
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
    except ValueError as error:
        raise OptionError(f"The pattern {pattern!r} is not valid: {error}.", remedy=_PATTERN_REMEDY) from error
    if fields - _PATTERN_FIELDS or "stem" not in fields:
        raise OptionError(f"The pattern {pattern!r} does not name a small image for each original.",
                          remedy=_PATTERN_REMEDY)
    return pattern


def _by_pattern(large: Sequence[_File], small: Sequence[_File], pattern: str, scale: int) -> PairedFiles:
    named: dict[PurePosixPath, list[_File]] = defaultdict(list)
    for file in small:
        named[PurePosixPath(file.name)].append(file)
        named[PurePosixPath(file.name).with_suffix("")].append(file)
    targets: dict[Path, _File | None] = {}
    for file in large:
        inner = PurePosixPath(file.name)
        found = named.get(PurePosixPath(pattern.format(folder=inner.parent, stem=inner.stem, scale=scale)), [])
        if len(found) > 1:
            raise OptionError(f"{file.name} has {len(found)} small images: {found[0].name} and {found[1].name}.",
                              remedy="Give the suffix in --lr-pattern.")
        if found and found[0].path == file.path:
            raise OptionError(f"By the pattern {pattern!r} {file.name} would be its own small image.",
                              remedy=_PATTERN_REMEDY)
        targets[file.path] = found[0] if found else None
    used = {file.path for file in targets.values() if file is not None}
    originals = [file for file in large if file.path not in used]
    pairs = [(file, target) for file in originals if (target := targets[file.path]) is not None]
    return PairedFiles(
        pairs=tuple(FilePair(name=file.name, hr=file.path, lr=target.path) for file, target in pairs),
        without_lr=tuple(file.name for file in originals if targets[file.path] is None),
        unused_lr=tuple(file.name for file in small if file.path not in used | {f.path for f in originals}))
