# SPDX-License-Identifier: GPL-2.0-only
"""The partition's tree: structure for every size, and what Linux reads of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpar.errors import ConfigError
from lpar.fdt import Node, Tree, parse
from lpar.papr.cpu_models import MODELS, POWER8, POWER9, POWER10, CpuModel
from lpar.papr.device_tree import Description, Mmu, Vty, architecture_vec5, build, tree
from lpar.papr.device_tree_memory import LMB_RESERVED, first_block_size
from lpar.papr.hpt import hpt_order

MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40


def cpu_nodes(root: Node) -> list[Node]:
    return [n for n in root.find("/cpus").children if n.props["device_type"] == b"cpu\0"]


def memory_ranges(root: Node) -> list[tuple[int, int]]:
    """(base, size) of all memory as Linux adds it: nodes by type, and LMBs that are not reserved."""
    nodes = [n.props["reg"] for n in root.children if n.props.get("device_type") == b"memory\0"]
    found = [(int.from_bytes(r[:8], "big"), int.from_bytes(r[8:], "big")) for r in nodes]
    found += [(base, size) for base, size, flags in lmb_sets(root) if not flags & LMB_RESERVED]
    return sorted(found)


def lmb_sets(root: Node) -> list[tuple[int, int, int]]:
    """(base, size, flags) of each run of LMBs, as Linux's walk of the second format finds them."""
    node = root.find("/ibm,dynamic-reconfiguration-memory")
    numbers = node.numbers("ibm,dynamic-memory-v2")
    assert len(numbers) == 1 + 6 * numbers[0]
    found = []
    for at in range(1, len(numbers), 6):
        count, high, low, _drc, _aa, flags = numbers[at : at + 6]
        assert count
        found.append((high << 32 | low, count * node.number("ibm,lmb-size"), flags))
    return found


def check_memory(root: Node, ram: int) -> None:
    end = 0
    for base, size in memory_ranges(root):
        assert base == end
        end = base + size
    assert end == ram
    blocks = lmb_sets(root)
    assert blocks
    assert all(base + size <= ram for base, size, _ in blocks)
    assert memory_ranges(root)[0][1] == first_block_size(ram)


def check_cpus(root: Node, cpus: int) -> None:
    """What smp_setup_cpu_maps and the node's binding want."""
    servers: list[int] = []
    widths = set()
    for node in cpu_nodes(root):
        mine = node.numbers("ibm,ppc-interrupt-server#s")
        assert node.number("reg") == mine[0] == int(node.name.partition("@")[2], 16)
        assert node.numbers("ibm,ppc-interrupt-gserver#s")[::2] == mine
        servers += mine
        widths.add(len(mine))
    assert servers == list(range(cpus))
    (threads,) = widths
    assert threads in (1, 2, 4, 8)
    assert root.find("/rtas").numbers("ibm,lrdr-capacity")[4] * threads == cpus
    assert root.find("/interrupt-controller").numbers("ibm,interrupt-server-ranges") == (0, cpus)


def small(**changes: object) -> Tree:
    return parse(build(replace(Description(ram_size=GIB, rng_seed=b""), **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize("ram", [512 * MIB, GIB, 1536 * MIB, 4 * GIB, 16 * GIB, 63 * TIB - GIB])
@pytest.mark.parametrize("cpus", [1, 2, 4, 8, 9, 64])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_every_size(model: CpuModel, cpus: int, ram: int) -> None:
    got = small(model=model, cpus=cpus, ram_size=ram)
    check_cpus(got.root, cpus)
    check_memory(got.root, ram)
    assert got.boot_cpuid_phys == 0
    assert all(n.number("cpu-version") == model.pvr for n in cpu_nodes(got.root))


@settings(deadline=None, max_examples=40)
@given(st.integers(16, 63 * TIB // MIB - 1), st.integers(1, 2048))
def test_any_size(ram_mib: int, cpus: int) -> None:
    got = small(ram_size=ram_mib * MIB, cpus=cpus, bootargs="x")
    check_cpus(got.root, cpus)
    check_memory(got.root, ram_mib * MIB)


def test_the_largest_lmb_is_what_radix_maps_with() -> None:
    for ram, lmb in ((512 * MIB, 512 * MIB), (768 * MIB, 512 * MIB), (GIB, GIB), (16 * GIB, GIB)):
        node = small(ram_size=ram).root.find("/ibm,dynamic-reconfiguration-memory")
        assert node.number("ibm,lmb-size") == lmb


def test_full_description(full: Description) -> None:
    got = parse(build(full))
    root = got.root
    assert root.text("device_type") == "chrp"
    assert root.text("model") == "IBM pSeries (lpar)"
    assert root.texts("compatible") == ["lpar,pseries", "qemu,pseries"]
    assert root.text("vm,uuid") == root.text("system-id") == full.uuid
    assert root.text("ibm,partition-name") == "guest"
    assert got.reservations == [full.rtas]
    chosen = root.find("/chosen")
    assert chosen.text("bootargs") == "console=hvc0"
    assert (chosen.number("linux,initrd-start"), chosen.number("linux,initrd-end")) == full.initrd
    assert chosen.text("stdout-path") == chosen.text("linux,stdout-path") == "/vdevice/vty@30000000"
    assert chosen.props["rng-seed"] == full.rng_seed
    vty = root.find(chosen.text("stdout-path"))
    assert vty.numbers("interrupts") == (0x1000, 0)
    assert vty.number("reg") == 0x30000000
    assert root.find("/vdevice/nvram").number("#bytes") == 65536
    assert root.find("/event-sources/epow-events").numbers("interrupts") == (0x1001, 0)
    assert root.find("/ibm,platform-facilities/ibm,random-v1").text("compatible") == "ibm,random"


def test_rtas_node_has_the_registered_calls_and_nothing_else(full: Description) -> None:
    rtas = parse(build(full)).root.find("/rtas")
    assert full.rtas is not None
    assert rtas.number("linux,rtas-base") == rtas.number("linux,rtas-entry") == full.rtas[0]
    assert rtas.number("rtas-size") == full.rtas[1]
    assert rtas.texts("ibm,hypertas-functions") == list(full.hypertas)
    tokens = {n: rtas.number(n) for n, v in rtas.props.items() if v[:2] == b"\0\0" and v[2:3] == b"\x20"}
    assert tokens == full.rtas_tokens


def test_nothing_is_advertised_that_is_not_there() -> None:
    root = small(vtys=()).root
    for path in ("/event-sources", "/ibm,platform-facilities", "/vdevice/nvram", "/vdevice/vty"):
        with pytest.raises(KeyError):
            root.find(path)
    for name in ("rtas-event-scan-rate", "rtas-error-log-max", "ibm,extended-os-term", "rtas-size"):
        assert name not in root.find("/rtas").props
    assert "stdout-path" not in root.find("/chosen").props
    assert "ibm,partition-name" not in root.props


def linux_uses_radix(description: Description, *, disable_radix: bool = False) -> bool:
    """Linux's decision: early_init_dt_scan_cpus, mmu_early_init_devtree, early_check_vec5."""
    cpu = cpu_nodes(tree(description).root)[0]
    features = cpu.props["ibm,pa-features"]
    radix = features[0] > 40 and bool(features[2 + 40] & 0x80) and not disable_radix
    vec5 = architecture_vec5(description)
    if len(vec5) <= 24:
        return False
    return {0x40: True, 0x00: False}.get(vec5[24] & 0xC0, radix)


@pytest.mark.parametrize("model", [POWER9, POWER10])
def test_the_guest_chooses_its_mmu(model: CpuModel) -> None:
    any_mmu = Description(GIB, model=model)
    assert linux_uses_radix(any_mmu)
    assert not linux_uses_radix(any_mmu, disable_radix=True)
    assert not linux_uses_radix(replace(any_mmu, mmu=Mmu.HASH))
    assert linux_uses_radix(replace(any_mmu, mmu=Mmu.RADIX), disable_radix=True)


def test_power8_has_hash_only() -> None:
    description = Description(GIB, model=POWER8)
    assert not linux_uses_radix(description)
    with pytest.raises(ConfigError, match="POWER8 has no radix"):
        tree(replace(description, mmu=Mmu.RADIX))
    cpu = cpu_nodes(tree(description).root)[0]
    assert {"ibm,mmu-pid-bits", "ibm,dec-bits", "ibm,processor-radix-AP-encodings"}.isdisjoint(cpu.props)


def test_option_vector_5_counts_its_bytes() -> None:
    vector = architecture_vec5(Description(GIB, hypertas=("hcall-splpar",)))
    assert vector[0] == len(vector) - 2
    assert vector[2] == 0xF0
    assert architecture_vec5(Description(GIB))[2] == 0xB0
    assert vector[22] == 0x80
    assert vector[23] == 0  # XICS: no interrupt controller of POWER9's own
    assert vector[26] & 0x40


@pytest.mark.parametrize("order", [None, 18, 27])
def test_the_page_table_has_the_size_that_the_tree_says(order: int | None) -> None:
    """A guest computes entry numbers from it: a smaller table would refuse them."""
    cpu = cpu_nodes(small(hpt_order=order).root)[0]
    assert cpu.numbers("ibm,pft-size") == (0, order or hpt_order(GIB))


def test_every_tree_has_another_seed_and_name() -> None:
    first, second = (tree(Description(GIB)).root for _ in range(2))
    assert len(first.find("/chosen").props["rng-seed"]) == 32
    assert first.find("/chosen").props["rng-seed"] != second.find("/chosen").props["rng-seed"]
    assert first.props["vm,uuid"] != second.props["vm,uuid"]


def test_initrd_above_4_gib_takes_two_cells() -> None:
    chosen = small(initrd=(4 * GIB, 4 * GIB + 5)).root.find("/chosen")
    assert chosen.number("linux,initrd-end") == 4 * GIB + 5
    assert len(chosen.props["linux,initrd-start"]) == 8


def test_several_terminals() -> None:
    root = small(vtys=(Vty(0x30000000, irq=1), Vty(0x30000001, irq=2, level=True))).root
    assert root.find("/vdevice/vty@30000001").numbers("interrupts") == (2, 1)
    assert root.find("/chosen").text("stdout-path") == "/vdevice/vty@30000000"


def test_other_rooms_add_their_nodes() -> None:
    got = small(extend=(lambda t: t.root.add("pci@800000020000000"),))
    assert got.root.child("pci@800000020000000")


def test_a_host_may_supply_its_own_page_sizes() -> None:
    host = replace(POWER8, smmu=replace(POWER8.smmu.limited(16), segments_1t=False, slb_size=0))
    cpu = cpu_nodes(small(model=host).root)[0]
    assert {"ibm,processor-segment-sizes", "ibm,slb-size", "slb-size"}.isdisjoint(cpu.props)
    assert cpu.numbers("ibm,segment-page-sizes")[:3] == (12, 0, 2)
    bare = replace(POWER8, smmu=replace(host.smmu, page_sizes=()), vmx=False, dfp=False)
    assert {"ibm,segment-page-sizes", "ibm,vmx", "ibm,dfp"}.isdisjoint(
        cpu_nodes(small(model=bare).root)[0].props
    )


@pytest.mark.parametrize("changes", [{"cpus": 0}, {"cpus": -1}, {"ram_size": 0}, {"cpus": 3, "threads": 2}])
def test_what_cannot_be_described(changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError) as error:
        small(**changes)
    assert error.value.hint
