# SPDX-License-Identifier: GPL-2.0-only
"""Processors in the partition's device tree: one node per core, its threads by server number."""

from __future__ import annotations

from lpar.errors import ConfigError
from lpar.fdt import EMPTY, Node, cells, string, u32
from lpar.papr import pa_features
from lpar.papr.cpu_models import Cache, CpuModel, SmmuInfo, smt_threads


def threads_per_core(cpus: int, model: CpuModel, asked: int | None = None) -> int:
    """Threads of each core; ``asked`` None is the default of the model.

    Raises ConfigError unless ``asked`` is a power of two that divides ``cpus`` and that the
    model has.
    """
    if asked is None:
        return smt_threads(cpus, model)
    if asked < 1 or asked & (asked - 1) or asked > model.max_threads or cpus % asked:
        raise ConfigError(
            f"{cpus} CPUs cannot be cores of {asked} threads",
            hint=f"threads per core: a power of two up to {model.max_threads} that divides the CPUs",
        )
    return asked


def segment_page_sizes(smmu: SmmuInfo) -> bytes:
    """``ibm,segment-page-sizes``: for each base page size its shift, SLB encoding and number of
    page sizes, then shift and PTE encoding of each (PAPR, properties of the CPU
    node)."""
    out: list[int] = []
    for base in smmu.page_sizes:
        out += (base.page_shift, base.slb_enc, len(base.encodings))
        for encoding in base.encodings:
            out += (encoding.page_shift, encoding.pte_enc)
    return cells(*out)


def radix_ap_encodings(model: CpuModel) -> bytes:
    """``ibm,processor-radix-AP-encodings``: AP in the top three bits, page shift in the others."""
    return cells(*(ap << 29 | shift for shift, ap in model.radix_ap))


def add_cpus(root: Node, model: CpuModel, cpus: int, threads: int, hpt_order: int) -> None:
    """Add ``/cpus`` with ``cpus`` threads in cores of ``threads``; servers count from 0."""
    parent = root.add("cpus", {"#address-cells": u32(1), "#size-cells": u32(0)})
    common = _common(model, hpt_order)
    for first in range(0, cpus, threads):
        _core(parent, model, range(first, first + threads), common)


def _core(parent: Node, model: CpuModel, servers: range, common: dict[str, bytes]) -> None:
    name = f"PowerPC,{model.name}"
    props = {"name": string(name), "device_type": string("cpu"), "reg": u32(servers[0]), **common}
    props["ibm,ppc-interrupt-server#s"] = cells(*servers)
    # The global queue of each server is CPU 0's, as in the reference.
    props["ibm,ppc-interrupt-gserver#s"] = b"".join(cells(server, 0) for server in servers)
    parent.add(f"{name}@{servers[0]:x}", props)


def _common(model: CpuModel, hpt_order: int) -> dict[str, bytes]:
    """What every core says."""
    return {
        "status": string("okay"),
        "64-bit": EMPTY,
        **_identity(model),
        **_caches(model),
        **_hash_mmu(model.smmu, hpt_order),
        **_facilities(model),
        **_radix_mmu(model),
    }


def _identity(model: CpuModel) -> dict[str, bytes]:
    return {
        "cpu-version": u32(model.pvr),
        "timebase-frequency": u32(model.timebase_hz),
        "clock-frequency": u32(model.clock_hz),
        "ibm,chip-id": u32(0),
        "ibm,pa-features": pa_features.encode(model.isa, model.without),
    }


def _caches(model: CpuModel) -> dict[str, bytes]:
    """Both spellings of the block size: the binding's and, without the first dash, the reference's."""
    old = {"dcache-block-size": u32(model.dcache.line), "icache-block-size": u32(model.icache.line)}
    return {**_cache("d", model.dcache), **_cache("i", model.icache), **old}


def _cache(letter: str, cache: Cache) -> dict[str, bytes]:
    return {
        f"{letter}-cache-size": u32(cache.size),
        f"{letter}-cache-sets": u32(cache.sets),
        f"{letter}-cache-block-size": u32(cache.line),
        f"{letter}-cache-line-size": u32(cache.line),
    }


def _hash_mmu(smmu: SmmuInfo, hpt_order: int) -> dict[str, bytes]:
    props = {"ibm,pft-size": cells(0, hpt_order)}
    if smmu.slb_size:
        props["slb-size"] = props["ibm,slb-size"] = u32(smmu.slb_size)
    if smmu.page_sizes:
        props["ibm,segment-page-sizes"] = segment_page_sizes(smmu)
    if smmu.segments_1t:
        props["ibm,processor-segment-sizes"] = cells(28, 40, 0xFFFFFFFF, 0xFFFFFFFF)
    return props


def _facilities(model: CpuModel) -> dict[str, bytes]:
    props = {"ibm,purr": u32(1), "ibm,spurr": u32(1)}
    if model.vmx:
        props["ibm,vmx"] = u32(2 if model.vsx else 1)
    if model.dfp:
        props["ibm,dfp"] = u32(1)
    if model.dec_bits > 32:
        props["ibm,dec-bits"] = u32(model.dec_bits)
    return props


def _radix_mmu(model: CpuModel) -> dict[str, bytes]:
    if not model.has_radix:
        return {}
    return {
        "ibm,processor-radix-AP-encodings": radix_ap_encodings(model),
        "ibm,mmu-pid-bits": u32(model.pid_bits),
    }
