"""The results of each kind of record that this package reads."""

from __future__ import annotations

import msgspec

from srn_deploy.spec import Scalar


class SampleStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A series of times."""

    median_ms: float
    mean_ms: float
    p90_ms: float
    p99_ms: float
    spread: float
    """From quartile to quartile, as a share of the median."""


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """How many times as fast as another, pair by pair."""

    median: float
    lower_quartile: float
    upper_quartile: float


class CandidateResult(SampleStatistics, frozen=True, kw_only=True, omit_defaults=True):
    """One way to run a model, measured in steady state."""

    share_of_compute: float | None = None
    """Of the measured ceiling; None where the network's operations or the ceiling are not known."""
    share_of_memory: float | None = None
    ratio_to_baseline: Ratio
    pictures_per_s: float
    input_megapixels_per_s: float
    peak_mib: float | None
    """The largest resident set of the process while it warmed up."""
    library: str
    precision: str
    form: str
    samples_ms: list[float]


class SteadyResults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of `bench-steady`."""

    device: str
    size: tuple[int, int]
    """(height, width) of the input."""
    baseline: str
    """The candidate that the others are compared with."""
    candidates: dict[str, CandidateResult] = msgspec.field(name="contestants")
    cautions: list[str]
    interrupted: bool = False
    """By Ctrl-C, after enough rounds."""


class NetworkResult(msgspec.Struct, frozen=True, kw_only=True):
    """One network of the paper, timed on every input; counted at 256 x 256 as the NTIRE challenge counts."""

    architecture: str
    options: dict[str, Scalar]
    scale: int
    samples_ms: list[float]
    peak_mib: float | None
    parameters: int
    flops: int
    activations: int
    convolutions: int

    @property
    def mean_ms(self) -> float:
        """The arithmetic mean, as the paper reports it."""
        return sum(self.samples_ms) / len(self.samples_ms)


class PaperResults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of `bench-paper`."""

    protocol: str
    device: str
    inputs: dict[str, str]
    """`x2` and `x4` to what was run there."""
    networks: dict[str, NetworkResult]
    cautions: list[str]
    interrupted: bool = False
    """By Ctrl-C, after enough inputs; only networks with enough of them are there."""


class EvaluatedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """Which network was evaluated."""

    architecture: str
    scale: int
    options: dict[str, Scalar]


class EvaluationResults(msgspec.Struct, frozen=True, kw_only=True):
    """Of `eval`, as far as tables need it."""

    spec: EvaluatedNetwork
    set: str
    """The name of the test set."""
    lr: str
    """The folder of the small images, or how they were made."""
    measured: str
    """What the figures were taken on: `Y`, `RGB` or the network's own luma."""
    psnr_db: float
    ssim: float


class PictureScore(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one image."""

    name: str
    psnr_db: float | None
    """None where nothing differs."""
    ssim: float


class EvaluatedFile(msgspec.Struct, frozen=True, kw_only=True):
    """Which file was evaluated."""

    source_sha256: str = ""
    """Of the checkpoint; empty where the record does not say it."""


class PictureScores(msgspec.Struct, frozen=True, kw_only=True):
    """Of `eval`, with every image."""

    spec: EvaluatedFile = EvaluatedFile()
    lr: str
    """The folder of the small images, or how they were made."""
    measured: str
    """What the figures were taken on, as in EvaluationResults."""
    psnr_db: float | None
    """None where one of the images does not differ at all."""
    ssim: float
    pictures: list[PictureScore]


class TimedSeries(msgspec.Struct, frozen=True, kw_only=True):
    """The samples of one candidate or network."""

    samples_ms: list[float] = []


class TimedResults(msgspec.Struct, frozen=True, kw_only=True):
    """What records of every timed benchmark have in common."""

    size: list[int] | None = None
    device: str | None = None
    inputs: dict[str, str] | None = None
    candidates: dict[str, TimedSeries] = msgspec.field(name="contestants", default_factory=dict)
    networks: dict[str, TimedSeries] = msgspec.field(default_factory=dict)

    @property
    def series(self) -> dict[str, list[float]]:
        """Name to samples in milliseconds, of those that have any."""
        return {name: one.samples_ms for name, one in (self.candidates or self.networks).items() if one.samples_ms}
