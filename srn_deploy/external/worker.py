"""The process that runs code from outside: `python -m srn_deploy.external.worker`, with an ExternalRequest on stdin."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

from srn_deploy.backends.first_run import run_without_trial
from srn_deploy.errors import OptionError, SrnDeployError
from srn_deploy.external.request import ExternalAnswer, ExternalRequest, message_line
from srn_deploy.system.bounded_process import answer_request
from srn_deploy.system.documents import decode_json, to_builtins


class _AsLine(logging.Formatter):
    """Writes a message as the line that the waiting process logs again."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return message_line(record.levelno, record.getMessage())


def main() -> None:
    """Be the process: messages go to stderr as lines, and graphs run at once, because another process waits."""
    logger = logging.getLogger("srn_deploy")
    handler = logging.StreamHandler()
    handler.setFormatter(_AsLine())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    run_without_trial()
    answer_request(answer)


def answer(request: bytes) -> bytes:
    """Do what is asked, and answer with what came of it."""
    try:
        done = _made(decode_json(request, ExternalRequest, lambda reason: OptionError(
            f"The request is not valid: {reason}.", remedy="Install srn-deploy again.")))
    except SrnDeployError as error:
        done = ExternalAnswer(error=type(error).__name__, message=error.message, remedy=error.remedy)
    return json.dumps(to_builtins(done)).encode()


def _made(request: ExternalRequest) -> ExternalAnswer:
    import torch

    from srn_deploy.external.foreign_graph import prepare_graph
    from srn_deploy.external.prepare import prepare_network
    from srn_deploy.external.source_files import imported_files
    from srn_deploy.graph.onnx_file import save_graph

    torch.set_num_threads(request.threads)
    prepared = (prepare_network if request.network or request.spandrel else prepare_graph)(request)
    save_graph(prepared.graph, Path(request.output))
    agreement = prepared.agreement
    return ExternalAnswer(images=agreement.images, worst_levels=agreement.worst_levels,
                          psnr_db=None if math.isinf(agreement.psnr_db) else agreement.psnr_db,
                          nodes=len(prepared.graph.graph.node), files=imported_files() if request.network else {})


if __name__ == "__main__":
    main()
