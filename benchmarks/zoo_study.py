"""Takes every checkpoint of a challenge's repository the whole road, with its authors' own class.

    python -m benchmarks.zoo_study DIR --reference FILE

DIR is a clone of ofsoundof/NTIRE2022_ESR or Amazingren/NTIRE2024_ESR. This runs the code in it. Two checkpoints are
measured at a time, each in a process of its own; the record is written after each, and one that is in it, measured with
the same versions, is not measured again. A library that some authors import (einops, timm, torchvision) and that is not
installed is the reason with which theirs are refused.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.inputs import BENCHMARKS, RECORDS
from benchmarks.zoo_results import KIND, Case, Question, Results, Row
from srn_deploy.benchmark.environment import Environment, current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError, SrnDeployError
from srn_deploy.system.bounded_process import GIB, run_bounded
from srn_deploy.system.documents import decode_json, read_json, to_builtins
from srn_deploy.system.hashing import sha256_of_file

NETWORKS = BENCHMARKS / "zoo_networks.json"
"""Which class belongs to which checkpoint."""

Document = TypeVar("Document")

SECONDS = 900
"""For one checkpoint: the longest of those that end take half of it beside another one."""

MEMORY_BYTES = 6 * GIB


@dataclass(frozen=True, kw_only=True)
class Network:
    """One checkpoint of a repository, and its authors' class."""

    checkpoint: str
    """In model_zoo/."""
    network: str
    """FILE.py:CLASS, the file relative to the repository."""
    value_range: float
    """Which its authors' script declares."""
    settings: tuple[str, ...] = ()
    """Arguments of the constructor, as `--set` takes them."""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """The checkpoints of one challenge."""

    name: str
    year: int
    revision: str
    """The commit whose files were read for this list."""
    networks: tuple[Network, ...]


@dataclass(frozen=True, kw_only=True)
class _Repositories:
    repositories: tuple[Repository, ...]


@dataclass(frozen=True, kw_only=True)
class _Authors:
    set5_psnr_y_declared: float | None = None
    set5_psnr_y_other_range: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the authors' own code gives, by year and file name, as in "2022_team01_efdn.pth"."""

    networks: Mapping[str, _Authors] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is not in the record yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the clone")
    parser.add_argument("--reference", type=Path, metavar="FILE", help="JSON with the figures of the authors' code")
    parser.add_argument("--networks", type=Path, default=NETWORKS, help="JSON with the class of each checkpoint")
    parser.add_argument("--year", type=int, help="which repository DIR is, where its checkpoints do not tell")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="these checkpoints alone")
    parser.add_argument("--again", action="store_true", help="measure what is in the record as well")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="bound for each checkpoint")
    parser.add_argument("--without-data", action="store_true", help="no real data: neither PSNR nor tiles")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    repository = repository_of(options.folder, options.networks, options.year)
    path = options.records / f"zoo-{repository.year}.json"
    study = Study(folder=options.folder, repository=repository, path=path,
                  reference=_read(options.reference, Reference) if options.reference else Reference(),
                  with_data=not options.without_data, seconds=options.seconds)
    study.run(options.only, again=options.again, processes=options.processes)
    print(f"{path} written.")


def repository_of(folder: Path, networks: Path, year: int | None = None) -> Repository:
    """The repository that a folder is a clone of: the one most of whose checkpoints it has."""
    known = _read(networks, _Repositories).repositories
    if year is not None:
        known = tuple(one for one in known if one.year == year)
    counts = {one.year: sum(_file(folder, network).is_file() for network in one.networks) for one in known}
    if not any(counts.values()):
        raise OptionError(f"{folder} has none of the known checkpoints in model_zoo/.",
                          remedy=f"Clone one of: {', '.join(one.name for one in known) or 'none of this year'}.")
    return max(known, key=lambda one: counts[one.year])


@dataclass(frozen=True, kw_only=True)
class Study:
    """The checkpoints of one clone, and the record that they are written to."""

    folder: Path
    repository: Repository
    path: Path
    reference: Reference
    with_data: bool = True
    seconds: float = SECONDS

    def run(self, only: Sequence[str] = (), *, again: bool = False, processes: int = 1) -> None:
        """Measure what the record lacks and keep it, checkpoint by checkpoint."""
        environment = current_environment(threads=1)
        there = [one for one in self.repository.networks if _file(self.folder, one).is_file()]
        rows = {row.name: row for row in self._kept()}
        missing = [one for one in there if (not only or one.checkpoint in only)
                   and (again or not self._is_current(rows.get(one.checkpoint), one, environment))]
        print(f"{len(there)} checkpoints, {len(missing)} to measure.", flush=True)
        with ThreadPoolExecutor(processes) as pool:
            for future in as_completed([pool.submit(self.measured, one, environment) for one in missing]):
                row = future.result()
                rows[row.name] = row
                self._keep(rows, environment)
                print(f"{len(rows)} of {len(there)}: {row.name}: {_in_short(row)}", flush=True)
        self._keep(rows, environment)

    def measured(self, one: Network, environment: Environment) -> Row:
        """One checkpoint, in a process of its own."""
        question = Question(checkpoint=str(_file(self.folder, one).resolve()), settings=one.settings,
                            network=str(self.folder.resolve() / one.network), with_data=self.with_data)
        ended = run_bounded("benchmarks.zoo_case", json.dumps(to_builtins(question)).encode(), seconds=self.seconds,
                            memory_bytes=MEMORY_BYTES)
        case = decode_json(ended.output, Case, _damaged) if ended.output else None
        authors = self.reference.networks.get(f"{self.repository.year}_{one.checkpoint}", _Authors())
        return Row(name=one.checkpoint, network=one.network, settings=one.settings,
                   sha256=sha256_of_file(_file(self.folder, one)), declared_range=one.value_range,
                   authors_db=authors.set5_psnr_y_declared, authors_other_db=authors.set5_psnr_y_other_range,
                   case=None if case is None else self._without_folder(case),
                   ended=": ".join(filter(None, (ended.reason, ended.last_line))) if case is None else "",
                   versions=environment.versions)

    def _without_folder(self, case: Case) -> Case:
        """The texts of errors with paths inside the clone, so that records of two machines are the same."""
        text = json.dumps(to_builtins(case)).replace(f"{self.folder.resolve()}/", "")
        return decode_json(text, Case, _damaged)

    def _is_current(self, row: Row | None, one: Network, environment: Environment) -> bool:
        return row is not None and (row.network, row.settings, row.versions) == (
            one.network, one.settings, environment.versions) and row.sha256 == sha256_of_file(_file(self.folder, one))

    def _kept(self) -> tuple[Row, ...]:
        return Record.load(self.path).results_as(Results).rows if self.path.is_file() else ()

    def _keep(self, rows: Mapping[str, Row], environment: Environment) -> None:
        order = [one.checkpoint for one in self.repository.networks]
        results = Results(repository=self.repository.name, revision=self.repository.revision,
                          rows=tuple(rows[name] for name in order if name in rows),
                          absent=tuple(one.checkpoint for one in self.repository.networks
                                       if not _file(self.folder, one).is_file()))
        Record(kind=KIND, title=f"{self.repository.name}, {len(results.rows)} checkpoints", environment=environment,
               results=to_builtins(results)).save(self.path)


def _file(folder: Path, network: Network) -> Path:
    return folder / "model_zoo" / network.checkpoint


def _in_short(row: Row) -> str:
    if row.case is None:
        return row.ended
    if row.case.refusal:
        return f"refused: {row.case.refusal}"
    engine = f"engine {row.case.convolutions}" if row.case.convolutions else f"no engine: {row.case.engine_refusal}"
    return (f"{row.case.psnr_db} dB ({row.authors_db}), {row.case.tiling}, halo {row.case.halo_px} px, worst "
            f"{row.case.worst_tile_levels}, {engine}, {row.case.seconds}")


def _damaged(fault: str) -> SrnDeployError:
    return OptionError(f"The answer of the process cannot be read ({fault}).", remedy="Report this.")


def _read(path: Path, kind: type[Document]) -> Document:
    return read_json(path, kind, lambda fault: OptionError(f"{path} cannot be used ({fault}).", remedy="Restore it."))


if __name__ == "__main__":
    main()
