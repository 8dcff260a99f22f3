"""The page itself: what is on it, and what happens when something is pressed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from srn_deploy.errors import OptionError, PageError, SrnDeployError
from srn_deploy.image import read_suffixes
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.guard import Guard
from srn_deploy.system.written_formats import WRITTEN_FORMATS
from srn_deploy.web import wording
from srn_deploy.web.line import Line
from srn_deploy.web.options import PageOptions
from srn_deploy.web.runs import PageRun
from srn_deploy.web.views import Shown, View
from srn_deploy.web.visitors import Visitor, Visitors
from srn_deploy.web.wanted import Choice, SizeKind

Given = dict[Any, Any]
"""Component to its value."""

LOOK_EVERY_S = 0.2
"""Between two looks at how far a run is."""

AS_THE_PICTURE = "As the picture"
WHOLE, EXACT = "Whole picture", "Pixel for pixel (1:1)"

_GUARDS = [("Say what does not resemble the picture", Guard.WARN.value), (wording.REPAIR, Guard.REPAIR.value),
           ("Off", Guard.OFF.value)]

_FONT = ("system-ui", "sans-serif")
_MONO = ("ui-monospace", "monospace")

_VIEW_SIZE = """(...given) => {
  const frame = document.querySelector('#compare'), dots = window.devicePixelRatio || 1;
  return [...given.slice(0, -2), Math.floor(((frame && frame.clientWidth) || 640) * dots), Math.floor(480 * dots)];
}"""
"""Gives the last two inputs the size of the frame in pixels of the screen: then each can show one of the result."""


def look() -> dict[str, Any]:
    """The theme, the styles and the script, all of this package: no font or script of another host."""
    here = files("srn_deploy.web")
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return {"theme": gr.themes.Base(font=_FONT, font_mono=_MONO), "css": style, "head": f"<script>{script}</script>"}


class Page:
    """Lays the page out. Nothing of it is kept here: what a visitor has lies in `Visitors`."""

    def __init__(self, options: PageOptions, line: Line, visitors: Visitors) -> None:
        self._options, self._line, self._visitors = options, line, visitors
        self._shown = Shown()
        with gr.Blocks(title="Upscale pictures: srn-deploy", analytics_enabled=False) as self.blocks:
            gr.HTML('<h1>Upscale pictures</h1><p id="gone" role="alert"></p>', elem_id="title")
            with gr.Row():
                with gr.Column(scale=2, min_width=300):
                    self._lay_out_choices()
                with gr.Column(scale=3, min_width=300):
                    self._lay_out_results()
            self._connect()

    def _lay_out_choices(self) -> None:
        offered = list(self._line.model.offered.items())
        self._files = gr.File(label="Pictures", file_count="multiple", elem_id="pictures", height=180,
                              file_types=list(read_suffixes()))  # for the choice: its content says what a file is
        self._model = gr.Dropdown(offered, value=offered[0][1], label="Model", filterable=False, elem_id="model")
        self._size_kind = gr.Dropdown([kind.value for kind in SizeKind], value=SizeKind.MODEL.value, label="Size",
                                      filterable=False, elem_id="size")
        self._size_text = gr.Textbox(label="Size: number or box", visible=False, elem_id="size-text", max_lines=1)
        formats = [(AS_THE_PICTURE, ""), *((name.upper(), name) for name in WRITTEN_FORMATS)]
        self._format = gr.Dropdown(formats, value="", label="Format", filterable=False, elem_id="format")
        self._guard = gr.Radio(_GUARDS, value=Guard.WARN.value, label="Guard: where the network broke", elem_id="guard")
        with gr.Row():
            self._start = gr.Button("Upscale", variant="primary", elem_id="start")
            self._stop = gr.Button("Stop", variant="stop", elem_id="stop")

    def _lay_out_results(self) -> None:
        self._status = gr.HTML(_said(wording.NOTHING_YET), elem_id="status")
        self._bar = gr.HTML("", elem_id="bar")
        self._table = gr.HTML("", elem_id="results")
        self._pick = gr.Dropdown([], label="Picture to look at", filterable=False, visible=False, elem_id="pick")
        self._compare = gr.ImageSlider(label="Before and after", type="filepath", interactive=False, buttons=[],
                                       visible=False, elem_id="compare", max_height=520)
        self._note = gr.HTML("", elem_id="view-note")
        with gr.Group(visible=False, elem_id="view") as self._view:
            self._kind = gr.Radio([WHOLE, EXACT], value=WHOLE, label="View", elem_id="view-kind")
            self._across = gr.Slider(0, 100, value=50, step=1, label="Place across, in percent",
                                     elem_id="across", visible=False)
            self._down = gr.Slider(0, 100, value=50, step=1, label="Place down, in percent", elem_id="down",
                                   visible=False)
            self._mark = gr.Checkbox(True, label="Outline what the guard found", elem_id="mark")
        self._frame = (gr.Number(640, visible=False), gr.Number(480, visible=False))

    def _connect(self) -> None:
        # A run alone is told piece by piece, through Gradio's queue. Everything else is one request with one answer:
        # where two events share the queue's connection, the end of the first can close it under the second.
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
        self._files.change(self._took, self._files, None, **private)
        self._size_kind.change(lambda kind: gr.update(visible=kind != SizeKind.MODEL.value), self._size_kind,
                               self._size_text, **private)
        chosen: set[Any] = {self._files, self._model, self._size_kind, self._size_text, self._format, self._guard}
        answers = [self._status, self._bar, self._table, self._pick, self._view]
        ran = self._start.click(self._upscale, chosen, answers, trigger_mode="once",
                                **{**private, "queue": True, "concurrency_limit": None})
        self._stop.click(self._stopped, None, self._status, **private)
        # Gradio sorts them by their age: the frame is the youngest.
        view: set[Any] = {self._pick, self._kind, self._across, self._down, self._mark, *self._frame}
        self._kind.change(lambda kind: [gr.update(visible=kind == EXACT)] * 2, self._kind, [self._across, self._down],
                          **private)
        latest: dict[str, Any] = {"fn": self._look_at, "inputs": view, "outputs": [self._compare, self._note],
                                  "js": _VIEW_SIZE, **private}
        ran.then(**latest)
        gr.on([self._pick.input, self._kind.input, self._across.release, self._down.release, self._mark.input],
              trigger_mode="always_last", **latest)
        self.blocks.unload(self._left)

    # What visitors do

    def _took(self, sent: list[str] | None, request: gr.Request) -> None:
        with suppress(PageError):  # said when the tab wants something of them
            self._visitors.took(_session(request), [Path(path) for path in sent or ()])

    def _upscale(self, given: Given, request: gr.Request) -> Iterator[Any]:
        try:
            visitor = self._visitors.of(_session(request))
            run = self._new_run(visitor, given[self._files] or [], Choice(
                model=given[self._model], size_kind=SizeKind(given[self._size_kind]),
                size_text=given[self._size_text] or "", format=given[self._format] or "",
                guard=Guard.named(given[self._guard])))
            self._line.add(run)
        except SrnDeployError as error:
            yield {self._status: _said(f"{error.message} {error.remedy}")}
            return
        try:
            yield from self._watched(run, visitor)
        finally:
            self._line.stop(run)  # the tab was closed

    def _new_run(self, visitor: Visitor, sent: list[str], choice: Choice) -> PageRun:
        if visitor.run is not None and not visitor.run.progress.state.is_over:
            raise PageError("A run of this tab is at work.", remedy="Wait for it, or stop it.")
        if not sent:
            raise OptionError("There is nothing to upscale.", remedy="Drop a picture first.")
        if len(sent) > self._options.max_pictures:
            raise PageError(f"{len(sent)} pictures are more than the {self._options.max_pictures} of one run.",
                            remedy="Upscale them in several runs, or by the command line.")
        self._line.model.check(choice.model)
        self._shown.forget()
        run = PageRun(sources=[Path(path) for path in sent], choice=choice, folder=visitor.new_folder(),
                  files=FileOptions(max_megapixels=self._options.max_megapixels))
        self._visitors.begin(visitor, run)
        return run

    def _watched(self, run: PageRun, visitor: Visitor) -> Iterator[Any]:
        """What is shown of a run as it goes on; what is told to a screen reader changes only where it is news."""
        said, finished, is_over = "", -1, False
        while not is_over:
            progress = run.progress
            is_over = progress.state.is_over
            now = wording.status(progress, visitor, self._line.ahead_of(run))
            answer: dict[Any, Any] = {self._bar: wording.bar(progress)}
            if now != said:
                answer[self._status] = _said(now)
            if len(run.results) != finished or is_over:
                answer[self._table] = wording.table(visitor) + (wording.command(progress) if is_over else "")
            said, finished = now, len(run.results)
            if is_over:
                shown = [(result.source.name, number) for number, result in enumerate(run.results) if result.target]
                answer[self._pick] = gr.update(choices=shown, value=shown[0][1] if shown else None,
                                               visible=len(shown) > 1)
                answer[self._view] = gr.update(visible=bool(shown))
            yield answer
            if not is_over:
                time.sleep(LOOK_EVERY_S)

    def _stopped(self, request: gr.Request) -> Any:
        try:
            run = self._visitors.of(_session(request)).run
        except PageError as error:
            return _said(f"{error.message} {error.remedy}")
        if run is None or run.progress.state.is_over:
            return _said(wording.NOTHING_YET)
        self._line.stop(run)
        return gr.skip()

    def _look_at(self, given: Given, request: gr.Request) -> Any:
        width, height = (max(1, int(given[side] or 1)) for side in self._frame)
        view = View(is_whole=given[self._kind] != EXACT, across=given[self._across] / 100,
                    down=given[self._down] / 100, width=width, height=height)
        try:
            with self._visitors.making_files(_session(request)) as visitor:
                result = visitor.result(given[self._pick])
                if result is None or result.target is None:
                    return gr.update(value=None, visible=False), ""
                paths = self._shown.write(result.source, result.target, view, visitor.next_view(),
                                          result.verdicts if given[self._mark] else ())
        except SrnDeployError as error:
            return gr.update(value=None, visible=False), _said(f"{error.message} {error.remedy}")
        return gr.update(value=tuple(map(str, paths)), visible=True), ""

    def _left(self, request: gr.Request) -> None:
        session = _session(request)
        try:
            run = self._visitors.of(session).run
        except PageError:  # told twice
            return
        if run is not None:
            self._line.stop(run)
            run.wait()
        self._visitors.left(session)
        self._shown.forget()


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _said(text: str) -> str:
    """A sentence, in the place whose changes screen readers tell (`page.js`)."""
    return f"<p>{escape(text)}</p>"
