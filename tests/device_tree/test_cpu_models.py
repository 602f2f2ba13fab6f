# SPDX-License-Identifier: GPL-2.0-only
"""CPU models: facts that guests check, and the encodings of the tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lpar.config.machine import CPU_MODELS
from lpar.errors import ConfigError
from lpar.papr import pa_features
from lpar.papr.cpu_models import DEFAULT, MODELS, POWER8, POWER9, POWER10, CpuModel, smt_threads
from lpar.papr.device_tree_cpus import (
    radix_ap_encodings,
    segment_page_sizes,
    threads_per_core,
)


def bit(features: bytes, byte: int, number: int) -> bool:
    """As Linux's scan_features reads it."""
    return bool(features[2 + byte] >> (7 - number) & 1)


def test_the_models_are_those_of_the_command_line() -> None:
    assert set(MODELS) | {"auto"} == set(CPU_MODELS)
    assert DEFAULT is POWER9


@pytest.mark.parametrize(
    ("model", "mask", "value"),
    [
        (POWER8, 0xFFFF0000, 0x004D0000),
        (POWER9, 0xFFFFEFFF, 0x004E0202),
        (POWER10, 0xFFFF0000, 0x00800000),
    ],
)
def test_linux_knows_the_pvr(model: CpuModel, mask: int, value: int) -> None:
    """Masks and values of Linux's table of processors."""
    assert model.pvr & mask == value


@pytest.mark.parametrize("model", MODELS.values())
def test_pa_features_have_their_length_and_no_transactional_memory(model: CpuModel) -> None:
    value = pa_features.encode(model.isa)
    assert value[0] == len(value) - 2
    assert value[1] == 0
    assert not bit(value, 22, 0)
    for byte, number in ((0, 0), (0, 1), (0, 6), (5, 0), (16, 0), (18, 0)):
        assert bit(value, byte, number)


def test_radix_is_a_feature_of_isa_3() -> None:
    assert bit(pa_features.encode(POWER9.isa), 40, 0)
    assert bit(pa_features.encode(POWER10.isa), 40, 0)
    assert len(pa_features.encode(POWER8.isa)) < 2 + 40
    assert not bit(pa_features.encode("3.0", without=["radix"]), 40, 0)


def test_a_feature_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError):
        pa_features.encode("2.07", without=["radix"])
    with pytest.raises(KeyError):
        pa_features.encode("2.06")


def test_segment_page_sizes_are_counted_lists() -> None:
    only_4k_and_64k = POWER9.smmu.limited(16)
    got = [int.from_bytes(segment_page_sizes(only_4k_and_64k)[i : i + 4], "big") for i in range(0, 40, 4)]
    assert got == [12, 0, 2, 12, 0, 16, 7, 16, 0x110, 1]
    assert segment_page_sizes(only_4k_and_64k)[40:] == bytes((0, 0, 0, 16, 0, 0, 0, 1))
    assert segment_page_sizes(POWER9.smmu.limited(11)) == b""


def test_radix_ap_encodings_are_those_of_the_architecture() -> None:
    assert radix_ap_encodings(POWER9).hex(" ", 4) == "0000000c a0000010 20000015 4000001e"
    assert radix_ap_encodings(POWER8) == b""


def test_caches_divide_into_sets() -> None:
    for model in MODELS.values():
        for cache in (model.dcache, model.icache):
            assert cache.sets * cache.ways * cache.line == cache.size
            assert cache.sets & (cache.sets - 1) == 0


@pytest.mark.parametrize(
    ("cpus", "threads"),
    [(1, 1), (2, 2), (3, 1), (4, 4), (6, 2), (8, 8), (9, 1), (12, 4), (64, 8), (2048, 8)],
)
def test_threads_per_core_by_default(cpus: int, threads: int) -> None:
    assert smt_threads(cpus, POWER9) == threads
    assert threads_per_core(cpus, POWER9) == threads


def test_threads_are_limited_by_the_model() -> None:
    assert smt_threads(8, replace(POWER9, max_threads=4)) == 4


@pytest.mark.parametrize(("cpus", "asked"), [(4, 0), (4, 3), (9, 2), (16, 16), (4, -1), (2, 4)])
def test_threads_that_cannot_be(cpus: int, asked: int) -> None:
    with pytest.raises(ConfigError, match="cannot be cores of") as error:
        threads_per_core(cpus, POWER9, asked)
    assert error.value.hint
