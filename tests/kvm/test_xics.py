# SPDX-License-Identifier: GPL-2.0-only
"""The in-kernel XICS behind the partition's: sources, edges, levels, RTAS tokens."""

from __future__ import annotations

import errno

import pytest
from tests.kvm.conftest import Make
from tests.kvm.fake_kvm import FakeKernel

from lpar.host.kvm import abi
from lpar.host.memory import GuestMemory
from lpar.papr.partition import Partition
from lpar.papr.registry import rtas_tokens
from lpar.papr.xics import Xics
from lpar.papr.xics_kernel import KernelXics

MASKED = 0xFF << 32 | abi.KVM_XICS_MASKED


@pytest.fixture
def partition(hv: FakeKernel, make: Make, ram: GuestMemory) -> Partition:
    accelerator = make(hv, count=2)
    return Partition(ram, accelerator.vcpus, kernel_interrupts=accelerator.kernel_interrupts())


def test_sources(partition: Partition, hv: FakeKernel) -> None:
    """The terminal's is there, masked; new ones follow."""
    assert isinstance(partition.xics, KernelXics)
    level = partition.xics.allocate(level=True)
    assert hv.sources == {0x1000: MASKED, level.number: MASKED | abi.KVM_XICS_LEVEL_SENSITIVE}


def test_edges_and_levels(partition: Partition, hv: FakeKernel) -> None:
    level = partition.xics.allocate(level=True)
    partition.vtys[0].feed(b"x")
    level.set_level(True)
    level.set_level(False)
    assert hv.lines == [(0x1000, 1), (level.number, 1), (level.number, 0)]


def test_rtas_is_the_kernels(partition: Partition, hv: FakeKernel) -> None:
    names = ("ibm,set-xive", "ibm,get-xive", "ibm,int-off", "ibm,int-on")
    assert hv.rtas == {name: rtas_tokens()[name] for name in names}


def test_routing(partition: Partition, hv: FakeKernel) -> None:
    """Where the kernel took no RTAS call, ours routes its sources."""
    source = partition.vtys[0].irq
    partition.xics.set_xive(source, 1, 5, 5)
    assert hv.sources[source.number] == 5 << 32 | 1
    assert partition.xics.save()["sources"][0][:4] == [source.number, 0, 1, 5]
    partition.xics.set_xive(source, 1, 0xFF, 5)
    assert hv.sources[source.number] & abi.KVM_XICS_MASKED
    partition.xics.free(source)
    assert hv.sources[source.number] == MASKED


def test_a_kernel_without_tokens(hv: FakeKernel, make: Make, ram: GuestMemory) -> None:
    hv.refuse["PPC_RTAS_DEFINE_TOKEN"] = errno.EINVAL
    accelerator = make(hv)
    Partition(ram, accelerator.vcpus, kernel_interrupts=accelerator.kernel_interrupts())
    assert not hv.rtas


def test_ours_where_asked_for(hv: FakeKernel, make: Make, ram: GuestMemory) -> None:
    accelerator = make(hv, kernel_irqs=False)
    assert accelerator.kernel_interrupts() is None and "CREATE_DEVICE" not in hv.calls
    assert type(Partition(ram, accelerator.vcpus).xics) is Xics
