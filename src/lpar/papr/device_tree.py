# SPDX-License-Identifier: GPL-2.0-only
"""The partition's device tree, as a guest entered without firmware needs it.

Nobody calls Open Firmware or ``ibm,client-architecture-support`` in such a guest, so the tree
holds the result of both: where RTAS lies, and in ``ibm,architecture-vec-5`` what was agreed on.
It names only what is implemented: RTAS calls and hypercall sets come from the registries.

The PCI room and others add their nodes through ``Description.extend``.
"""

from __future__ import annotations

import enum
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lpar.errors import ConfigError
from lpar.fdt import EMPTY, Node, Tree, cells, flatten, string, stringlist, u32, u64
from lpar.papr.cpu_models import DEFAULT, CpuModel
from lpar.papr.device_tree_cpus import add_cpus, threads_per_core
from lpar.papr.device_tree_memory import add_memory, lmb_size
from lpar.papr.hpt import hpt_order

PHANDLE_XICP = 0x1111  #: the interrupt presentation controller's, as in the reference
NVRAM_UNIT_ADDRESS = 0x71000000
RTAS_ERROR_LOG_MAX = 2048  #: bytes of an event that ``event-scan`` or ``check-exception`` returns
RNG_SEED_BYTES = 32


class Mmu(enum.Enum):
    """Which translation the guest may choose."""

    ANY = "any"  #: the guest's choice; hash if the model has no radix
    HASH = "hash"
    RADIX = "radix"


@dataclass(frozen=True, slots=True)
class Vty:
    """A virtual terminal: its unit address, and its interrupt source if it has one."""

    unit_address: int = 0x30000000
    irq: int | None = None
    level: bool = False  #: the source stays asserted until the input is taken

    @property
    def path(self) -> str:
        """The node's path."""
        return f"/vdevice/vty@{self.unit_address:x}"


@dataclass(frozen=True, slots=True)
class EventSource:
    """A child of ``/event-sources`` such as ``epow-events`` with its interrupt source (edge)."""

    name: str
    irq: int


@dataclass(frozen=True, slots=True)
class Description:
    """What the tree describes.  Sizes and addresses in bytes."""

    ram_size: int
    cpus: int = 1
    model: CpuModel = DEFAULT
    threads: int | None = None  #: per core; None: as many as divide ``cpus``, up to the model's
    mmu: Mmu = Mmu.ANY
    hpt_order: int | None = None  #: log2 of the hash page table's size; None: by RAM
    bootargs: str = ""
    initrd: tuple[int, int] | None = None  #: (start, end)
    rtas: tuple[int, int] | None = None  #: (address, size) of the RTAS code; below 4 GiB
    rtas_tokens: Mapping[str, int] = field(default_factory=dict)
    hypertas: Sequence[str] = ()  #: ``hcall-...`` sets that are implemented
    vtys: tuple[Vty, ...] = (Vty(),)
    nvram_size: int = 0
    random: bool = False  #: H_RANDOM is implemented
    event_sources: tuple[EventSource, ...] = ()
    name: str | None = None
    uuid: str | None = None  #: None: a new one
    rng_seed: bytes | None = None  #: None: fresh from the host
    extend: tuple[Callable[[Tree], None], ...] = ()  #: called with the finished tree, in order


def build(description: Description) -> bytes:
    """The flattened tree.  Raises ConfigError for what cannot be described."""
    return flatten(tree(description))


def tree(d: Description) -> Tree:
    """The tree before flattening.  Raises ConfigError for what cannot be described."""
    _check(d)
    root = Node("", _root_props(d))
    threads = threads_per_core(d.cpus, d.model, d.threads)
    order = hpt_order(d.ram_size) if d.hpt_order is None else d.hpt_order
    _add_rtas(root, d, d.cpus // threads)
    root.add("chosen", _chosen_props(d))
    add_memory(root, d.ram_size)
    add_cpus(root, d.model, d.cpus, threads, order)
    _add_interrupt_controller(root, d.cpus)
    _add_vdevice(root, d)
    _add_platform_facilities(root, d)
    _add_event_sources(root, d)
    root.add("hypervisor", {"compatible": string("linux,kvm")})
    result = Tree(root, reservations=[d.rtas] if d.rtas else [], boot_cpuid_phys=0)
    for extend in d.extend:
        extend(result)
    return result


def _check(d: Description) -> None:
    if d.cpus < 1:
        raise ConfigError(f"a partition needs at least one CPU, not {d.cpus}", hint="use -c 1 or more")
    if d.ram_size < 1:
        raise ConfigError("a partition needs RAM", hint="use -m 1G")
    if d.mmu is Mmu.RADIX and not d.model.has_radix:
        raise ConfigError(f"{d.model.name} has no radix MMU", hint="use --cpu POWER9, or the hash MMU")


def _root_props(d: Description) -> dict[str, bytes]:
    identity = d.uuid or str(uuid.uuid4())
    props = {
        "device_type": string("chrp"),
        "model": string("IBM pSeries (lpar)"),
        "compatible": stringlist(("lpar,pseries", "qemu,pseries")),
        "#address-cells": u32(2),
        "#size-cells": u32(2),
        "vm,uuid": string(identity),
        "system-id": string(identity),
        "ibm,partition-no": u32(1),
    }
    if d.name:
        props["ibm,partition-name"] = string(d.name)
    return props


def _add_rtas(root: Node, d: Description, cores: int) -> None:
    """``/rtas``: its presence with ``ibm,hypertas-functions`` says that this is a partition."""
    node = root.add("rtas", {"ibm,hypertas-functions": stringlist(d.hypertas)})
    if d.rtas:
        base, size = d.rtas
        node.props["linux,rtas-base"] = node.props["linux,rtas-entry"] = u32(base)
        node.props["rtas-size"] = u32(size)
    node.props["ibm,lrdr-capacity"] = u64(d.ram_size) + u64(lmb_size(d.ram_size)) + u32(cores)
    if not {"event-scan", "check-exception"}.isdisjoint(d.rtas_tokens):
        node.props["rtas-error-log-max"] = u32(RTAS_ERROR_LOG_MAX)
    if "event-scan" in d.rtas_tokens:
        node.props["rtas-event-scan-rate"] = u32(1)  # calls per minute
    if "ibm,os-term" in d.rtas_tokens:
        node.props["ibm,extended-os-term"] = EMPTY
    for service, token in sorted(d.rtas_tokens.items(), key=lambda item: item[1]):
        node.props[service] = u32(token)


def _chosen_props(d: Description) -> dict[str, bytes]:
    props = {"bootargs": string(d.bootargs)}
    if d.initrd:
        number = u32 if d.initrd[1] < 1 << 32 else u64
        props["linux,initrd-start"], props["linux,initrd-end"] = map(number, d.initrd)
    if d.vtys:
        props["linux,stdout-path"] = props["stdout-path"] = string(d.vtys[0].path)
    props["ibm,architecture-vec-5"] = architecture_vec5(d)
    props["rng-seed"] = os.urandom(RNG_SEED_BYTES) if d.rng_seed is None else d.rng_seed
    return props


#: ``ibm,architecture-vec-5``: (byte, bits), as Linux names them (asm/prom.h, OV5_*).
_OV5_LPAR = (2, 0x80)
_OV5_SPLPAR = (2, 0x40)
_OV5_DRCONF_MEMORY = (2, 0x20)
_OV5_LARGE_PAGES = (2, 0x10)
_OV5_DRMEM_V2 = (22, 0x80)
_OV5_MMU_RADIX = (24, 0x40)
_OV5_MMU_EITHER = (24, 0x80)
_OV5_RADIX_GTSE = (26, 0x40)
_OV5_LENGTH = 26  #: bytes after the first


def architecture_vec5(d: Description) -> bytes:
    """The agreed option vector 5 (PAPR, ``ibm,architecture-vec-5``): byte 0 is the number of bytes less one.

    Byte 24 has the MMU.  "Radix" there overrides even ``disable_radix`` on the command line, and
    less than 25 bytes mean hash (Linux, early_check_vec5); "either" leaves it to the kernel, which
    finds radix and its guest-issued tlbie in bit 40.0 of ``ibm,pa-features``.
    """
    options = [_OV5_LPAR, _OV5_DRCONF_MEMORY, _OV5_LARGE_PAGES, _OV5_DRMEM_V2]
    if "hcall-splpar" in d.hypertas:
        options.append(_OV5_SPLPAR)
    if d.model.has_radix and d.mmu is not Mmu.HASH:
        options += (_OV5_MMU_EITHER if d.mmu is Mmu.ANY else _OV5_MMU_RADIX, _OV5_RADIX_GTSE)
    vector = bytearray(1 + _OV5_LENGTH)
    vector[0] = _OV5_LENGTH - 1
    for byte, bits in options:
        vector[byte] |= bits
    return bytes(vector)


def _add_interrupt_controller(root: Node, cpus: int) -> None:
    root.add(
        "interrupt-controller@0",
        {
            "device_type": string("PowerPC-External-Interrupt-Presentation"),
            "compatible": string("IBM,ppc-xicp"),
            "reg": u64(0) + u64(0),
            "interrupt-controller": EMPTY,
            "ibm,interrupt-server-ranges": cells(0, cpus),
            "#address-cells": u32(0),
            "#interrupt-cells": u32(2),
            "linux,phandle": u32(PHANDLE_XICP),
            "phandle": u32(PHANDLE_XICP),
        },
    )


def _add_vdevice(root: Node, d: Description) -> None:
    """``/vdevice``: it is the interrupt parent of its children, whose numbers are XICS sources."""
    parent = root.add(
        "vdevice",
        {
            "device_type": string("vdevice"),
            "compatible": string("IBM,vdevice"),
            "#address-cells": u32(1),
            "#size-cells": u32(0),
            "#interrupt-cells": u32(2),
            "interrupt-controller": EMPTY,
        },
    )
    for vty in d.vtys:
        _add_vty(parent, vty)
    if d.nvram_size:
        _add_nvram(parent, d.nvram_size)


def _add_vty(parent: Node, vty: Vty) -> None:
    node = parent.add(f"vty@{vty.unit_address:x}")
    node.props.update(
        {
            "name": string("vty"),
            "device_type": string("serial"),
            "compatible": string("hvterm1"),
            "reg": u32(vty.unit_address),
        }
    )
    if vty.irq is not None:
        node.props["interrupts"] = cells(vty.irq, int(vty.level))


def _add_nvram(parent: Node, size: int) -> None:
    parent.add(
        f"nvram@{NVRAM_UNIT_ADDRESS:x}",
        {
            "device_type": string("nvram"),
            "compatible": stringlist(("lpar,nvram", "qemu,spapr-nvram")),
            "reg": u32(NVRAM_UNIT_ADDRESS),
            "#bytes": u32(size),
        },
    )


def _add_platform_facilities(root: Node, d: Description) -> None:
    if not d.random:
        return
    parent = root.add(
        "ibm,platform-facilities",
        {
            "device_type": string("ibm,platform-facilities"),
            "#address-cells": u32(1),
            "#size-cells": u32(0),
        },
    )
    parent.add("ibm,random-v1", {"compatible": string("ibm,random")})


def _add_event_sources(root: Node, d: Description) -> None:
    if not d.event_sources:
        return
    ranges = b"".join(cells(source.irq, 1) for source in d.event_sources)
    parent = root.add(
        "event-sources",
        {
            "interrupt-controller": EMPTY,
            "#address-cells": u32(0),
            "#interrupt-cells": u32(2),
            "interrupt-ranges": ranges,
        },
    )
    for source in d.event_sources:
        parent.add(source.name, {"interrupts": cells(source.irq, 0)})
