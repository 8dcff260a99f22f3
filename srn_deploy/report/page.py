"""A report as one HTML file that needs nothing else: style, script, charts and images are inside.

Everything that is not written here is escaped. The page forbids itself every request.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources

from jinja2 import Environment as Templates
from jinja2 import FunctionLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from srn_deploy.report.content import (
    DataTable,
    MarkdownText,
    Paragraph,
    PictureComparison,
    ReportPage,
    ScatterChart,
    SpreadChart,
)
from srn_deploy.report.drawing import Drawing, draw_scatter, draw_spreads

_SCROLLED = '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
"""A wide table scrolls by itself, so that the page does not; texts cannot hold its mark, because they are escaped."""

_KINDS = {Paragraph: "paragraph", MarkdownText: "markdown", DataTable: "table", SpreadChart: "chart",
          ScatterChart: "chart", PictureComparison: "pictures"}


def render_page(page: ReportPage) -> str:
    """The whole file as text; the same page gives the same text."""
    style, script = _template("style.css"), _template("script.js")
    return _templates().get_template("page.html").render(
        page=page, style=Markup(style), script=Markup(script), style_hash=_hash(style),
        script_hash=_hash(script)) + "\n"


@functools.cache
def _templates() -> Templates:
    templates = Templates(loader=FunctionLoader(_template), autoescape=True, undefined=StrictUndefined,
                          trim_blocks=True, lstrip_blocks=True)
    templates.tests["block_of"] = lambda block, kind: _KINDS[type(block)] == kind
    templates.filters |= {"drawing": _drawing, "markdown": _markdown, "base64": _base64}
    return templates


def _template(name: str) -> str:
    return resources.files("srn_deploy.report").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Of a style or a script, as its policy names it."""
    return f"sha256-{_base64(hashlib.sha256(text.encode()).digest())}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _drawing(chart: SpreadChart | ScatterChart) -> Drawing:
    return draw_spreads(chart) if isinstance(chart, SpreadChart) else draw_scatter(chart)


def _markdown(text: str) -> Markup:
    """Markdown with tables; HTML in it is text, and an image is a link, because the file has no other beside it."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token in tokens:
        for inner in token.children or ():
            if inner.type == "image":
                inner.type, inner.tag = "html_inline", ""
                inner.content = Markup('<a href="{}">{}</a>').format(inner.attrs.get("src", ""), inner.content)
    made = parser.renderer.render(tokens, parser.options, {})
    return Markup(made.replace("<table>", _SCROLLED).replace("</table>", "</table></div>"))
