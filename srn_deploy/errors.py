"""Everything a user can do wrong or run into, as one tree; every error carries its remedy.

SrnDeployError
├── OptionError               an option has a value that cannot work
├── MissingPackage            an optional package is not installed
├── UnknownModel              no model has that name, or it is not on this machine yet
├── DownloadError             a published model cannot be fetched
├── CheckpointError
│   ├── UnsafeCheckpoint      the file holds pickled code, or is no weights file
│   ├── DamagedCheckpoint     truncated, or a Git-LFS pointer
│   ├── UnknownNetwork        no known network has such keys
│   └── MismatchedTensors     a known network with missing, surplus or misshapen tensors
├── GraphError
│   ├── GraphWithoutSpec      an ONNX file that does not say what it is
│   └── ExportMismatch        the graph computes something else than the network
├── EngineError
│   ├── EngineNotBuilt        the library refuses the graph, the shapes or the machine
│   ├── NotHalfPrecision      an engine that was to compute in FP16 does not
│   ├── DamagedEngine         the plan is not the file that its manifest names
│   └── ForeignEngine         a plan of another GPU, system or version
├── BackendError
│   ├── DeviceUnavailable     the asked-for device is not there
│   ├── OutOfMemory           the device's memory does not hold the batch
│   └── UnsuitableBatch       the artefact cannot take this dtype or shape
├── NotCertified             an artefact is too far from its reference
├── TilingError               a picture cannot be tiled as asked
├── ImageError
│   ├── UnreadableImage       missing, damaged, or no picture
│   ├── UnsupportedImage      a picture of a kind that cannot be kept whole
│   └── UnwritableImage       the output cannot be written as asked
└── TrainingError             a recipe and its data do not fit together
"""

from __future__ import annotations


class SrnDeployError(Exception):
    """Base of all errors meant for the user.

    message: what happened and where. remedy: what to do about it, never empty.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        if not remedy:
            raise ValueError("an error needs a remedy")
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.remedy)


def _rebuild(kind: type[SrnDeployError], message: str, remedy: str) -> SrnDeployError:
    """Unpickle: exceptions with keyword-only arguments cannot do it by themselves."""
    return kind(message, remedy=remedy)


class OptionError(SrnDeployError):
    """An option has a value that cannot work."""


class MissingPackage(SrnDeployError):
    """An optional package is not installed."""


def missing_package(package: str, what: str, *, extra: str = "torch") -> MissingPackage:
    """The error for an optional package: what needs it, and the command that installs it."""
    return MissingPackage(f"{what} needs {package}, which is not installed.",
                          remedy=f"In the checkout run: pip install '.[{extra}]'")


def not_correctable(name: str) -> OptionError:
    """The error for --set and --value-range on what carries its spec."""
    return OptionError(f"{name} is what it was exported as.",
                       remedy="Correct its checkpoint instead, and export it again.")


class UnknownModel(SrnDeployError):
    """No model has that name and no such file exists, or the model is not on this machine yet."""


class DownloadError(SrnDeployError):
    """A published model cannot be fetched, or what came is not it."""


class CheckpointError(SrnDeployError):
    """A checkpoint file cannot become a network."""


class UnsafeCheckpoint(CheckpointError):
    """The file holds pickled code, or is no weights file; it is not opened."""


class DamagedCheckpoint(CheckpointError):
    """The file is truncated, or stands for weights that were never fetched."""


class UnknownNetwork(CheckpointError):
    """No known network has such keys."""


class MismatchedTensors(CheckpointError):
    """The network is known, but tensors are missing, left over or misshapen."""


class GraphError(SrnDeployError):
    """An ONNX file cannot be used."""


class GraphWithoutSpec(GraphError):
    """The ONNX file does not say what it is."""


class ExportMismatch(GraphError):
    """The exported graph computes something else than the network."""


class EngineError(SrnDeployError):
    """An engine cannot be built, kept or found."""


class EngineNotBuilt(EngineError):
    """The library refuses the graph, the shapes or the machine."""


class NotHalfPrecision(EngineError):
    """An engine that was to compute in FP16 does not."""


class DamagedEngine(EngineError):
    """The plan is not the file that its manifest names."""


class ForeignEngine(EngineError):
    """A plan of another GPU, system or version: it would not run here."""


class BackendError(SrnDeployError):
    """An artefact cannot be run."""


class DeviceUnavailable(BackendError):
    """The asked-for device is not there."""


class OutOfMemory(BackendError):
    """The device's memory does not hold the batch."""


class UnsuitableBatch(BackendError):
    """The artefact cannot take a batch of this dtype or shape."""


class NotCertified(SrnDeployError):
    """An artefact is too far from its reference on pictures."""


class TilingError(SrnDeployError):
    """A picture cannot be tiled as asked."""


class ImageError(SrnDeployError):
    """A picture file cannot be read or written."""


class UnreadableImage(ImageError):
    """The file is missing, damaged, or no picture."""


class UnsupportedImage(ImageError):
    """The picture is of a kind that could not be kept whole."""


class UnwritableImage(ImageError):
    """The output cannot be written as asked."""


class TrainingError(SrnDeployError):
    """A recipe and its data do not fit together."""
