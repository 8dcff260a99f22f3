"""CUDA graphs through cuda-bindings, because PyCUDA cannot capture them; the stream is PyCUDA's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from srn_deploy.errors import BackendError


class NotCaptured(Exception):
    """There is no graph, and why; the work can go on without one."""


def graph_driver() -> Any:
    """The module cuda.bindings.driver; raises NotCaptured where it is not installed."""
    try:
        from cuda.bindings import driver
    except ImportError as error:
        raise NotCaptured(f"cuda-bindings is not installed ({error}); pip install cuda-bindings") from error
    return driver


class CudaGraph:
    """The work that `enqueue` puts on a stream, recorded so that one call launches it again.

    The stream must be idle, the work must have run once before, and its memory must keep its addresses.
    Raises NotCaptured.
    """

    def __init__(self, driver: Any, stream_handle: int, enqueue: Callable[[], None]) -> None:
        self._driver, self._stream = driver, driver.CUstream(stream_handle)
        self._executable: Any = None
        self._graph: Any = None
        try:
            self._graph = self._captured(enqueue)
            self._executable = self._checked(driver.cuGraphInstantiate(self._graph, 0))
        except NotCaptured:
            self.close()
            raise
        except Exception as error:  # what cuda-bindings itself may raise
            self.close()
            raise NotCaptured(f"{type(error).__name__}: {error}") from error

    def _captured(self, enqueue: Callable[[], None]) -> Any:
        """Record the work. The capture is always ended: a stream that is left capturing cannot be used any more."""
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._checked(self._driver.cuStreamBeginCapture(self._stream, mode))
        try:
            enqueue()
        except BaseException as error:
            self._driver.cuStreamEndCapture(self._stream)
            if not isinstance(error, Exception):
                raise
            raise NotCaptured(f"the work cannot be captured ({error})") from error
        return self._checked(self._driver.cuStreamEndCapture(self._stream))

    def launch(self) -> None:
        """Begin the work; raises BackendError where CUDA reports an error."""
        try:
            self._checked(self._driver.cuGraphLaunch(self._executable, self._stream))
        except NotCaptured as error:
            raise BackendError(f"A CUDA graph was not launched: {error}.",
                               remedy="Run it again; if it stays, report this text.") from error

    def close(self) -> None:
        """Free the graph; calling it twice is harmless."""
        if self._executable is not None:
            self._driver.cuGraphExecDestroy(self._executable)
        if self._graph is not None:
            self._driver.cuGraphDestroy(self._graph)
        self._graph = self._executable = None

    def _checked(self, result: tuple[Any, ...]) -> Any:
        """The value of a result (status, value); raises NotCaptured unless the status is success."""
        status = result[0]
        if status != self._driver.CUresult.CUDA_SUCCESS:
            raise NotCaptured(f"CUDA reported {getattr(status, 'name', status)}")
        return result[1] if len(result) > 1 else None
