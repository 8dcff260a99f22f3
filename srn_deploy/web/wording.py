"""What the page says, as text and as HTML; everything that comes from a file is escaped."""

from __future__ import annotations

from html import escape

from srn_deploy.errors import SrnDeployError
from srn_deploy.inference.repair import REMEDY
from srn_deploy.system.durations import duration_in_words
from srn_deploy.system.memory import size_in_words
from srn_deploy.web.runs import PageRunState, PictureResult, RunProgress
from srn_deploy.web.visitors import ZIP_NAME, Visitor

RESULTS = "/results"
"""Where results are fetched."""

REPAIR = "Repair it"
"""The choice of the guard that repairs."""

REPAIRED_HERE = f"Look at it; the guard fixes it where “{REPAIR}” is chosen."

NOTHING_YET = "Nothing is running."

_OVER = {PageRunState.STOPPED: "Stopped", PageRunState.DONE: "Done", PageRunState.FAILED: "Failed"}


def status(progress: RunProgress, visitor: Visitor, ahead: int) -> str:
    """One sentence for a change that is worth being told; it stays the same while only the numbers grow."""
    if progress.state is PageRunState.WAITING:
        return f"Waiting: {ahead} {'run is' if ahead == 1 else 'runs are'} before yours."
    if progress.state is PageRunState.OPENING:
        return "Opening the model."
    if progress.state is PageRunState.RUNNING:
        return f"Upscaling {progress.picture}, {progress.finished + 1} of {progress.total}."
    failed = sum(result.error is not None for result in visitor.results)
    written = len(visitor.results) - failed
    said = f"{_OVER[progress.state]}: {written} of {progress.total or len(visitor.results)} upscaled"
    said += f", {failed} failed." if failed else "."
    return f"{said} {_error(progress.error)}" if progress.error is not None else said


def bar(progress: RunProgress) -> str:
    """The bar with the time that is left, as HTML."""
    if progress.state is PageRunState.RUNNING:
        told = f"{progress.share:.0%}"
        if progress.seconds_left is not None:
            told += f", about {duration_in_words(max(1, progress.seconds_left))} left"
    else:
        told = ""
    value = 1.0 if progress.state is PageRunState.DONE else progress.share
    return (f'<progress max="1" value="{value:.4f}" aria-label="Progress of the run"></progress>'
            f'<span class="left">{escape(told)}</span>')


def table(visitor: Visitor) -> str:
    """What became of each picture, with links to the files, as HTML."""
    if not visitor.results:
        return ""
    names = visitor.file_names()
    rows = "".join(_row(number, result, names, visitor.key) for number, result in enumerate(visitor.results))
    every = (f'<p><a class="all" href="{RESULTS}/{visitor.key}/all/{ZIP_NAME}" download="{ZIP_NAME}">Download all '
             f"{len(names)} files as a zip</a></p>" if len(names) > 1 else "")
    return (f'<table><caption>Results</caption><thead><tr><th scope="col">Picture</th><th scope="col">File</th>'
            f'<th scope="col">What was found</th></tr></thead><tbody>{rows}</tbody></table>{every}')


def command(progress: RunProgress) -> str:
    """The command line that makes the same files, as HTML."""
    if not progress.command:
        return ""
    return f"<p>The same on the command line: <code>{escape(progress.command)}</code></p>"


def _row(number: int, result: PictureResult, names: dict[int, str], key: str) -> str:
    said = " ".join(result.sentences).replace(REMEDY, REPAIRED_HERE)
    found = said or ("nothing" if result.target is not None else "")
    if result.error is not None:
        cells = f"<td>failed</td><td class='error'>{escape(_short(_error(result.error), result))}</td>"
    elif result.target is None:
        cells = "<td>not written</td><td>The disk is full, or the run was stopped.</td>"
    else:
        name = names[number]
        size = size_in_words(result.target.stat().st_size) if result.target.is_file() else ""
        link = (f'<a href="{RESULTS}/{key}/{number}/{escape(_in_address(name))}" download="{escape(name)}">Download '
                f"{escape(name)}</a>")
        cells = f"<td>{link} <span class='size'>{escape(size)}</span></td><td>{escape(_short(found, result))}</td>"
    return f'<tr><th scope="row">{escape(result.source.name)}</th>{cells}</tr>'


def _in_address(name: str) -> str:
    """A name as part of an address; the file is found by its number, and named by the link."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name)


def _error(error: SrnDeployError | None) -> str:
    return "" if error is None else f"{error.message} {error.remedy}"


def _short(text: str, result: PictureResult) -> str:
    """A sentence with names of files instead of their paths, which are of a folder that no visitor knows."""
    for path in (result.source, result.target):
        text = text if path is None else text.replace(str(path), path.name)
    return text

