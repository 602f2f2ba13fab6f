# SPDX-License-Identifier: GPL-2.0-only
"""KVM HV over a fake /dev/kvm: which calls, in which order, and what the partition learns."""

from __future__ import annotations

import errno

import pytest
from tests.kvm.conftest import Make
from tests.kvm.fake_kvm import HV, LPCR_LD, POWER8, FakeKernel

from lpar.accel.kvm import ENABLED_HCALLS
from lpar.errors import ConfigError, HostError
from lpar.host.kvm import abi
from lpar.host.memory import GuestMemory
from lpar.machine.accelerator import Accelerator

RADIX_ONLY = {**HV}
BOTH = {**HV, abi.KVM_CAP_PPC_MMU_HASH_V3: 1}


def test_order(hv: FakeKernel, make: Make) -> None:
    """Memory before vCPUs, PAPR before anything runs, the controller when all vCPUs are there."""
    make(hv, count=2)
    calls = [call for call in hv.calls if call not in ("GET_SREGS", "GET_ONE_REG", "SET_ONE_REG")]
    assert calls == [
        *("CREATE_VM", "GET_VCPU_MMAP_SIZE", "SET_USER_MEMORY_REGION"),
        *("CREATE_VCPU", "ENABLE_CAP", "CREATE_VCPU", "ENABLE_CAP"),
        *("PPC_GET_SMMU_INFO", "PPC_GET_CPU_CHAR"),
        *(["ENABLE_CAP"] * len(ENABLED_HCALLS)),
        *("CREATE_DEVICE", "ENABLE_CAP", "ENABLE_CAP"),
    ]
    assert hv.memory == [(0, 0, 0, 64 << 20)]
    assert [vcpu.number for vcpu in hv.vcpus.values()] == [0, 1]
    device = next(fd for fd, kind in hv.fds.items() if kind == "device")
    for vcpu in hv.vcpus.values():
        assert vcpu.capabilities == [
            (abi.KVM_CAP_PPC_PAPR, 0, 0),
            (abi.KVM_CAP_IRQ_XICS, device, vcpu.number),
        ]
    enabled = [args for capability, *args in hv.machine_capabilities if capability == 104]
    assert enabled == [[number, 1] for number in ENABLED_HCALLS]


def test_everything_is_closed(hv: FakeKernel, make: Make) -> None:
    make(hv, count=2).close()
    make(hv).close()
    assert set(hv.fds.values()) == {"closed"}
    for vcpu in hv.vcpus.values():
        assert vcpu.page is not None


def test_all_that_a_machine_asks_for(hv: FakeKernel, make: Make) -> None:
    """The accelerator has every method of the machine's protocol."""
    accelerator = make(hv)
    wanted = [name for name in vars(Accelerator) if not name.startswith("_")]
    assert "facts" in wanted and not [name for name in wanted if not hasattr(accelerator, name)]
    assert accelerator.start_profile() is None and accelerator.natives() is None


def test_facts_of_a_radix_host(hv: FakeKernel, make: Make) -> None:
    facts = make(hv, count=2, threads=2).facts()
    assert (facts.cpu, facts.pvr, facts.mmu, facts.dec_bits) == ("POWER9", 0x004E1202, "radix", 56)
    assert facts.threads == 1 and facts.hpt_order is None
    assert facts.characteristics == (0x0F00, 0x000F)
    for vcpu in hv.vcpus.values():
        assert vcpu.one_regs[abi.KVM_REG_PPC_LPCR_64] & LPCR_LD


def test_page_sizes_follow_the_backing(hv: FakeKernel, make: Make, ram: GuestMemory) -> None:
    """A guest's page needs a page as large behind it, if the kernel says so."""
    ram.page_shift = 16
    facts = make(hv).facts()
    assert facts.page_sizes == ((12, 0, ((12, 0),)), (16, 0x110, ((16, 1),)))
    assert (facts.slb_size, facts.segments_1t) == (32, True)
    ram.page_shift = 24
    assert [base for base, *_ in make(hv).facts().page_sizes or ()] == [12, 16, 24]
    ram.page_shift, hv.page_sizes_real = 12, False
    assert [base for base, *_ in make(hv).facts().page_sizes or ()] == [12, 16, 24]


def test_radix(hv: FakeKernel, make: Make) -> None:
    """The process table goes with the bit that says radix; saying the same again is no call."""
    accelerator = make(hv, count=2)
    for vcpu in accelerator.vcpus:
        vcpu.set_process_table(0x3FF0000, 16, True, True)
    assert hv.mmu == [(3, 1 << 63 | 0x3FF0000 | 4)]


def test_radix_refused(hv: FakeKernel, make: Make) -> None:
    hv.refuse["PPC_CONFIGURE_V3_MMU"] = errno.EINVAL
    vcpu = make(hv).vcpus[0]
    with pytest.raises(HostError, match="KVM does not translate by radix: Invalid argument"):
        vcpu.set_process_table(0x10000, 16, True, True)


def test_hash_on_a_radix_host(make: Make) -> None:
    """The kernel's table is made when the guest asks for hash."""
    kernel = FakeKernel(BOTH)
    accelerator = make(kernel)
    assert accelerator.facts().mmu == "any" and not kernel.hash_orders
    accelerator.vcpus[0].set_process_table(0, 12, False, False)
    assert (kernel.hash_orders, kernel.mmu) == ([19], [(0, 0)])
    assert accelerator.allocate_hpt(19) is None


def test_hash_of_an_older_processor(make: Make) -> None:
    """POWER8 as a compatible model: hash from the start, its logical PVR."""
    kernel = FakeKernel(BOTH)
    facts = make(kernel, cpu="POWER8").facts()
    assert (facts.cpu, facts.pvr, facts.mmu, facts.dec_bits) == ("POWER8", 0x0F000004, "hash", 32)
    assert (kernel.hash_orders, kernel.mmu, facts.hpt_order) == ([19], [(0, 0)], 19)
    vcpu = next(iter(kernel.vcpus.values()))
    assert vcpu.one_regs[abi.KVM_REG_PPC_ARCH_COMPAT] == 0x0F000004


def test_power8_host(make: Make) -> None:
    """Hash alone, and no call that only ISA 3.0 has; threads of a core are packed."""
    kernel = FakeKernel({**HV, abi.KVM_CAP_PPC_MMU_RADIX: 0, abi.KVM_CAP_PPC_SMT: 8}, pvr=POWER8)
    facts = make(kernel, count=4, threads=4).facts()
    assert (facts.cpu, facts.mmu, facts.threads) == ("POWER8", "hash", 4)
    assert kernel.hash_orders == [19] and not kernel.mmu
    assert (abi.KVM_CAP_PPC_SMT, 4, 0) in kernel.machine_capabilities


def test_smaller_table(make: Make) -> None:
    """Where the kernel has no memory for the table that RAM asks for, a smaller one will do."""
    kernel = FakeKernel({**HV, abi.KVM_CAP_PPC_MMU_RADIX: 0}, pvr=POWER8)
    kernel.most_order = 18
    assert make(kernel).facts().hpt_order == 18
    kernel.most_order = 17
    with pytest.raises(HostError, match="KVM has no memory for a page table"):
        make(kernel)


@pytest.mark.parametrize(("cpu", "host"), [("POWER10", "POWER9"), ("POWER8", "radix")])
def test_models_that_cannot_be(hv: FakeKernel, make: Make, cpu: str, host: str) -> None:
    with pytest.raises(ConfigError, match=host):
        make(hv, cpu=cpu)


def test_unknown_processor(make: Make) -> None:
    with pytest.raises(HostError, match="does not know \\(PVR 0x3f0201\\)"):
        make(FakeKernel(dict(HV), pvr=0x003F0201))


def test_too_many_cpus(make: Make) -> None:
    with pytest.raises(ConfigError, match="5 CPUs are too many for this host's KVM") as info:
        make(FakeKernel({**HV, abi.KVM_CAP_MAX_VCPUS: 4}), count=5)
    assert info.value.hint == "-c 4 at most"


def test_memory_that_cannot_be_had(hv: FakeKernel, make: Make) -> None:
    hv.refuse["SET_USER_MEMORY_REGION"] = errno.ENOMEM
    with pytest.raises(HostError, match="does not give the guest 64 MiB of RAM: Cannot allocate") as info:
        make(hv)
    assert info.value.hint == "less memory (-m), or fewer CPUs (-c)"


@pytest.mark.parametrize("missing", ["PPC_UNSET_IRQ", "PPC_IRQ_LEVEL", "PPC_PAPR", "IMMEDIATE_EXIT"])
def test_missing_capability(make: Make, missing: str) -> None:
    number = getattr(abi, f"KVM_CAP_{missing}")
    with pytest.raises(HostError, match=f"this host's KVM has no KVM_CAP_{missing}"):
        make(FakeKernel({**HV, number: 0}))


def test_contiguous_real_mode_area(make: Make) -> None:
    with pytest.raises(HostError, match="contiguous real mode area"):
        make(FakeKernel({**HV, abi.KVM_CAP_PPC_RMA: 2}))
