# SPDX-License-Identifier: GPL-2.0-only
"""Property by property against QEMU's pseries machine: every difference has its reason here.

A difference without a reason fails, and so does a reason that no difference needs any more.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from lpar.fdt import Node, parse
from lpar.papr.cpu_models import MODELS, CpuModel
from lpar.papr.device_tree import Description, build

QEMU = shutil.which("qemu-system-ppc64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="qemu-system-ppc64 is not installed")

OURS, THEIRS, VALUE = "only ours", "only theirs", "other value"

ROOT = "/"
CPU = "/cpus/PowerPC,POWER*@*"
DRMEM = "/ibm,dynamic-reconfiguration-memory"

#: (kind, path, property, reason); path and property are patterns, property "" is the node itself.
EXPLAINED = (
    (VALUE, ROOT, "model", "each machine says what it is"),
    (VALUE, ROOT, "compatible", "our own name comes first; theirs is in the list, since guests look for it"),
    (OURS, ROOT, "ibm,partition-no", "Linux shows it in /proc/ppc64/lparcfg"),
    (THEIRS, "*", "ibm,drc-*", "no dynamic reconfiguration yet: no CPU, memory or PHB hotplug"),
    (THEIRS, CPU, "ibm,my-drc-index", "no CPU hotplug yet"),
    (THEIRS, "/ibm,persistent-memory", "", "no NVDIMM"),
    (THEIRS, "/pci@*", "", "the PCI room adds its host bridge through Description.extend"),
    # /chosen
    (OURS, "/chosen", "bootargs", "theirs needs a kernel on the command line"),
    (OURS, "/chosen", "linux,initrd-*", "theirs needs an initrd on the command line"),
    (VALUE, "/chosen", "ibm,architecture-vec-5", "theirs is from before negotiation; ours is its result"),
    (THEIRS, "/chosen", "ibm,arch-vec-5-platform-support", "only prom_init reads it, to negotiate"),
    (VALUE, "/chosen", "rng-seed", "random"),
    (THEIRS, "/chosen", "qemu,*", "for their firmware"),
    (THEIRS, "/chosen", "linux,pci-probe-only", "comes with PCI"),
    # /rtas
    (OURS, "/rtas", "linux,rtas-base", "their firmware copies RTAS and says where"),
    (OURS, "/rtas", "linux,rtas-entry", "their firmware copies RTAS and says where"),
    (VALUE, "/rtas", "rtas-size", "another stub; theirs has room for FWNMI logs behind it"),
    (VALUE, "/rtas", "ibm,hypertas-functions", "each lists what it implements"),
    (THEIRS, "/rtas", "qemu,hypertas-functions", "H_LOGICAL_MEMOP serves their firmware"),
    (VALUE, "/rtas", "ibm,lrdr-capacity", "ours has the RAM's true end and its own LMB size"),
    (THEIRS, "/rtas", "ibm,associativity-reference-points", "one NUMA node: nothing to describe"),
    (THEIRS, "/rtas", "ibm,max-associativity-domains", "one NUMA node: nothing to describe"),
    (THEIRS, "/rtas", "ibm,change-msix-capable", "comes with PCI"),
    (OURS, "/rtas", "[gp][eu]t-term-char", "in the reference"),
    (VALUE, "/rtas", "TOKEN", "tokens are each machine's own numbers"),
    (THEIRS, "/rtas", "TOKEN", "calls that are not implemented have no token"),
    # /cpus
    (VALUE, "/cpus/PowerPC,POWER9@*", "cpu-version", "DD2.2 here; Debian 12's QEMU has DD2.0"),
    (
        VALUE,
        "/cpus/PowerPC,POWER10@*",
        "cpu-version",
        "0x00801200 as in newer QEMU; Debian 12's has 0x00800200",
    ),
    (OURS, CPU, "[di]-cache-sets", "Linux computes the ways from it"),
    (VALUE, "/cpus/PowerPC,POWER8@*", "d-cache-size", "64 KiB in hardware"),
    (VALUE, "/cpus/PowerPC,POWER10@*", "i-cache-size", "48 KiB in hardware"),
    (OURS, CPU, "[di]cache-block-size", "the reference's spelling"),
    (VALUE, CPU, "clock-frequency", "the reference's value; guests only print it"),
    (VALUE, CPU, "ibm,pa-features", "no SAO, MMR, SPR stop override, copy/paste: not implemented"),
    (VALUE, CPU, "ibm,segment-page-sizes", "theirs stops at 64 KiB; ours has 16 MiB and mixed pages"),
    (OURS, CPU, "ibm,mmu-pid-bits", "Linux assumes the same when it is absent"),
    (OURS, CPU, "name", "in the reference; a flattened tree implies it"),
    (OURS, "/hypervisor", "", "theirs has it under KVM; ours keeps Linux's hard lockup detector off"),
    # memory
    (OURS, "/memory@40000000", "", "the first node is the real mode area and ends at 1 GiB"),
    (VALUE, "/memory@0", "reg", "the first node is the real mode area and ends at 1 GiB"),
    (THEIRS, "/memory@*", "ibm,associativity", "one NUMA node: nothing to describe"),
    (OURS, DRMEM, "", "theirs needs maxmem; ours gives radix guests 1 GiB pages"),
    # interrupts and devices
    (OURS, "/interrupt-controller", "reg", "in the reference, as is its unit address"),
    (OURS, "/interrupt-controller", "#address-cells", "0, as dtc wants it of an interrupt provider"),
    (OURS, "/event-sources", "#address-cells", "0, as dtc wants it of an interrupt provider"),
    (VALUE, "/event-sources", "interrupt-ranges", "sources are numbered by each machine"),
    (VALUE, "/event-sources/epow-events", "interrupts", "sources are numbered by each machine"),
    (THEIRS, "/event-sources/hot-plug-events", "", "no hotplug yet"),
    (OURS, "/vdevice/vty@*", "name", "in the reference; a flattened tree implies it"),
    (VALUE, "/vdevice/vty@*", "interrupts", "sources are numbered by each machine"),
    (VALUE, "/vdevice/nvram@*", "compatible", "our own name comes first"),
    (THEIRS, "/vdevice/nvram@*", "interrupts", "NVRAM never interrupts"),
)

Difference = tuple[str, str, str]


def qemu_tree(model: str, path: Path) -> Node:
    """What QEMU's machine of the fixture's description hands to its firmware."""
    assert QEMU
    command = [QEMU, "-M", f"pseries,dumpdtb={path},usb=off", "-cpu", model, "-m", "4G", "-smp", "4"]
    command += ["-name", "guest", "-uuid", "8e9b8411-3914-47cf-b2d5-cf261c2e636d"]
    command += ["-nodefaults", "-nographic", "-vga", "none"]
    command += ["-chardev", "null,id=c", "-device", "spapr-vty,chardev=c,reg=0x30000000"]
    command += ["-object", "rng-random,filename=/dev/urandom,id=r", "-device", "spapr-rng,rng=r"]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    return parse(path.read_bytes()).root


def normal(path: str) -> str:
    return path.replace("/interrupt-controller@0", "/interrupt-controller")


def nodes(root: Node) -> dict[str, Node]:
    return {normal(path): node for path, node in root.walk()}


def differences(ours: Node, theirs: Node) -> Iterator[Difference]:
    """(kind, path, property); a whole subtree that one side lacks is one difference."""
    a, b = nodes(ours), nodes(theirs)
    for kind, mine, other in ((OURS, a, b), (THEIRS, b, a)):
        for path in mine.keys() - other.keys():
            parent = path.rpartition("/")[0] or "/"
            if parent in other:
                yield kind, path, ""
    for path in a.keys() & b.keys():
        yield from property_differences(path, a[path].props, b[path].props)


def property_differences(path: str, a: dict[str, bytes], b: dict[str, bytes]) -> Iterator[Difference]:
    for name in a.keys() | b.keys():
        if a.get(name) != b.get(name):
            kind = THEIRS if name not in a else OURS if name not in b else VALUE
            value = b.get(name, b"")
            is_token = path == "/rtas" and len(value) == 4 and value[:3] == b"\0\0\x20"
            yield kind, path, "TOKEN" if is_token else name


def reason(difference: Difference) -> int | None:
    """Index of the first explanation that fits."""
    kind, path, name = difference
    for index, (want, path_pattern, name_pattern, _) in enumerate(EXPLAINED):
        if kind == want and fnmatchcase(path, path_pattern) and fnmatchcase(name, name_pattern):
            return index
    return None


def compare(full: Description, model: CpuModel, path: Path) -> set[Difference]:
    ours = parse(build(replace(full, model=model))).root
    return set(differences(ours, qemu_tree(model.name, path)))


def test_every_difference_is_explained_and_every_explanation_needed(
    full: Description, tmp_path: Path
) -> None:
    found: set[Difference] = set()
    for model in MODELS.values():
        found |= compare(full, model, tmp_path / f"{model.name}.dtb")
    assert [item for item in sorted(found) if reason(item) is None] == []
    needed = {reason(item) for item in found}
    assert [row for index, row in enumerate(EXPLAINED) if index not in needed] == []


def test_the_comparison_sees_a_difference(full: Description, tmp_path: Path) -> None:
    theirs = qemu_tree("POWER9", tmp_path / "q.dtb")
    changed = parse(build(full)).root
    changed.find("/vdevice").props["compatible"] = b"other\0"
    changed.find("/cpus/PowerPC,POWER9@0").props["surplus"] = b""
    del changed.find("/interrupt-controller").props["interrupt-controller"]
    unexplained = {item for item in differences(changed, theirs) if reason(item) is None}
    assert unexplained == {
        (VALUE, "/vdevice", "compatible"),
        (OURS, "/cpus/PowerPC,POWER9@0", "surplus"),
        (THEIRS, "/interrupt-controller", "interrupt-controller"),
    }
