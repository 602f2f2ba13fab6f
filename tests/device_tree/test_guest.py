# SPDX-License-Identifier: GPL-2.0-only
"""A real kernel takes our tree: QEMU runs Debian's on it, entered as lpar enters kernels.

QEMU's machine answers the hypercalls and RTAS (with its own tokens and interrupt numbers, which
the tree is told), but neither its firmware nor its tree is used: a few instructions in place of
the firmware jump to the kernel with r3 = our tree and r5 = 0.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lpar.boot.firmware import RTAS_STUB
from lpar.cli.guests import Guest
from lpar.fdt import parse
from lpar.papr.cpu_models import MODELS
from lpar.papr.device_tree import Description, EventSource, Mmu, Vty, build

QEMU = shutil.which("qemu-system-ppc64")
pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(QEMU is None, reason="qemu-system-ppc64 is not installed"),
]

GIB = 1 << 30
KERNEL, INITRD, RTAS, FDT = 0x400000, 0x10000000, 0x1E000000, 0x1F000000  # where QEMU loads what
COMMANDS = (
    b"mount -t proc p /proc; mount -t sysfs s /sys; cd /sys/devices/system; "
    b"echo lmb=$(cat memory/block_size_bytes) cpus=$(grep -c ^processor /proc/cpuinfo); "
    b"echo vio=$(ls /sys/bus/vio/devices) irq=$(grep -o 'hvc_con.*\\|RAS_EPOW' /proc/interrupts); "
    b"echo name=$(cat /proc/device-tree/ibm,partition-name); poweroff -f\n"
)

#: addis r3,0,FDT@h; r4..r7 = 0; jump to KERNEL.  Reset enters at 0x100.
FIRMWARE = bytes(0x100) + struct.pack(
    ">8I",
    0x3C600000 | FDT >> 16,
    *(0x38000000 | register << 21 for register in (4, 5, 6, 7)),
    0x3D800000 | KERNEL >> 16,
    0x7D8903A6,  # mtctr r12
    0x4E800420,  # bctr
)


@dataclass(frozen=True)
class Case:
    """One boot: ``expect`` are texts of the log, of which all must be there."""

    description: Description
    params: str
    expect: tuple[str, ...]


ALWAYS = (
    "vio=30000000 71000000 ibm,random-v1 vio irq=RAS_EPOW hvc_console",
    "name=a guest",
    "reboot: Power down",
)
RADIX = ("Using radix MMU under hypervisor", "Page size shift = 30 AP=0x2")
HASH = ("base_shift=24: shift=24, sllp=0x0100", "Initializing hash mmu with SLB")
CASES = {
    "POWER9": Case(
        Description(4 * GIB, cpus=4, threads=1),
        "",
        (*RADIX, "0x0000000040000000-0x0000000100000000 with 1.00 GiB pages", "lmb=40000000"),
    ),
    "POWER9 part of an LMB": Case(
        Description(3 * GIB // 2, threads=1), "", (*RADIX, "phys_mem_size     = 0x60000000", "for 1 cpus")
    ),
    "POWER10": Case(
        Description(GIB // 2, model=MODELS["POWER10"]), "", (*RADIX, "phys_mem_size     = 0x20000000")
    ),
    "disable_radix": Case(Description(GIB, threads=1), "disable_radix", HASH),
    "hash only": Case(Description(GIB, mmu=Mmu.HASH), "", HASH),
    "POWER8": Case(
        Description(GIB, cpus=2, threads=1, model=MODELS["POWER8"]), "", (*HASH, "Brought up 1 node, 2 CPUs")
    ),
}


def qemu_command(description: Description, guest: Guest, work: Path) -> list[str]:
    assert QEMU
    machine = "pseries,usb=off,cap-htm=off,cap-hpt-max-page-size=16M"
    command = [QEMU, "-M", machine, "-cpu", description.model.name, "-smp", str(description.cpus)]
    command += ["-m", f"{description.ram_size >> 20}M", "-nodefaults", "-nographic", "-vga", "none"]
    command += ["-chardev", "stdio,id=c", "-device", "spapr-vty,chardev=c,reg=0x30000000"]
    command += ["-object", "rng-random,filename=/dev/urandom,id=r", "-device", "spapr-rng,rng=r"]
    return [*command, "-bios", str(work / "firmware"), "-kernel", str(guest.kernel)]


def loader(path: Path, address: int) -> list[str]:
    return ["-device", f"loader,file={path},addr={address:#x},force-raw=on"]


def tokens_of_qemu(command: list[str], work: Path) -> tuple[dict[str, int], int]:
    """The RTAS calls of QEMU's machine that have nothing to do with PCI, and log2 of its HPT's size."""
    path = work / "qemu.dtb"
    dump = [part.replace("pseries,", f"pseries,dumpdtb={path},") for part in command]
    subprocess.run(dump, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    root = parse(path.read_bytes()).root
    rtas = root.find("/rtas")
    calls = {n: rtas.number(n) for n, v in rtas.props.items() if len(v) == 4 and v[:3] == b"\0\0\x20"}
    wanted = ("cpu", "self", "time", "power", "reboot", "xive", "int-o", "event", "nvram", "os-term")
    order = next(node.numbers("ibm,pft-size")[1] for _, node in root.walk() if "ibm,pft-size" in node.props)
    return {n: token for n, token in calls.items() if any(part in n for part in wanted)}, order


def boot(case: Case, guest: Guest, work: Path) -> str:
    """The console's output from reset to power-off."""
    command = qemu_command(case.description, guest, work)
    (work / "firmware").write_bytes(FIRMWARE)
    (work / "rtas").write_bytes(RTAS_STUB)
    calls, order = tokens_of_qemu(command, work)
    description = replace(
        case.description,
        hpt_order=order,
        bootargs=f"console=hvc0 rdinit=/bin/sh {case.params}",
        initrd=(INITRD, INITRD + guest.initrd.stat().st_size),
        rtas=(RTAS, len(RTAS_STUB)),
        rtas_tokens=calls,
        hypertas=(
            "hcall-pft",
            "hcall-term",
            "hcall-interrupt",
            "hcall-splpar",
            "hcall-bulk",
            "hcall-set-mode",
        ),
        vtys=(Vty(irq=0x11F0),),
        nvram_size=65536,
        random=True,
        event_sources=(EventSource("epow-events", 0x1000),),
        name="a guest",
    )
    (work / "tree").write_bytes(build(description))
    command += loader(work / "tree", FDT) + loader(work / "rtas", RTAS) + loader(guest.initrd, INITRD)
    return converse(command)


def converse(command: list[str]) -> str:
    """Run ``command``; type COMMANDS at the shell's prompt; all output, or what came in 90 seconds."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        watchdog = threading.Timer(90, process.kill)
        watchdog.start()
        output = b""
        typed = False
        while piece := process.stdout.read1():
            output += piece
            if not typed and b"~ # " in output:
                typed = True
                process.stdin.write(COMMANDS)
                process.stdin.flush()
        watchdog.cancel()
    return output.decode(errors="replace")


@pytest.mark.parametrize("name", CASES)
def test_boot(name: str, debian: Guest, tmp_path: Path) -> None:
    output = boot(CASES[name], debian, tmp_path)
    expect = (*CASES[name].expect, *ALWAYS, f"cpus={CASES[name].description.cpus}\r")
    assert [text for text in expect if text not in output] == []
