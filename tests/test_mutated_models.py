"""200 damaged checkpoints, graphs and manifests: refused with one of our errors, or loaded; no code is run."""

from __future__ import annotations

import io
import json
import pickle
import random
import resource
import zipfile
from pathlib import Path

import pytest
import safetensors.torch

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.engine.identity import Identity
from srn_deploy.engine.library import Runtime
from srn_deploy.engine.options import BuildOptions, default_shapes
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import DamagedCheckpoint, UnsafeCheckpoint
from srn_deploy.graph.export import ExportOptions, export_graph
from srn_deploy.graph.onnx_file import spec_of
from srn_deploy.spec import SPEC_KEY, Precision
from tests.mutant_reader import Reading, read_all
from tests.mutations import json_changed, mutants
from tests.networks import seeded_network
from tests.test_checkpoint_damage import TINY, CreatesAFile, tiny_state, written

COUNT = 200
OURS = {"DamagedCheckpoint", "UnsafeCheckpoint", "UnknownNetwork", "MismatchedTensors", "GraphError",
        "GraphWithoutSpec", "OptionError", "UnsupportedCheckpoint", "DamagedEngine", "CheckpointError"}


def repacked(data: bytes, seed: int) -> bytes:
    """A zip of torch.save whose pickle is damaged inside, with right checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for record in old.infolist():
            content = old.read(record)
            if record.filename.endswith("data.pkl"):
                content = mutants([content], 11, seed=seed)[seed % 11][1]
            new.writestr(record.filename, content)
    return buffer.getvalue()


def with_other_header(data: bytes, chance: random.Random) -> bytes:
    """A safetensors file whose header says something else."""
    length = int.from_bytes(data[:8], "little")
    header = json_changed(data[8:8 + length].decode(), chance).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + length:]


def of_engine(folder: Path) -> str:
    """A whole manifest; the plan next to it is not a valid plan, which nothing finds out that only reads."""
    spec = ARCHITECTURES["srn"].describe(TINY)
    options = BuildOptions(precision=Precision.FP16, shapes=(default_shapes(spec),))
    identity = Identity(graph_sha256="0" * 64, options=options, runtime=Runtime.TENSORRT_RTX, version="1",
                        srn_deploy="1", target="here")
    stored = EngineStore(folder).save("tiny", identity, b"plan", spec=spec, build_seconds=1.0, convolutions={"HALF": 3})
    return stored.path.with_suffix(".json").read_text()


def write_cases(folder: Path, spare: Path) -> bytes:
    """COUNT damaged files, among them one canary; returns a whole checkpoint."""
    state = tiny_state()
    zipped, legacy = written(state), written(state, as_zip=False)
    tensors = safetensors.torch.save(state, {SPEC_KEY: ARCHITECTURES["srn"].describe(TINY).to_json()})
    loaded = seeded_network(**TINY)
    graph = export_graph(loaded, ExportOptions())
    assert spec_of(graph, "").scale == 2
    manifest, canary = of_engine(spare), written({"params": state, "extra": CreatesAFile(spare / "executed")})
    raw = [zipped, legacy, tensors, canary]
    made: list[tuple[str, bytes]] = [(f"{told}.pt", data) for told, data in mutants(raw, 66)]
    made += [(f"repacked {seed}.pth", repacked(zipped if seed % 3 else canary, seed)) for seed in range(33)]
    made += [(f"header {seed}.safetensors", with_other_header(tensors, random.Random(seed))) for seed in range(33)]
    made += [(f"{told}.onnx", data) for told, data in mutants([graph.SerializeToString()], 34)]
    made += [(f"manifest {seed}.json", json_changed(manifest, random.Random(seed)).encode()) for seed in range(34)]
    assert len(made) == COUNT
    for name, data in made:
        (folder / name).write_bytes(data)
        if name.endswith(".json"):
            (folder / name).with_suffix(".engine").write_bytes(b"plan")
    return zipped


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the canary would appear."""
    return tmp_path_factory.mktemp("spare")


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory, spare: Path) -> Reading:
    """Each opened by one process that is bounded in time and memory."""
    folder = tmp_path_factory.mktemp("models")
    return read_all("model", folder, write_cases(folder, spare), ".pt")


def test_every_mutated_model_ends_within_bounds_in_an_error_of_ours_or_loads(reading: Reading) -> None:
    assert reading.returncode == 0, f"died on {reading.last}: {reading.stderr[-2000:]}"
    assert [end for end in reading.ends.values() if "stranger" in end] == []
    assert len(reading.ends) == COUNT
    assert {end["error"] for end in reading.ends.values() if "error" in end} <= OURS
    assert {end["result"] for end in reading.ends.values() if "result" in end} == {"srn"}


def test_no_mutated_model_runs_its_code(reading: Reading, spare: Path) -> None:
    assert len(reading.ends) == COUNT
    assert not (spare / "executed").exists()


class Grows:
    """A pickle that asks for memory out of all proportion."""

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return bytearray, (2**33,)


def bomb(kind: str) -> bytes:
    """A small file that claims gigabytes."""
    if kind in ("legacy", "zip"):
        return pickle.dumps(Grows(), 2) if kind == "legacy" else zip_of(pickle.dumps(Grows(), 2))
    if kind == "packed":
        return zip_of(pickle.dumps(bytes(2**26), 2), zipfile.ZIP_DEFLATED)
    whole = zip_of(bytes(50))
    directory = whole.index(b"PK\x01\x02")  # where the size before packing stands: 24 bytes on
    return whole[:directory + 24] + (2**31).to_bytes(4, "little") + whole[directory + 28:]


def zip_of(pickled: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "error"), [("legacy", UnsafeCheckpoint), ("zip", UnsafeCheckpoint),
                                             ("packed", DamagedCheckpoint), ("claiming", DamagedCheckpoint)])
def test_a_small_file_that_claims_gigabytes_is_refused_before_they_are_taken(
        tmp_path: Path, kind: str, error: type[Exception]) -> None:
    (tmp_path / "bomb.pt").write_bytes(bomb(kind))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(error):
        load_checkpoint(tmp_path / "bomb.pt")
    # Reading takes a few pages; the least of these files claims 64 MiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 2**15


def test_a_manifest_that_is_whole_is_described(tmp_path: Path) -> None:
    text = of_engine(tmp_path)
    assert json.loads(text)["spec"]["architecture"] == "srn"
    (engine,) = EngineStore(tmp_path).engines()
    assert engine.spec.scale == 2
