# SPDX-License-Identifier: GPL-2.0-only
"""KVM PR over a fake /dev/kvm: every ioctl's number, size and order, as the reference makes them."""

from __future__ import annotations

import ctypes

import pytest
from tests.kvm.conftest import Make
from tests.kvm.fake_kvm import PR, FakeKernel

from lpar.errors import ConfigError, HostError
from lpar.host.kvm import abi
from lpar.host.memory import GuestMemory
from lpar.papr.partition import Partition
from lpar.testing.fake_vcpu import FakeGuest


def test_order(pr: FakeKernel, make: Make) -> None:
    """SDR1, PVR and HIOR of each vCPU once it is a partition's; no call that only HV has."""
    make(pr, count=2)
    assert pr.calls == [
        *("CREATE_VM", "GET_VCPU_MMAP_SIZE", "SET_USER_MEMORY_REGION"),
        *("CREATE_VCPU", "ENABLE_CAP", "CREATE_VCPU", "ENABLE_CAP"),
        *("GET_SREGS", "PPC_GET_SMMU_INFO", "PPC_GET_CPU_CHAR"),
        *(("GET_SREGS", "SET_SREGS", "SET_ONE_REG") * 2),
    ]
    for vcpu in pr.vcpus.values():
        assert vcpu.capabilities == [(abi.KVM_CAP_PPC_PAPR, 0, 0)]
        assert vcpu.one_regs == {abi.KVM_REG_PPC_HIOR: 0}
        assert vcpu.sregs.pvr == 0x004D0200


def test_hash_table(pr: FakeKernel, make: Make) -> None:
    """SDR1 is the host address of a table at a multiple of its size; order - 18 in its low bits."""
    accelerator = make(pr)
    facts = accelerator.facts()
    view = accelerator.allocate_hpt(0)
    assert (facts.mmu, facts.hpt_order, facts.cpu, facts.dec_bits) == ("hash", 19, "POWER8", 32)
    assert view is not None and len(view) == 1 << 19
    sdr1 = next(iter(pr.vcpus.values())).sregs.sdr1
    assert sdr1 & 0x3FFFF == 19 - 18
    assert sdr1 & ~0x3FFFF == ctypes.addressof(ctypes.c_char.from_buffer(view))
    assert sdr1 & ~0x3FFFF & (1 << 19) - 1 == 0


def test_the_table_is_the_partitions(pr: FakeKernel, make: Make, ram: GuestMemory) -> None:
    """Calls about the table that the kernel leaves to us work on the memory that it walks."""
    accelerator = make(pr)
    partition = Partition(ram, accelerator.vcpus, allocate_hpt=accelerator.allocate_hpt)
    partition.hpt_order = accelerator.facts().hpt_order or 0
    view = accelerator.allocate_hpt(0)
    assert view is not None
    view[16:32] = (0x1234 << 7 | 1).to_bytes(8, "big") + (0x5000).to_bytes(8, "big")
    table = partition.hash_table()
    assert table is not None and table.read(1) == (0x1234 << 7 | 1, 0x5000)
    del table
    partition._hpt = None


def test_level_interrupts(pr: FakeKernel, make: Make, ram: GuestMemory) -> None:
    """KVM_INTERRUPT raises and lowers the line."""
    accelerator = make(pr, count=2)
    partition = Partition(ram, accelerator.vcpus)
    guest = FakeGuest(partition)
    source = partition.xics.allocate(level=True)
    partition.xics.set_xive(source, 1, 5, 5)
    partition.xics.set_cppr(1, 0xFF)
    source.set_level(True)
    fake = list(pr.vcpus.values())
    assert (fake[0].interrupts, fake[1].interrupts) == ([], [abi.KVM_INTERRUPT_SET_LEVEL])
    assert partition.xics.accept(1) == 0xFF << 24 | source.number
    assert fake[1].interrupts == [0xFFFFFFFD, 0xFFFFFFFE]
    del guest


@pytest.mark.parametrize("missing", ["PPC_UNSET_IRQ", "PPC_IRQ_LEVEL"])
def test_required_capabilities(make: Make, missing: str) -> None:
    number = getattr(abi, f"KVM_CAP_{missing}")
    with pytest.raises(HostError, match=missing):
        make(FakeKernel({**PR, number: 0}))


def test_no_other_processor(pr: FakeKernel, make: Make) -> None:
    with pytest.raises(ConfigError, match="KVM on POWER8 cannot run a guest's POWER9"):
        make(pr, cpu="POWER9")
