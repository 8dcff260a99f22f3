"""Loads a checkpoint for use: what its keys leave open is found by trying, or the file is refused.

A file that is published under its hash is known. A file with metadata is believed, and only warned of where it does not
super-resolve and with other settings does. For every other file the settings that its family declares are tried.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from srn_deploy.architectures.checkpoint import LoadedNetwork, ReadCheckpoint, read_checkpoint
from srn_deploy.architectures.recognition.judgement import Judgement, in_words, judged, shown, title
from srn_deploy.architectures.recognition.trial import VALUE_RANGE, Choices, Examined, Setting, Trial
from srn_deploy.architectures.recognition.trial_store import measured
from srn_deploy.errors import DamagedCheckpoint, UnknownModel, UnprovenNetwork
from srn_deploy.image.trial_image import LEAST_GAIN_DB
from srn_deploy.registry.published import published_with
from srn_deploy.registry.resolve import ResolvedModel
from srn_deploy.spec import Corrections, Scalar

_log = logging.getLogger(__name__)


def load_resolved(model: ResolvedModel) -> LoadedNetwork:
    """Read a checkpoint, recognise its network, find out what its keys leave open, and load the weights.

    What was found is logged and stands in the spec (`recognised`). The model's corrections hold whatever was measured,
    with a warning where it contradicts them. Raises a CheckpointError for the file, OptionError for a correction that
    the network does not know, and UnprovenNetwork where nothing super-resolves and the corrections do not say `trust`.
    """
    given, known = model.corrections, _published(model)
    read = read_checkpoint(model, given if known is None else known.corrected_by(given))
    open_options = read.family.open_options
    if known is not None and given.value_range in (None, known.value_range) and not (
            set(given.options) - set(known.options)) & set(open_options):
        _log.info("%s is published under its hash: its settings are known, and nothing is tried.", model.path.name)
        return read.loaded()
    said: dict[str, Scalar] = {name: read.spec.options[name] for name in open_options if name in given.options}
    if given.value_range is not None:
        said[VALUE_RANGE] = given.value_range
    question = Question(read=read, said=said, trust=given.trust)
    return _confirmed(question) if read.recorded else _tried(question)


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """What is to be found out about a checkpoint."""

    read: ReadCheckpoint
    said: Mapping[str, Scalar]
    """What the user says, by the names of options and VALUE_RANGE."""
    trust: bool

    @property
    def name(self) -> str:
        """Of the file, for messages."""
        return self.read.model.path.name

    @property
    def default(self) -> Setting:
        """What holds if nothing is measured: what the user says, the metadata, the published defaults."""
        spec = self.read.spec
        return Setting(value_range=spec.value_range,
                       options={name: spec.options[name] for name in self.read.family.open_options})

    @property
    def choices(self) -> Choices:
        """All that is possible; one setting where nothing is open."""
        read, default = self.read, self.default
        ranges = read.family.value_ranges if read.shown_range is None or read.recorded else (read.shown_range,)
        return Choices(value_ranges=tuple(dict.fromkeys((default.value_range, *ranges))),
                       options={name: tuple(dict.fromkeys((default.options[name], *values)))
                                for name, values in read.family.open_options.items()})

    @property
    def can_be_tried(self) -> bool:
        """Whether anything is open and a trial can tell: at scale 1 bicubic interpolation gives the original."""
        choices = self.choices
        return self.read.spec.scale > 1 and (
            len(choices.value_ranges) > 1 or any(len(values) > 1 for values in choices.options.values()))

    def loaded(self, judgement: Judgement, recognised: str = "") -> LoadedNetwork:
        """The network with the setting that was chosen. recognised: for its spec."""
        read, chosen = self.read, judgement.chosen
        options = read.family.describe({**read.spec.options, **chosen.options}).options
        return read.loaded(replace(read.spec, value_range=chosen.value_range, options=options, recognised=recognised))

    def measure(self, choices: Choices, said: Mapping[str, Scalar]) -> tuple[Trial, Judgement]:
        """Try the choices, or take what is kept of an earlier trial, and judge."""
        read = self.read
        examined = Examined(family=read.family, options=read.spec.options, state=read.state, weights=read.spec.weights)
        trial = measured(read.spec.source_sha256, examined, choices, said)
        return trial, judged(trial, self.default, said)


def _published(model: ResolvedModel) -> Corrections | None:
    """What the catalogue says of a file with this hash, wherever it lies; of several models in it what they share."""
    entries = [one.corrections for one in published_with(model.sha256)]
    if not entries:
        return None
    shared = set.intersection(*(set(one.options.items()) for one in entries))
    return Corrections(options=dict(shared), value_range=entries[0].value_range)


def _is_shipped(model: ResolvedModel) -> bool:
    try:
        return model.shipped is not None
    except (UnknownModel, DamagedCheckpoint):  # there are no shipped models here
        return False


def _confirmed(question: Question) -> LoadedNetwork:
    """A file with metadata: its settings are tried alone, and others only where they do not super-resolve."""
    default = question.default
    everything: dict[str, Scalar] = {name: default[name] for name in default.names}
    if question.trust or _is_shipped(question.read.model) or not question.can_be_tried:
        return question.read.loaded()
    alone = Choices(value_ranges=(default.value_range,), options={name: (default[name],) for name in default.options})
    if not question.measure(alone, everything)[1].super_resolves:
        _, judgement = question.measure(question.choices, everything)
        if judgement.contradiction:
            _log.warning("%s: what its metadata or you say is contradicted by trying: %s.", question.name,
                         judgement.contradiction)
    return question.read.loaded()


def _tried(question: Question) -> LoadedNetwork:
    """A file without metadata."""
    read, name, default = question.read, question.name, question.default
    all_said = set(question.said) >= set(default.names)
    if not question.can_be_tried or (all_said and question.trust):
        return read.loaded()
    trial, judgement = question.measure(question.choices, question.said)
    if judgement.contradiction:
        _log.warning("%s: what you say is contradicted by trying: %s. It is done as you say.", name,
                     judgement.contradiction)
    for doubt in judgement.doubts:
        _log.warning("%s: %s.", name, doubt)
    recognised = judgement.found or "as given"
    if judgement.super_resolves:
        if judgement.found:
            _log.info("%s: %s; bicubic interpolation has %.1f dB.", name, judgement.found, trial.bicubic_db)
    elif all_said or question.trust or judgement.contradiction:
        recognised = f"not confirmed by trying: {_best(trial)}"
        _log.warning("%s does not super-resolve the trial image with %s (%s); it is used all the same.", name,
                     _listed(judgement.chosen), _best(trial))
    else:
        raise _unproven(question, trial)
    return question.loaded(judgement, recognised)


def _listed(setting: Setting) -> str:
    return ", ".join(shown(name, setting) for name in setting.names)


def _best(trial: Trial) -> str:
    best = trial.scores[0]
    return f"at best {best.psnr_db:.1f} dB against {trial.bicubic_db:.1f} of bicubic interpolation"


def _unproven(question: Question, trial: Trial) -> UnprovenNetwork:
    choices = question.choices
    tried = [f"{title(name)} {' or '.join(map(in_words, values))}"
             for name, values in ((VALUE_RANGE, choices.value_ranges), *choices.options.items()) if len(values) > 1]
    return UnprovenNetwork(
        f"{question.read.model.path} has the keys of {question.read.family.title}, but with none of {trial.tried} "
        f"settings does it super-resolve the trial image: {_best(trial)} (with {_listed(trial.scores[0].setting)}), "
        f"and {LEAST_GAIN_DB:g} dB more than bicubic interpolation is needed. Tried: {'; '.join(tried)}.",
        remedy="If its network has other settings, give them with --set NAME=VALUE and --value-range. If it does not "
               "restore an original (a denoiser, a GAN), go on with --trust and what you give.")
