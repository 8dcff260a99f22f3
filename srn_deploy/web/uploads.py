"""Files on their way here: what is left of one whose sending was broken off is removed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from srn_deploy.web.access import Application, Receive, Scope, Send

ADDRESS = "/gradio_api/upload"


class Uploads:
    """The folder in which Gradio keeps files while they are sent; whole ones lie in folders inside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._under_way = 0

    def watched(self, application: Application) -> Application:
        """The application, after whose uploads the folder is tidied."""
        async def watching(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] != ADDRESS:
                await application(scope, receive, send)
                return
            self._under_way += 1
            try:
                await application(scope, receive, send)
            finally:
                self._under_way -= 1
                self.tidy()

        return watching

    def tidy(self) -> None:
        """Remove parts of files that never came whole, and the empty files that Gradio makes for each event."""
        known = [path for path in self._folder.iterdir() if path.is_file()]
        if self._under_way:  # one of them may be coming; what begins from now on is not among them
            return
        for path in known:
            with suppress(OSError):
                path.unlink(missing_ok=True)
