"""`srn-deploy web`."""

from __future__ import annotations

from typing import Any

import click

from srn_deploy.cli import options, values


@click.command(short_help="Open a local page that upscales pictures.")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True,
              help="Port to listen on; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, callback=values.listening_host,
              help="Address to listen on. Any but this machine's own needs a token, which is made and printed.")
@click.option("--token", envvar="SRN_WEB_TOKEN", callback=values.token,
              help="What a browser has to know, 16 letters and digits or more. [default: $SRN_WEB_TOKEN, else one "
                   "that is made where --host needs it]")
@click.option("--model", "models", multiple=True,
              help="A model to offer first, as in upscale; may be repeated. The shipped and the pulled ones are "
                   "offered too.")
@options.device
@options.precision
@options.threads
@click.option("--max-megapixels", type=values.PositiveNumber(), default=50.0, show_default=True, metavar="NUMBER",
              help="Refuse larger pictures before decoding them.")
@click.option("--max-file", default="200M", show_default=True, metavar="SIZE", callback=values.size,
              help="Refuse larger files while they are sent.")
@click.option("--max-pictures", type=click.IntRange(min=1), default=100, show_default=True, metavar="N",
              help="Pictures in one run.")
@click.option("--max-waiting", type=click.IntRange(min=0), default=8, show_default=True, metavar="N",
              help="Runs that wait while one is at work; more are refused.")
def web(threads: int | None, max_file: int, **chosen: Any) -> None:
    """Serve a page on this machine: drop pictures, compare before and after, download the results.

    Results are the files that `upscale` writes. Nothing is fetched from, or sent to, another host. Ctrl-C ends it, and
    every file that was sent or made is removed.
    """
    from srn_deploy.system.threads import cpu_threads
    from srn_deploy.web.options import PageOptions
    from srn_deploy.web.packages import need_page_packages

    need_page_packages()
    from srn_deploy.web.server import serve

    with cpu_threads(threads):
        serve(PageOptions(max_file_bytes=max_file, **chosen), _tell)


def _tell(address: str) -> None:
    click.echo(address)
    click.echo("Open it in a browser. Ctrl-C ends it and removes what was sent and made.", err=True)
