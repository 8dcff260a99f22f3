"""What an INT8 graph may lose to be shipped, and what it loses."""

from __future__ import annotations

from srn_deploy.backends import Backend
from srn_deploy.verification.certificate import Reference, certify
from srn_deploy.verification.sample_images import originals

MOST_INT8_LOSS_DB = 0.1
"""PSNR in dB that a shipped INT8 graph may lose against its FP32 graph on the drawn originals."""


def lost_on_drawn_images(backend: Backend, fp32: Backend) -> float:
    """PSNR in dB that a certificate says of an INT8 graph beside its FP32 graph, on the drawn originals."""
    return certify(backend, Reference(backend=fp32, name="FP32"), originals(), artefact_sha256="",
                   ran_on="").psnr_loss_db
