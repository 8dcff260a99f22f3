"""The most that a machine can do: the fastest matrix product in each precision, by whatever library is installed."""

from __future__ import annotations

import importlib.util

import pytest

from srn_deploy.backends import openvino_product
from srn_deploy.benchmark import machine
from srn_deploy.benchmark.environment import Ceilings
from srn_deploy.errors import BackendError, OptionError
from srn_deploy.system.cpu_features import cpu_features
from tests.optional import needs_openvino


def test_a_narrow_precision_has_a_ceiling_of_its_own_and_only_where_it_is_asked_for(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_COPIED_BYTES", 2**20)
    monkeypatch.setattr(machine, "_float_products", lambda: iter([lambda: None]))
    monkeypatch.setattr(machine, "_narrow_products",
                        lambda precision: iter([lambda: None] if precision == "bf16" else []))
    assert machine.ceilings("cpu").narrow_gflops == {}
    found = machine.ceilings("cpu", {"fp32", "bf16", "int8"})
    assert list(found.narrow_gflops) == ["bf16"]
    assert (found.of("fp32"), found.of("fp16"), found.of("int8")) == (found.gflops, found.gflops, 0)
    assert found.of("bf16") == found.narrow_gflops["bf16"] > 0


def test_the_larger_ceiling_counts_in_each_precision() -> None:
    before, after = Ceilings(narrow_gflops={"bf16": 2.0}), Ceilings(narrow_gflops={"bf16": 1.0, "int8": 4.0})
    assert before.larger(after).narrow_gflops == {"bf16": 2.0, "int8": 4.0}


def test_a_library_that_has_no_product_is_left_out_of_a_ceiling_and_named(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refused(precision: str, side: int) -> None:
        raise BackendError("It cannot.", remedy="None.")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "openvino" else None)
    monkeypatch.setattr(machine, "openvino_product", refused)
    assert list(machine._narrow_products("int8")) == []
    assert caplog.messages == ["The ceiling in INT8 is measured without OpenVINO: It cannot."]


@needs_openvino
@pytest.mark.parametrize(("precision", "primitive"), [("fp32", "f32"), ("bf16", "bf16"), ("int8", "i8")])
def test_a_product_is_computed_in_its_precision(precision: str, primitive: str) -> None:
    from srn_deploy.backends import open_vino_products

    if not (cpu_features() or {}).get({"bf16": "BF16", "int8": "VNNI"}.get(precision, ""), precision == "fp32"):
        pytest.skip(f"the CPU has no {precision}")
    openvino_product(precision, 64)()
    compiled = open_vino_products._compiled(precision, 64)
    kinds = {node.get_rt_info()["layerType"].astype(str): node.get_rt_info()["primitiveType"].astype(str)
             for node in compiled.get_runtime_model().get_ordered_ops()}
    assert kinds["FullyConnected"].lower().endswith(primitive)


@needs_openvino
def test_a_product_in_another_precision_is_refused() -> None:
    with pytest.raises(OptionError, match="no product in fp64"):
        openvino_product("fp64", 8)
