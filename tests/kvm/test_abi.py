# SPDX-License-Identifier: GPL-2.0-only
"""Our KVM ABI against Debian's <linux/kvm.h> for powerpc: a program compiled for it tells the truth."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lpar.host.kvm import abi

COMPILER, EMULATOR = "powerpc64le-linux-gnu-gcc", "qemu-ppc64le-static"
#: our structure -> the header's
STRUCTS = {
    "Regs": "struct kvm_regs",
    "Sregs": "struct kvm_sregs",
    "OneReg": "struct kvm_one_reg",
    "MemoryRegion": "struct kvm_userspace_memory_region",
    "Interrupt": "struct kvm_interrupt",
    "IrqLevel": "struct kvm_irq_level",
    "EnableCap": "struct kvm_enable_cap",
    "PageEncoding": "struct kvm_ppc_one_page_size",
    "SegmentPageSize": "struct kvm_ppc_one_seg_page_size",
    "SmmuInfo": "struct kvm_ppc_smmu_info",
    "MmuV3Config": "struct kvm_ppc_mmuv3_cfg",
    "CpuChar": "struct kvm_ppc_cpu_char",
    "RtasToken": "struct kvm_rtas_token_args",
    "CreateDevice": "struct kvm_create_device",
    "DeviceAttr": "struct kvm_device_attr",
}
#: fields of ours that the header calls otherwise
FIELDS = {"Sregs.sdr1": "u.s.sdr1", "Sregs.slb": "u.s.ppc64.slb", "Sregs.ppc32": "u.s.ppc32"}
#: not of the header: our padding, names of our own
OURS = {"Sregs.pad0", "API_VERSION", "SIGNAL_MASK_SIZE", "SIGSET_SIZE", "PATB_GR"}
#: parts of struct kvm_run: our structure -> the union's member
RUN = {"PaprHcall": "papr_hcall", "Mmio": "mmio", "Internal": "internal", "SystemEvent": "system_event"}
HEAD_END = ctypes.sizeof(abi.RunHead)


def numbers() -> Iterator[tuple[str, int]]:
    """(what to write in C, our value) of every constant, size and offset."""
    for name, value in vars(abi).items():
        if name.startswith(("KVM_", "KVMIO")) and isinstance(value, int):
            yield name, value
    yield "KVM_API_VERSION", abi.API_VERSION
    for ours, theirs in STRUCTS.items():
        struct = getattr(abi, ours)
        yield f"sizeof({theirs})", ctypes.sizeof(struct)
        for field, *_ in struct._fields_:
            key = f"{ours}.{field}"
            if key not in OURS:
                yield f"offsetof({theirs}, {FIELDS.get(key, field)})", getattr(struct, field).offset
    for field, *_ in abi.RunHead._fields_:
        yield f"offsetof(struct kvm_run, {field})", getattr(abi.RunHead, field).offset
    for ours, member in RUN.items():
        for field, *_ in getattr(abi, ours)._fields_:
            offset = HEAD_END + getattr(getattr(abi, ours), field).offset
            yield f"offsetof(struct kvm_run, {member}.{field})", offset
    yield "offsetof(struct kvm_signal_mask, sigset)", abi.SignalMask.sigset.offset


NUMBERS = dict(numbers())


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The header's values."""
    if not shutil.which(COMPILER) or not shutil.which(EMULATOR):
        pytest.skip(f"needs {COMPILER} and {EMULATOR} (scripts/setup test)")
    where = tmp_path_factory.mktemp("abi")
    lines = "".join(f'  show("{what}", (unsigned long long)({what}));\n' for what in NUMBERS)
    (where / "abi.c").write_text(
        "#include <linux/kvm.h>\n#include <stddef.h>\n#include <stdio.h>\n"
        "#define API KVM_API_VERSION\n"
        "static void show(const char *what, unsigned long long value)\n"
        '{ printf("%s=%llx\\n", what, value); }\n'
        f"int main(void) {{\n{lines}  return 0;\n}}\n"
    )
    program = where / "abi"
    build = [COMPILER, "-static", "-o", str(program), str(where / "abi.c")]
    subprocess.run(build, check=True, capture_output=True, text=True)
    told = subprocess.run([EMULATOR, str(program)], check=True, capture_output=True, text=True).stdout
    return {what: int(value, 16) for what, _, value in (line.rpartition("=") for line in told.splitlines())}


def test_every_number(header: dict[str, int]) -> None:
    assert len(NUMBERS) > 150
    wrong = {
        what: (hex(ours), hex(header[what]))
        for what, ours in NUMBERS.items()
        if _masked(what, ours) != _masked(what, header[what])
    }
    assert not wrong


def _masked(what: str, value: int) -> int:
    """KVM_INTERRUPT_* are negative ints of 32 bits in the header."""
    return value & 0xFFFFFFFF if what.startswith("KVM_INTERRUPT_") else value


def test_the_headers_are_read(header: dict[str, int], tmp_path: Path) -> None:
    """A wrong number would be noticed."""
    assert header["KVM_RUN"] == 0x2000AE80
    assert header["KVM_RUN"] != 0xAE80  # x86's
