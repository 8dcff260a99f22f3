"""Who is at the page: each open tab with its folder, its run and its files, all removed when the tab is closed."""

from __future__ import annotations

import secrets
import shutil
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from srn_deploy.errors import PageError
from srn_deploy.web.runs import PageRun, PictureResult
from srn_deploy.web.uploads import Uploads

ZIP_NAME = "upscaled.zip"


@dataclass(eq=False, kw_only=True)
class Visitor:
    """One open tab."""

    folder: Path
    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    """Part of the addresses of this visitor's results: who does not know it cannot fetch them."""
    run: PageRun | None = None
    uploads: set[Path] = field(default_factory=set)
    busy: int = 0
    """How many requests are making files for it now."""
    is_gone: bool = False
    _runs: int = 0
    _views: int = 0

    def used(self) -> set[Path]:
        """Files that were sent and are still needed: for a run to come, and to be compared with their results."""
        return self.uploads | set(self.run.sources if self.run is not None else ())

    def new_folder(self) -> Path:
        """A folder for the next run, without the results of the last one, which are removed."""
        shutil.rmtree(self.folder / str(self._runs), ignore_errors=True)
        self._runs += 1
        fresh = self.folder / str(self._runs)
        fresh.mkdir(parents=True)
        return fresh

    def next_view(self) -> Path:
        """A new folder for what is shown next: browsers keep what has a name. That before the last is removed."""
        shutil.rmtree(self.folder / f"view{self._views - 1}", ignore_errors=True)
        self._views += 1
        return self.folder / f"view{self._views}"

    @property
    def results(self) -> tuple[PictureResult, ...]:
        """Of the last run."""
        return self.run.results if self.run is not None else ()

    def result(self, number: int | None) -> PictureResult | None:
        """One of them; None where there is none of this number."""
        return self.results[number] if number is not None and 0 <= number < len(self.results) else None

    def file_names(self) -> dict[int, str]:
        """Number of each picture that has a result to the name of its file; no two are the same."""
        names: dict[int, str] = {}
        for number, result in enumerate(self.results):
            if result.target is not None:
                names[number] = _unlike(result.target, set(names.values()))
        return names

    def zipped(self) -> Path | None:
        """All results of the last run in one file, as they are; None where there are none."""
        names = self.file_names()
        if self.run is None or not names:
            return None
        path = self.run.folder / f"{secrets.token_hex(8)}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
            for number, name in names.items():
                target = self.results[number].target
                if target is not None:
                    archive.write(target, name)
        return path


class Visitors:
    """Every open tab, by what Gradio calls its session. May be used on any thread."""

    def __init__(self, folder: Path, uploads: Uploads) -> None:
        self.uploads = uploads
        self._folder = folder
        self._lock = threading.Lock()
        self._visitors: dict[str, Visitor] = {}
        self._gone = set[str]()

    def of(self, session: str) -> Visitor:
        """The visitor of a session, who is new where the session is; raises PageError for a tab that was closed."""
        with self._lock:
            if session in self._gone:
                raise PageError("This tab was closed.", remedy="Load the page again.")
            if session not in self._visitors:
                self._visitors[session] = Visitor(folder=self._folder / secrets.token_hex(8))
            return self._visitors[session]

    def with_key(self, key: str) -> Visitor | None:
        """The visitor whose results have this key in their addresses."""
        with self._lock:
            return next((one for one in self._visitors.values() if secrets.compare_digest(one.key, key)), None)

    def took(self, session: str, uploads: Iterable[Path]) -> None:
        """Remember which files a visitor sent, and remove those that nobody has any more; raises PageError as `of`."""
        visitor = self.of(session)
        with self._lock:
            visitor.uploads = set(uploads)
            self.uploads.claim(visitor.uploads)
            self._remove_unused()

    def begin(self, visitor: Visitor, run: PageRun) -> None:
        """Let a visitor have this run in the place of the last one, whose files are removed."""
        with self._lock:
            visitor.run = run
            self.uploads.claim(run.sources)
            self._remove_unused()

    @contextmanager
    def making_files(self, session: str) -> Iterator[Visitor]:
        """The visitor, whose folder is removed after the block where the tab is closed meanwhile; raises PageError."""
        visitor = self.of(session)
        with self._lock:
            visitor.busy += 1
        try:
            yield visitor
        finally:
            with self._lock:
                visitor.busy -= 1
                self._remove_folder(visitor)

    def left(self, session: str) -> None:
        """Remove all that a visitor sent and was given."""
        with self._lock:
            self._gone.add(session)
            visitor = self._visitors.pop(session, None)
            if visitor is not None:
                visitor.is_gone = True
                self._remove_folder(visitor)
                self._remove_unused()

    def _remove_folder(self, visitor: Visitor) -> None:
        if visitor.is_gone and not visitor.busy:
            shutil.rmtree(visitor.folder, ignore_errors=True)

    def _remove_unused(self) -> None:
        """Equal files of two visitors are one file on the disk, so it stays for as long as one of them has it."""
        self.uploads.keep_only(set[Path]().union(*(one.used() for one in self._visitors.values())))


def _unlike(path: Path, taken: set[str]) -> str:
    name, number = path.name, 2
    while name in taken:
        name, number = f"{path.stem} ({number}){path.suffix}", number + 1
    return name
