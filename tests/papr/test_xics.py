# SPDX-License-Identifier: GPL-2.0-only
"""XICS through hypercalls and RTAS, as Linux's icp-hv and ics-rtas drive it."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpar.errors import InternalError
from lpar.papr import numbers as n
from lpar.papr.partition import Partition
from lpar.papr.xics import Xics
from lpar.testing.fake_vcpu import FakeGuest, FakeVcpu

OPEN = 0xFF  #: CPPR that lets everything through
PRIORITY = 5
IPI_PRIORITY = 4


@pytest.fixture
def guest(partition: Partition) -> FakeGuest:
    guest = FakeGuest(partition)
    for cpu in range(4):
        guest.hcall(n.H_CPPR, OPEN, cpu=cpu)
    return guest


def route(guest: FakeGuest, number: int, server: int = 0, priority: int = PRIORITY) -> None:
    assert guest.rtas("ibm,set-xive", number, server, priority) == (0,)


def accept(guest: FakeGuest, cpu: int = 0) -> tuple[int, int]:
    status, xirr, *_ = guest.hcall(n.H_XIRR, cpu=cpu)
    assert status == n.H_SUCCESS
    return xirr >> 24, xirr & 0xFFFFFF


def test_message_is_presented_accepted_and_ended(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    irq = guest.partition.xics.allocate()
    route(guest, irq.number)
    irq.pulse()
    assert vcpus[0].external
    assert accept(guest) == (OPEN, irq.number)
    assert not vcpus[0].external
    assert guest.hcall(n.H_IPOLL, 0)[1] == PRIORITY << 24  # CPPR is the accepted priority
    assert guest.hcall(n.H_EOI, OPEN << 24 | irq.number)[0] == n.H_SUCCESS
    assert accept(guest) == (OPEN, 0)  # nothing more, and CPPR stays


def test_level_comes_again_until_lowered(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    irq = guest.partition.xics.allocate(level=True)
    route(guest, irq.number, server=1)
    irq.set_level(True)
    assert vcpus[1].external
    assert not vcpus[0].external
    accept(guest, 1)
    guest.hcall(n.H_EOI, OPEN << 24 | irq.number, cpu=1)
    assert accept(guest, 1) == (OPEN, irq.number)
    irq.set_level(False)
    guest.hcall(n.H_EOI, OPEN << 24 | irq.number, cpu=1)
    assert not vcpus[1].external


def test_edge_while_masked_is_remembered(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    irq = guest.partition.xics.allocate()
    irq.pulse()
    assert not vcpus[0].external
    route(guest, irq.number)
    assert accept(guest) == (OPEN, irq.number)


def test_edge_while_in_service_comes_after_eoi(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    irq = guest.partition.xics.allocate()
    route(guest, irq.number)
    irq.pulse()
    accept(guest)
    irq.pulse()
    assert not vcpus[0].external  # CPPR is its own priority
    guest.hcall(n.H_EOI, OPEN << 24 | irq.number)
    assert accept(guest) == (OPEN, irq.number)


def test_more_favoured_replaces_and_the_other_comes_back(guest: FakeGuest) -> None:
    low, high = guest.partition.xics.allocate(), guest.partition.xics.allocate()
    route(guest, low.number, priority=6)
    route(guest, high.number, priority=2)
    low.pulse()
    high.pulse()
    assert accept(guest) == (OPEN, high.number)
    guest.hcall(n.H_EOI, OPEN << 24 | high.number)
    assert accept(guest) == (OPEN, low.number)


def test_nested_interrupt_returns_to_the_outer_priority(guest: FakeGuest) -> None:
    low, high = guest.partition.xics.allocate(), guest.partition.xics.allocate()
    route(guest, low.number, priority=6)
    route(guest, high.number, priority=2)
    low.pulse()
    accept(guest)
    high.pulse()
    assert accept(guest) == (6, high.number)
    low.pulse()
    guest.hcall(n.H_EOI, 6 << 24 | high.number)
    assert accept(guest) == (6, 0)
    guest.hcall(n.H_EOI, OPEN << 24 | low.number)
    assert accept(guest) == (OPEN, low.number)


def test_raising_the_guard_withdraws_what_is_presented(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    irq = guest.partition.xics.allocate()
    route(guest, irq.number)
    irq.pulse()
    guest.hcall(n.H_CPPR, 0)
    assert not vcpus[0].external
    guest.hcall(n.H_CPPR, OPEN)
    assert vcpus[0].external
    assert accept(guest) == (OPEN, irq.number)


def test_ipi(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    assert guest.hcall(n.H_IPI, 2, IPI_PRIORITY)[0] == n.H_SUCCESS
    assert vcpus[2].external
    assert accept(guest, 2) == (OPEN, n.IRQ_IPI)
    assert guest.hcall(n.H_IPI, 2, 0xFF)[0] == n.H_SUCCESS
    guest.hcall(n.H_EOI, OPEN << 24 | n.IRQ_IPI, cpu=2)
    assert accept(guest, 2) == (OPEN, 0)


def test_ipi_not_cleared_comes_again(guest: FakeGuest) -> None:
    guest.hcall(n.H_IPI, 0, IPI_PRIORITY)
    accept(guest)
    guest.hcall(n.H_EOI, OPEN << 24 | n.IRQ_IPI)
    assert accept(guest) == (OPEN, n.IRQ_IPI)


def test_ipi_displaces_a_less_favoured_source(guest: FakeGuest) -> None:
    irq = guest.partition.xics.allocate()
    route(guest, irq.number)
    irq.pulse()
    guest.hcall(n.H_IPI, 0, IPI_PRIORITY)
    assert accept(guest) == (OPEN, n.IRQ_IPI)
    guest.hcall(n.H_IPI, 0, 0xFF)
    guest.hcall(n.H_EOI, OPEN << 24 | n.IRQ_IPI)
    assert accept(guest) == (OPEN, irq.number)


def test_routing_elsewhere_moves_a_waiting_interrupt(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    irq = guest.partition.xics.allocate()
    guest.hcall(n.H_CPPR, 0)
    route(guest, irq.number)
    irq.pulse()
    route(guest, irq.number, server=3)
    assert vcpus[3].external
    assert not guest.partition.xics.servers[0].waiting
    guest.hcall(n.H_CPPR, OPEN)
    assert not vcpus[0].external


def test_int_off_and_on_keep_the_priority(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    irq = guest.partition.xics.allocate(level=True)
    route(guest, irq.number, server=1, priority=7)
    assert guest.rtas("ibm,int-off", irq.number) == (0,)
    assert guest.rtas("ibm,int-off", irq.number) == (0,)  # twice does not lose it
    assert guest.rtas("ibm,get-xive", irq.number, nret=3) == (0, 1, 0xFF)
    irq.set_level(True)
    assert not vcpus[1].external
    assert guest.rtas("ibm,int-on", irq.number) == (0,)
    assert guest.rtas("ibm,get-xive", irq.number, nret=3) == (0, 1, 7)
    assert vcpus[1].external


@pytest.mark.parametrize(
    ("name", "args", "nret"),
    [
        ("ibm,set-xive", (0x9999, 0, 5), 1),
        ("ibm,set-xive", (n.IRQ_BASE, 4, 5), 1),
        ("ibm,set-xive", (n.IRQ_BASE, 0, 0x100), 1),
        ("ibm,set-xive", (n.IRQ_BASE, 0), 1),
        ("ibm,get-xive", (2,), 3),
        ("ibm,int-on", (0,), 1),
        ("ibm,int-off", (0xFFFFFFFF,), 1),
    ],
)
def test_bad_routing_is_a_parameter_error(
    guest: FakeGuest, name: str, args: tuple[int, ...], nret: int
) -> None:
    assert guest.rtas(name, *args, nret=nret)[0] == n.RTAS_PARAM_ERROR


def test_bad_servers_and_numbers(guest: FakeGuest) -> None:
    assert guest.hcall(n.H_IPI, 4, 0)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_IPI, n.U64, 0)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_IPOLL, 4)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_EOI, 0xFF123456)[0] == n.H_PARAMETER


def test_xirr_x_gives_the_timebase(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    vcpus[0].regs["tb"] = 12345
    assert guest.hcall(n.H_XIRR_X)[:3] == (n.H_SUCCESS, OPEN << 24, 12345)


def test_numbers_are_unique_and_blocks_consecutive(partition: Partition) -> None:
    xics = partition.xics
    fixed = xics.allocate(number=0x1003)
    block = xics.allocate_block(4)
    assert [s.number for s in block] == [0x1004, 0x1005, 0x1006, 0x1007]
    assert xics.allocate().number == 0x1001
    with pytest.raises(InternalError):
        xics.allocate(number=fixed.number)
    xics.free(fixed)
    assert xics.allocate(number=fixed.number).number == fixed.number


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["pulse", "raise", "lower", "accept", "end", "cppr", "mfrr", "route", "route"]),
        st.integers(0, 3),
        st.sampled_from([0, 2, 4, 5, 6, 0xFF]),
    ),
    min_size=10,
    max_size=80,
)


def play(xics: Xics, actions: list[tuple[str, int, int]]) -> None:
    sources = list(xics.sources.values())
    for action, which, value in actions:
        source, server = sources[which], (which + value) % 2
        match action:
            case "pulse":
                source.pulse()
            case "raise" | "lower":
                source.set_level(action == "raise")
            case "accept":
                xics.accept(server)
            case "end":
                xics.end(server, value << 24 | source.number)
            case "cppr":
                xics.set_cppr(server, value)
            case "mfrr":
                xics.set_mfrr(server, value)
            case "route":
                xics.set_xive(source, server, value, value)


def new_xics(levels: dict[int, bool]) -> Xics:
    def output(server: int):  # noqa: ANN202
        return lambda level: levels.__setitem__(server, level)

    xics = Xics([output(0), output(1)])
    for i in range(4):
        xics.allocate(level=bool(i & 1))
    return xics


def test_an_ended_interrupt_that_comes_again_does_not_hide_an_ipi() -> None:
    levels: dict[int, bool] = {}
    xics = new_xics(levels)
    xics.set_mfrr(1, 0)
    play(xics, [("pulse", 0, 0), ("route", 0, 5), ("end", 0, 255)])
    assert xics.accept(1) & 0xFFFFFF == n.IRQ_IPI


@settings(max_examples=300, deadline=None)
@given(ACTIONS)
def test_no_interrupt_is_ever_lost(actions: list[tuple[str, int, int]]) -> None:
    """What wants to be presented is waiting, or presented; and the output says what is presented."""
    levels: dict[int, bool] = {0: False, 1: False}
    xics = new_xics(levels)
    for action in actions:
        play(xics, [action])
        check_servers(xics, levels)


def test_an_ended_interrupt_does_not_pass_an_ipi(guest: FakeGuest) -> None:
    """An EOI that raises the CPPR presents the most favoured of all that wait, not its own source."""
    xics = new_xics({})
    source = xics.sources[n.IRQ_BASE]
    source.pulse()
    xics.set_mfrr(0, 1)
    xics.set_xive(source, 0, 2, 2)
    xics.end(0, 4 << 24 | source.number)
    assert xics.accept(0) & 0xFFFFFF == n.IRQ_IPI


def check_servers(xics: Xics, levels: dict[int, bool]) -> None:
    for i, server in enumerate(xics.servers):
        assert levels[i] == bool(server.xisr)
        assert not server.xisr or server.pending_priority < server.cppr
        if not server.xisr:
            assert server.mfrr >= server.cppr
            assert all(s.priority >= server.cppr for s in server.waiting.values())
    for source in xics.sources.values():
        waiting = [i for i, s in enumerate(xics.servers) if source.number in s.waiting]
        assert waiting == ([source.server] if source.wants() else [])


def test_every_ipi_arrives_with_servers_on_threads(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    """Each of four threads interrupts the next one over and over, and takes what it gets."""
    rounds, xics = 500, guest.partition.xics
    taken = [0] * 4

    def processor(cpu: int) -> None:
        deadline = time.monotonic() + 20
        while taken[cpu] < rounds and time.monotonic() < deadline:
            vcpus[cpu].wait()
            xirr = xics.accept(cpu)
            if xirr & 0xFFFFFF:
                xics.set_mfrr(cpu, 0xFF)
                taken[cpu] += 1
                xics.set_mfrr((cpu + 1) % 4, IPI_PRIORITY)
                xics.end(cpu, xirr)

    xics.set_mfrr(0, IPI_PRIORITY)
    threads = [threading.Thread(target=processor, args=(cpu,)) for cpu in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert taken == [rounds] * 4


@given(ACTIONS, ACTIONS)
def test_a_restored_controller_goes_on_the_same(
    before: list[tuple[str, int, int]], after: list[tuple[str, int, int]]
) -> None:
    levels, other_levels = {0: False, 1: False}, {0: False, 1: False}
    xics, other = new_xics(levels), new_xics(other_levels)
    play(xics, before)
    other.restore(xics.save())
    assert other.save() == xics.save()
    assert other_levels == levels
    play(xics, after)
    play(other, after)
    assert other_levels == levels
