"""All errors that are meant for the user, as one tree; each has a message and a remedy.

SrnDeployError
├── OptionError               an option has a value that cannot work
├── MissingPackage            an optional package is not installed
├── UnknownModel              no model has that name, or it is not on this machine yet
├── DownloadError             a published model cannot be fetched
├── CheckpointError
│   ├── UnsafeCheckpoint      the file contains or is a program
│   ├── DamagedCheckpoint     truncated, or a Git-LFS pointer
│   ├── UnsupportedCheckpoint whole, but of a kind that is not read
│   ├── UnknownNetwork        no known network has such keys
│   ├── MismatchedTensors     a known network with missing, surplus or wrongly shaped tensors
│   └── UnprovenNetwork       a known network that does not super-resolve, whatever its keys leave open
├── UnsuitableNetwork         a network that does not enlarge images, or not those of every size
├── GraphError
│   ├── GraphWithoutSpec      an ONNX file without the spec of its model
│   └── ExportMismatch        the graph computes something other than the network
├── EngineError
│   ├── EngineNotBuilt        the library rejects the graph, the shapes or the machine
│   ├── NotHalfPrecision      an engine that should compute in FP16 does not
│   ├── NotQuantized          an engine that should compute in INT8 does not
│   ├── DamagedEngine         the engine file is not the one that its manifest describes
│   └── ForeignEngine         an engine for another GPU, system or library version
├── BackendError
│   ├── DeviceUnavailable     the requested device is not available
│   ├── OutOfMemory           the batch does not fit into the device's memory
│   └── UnsuitableBatch       the model cannot take this dtype or shape
├── NotCertified              an artefact is too far from its reference
├── TilingError               an image cannot be tiled as requested
├── ImageError
│   ├── UnreadableImage       missing, damaged, or not an image
│   ├── UnsupportedImage      an image of a kind that would lose content
│   └── UnwritableImage       the output cannot be written as requested
├── VideoError
│   ├── UnreadableVideo       missing, damaged, cut short, or not a video
│   ├── UnsupportedVideo      a video of a kind that would come out wrong
│   ├── UnwritableVideo       the output cannot be written as requested
│   └── OtherVideoRun         the unfinished work beside the output is that of another run
├── ServingError
│   ├── UnsuitableServer      the server's own backend cannot run this graph or engine
│   ├── NoServer              no server answers at the address
│   ├── ModelNotServed        the server does not have the model, or it is not ready
│   ├── OtherContract         what the server calls by that name is no model of ours, or of another version
│   └── RequestRefused        the server did not upscale an image, and said why
├── LedgerError               the ledger of a shared output cannot be written
│   ├── OtherRun              the output is shared by runs of another model, other options or another version
│   └── DamagedLedger         the ledger cannot be read
├── PageError                 the local page cannot be served, or takes no more
├── ClusterError
│   ├── ClusterUnreachable    no Ray cluster answers at the address, or it has no room for a worker
│   ├── UnsuitableWorker      a machine of the cluster has another version of srn-deploy
│   └── WorkerFailed          processes of the cluster ended during a file, or all of them did
└── TrainingError             a recipe and its data do not fit together
"""

from __future__ import annotations


class SrnDeployError(Exception):
    """Base of all errors that are meant for the user.

    message: what happened and where. remedy: what to do about it; raises ValueError where it is empty.
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
    """Unpickle an error; exceptions with keyword-only arguments cannot be unpickled otherwise."""
    return kind(message, remedy=remedy)


def error_named(name: str, message: str, remedy: str) -> SrnDeployError:
    """The error that another process reported by the name of its class; a GraphError for a name that is none here."""
    kind: object = globals().get(name)
    if isinstance(kind, type) and issubclass(kind, SrnDeployError):
        return kind(message, remedy=remedy)
    return GraphError(message, remedy=remedy)


class OptionError(SrnDeployError):
    """An option has a value that cannot work."""


class MissingPackage(SrnDeployError):
    """An optional package is not installed."""


def missing_package(package: str, what: str, *, extra: str = "torch") -> MissingPackage:
    """The error for an optional package that is not installed: `what` needs it, and `extra` installs it."""
    return MissingPackage(f"{what} needs {package}, which is not installed.",
                          remedy=f"In the checkout run: pip install '.[{extra}]'")


class UnknownModel(SrnDeployError):
    """No model has that name and no such file exists, or the model is not on this machine yet."""


class DownloadError(SrnDeployError):
    """A published model cannot be fetched, or the file that came is a different one."""


class CheckpointError(SrnDeployError):
    """A checkpoint file cannot become a network."""


class UnsafeCheckpoint(CheckpointError):
    """The file contains pickled code, or is a program; nothing of it is run."""


class DamagedCheckpoint(CheckpointError):
    """The file is truncated, or stands for weights that were never fetched."""


class UnsupportedCheckpoint(CheckpointError):
    """The file is whole, but not a checkpoint: a web page, an archive, a model of another program."""


class UnknownNetwork(CheckpointError):
    """No known network has such keys."""


class MismatchedTensors(CheckpointError):
    """The network is known, but tensors are missing, surplus or wrongly shaped."""


class UnprovenNetwork(CheckpointError):
    """The network is known, but with no setting of what its keys leave open does it super-resolve a trial image."""


class UnsuitableNetwork(SrnDeployError):
    """What a network does, found by running it, is not to enlarge images of every size by one whole factor."""


class GraphError(SrnDeployError):
    """An ONNX file cannot be used."""


class GraphWithoutSpec(GraphError):
    """The ONNX file does not contain the spec of its model."""


class ExportMismatch(GraphError):
    """The exported graph computes something other than the network."""


class EngineError(SrnDeployError):
    """An engine cannot be built, kept or found."""


class EngineNotBuilt(EngineError):
    """The library rejects the graph, the shapes or the machine."""


class NotHalfPrecision(EngineError):
    """An engine that should compute in FP16 does not."""


class NotQuantized(EngineError):
    """An engine that should compute in INT8 does not."""


class DamagedEngine(EngineError):
    """The engine file is not the one that its manifest describes."""


class ForeignEngine(EngineError):
    """An engine for another GPU, system or library version: it would not run here."""


class BackendError(SrnDeployError):
    """A model cannot be run."""


class DeviceUnavailable(BackendError):
    """The requested device is not available."""


class OutOfMemory(BackendError):
    """The batch does not fit into the device's memory."""


class UnsuitableBatch(BackendError):
    """The model cannot take a batch of this dtype or shape."""


class NotCertified(SrnDeployError):
    """An artefact is too far from its reference on images."""


class TilingError(SrnDeployError):
    """An image cannot be tiled as requested."""


class ImageError(SrnDeployError):
    """An image file cannot be read or written."""


class UnreadableImage(ImageError):
    """The file is missing, damaged, or not an image."""


class UnsupportedImage(ImageError):
    """The image is of a kind that would lose content."""


class UnwritableImage(ImageError):
    """The output cannot be written as requested."""


class VideoError(SrnDeployError):
    """A video cannot be read or written."""


class UnreadableVideo(VideoError):
    """The file is missing, damaged, cut short, or not a video."""


class UnsupportedVideo(VideoError):
    """The video is of a kind that would come out wrong."""


class UnwritableVideo(VideoError):
    """The output cannot be written as requested."""


class OtherVideoRun(VideoError):
    """The unfinished work beside the output is that of a running process, or was made in another way."""


class ServingError(SrnDeployError):
    """A model cannot be served by Triton, or a server cannot be used."""


class UnsuitableServer(ServingError):
    """The server's own backend, in the version that was named, cannot run this graph or engine."""


class NoServer(ServingError):
    """No server answers at the address, or it stopped answering."""


class ModelNotServed(ServingError):
    """The server does not have the model, or it is not ready."""


class OtherContract(ServingError):
    """What the server calls by that name is no model of srn-deploy, or one of a version that is not understood."""


class RequestRefused(ServingError):
    """The server did not upscale an image, and said why."""


class LedgerError(SrnDeployError):
    """The ledger beside an output that several runs share cannot be used."""


class OtherRun(LedgerError):
    """The ledger was begun by a run with another model, other options or another version."""


class DamagedLedger(LedgerError):
    """The ledger is not what a run has written."""


class PageError(SrnDeployError):
    """The local page cannot be served at this address, or takes no more work or files."""


class ClusterError(SrnDeployError):
    """A Ray cluster cannot be used, or a file could not be done on it."""


class ClusterUnreachable(ClusterError):
    """No Ray cluster answers at the address, it cannot be joined, or it has no room for a worker."""


class UnsuitableWorker(ClusterError):
    """A machine of the cluster has another version of srn-deploy, or none."""


class WorkerFailed(ClusterError):
    """Processes of the cluster ended while they worked on a file, or gave no answer."""


class TrainingError(SrnDeployError):
    """A recipe and its data do not fit together."""
