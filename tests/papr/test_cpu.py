# SPDX-License-Identifier: GPL-2.0-only
"""Processors: start and stop, idle and wake, modes, debug registers, areas, system reset."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from lpar.papr import numbers as n
from lpar.papr.partition import Partition
from lpar.testing.fake_vcpu import FakeGuest, FakeVcpu

LITTLE, AIL3 = n.LPCR_ILE, n.LPCR_AIL


def start(guest: FakeGuest, cpu: int) -> None:
    assert guest.rtas("start-cpu", cpu, 0x4000, cpu) == (0,)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


# -- start and stop


def test_only_the_first_processor_runs_at_first(guest: FakeGuest) -> None:
    states = [guest.rtas("query-cpu-stopped-state", i, nret=2) for i in range(5)]
    assert states[:4] == [(0, n.CPU_RUNNING), *[(0, n.CPU_STOPPED)] * 3]
    assert states[4][0] == n.RTAS_PARAM_ERROR


def test_start_cpu_sets_registers_and_takes_over_modes(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    started: list[int] = []
    guest.partition.start = started.append
    vcpus[0].regs["lpcr"] = LITTLE | AIL3 | n.LPCR_HR | n.LPCR_UPRT | n.LPCR_GTSE | 1
    vcpus[1].regs["lpcr"] = 2
    assert guest.rtas("start-cpu", 1, 0x20000, 77) == (0,)
    regs = vcpus[1].regs
    assert (regs["pc"], regs["r3"], regs["msr"]) == (0x20000, 77, n.MSR_SF | n.MSR_ME)
    assert regs["lpcr"] == vcpus[0].regs["lpcr"] & ~1 | 2
    assert started == [1]
    assert guest.rtas("query-cpu-stopped-state", 1, nret=2) == (0, n.CPU_RUNNING)
    assert guest.rtas("start-cpu", 1, 0x20000, 77) == (n.RTAS_HW_ERROR,)
    assert guest.rtas("start-cpu", 9, 0x20000, 77) == (n.RTAS_PARAM_ERROR,)


def test_stop_self_then_start_again(guest: FakeGuest) -> None:
    start(guest, 2)
    guest.rtas("stop-self", cpu=2)
    assert guest.partition.is_stopped(2)
    assert guest.rtas("query-cpu-stopped-state", 2, nret=2) == (0, n.CPU_STOPPED)
    waiter = in_thread(lambda: guest.partition.wait_started(2))
    start(guest, 2)
    waiter.join(5)
    assert not waiter.is_alive()


def test_stopping_is_seen_until_the_call_is_answered(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    """start-cpu must not set registers that the answer to stop-self would then overwrite."""
    start(guest, 1)
    guest.partition.processors[1].stopping = True
    assert guest.rtas("query-cpu-stopped-state", 1, nret=2) == (0, n.CPU_STOPPING)
    assert guest.rtas("start-cpu", 1, 0, 0) == (n.RTAS_HW_ERROR,)
    guest.partition.settle(vcpus[1])
    assert guest.partition.is_stopped(1)


# -- idle and wake


def test_cede_enables_interrupts_and_sleeps(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    sleeper = in_thread(lambda: guest.hcall(n.H_CEDE))
    assert guest.hcall(n.H_PROD, 0, cpu=1)[0] == n.H_SUCCESS
    sleeper.join(5)
    assert not sleeper.is_alive()
    assert vcpus[0].waits == 1
    assert vcpus[0].regs["msr"] & n.MSR_EE


def test_cede_of_a_shared_processor_counts(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    guest.partition.shared_processors = True
    area = make_area(guest, 0x1000, 640)
    assert guest.hcall(n.H_REGISTER_VPA, VPA, 0, area)[0] == n.H_SUCCESS
    memory = guest.partition.memory
    assert memory.read(area + 9, 1) == b"\2"
    memory.write_u32(area + 0x100, 0xFFFFFFFE)
    seen: list[int] = []
    vcpus[0].wait = lambda: seen.append(memory.read_u32(area + 0x100))  # type: ignore[method-assign]
    guest.hcall(n.H_CEDE)
    assert (seen, memory.read_u32(area + 0x100)) == ([0xFFFFFFFF], 0)


def test_confer(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    assert guest.hcall(n.H_CONFER, n.U64, 0)[0] == n.H_SUCCESS
    assert guest.hcall(n.H_CONFER, 1, 0)[0] == n.H_SUCCESS
    assert guest.hcall(n.H_CONFER, 1, 5)[0] == n.H_SUCCESS
    assert guest.hcall(n.H_CONFER, 4, 0)[0] == n.H_PARAMETER
    assert vcpus[0].waits == 0
    vcpus[0].prod()
    assert guest.hcall(n.H_CONFER, 0, 0)[0] == n.H_SUCCESS
    assert vcpus[0].waits == 1


def test_prod_needs_a_processor(guest: FakeGuest) -> None:
    assert guest.hcall(n.H_PROD, 4)[0] == n.H_PARAMETER


def test_join(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    start(guest, 1)
    answers: list[int] = []
    joiner = in_thread(lambda: answers.append(guest.hcall(n.H_JOIN, cpu=1)[0]))
    while not guest.partition.processors[1].joined:
        pass
    assert guest.hcall(n.H_JOIN)[0] == n.H_CONTINUE
    guest.hcall(n.H_PROD, 1)
    joiner.join(5)
    assert answers == [n.H_SUCCESS]


def test_join_needs_interrupts_off(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    vcpus[0].regs["msr"] |= n.MSR_EE
    assert guest.hcall(n.H_JOIN)[0] == n.H_BAD_MODE


def test_shut_down_ends_every_sleep(guest: FakeGuest) -> None:
    start(guest, 1)
    sleepers = [
        in_thread(lambda: guest.hcall(n.H_JOIN, cpu=1)),
        in_thread(lambda: guest.partition.wait_started(3)),
        in_thread(lambda: guest.partition.vtys[0].send(bytes(10000))),
    ]
    guest.partition.shut_down()
    for sleeper in sleepers:
        sleeper.join(5)
        assert not sleeper.is_alive()


# -- modes


def test_set_mode_endian_reaches_stopped_vcpus_at_once(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    assert guest.hcall(n.H_SET_MODE, 1, n.SET_MODE_ENDIAN, 0, 0)[0] == n.H_SUCCESS
    assert all(vcpu.regs["lpcr"] == LITTLE for vcpu in vcpus)
    assert guest.hcall(n.H_SET_MODE, 0, n.SET_MODE_ENDIAN, 0, 0)[0] == n.H_SUCCESS
    assert all(vcpu.regs["lpcr"] == 0 for vcpu in vcpus)


def test_set_mode_reaches_running_vcpus_in_their_own_thread(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    start(guest, 1)
    kicks = vcpus[1].kicks
    assert guest.hcall(n.H_SET_MODE, 3, n.SET_MODE_ADDR_TRANS, 0, 0)[0] == n.H_SUCCESS
    assert (vcpus[0].regs["lpcr"], vcpus[1].regs["lpcr"], vcpus[2].regs["lpcr"]) == (AIL3, 0, AIL3)
    assert vcpus[1].kicks == kicks + 1
    guest.partition.settle(vcpus[1])
    assert vcpus[1].regs["lpcr"] == AIL3


@pytest.mark.parametrize(
    ("args", "status"),
    [
        ((2, n.SET_MODE_ENDIAN, 0, 0), n.H_UNSUPPORTED_FLAG),
        ((1, n.SET_MODE_ENDIAN, 1, 0), n.H_P3),
        ((1, n.SET_MODE_ENDIAN, 0, 1), n.H_P4),
        ((1, n.SET_MODE_ADDR_TRANS, 0, 0), n.H_UNSUPPORTED_FLAG),
        ((3, n.SET_MODE_ADDR_TRANS, 1, 0), n.H_P3),
        ((3, n.SET_MODE_ADDR_TRANS, 0, 1), n.H_P4),
        ((1, n.SET_MODE_CIABR, 0, 0), n.H_UNSUPPORTED_FLAG),
        ((0, n.SET_MODE_CIABR, 0x1003, 0), n.H_P3),
        ((0, n.SET_MODE_CIABR, 0, 1), n.H_P4),
        ((1, n.SET_MODE_DAWR0, 0, 0), n.H_UNSUPPORTED_FLAG),
        ((0, n.SET_MODE_DAWR0, 0, 4), n.H_P4),
        ((0, 0, 0, 0), n.H_P2),
        ((0, 6, 0, 0), n.H_P2),
    ],
)
def test_set_mode_refuses(guest: FakeGuest, args: tuple[int, ...], status: int) -> None:
    assert guest.hcall(n.H_SET_MODE, *args)[0] == status


def test_breakpoint_registers(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    regs = vcpus[0].regs
    assert guest.hcall(n.H_SET_MODE, 0, n.SET_MODE_CIABR, 0x1002, 0)[0] == n.H_SUCCESS
    assert guest.hcall(n.H_SET_MODE, 0, n.SET_MODE_DAWR0, 0x2000, 0x63)[0] == n.H_SUCCESS
    assert guest.hcall(n.H_SET_MODE, 0, n.SET_MODE_DAWR1, 0x3000, 0x42)[0] == n.H_SUCCESS
    assert (regs["ciabr"], regs["dawr0"], regs["dawrx0"]) == (0x1002, 0x2000, 0x63)
    assert (regs["dawr1"], regs["dawrx1"]) == (0x3000, 0x42)
    del regs["dawr1"]
    assert guest.hcall(n.H_SET_MODE, 0, n.SET_MODE_DAWR1, 0x3000, 0x42)[0] == n.H_P2


def test_dabr_is_a_dawr(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    assert guest.hcall(n.H_SET_DABR, 0x1007)[0] == n.H_SUCCESS
    assert (vcpus[0].regs["dawr0"], vcpus[0].regs["dawrx0"]) == (0x1000, 0x73)
    assert guest.hcall(n.H_SET_XDABR, 0x2002, 0x9)[0] == n.H_SUCCESS
    assert (vcpus[0].regs["dawr0"], vcpus[0].regs["dawrx0"]) == (0x2000, 0x49)
    for dabrx in (0, 4, 5, 0x11):
        assert guest.hcall(n.H_SET_XDABR, 0x2002, dabrx)[0] == n.H_PARAMETER


def test_small_calls(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    assert guest.hcall(n.H_SET_SPRG0, 99)[0] == n.H_SUCCESS
    assert vcpus[0].regs["sprg0"] == 99
    guest.partition.entropy = lambda count: b"\xa5" * count
    assert guest.hcall(n.H_RANDOM)[:2] == (n.H_SUCCESS, 0xA5A5A5A5A5A5A5A5)
    vcpus[0].regs["tb"] = 1000
    assert guest.hcall(n.H_PURR)[:2] == (n.H_SUCCESS, 1000)
    assert guest.hcall(n.H_GET_PPP)[:2] == (n.H_SUCCESS, 400)
    assert guest.hcall(n.H_HOME_NODE_ASSOCIATIVITY, 1, 3)[:4] == (n.H_SUCCESS, 0, 0, 3 << 32 | 0xFFFFFFFF)
    assert guest.hcall(n.H_HOME_NODE_ASSOCIATIVITY, 1, 4)[0] == n.H_P2
    assert guest.hcall(n.H_HOME_NODE_ASSOCIATIVITY, 2, 0)[0] == n.H_FUNCTION


def test_linux_needs_no_flushes(guest: FakeGuest) -> None:
    status, _, behaviour, *_ = guest.hcall(n.H_GET_CPU_CHARACTERISTICS)
    favour_security, l1d_flush, bounds_check = 1 << 63, 1 << 62, 1 << 61
    no_flush_entry, no_flush_uaccess, no_stf = 1 << 56, 1 << 55, 1 << 54
    assert status == n.H_SUCCESS
    assert not behaviour & (favour_security | l1d_flush | bounds_check)
    assert not ~behaviour & (no_flush_entry | no_flush_uaccess | no_stf)


# -- system reset


def test_system_reset_of_one_all_and_others(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    start(guest, 1)
    start(guest, 2)
    assert guest.hcall(n.H_SIGNAL_SYS_RESET, 1)[0] == n.H_SUCCESS
    assert guest.hcall(n.H_SIGNAL_SYS_RESET, n.U64)[0] == n.H_SUCCESS
    assert guest.hcall(n.H_SIGNAL_SYS_RESET, n.U64 - 1)[0] == n.H_SUCCESS
    assert guest.hcall(n.H_SIGNAL_SYS_RESET, n.U64 - 2)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_SIGNAL_SYS_RESET, 4)[0] == n.H_PARAMETER
    assert [vcpu.system_resets for vcpu in vcpus] == [1, 3, 2, 0]


def test_system_reset_at_the_registered_address(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    p = guest.partition
    p.rtas_base, p.rtas_size = 0x9000, 0x1000
    assert guest.rtas("ibm,nmi-register", 0x500, 0x600) == (0,)
    start(guest, 1)
    vcpus[1].regs |= {"pc": 0xC000, "msr": n.MSR_SF | n.MSR_EE | n.MSR_LE, "r3": 0x1234, "lpcr": LITTLE}
    assert guest.hcall(n.H_SIGNAL_SYS_RESET, 1)[0] == n.H_SUCCESS
    p.settle(vcpus[1])
    regs = vcpus[1].regs
    assert (regs["pc"], regs["srr0"]) == (0x500, 0xC000)
    assert regs["msr"] == n.MSR_SF | n.MSR_ME | n.MSR_LE
    assert p.memory.read_u64(regs["r3"]) == 0x1234
    assert 0x9000 <= regs["r3"] < 0x9000 + 0x1000 - 16  # where Linux takes it from
    assert vcpus[1].system_resets == 0


def test_own_system_reset_comes_after_the_answer(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    guest.partition.rtas_base, guest.partition.rtas_size = 0x9000, 0x1000
    guest.rtas("ibm,nmi-register", 0x500, 0x600)
    guest.hcall(n.H_SIGNAL_SYS_RESET, 0)
    assert vcpus[0].regs["pc"] == 0x500
    assert guest.partition.memory.read_u64(vcpus[0].regs["r3"]) == n.H_SUCCESS


def test_nmi_calls_check(guest: FakeGuest) -> None:
    assert guest.rtas("ibm,nmi-interlock") == (n.RTAS_PARAM_ERROR,)
    assert guest.rtas("ibm,nmi-register", 0xFFFFFFF0, 0) == (n.RTAS_PARAM_ERROR,)
    assert guest.rtas("ibm,nmi-register", 0x500, 0x600) == (0,)
    assert guest.rtas("ibm,nmi-interlock") == (0,)


# -- areas

VPA, DTL, SLB = 1 << 45, 2 << 45, 3 << 45
DROP = 4 << 45


def make_area(guest: FakeGuest, address: int, size: int) -> int:
    guest.partition.memory.write_u32(address + 4, size << 16 if size == 640 else size)
    return address


def test_areas_are_registered_and_dropped_in_order(guest: FakeGuest) -> None:
    slb, dtl = make_area(guest, 0x2000, 0x88), make_area(guest, 0x3000, 4096)
    vpa = make_area(guest, 0x1000, 640)
    call = n.H_REGISTER_VPA
    assert guest.hcall(call, SLB, 1, slb)[0] == n.H_RESOURCE
    assert guest.hcall(call, DTL, 1, dtl)[0] == n.H_RESOURCE
    for flags, area in ((VPA, vpa), (SLB, slb), (DTL, dtl)):
        assert guest.hcall(call, flags, 1, area)[0] == n.H_SUCCESS
    cpu = guest.partition.processors[1]
    assert (cpu.vpa, cpu.slb_shadow, cpu.dtl) == (vpa, slb, dtl)
    assert guest.hcall(call, VPA | DROP, 1, 0)[0] == n.H_RESOURCE
    for flags in (SLB, DTL, VPA):
        assert guest.hcall(call, flags | DROP, 1, 0)[0] == n.H_SUCCESS
    assert (cpu.vpa, cpu.slb_shadow, cpu.dtl) == (0, 0, 0)


@pytest.mark.parametrize(
    ("flags", "cpu", "address", "status"),
    [
        (VPA, 4, 0x1000, n.H_PARAMETER),
        (VPA, 0, 0, n.H_HARDWARE),
        (SLB, 0, 0, n.H_HARDWARE),
        (DTL, 0, 0, n.H_HARDWARE),
        (VPA, 0, 0x1004, n.H_PARAMETER),
        (VPA, 0, 0x5000, n.H_PARAMETER),  # size 0
        (SLB, 0, 0x5000, n.H_PARAMETER),
        (DTL, 0, 0x5000, n.H_PARAMETER),
        (VPA, 0, 0x1F00, n.H_PARAMETER),  # crosses a page
        (VPA, 0, 1 << 40, n.H_PARAMETER),
        (SLB, 0, 1 << 40, n.H_PARAMETER),
        (0, 0, 0x1000, n.H_PARAMETER),
        (VPA | 1, 0, 0x1000, n.H_PARAMETER),
    ],
)
def test_bad_areas(guest: FakeGuest, flags: int, cpu: int, address: int, status: int) -> None:
    make_area(guest, 0x1000, 640)
    make_area(guest, 0x1F00, 640)
    assert guest.hcall(n.H_REGISTER_VPA, flags, cpu, address)[0] == status


def test_stop_self_drops_the_areas(guest: FakeGuest, partition: Partition) -> None:
    start(guest, 1)
    guest.hcall(n.H_REGISTER_VPA, VPA, 1, make_area(guest, 0x1000, 640))
    guest.rtas("stop-self", cpu=1)
    assert partition.processors[1].vpa == 0
