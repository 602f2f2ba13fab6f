# SPDX-License-Identifier: GPL-2.0-only
"""Terminals, memory calls, NVRAM, time, power, parameters; registry, traces, hostile guests, state."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lpar.errors import InternalError
from lpar.host.memory import GuestMemory
from lpar.papr import numbers as n
from lpar.papr import registry
from lpar.papr.events import Panic, PowerOff, Reboot
from lpar.papr.nvram import header
from lpar.papr.partition import Partition
from lpar.papr.vty import INPUT_LIMIT
from lpar.testing.fake_vcpu import RTAS_BLOCK, FakeGuest, FakeVcpu

# -- terminals


def put(guest: FakeGuest, data: bytes, unit: int = n.VTY_BASE, length: int | None = None) -> int:
    high, low = struct.unpack(">QQ", data.ljust(16, b"\0"))
    return guest.hcall(n.H_PUT_TERM_CHAR, unit, len(data) if length is None else length, high, low)[0]


def get(guest: FakeGuest, unit: int = n.VTY_BASE) -> bytes:
    status, length, high, low, *_ = guest.hcall(n.H_GET_TERM_CHAR, unit)
    assert status == n.H_SUCCESS
    return struct.pack(">QQ", high, low)[:length]


def test_output(guest: FakeGuest, output: bytearray) -> None:
    for piece in (b"Linux", b"", b"0123456789abcdef", b"\0\xff"):
        assert put(guest, piece) == n.H_SUCCESS
    assert put(guest, b"!", unit=0) == n.H_SUCCESS  # unit 0: the default console
    assert output == b"Linux0123456789abcdef\0\xff!"


def test_output_checks(guest: FakeGuest, output: bytearray) -> None:
    assert put(guest, b"x", length=17) == n.H_PARAMETER
    assert put(guest, b"x", length=n.U64) == n.H_PARAMETER
    assert put(guest, b"x", unit=n.VTY_BASE + 1) == n.H_PARAMETER
    assert guest.hcall(n.H_GET_TERM_CHAR, 1)[0] == n.H_PARAMETER
    assert output == b""


def test_busy_output(guest: FakeGuest) -> None:
    guest.partition.vtys[0].output = lambda data: False
    assert put(guest, b"x") == n.H_BUSY
    assert guest.rtas("display-character", 65) == (n.RTAS_BUSY,)


def test_several_terminals(guest: FakeGuest, output: bytearray) -> None:
    other = bytearray()
    vty = guest.partition.add_vty(other.extend)
    assert vty.unit == 0x30000001
    assert vty.irq.number != guest.partition.vtys[0].irq.number
    put(guest, b"two", unit=vty.unit)
    assert (output, other) == (b"", b"two")
    vty.feed(b"in")
    assert get(guest) == b""
    assert get(guest, vty.unit) == b"in"


def test_input_interrupts(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    vty = guest.partition.vtys[0]
    guest.hcall(n.H_CPPR, 0xFF)
    guest.rtas("ibm,set-xive", vty.irq.number, 0, 5)
    vty.feed(b"x" * 20)
    assert guest.hcall(n.H_XIRR)[1] & 0xFFFFFF == vty.irq.number
    assert [get(guest), get(guest), get(guest)] == [b"x" * 16, b"xxxx", b""]
    guest.hcall(n.H_EOI, 0xFF000000 | vty.irq.number)
    assert not vcpus[0].external
    assert guest.hcall(n.H_VIO_SIGNAL, vty.unit, 0)[0] == n.H_SUCCESS
    vty.feed(b"y")
    assert not vcpus[0].external
    assert guest.hcall(n.H_VIO_SIGNAL, vty.unit, 2)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_VIO_SIGNAL, 5, 1)[0] == n.H_PARAMETER


def test_input_has_a_limit(guest: FakeGuest) -> None:
    vty = guest.partition.vtys[0]
    assert vty.feed(bytes(INPUT_LIMIT + 5)) == INPUT_LIMIT
    assert vty.feed(b"x") == 0
    assert vty.send(b"x", timeout=0.01) == 0
    get(guest)
    assert vty.send(b"x", timeout=0.01) == 1


def test_nothing_is_lost_or_reordered_under_load(guest: FakeGuest, output: bytearray) -> None:
    """The guest echoes what comes in, while a sender pushes as fast as it can."""
    data = bytes(i * 7 % 251 for i in range(60000))
    sender = threading.Thread(target=lambda: guest.partition.vtys[0].send(data, timeout=10))
    sender.start()
    deadline = time.monotonic() + 30
    while len(output) < len(data) and time.monotonic() < deadline:
        piece = get(guest)
        if piece:
            assert put(guest, piece) == n.H_SUCCESS
    sender.join(5)
    assert output == data


def test_characters_through_rtas(guest: FakeGuest, output: bytearray) -> None:
    assert guest.rtas("display-character", 0x141) == (0,)
    assert guest.rtas("put-term-char", 0x42) == (0,)
    assert guest.rtas(n.RTAS_RAW_DISPLAY_CHARACTER, 0x43) == (0,)
    assert output == b"ABC"
    assert guest.rtas("get-term-char", nret=2)[0] == n.RTAS_BUSY
    guest.partition.vtys[0].feed(b"z")
    assert guest.rtas("get-term-char", nret=2) == (0, ord("z"))


# -- memory


def test_page_init(guest: FakeGuest) -> None:
    memory, told = guest.partition.memory, []
    guest.partition.memory_written = lambda *range: told.append(range)
    memory.write(0x1000, b"a" * 4096)
    assert guest.hcall(n.H_PAGE_INIT, n.H_COPY_PAGE, 0x2000, 0x1000)[0] == n.H_SUCCESS
    assert memory.read(0x2000, 4096) == b"a" * 4096
    assert guest.hcall(n.H_PAGE_INIT, n.H_ZERO_PAGE | n.H_ICACHE_INVALIDATE, 0x2000, 0)[0] == n.H_SUCCESS
    assert memory.read(0x2000, 4096) == bytes(4096)
    assert guest.hcall(n.H_PAGE_INIT, 0, 0x2000, 0)[0] == n.H_SUCCESS
    assert told == [(0x2000, 4096)] * 2


@pytest.mark.parametrize(
    "args",
    [
        (1, 0x1000, 0),
        (n.H_ZERO_PAGE, 0x1001, 0),
        (n.H_ZERO_PAGE, 1 << 20, 0),
        (n.H_COPY_PAGE, 0x1000, 0x2001),
        (n.H_COPY_PAGE, 0x1000, 1 << 50),
        (0, n.U64 - 4095, 0),
    ],
)
def test_page_init_checks(guest: FakeGuest, args: tuple[int, ...]) -> None:
    assert guest.hcall(n.H_PAGE_INIT, *args)[0] == n.H_PARAMETER


@pytest.mark.parametrize("load", [n.H_LOGICAL_CI_LOAD, n.H_LOGICAL_CACHE_LOAD])
@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_logical_load_and_store(guest: FakeGuest, load: int, size: int) -> None:
    value = 0x1122334455667788 & (1 << 8 * size) - 1
    assert guest.hcall(load + 4, size, 0x1000, 0x1122334455667788)[0] == n.H_SUCCESS
    assert guest.partition.memory.read(0x1000, size) == value.to_bytes(size, "big")
    assert guest.hcall(load, size, 0x1000)[:2] == (n.H_SUCCESS, value)


class Bus:
    def __init__(self) -> None:
        self.stored: list[tuple[int, int, int]] = []

    def read(self, address: int, size: int) -> int | None:
        return 0x55 if address == 0x3F0000000000 else None

    def write(self, address: int, size: int, value: int) -> bool:
        self.stored.append((address, size, value))
        return address == 0x3F0000000000


def test_logical_access_outside_ram(guest: FakeGuest) -> None:
    device = 0x3F0000000000
    assert guest.hcall(n.H_LOGICAL_CI_LOAD, 4, device)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_LOGICAL_CI_STORE, 4, device, 1)[0] == n.H_PARAMETER
    guest.partition.mmio = bus = Bus()
    assert guest.hcall(n.H_LOGICAL_CI_LOAD, 4, device)[:2] == (n.H_SUCCESS, 0x55)
    assert guest.hcall(n.H_LOGICAL_CI_STORE, 1, device, 0x1FF)[0] == n.H_SUCCESS
    assert bus.stored == [(device, 1, 0xFF)]
    assert guest.hcall(n.H_LOGICAL_CI_LOAD, 4, device + 8)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_LOGICAL_CI_LOAD, 3, 0)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_LOGICAL_CI_STORE, 16, 0, 0)[0] == n.H_PARAMETER


# -- NVRAM


def test_nvram(guest: FakeGuest) -> None:
    memory = guest.partition.memory
    memory.write(0x1000, b"crash log")
    assert guest.rtas("nvram-store", 0x2000, 0x1000, 9, nret=2) == (0, 9)
    assert guest.rtas("nvram-fetch", 0x2000, 0x3000, 9, nret=2) == (0, 9)
    assert memory.read(0x3000, 9) == b"crash log"


@pytest.mark.parametrize("name", ["nvram-store", "nvram-fetch"])
@pytest.mark.parametrize("args", [(0xFFFF, 0, 2), (0, 0xFFFFF, 2), (0xFFFFFFFF, 0, 0xFFFFFFFF)])
def test_nvram_checks(guest: FakeGuest, name: str, args: tuple[int, ...]) -> None:
    assert guest.rtas(name, *args, nret=2)[0] == n.RTAS_PARAM_ERROR


def linux_checksum(raw: bytes) -> int:
    """nvram_checksum of Linux: a sum of 16-bit words, folded."""
    signature, length, *name = raw[0], int.from_bytes(raw[2:4], "little"), *struct.unpack("<6H", raw[4:])
    total = signature + length + sum(name)
    total = (total & 0xFFFF) + (total >> 16) & 0xFFFF
    return (total + (total >> 8) + (total << 8)) >> 8 & 0xFF


@given(st.integers(0, 255), st.integers(1, 0xFFFF), st.binary(max_size=12))
def test_nvram_headers_have_the_checksum_linux_expects(signature: int, blocks: int, name: bytes) -> None:
    raw = header(signature, blocks * 16, name)
    assert linux_checksum(raw) % 255 == raw[1] % 255


def test_nvram_partitions_fill_it(partition: Partition) -> None:
    data, at, signatures = partition.nvram.data, 0, []
    while at < len(data):
        signatures.append(data[at])
        at += int.from_bytes(data[at + 2 : at + 4], "big") * 16
    assert (signatures, at) == ([0x70, 0x7F], len(data))


# -- time, power, parameters

NOON = datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC)


def test_time_of_day(guest: FakeGuest) -> None:
    guest.partition.clock = lambda: int(NOON.timestamp()) * 10**9 + 123
    assert guest.rtas("get-time-of-day", nret=8) == (0, 2024, 2, 29, 12, 30, 15, 123)
    assert guest.rtas("set-time-of-day", 1999, 12, 31, 23, 59, 59, 5) == (0,)
    assert guest.rtas("get-time-of-day", nret=8) == (0, 1999, 12, 31, 23, 59, 59, 5)
    guest.partition.clock = lambda: (int(NOON.timestamp()) + 1) * 10**9 + 123
    assert guest.rtas("get-time-of-day", nret=8) == (0, 2000, 1, 1, 0, 0, 0, 5)


@pytest.mark.parametrize(
    "args",
    [
        (2023, 2, 29, 0, 0, 0, 0),
        (0, 1, 1, 0, 0, 0, 0),
        (2024, 13, 1, 0, 0, 0, 0),
        (2024, 1, 1, 24, 0, 0, 0),
        (0xFFFFFFFF,) * 7,
        (2024, 1, 1, 0, 0, 0, 10**9),
    ],
)
def test_bad_time(guest: FakeGuest, args: tuple[int, ...]) -> None:
    assert guest.rtas("set-time-of-day", *args) == (n.RTAS_PARAM_ERROR,)
    assert guest.partition.rtc_offset_ns == 0


def test_events(guest: FakeGuest) -> None:
    memory, events = guest.partition.memory, guest.partition.events
    memory.write(0x4000, b"Attempted to kill init!\n\0")
    assert guest.rtas("power-off", 0xFFFFFFFF, 0xFFFFFFFF) == (0,)
    assert guest.rtas("system-reboot") == (0,)
    assert guest.rtas("ibm,os-term", 0x4000) == (0,)
    assert guest.rtas("ibm,os-term", (1 << 20) - 1) == (0,)
    assert guest.rtas("ibm,os-term", 0xFFFFFFFF) == (0,)
    got = [events.get_nowait() for _ in range(5)]
    assert got == [PowerOff(), Reboot(), Panic("Attempted to kill init!"), Panic(""), Panic("")]


def test_system_parameters(guest: FakeGuest) -> None:
    memory = guest.partition.memory
    assert guest.rtas("ibm,get-system-parameter", 20, 0x4000, 100) == (0,)
    length = memory.read_u16(0x4000)
    assert memory.read(0x4002, length) == b"MaxEntCap=4,DesMem=1,DesProcs=4,MaxPlatProcs=4\0"
    memory.write(0x4000, b"\xaa" * 16)
    assert guest.rtas("ibm,get-system-parameter", 48, 0x4000, 6) == (0,)
    assert memory.read(0x4000, 7) == b"\0\x10" + guest.partition.uuid[:4] + b"\xaa"
    assert guest.rtas("ibm,get-system-parameter", 55, 0x4000, 100) == (0,)
    assert memory.read(0x4002, 5) == b"lpar\0"
    assert guest.rtas("ibm,get-system-parameter", 20, 0x4000, 1) == (n.RTAS_SYSPARM_PARAM_ERROR,)
    assert guest.rtas("ibm,get-system-parameter", 20, 0xFFFFFFFF, 100) == (n.RTAS_PARAM_ERROR,)
    assert guest.rtas("ibm,get-system-parameter", 44, 0x4000, 100) == (n.RTAS_PARAM_ERROR,)
    assert guest.rtas("ibm,set-system-parameter", 20, 0x4000) == (n.RTAS_NOT_AUTHORIZED,)
    assert guest.rtas("ibm,set-system-parameter", 44, 0x4000) == (n.RTAS_PARAM_ERROR,)


def test_quiet_services(guest: FakeGuest) -> None:
    assert guest.rtas("event-scan", 0xF0000000, 0, 0x4000, 2048) == (n.RTAS_NO_ERRORS_FOUND,)
    assert guest.rtas("check-exception", 0x500, 0, 0, 1, 0x4000, 2048) == (n.RTAS_NO_ERRORS_FOUND,)
    assert guest.rtas("set-indicator", 9005, 0, 1) == (0,)
    assert guest.rtas("set-indicator", 1, 0, 1) == (n.RTAS_PARAM_ERROR,)
    assert guest.rtas("get-sensor-state", 9, 0, nret=2) == (0, 0)
    assert guest.rtas("get-sensor-state", 3, 0, nret=2)[0] == n.RTAS_PARAM_ERROR
    assert guest.rtas("set-power-level", 0xFFFFFFFF, 5, nret=2) == (0, 100)
    assert guest.rtas("get-power-level", 0xFFFFFFFF, nret=2) == (0, 100)
    assert guest.rtas("get-power-level", 1, nret=2)[0] == n.RTAS_PARAM_ERROR


# -- registry and dispatch


def test_the_device_tree_gets_what_is_registered() -> None:
    tokens = registry.rtas_tokens()
    assert tokens["start-cpu"] in registry.RTAS_CALLS
    assert sorted(tokens.values()) == list(range(0x2000, 0x2000 + len(tokens)))
    assert registry.hypertas_functions() == [
        "hcall-bulk", "hcall-copy", "hcall-dabr", "hcall-debug", "hcall-interrupt", "hcall-join",
        "hcall-multi-tce", "hcall-pft", "hcall-set-mode", "hcall-splpar", "hcall-sprg0", "hcall-tce",
        "hcall-term", "hcall-vio", "hcall-xdabr",
    ]  # fmt: skip


def test_every_call_says_what_it_is() -> None:
    rows = list(registry.describe())
    assert ("H_CEDE", "0xe0", "Sleep until an interrupt or H_PROD; external interrupts are enabled.") in rows
    assert all(name and summary for name, _, summary in rows)


def test_a_number_is_registered_once() -> None:
    with pytest.raises(InternalError):
        registry.hcall(n.H_CEDE)(lambda p, vcpu, a: 0)
    with pytest.raises(InternalError):
        registry.rtas("start-cpu")(lambda p, vcpu, a: 0)


def test_unknown_calls(guest: FakeGuest) -> None:
    assert guest.hcall(0x1234)[0] == n.H_FUNCTION
    assert guest.hcall(n.U64)[0] == n.H_FUNCTION
    assert guest.rtas(0x2FFF) == (n.RTAS_PARAM_ERROR,)


def test_wrong_counts_of_rtas_words(guest: FakeGuest) -> None:
    assert guest.rtas("power-off", 1) == (n.RTAS_PARAM_ERROR,)
    assert guest.rtas("get-time-of-day", nret=3) == (n.RTAS_PARAM_ERROR, 0xEEEEEEEE, 0xEEEEEEEE)
    assert guest.rtas("stop-self", nret=0) == (0,)
    assert guest.partition.events.empty()


@pytest.mark.parametrize(
    ("address", "words"),
    [(1 << 20, ()), (n.U64 >> 4, ()), (RTAS_BLOCK, (0x2000, 17, 1)), (RTAS_BLOCK, (0x2000, 1, 17))],
)
def test_bad_rtas_blocks(guest: FakeGuest, address: int, words: tuple[int, ...]) -> None:
    if words:
        guest.partition.memory.write(address, struct.pack(">3I", *words))
    assert guest.hcall(n.KVMPPC_H_RTAS, address)[0] == n.H_PARAMETER


def test_return_words_must_be_in_ram(guest: FakeGuest) -> None:
    block = (1 << 20) - 12
    guest.partition.memory.write(block, struct.pack(">3I", guest.tokens["system-reboot"], 0, 1))
    assert guest.hcall(n.KVMPPC_H_RTAS, block)[0] == n.H_PARAMETER
    assert guest.partition.events.empty()


def test_no_more_return_words_than_asked_for(guest: FakeGuest) -> None:
    guest.partition.memory.write(RTAS_BLOCK + 12, b"kept")
    assert guest.rtas("stop-self", nret=0) == (0,)
    assert guest.partition.memory.read(RTAS_BLOCK + 12, 4) == b"kept"


def test_the_documentation_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "design" / "hypercalls.md"
    assert page.read_text().endswith(registry.markdown()), (
        "rewrite its table with lpar.papr.registry.markdown()"
    )


def test_traces(guest: FakeGuest) -> None:
    lines: list[str] = []
    guest.partition.trace_hcall = guest.partition.trace_rtas = lines.append
    guest.hcall(n.H_XIRR)
    guest.hcall(0x1234)
    guest.rtas("ibm,get-xive", 0x1000, nret=3)
    guest.rtas(0x2FFF)
    assert lines[0].startswith("hcall cpu0 H_XIRR(")
    assert lines[0].endswith(") = H_SUCCESS, 0x0")
    assert lines[1].startswith("hcall cpu0 unknown 0x1234(")
    assert lines[1].endswith(") = H_FUNCTION")
    assert lines[2] == "rtas cpu0 ibm,get-xive(0x1000) = 0, 0x0, 0xff"
    assert lines[4] == "rtas cpu0 unknown token 0x2fff() = -3"


def test_our_own_bug_is_the_guests_hardware_error(guest: FakeGuest, caplog: pytest.LogCaptureFixture) -> None:
    def broken(count: int) -> bytes:
        raise ZeroDivisionError

    guest.partition.entropy = broken
    assert guest.hcall(n.H_RANDOM)[0] == n.H_HARDWARE
    assert "bug in lpar" in caplog.text


# -- hostile guests


class SleeplessVcpu(FakeVcpu):
    def wait(self) -> None:
        self.waits += 1


@pytest.fixture
def hostile() -> Iterator[FakeGuest]:
    with GuestMemory(1 << 20) as memory:
        partition = Partition(
            memory,
            [SleeplessVcpu(i) for i in range(2)],
            allocate_hpt=lambda order: memoryview(bytearray(1 << order)),
        )
        yield FakeGuest(partition)
        partition.shut_down()


interesting = st.one_of(
    st.integers(0, 40),
    st.integers(0, n.U64),
    st.integers(0, 63).map(lambda bit: 1 << bit),
    st.integers(0, 1 << 20).map(lambda address: address & ~0xF),
    st.sampled_from([n.VTY_BASE, n.IRQ_BASE, 0xFF000000 | n.IRQ_BASE, n.U64, n.U64 - 1, 1 << 45, 3 << 45]),
)
CALLS = st.lists(
    st.tuples(st.sampled_from(sorted(registry.HCALLS)), st.lists(interesting, max_size=9)), max_size=20
)
SERVICES = st.lists(
    st.tuples(
        st.sampled_from([*registry.RTAS_CALLS, 0xA, 0, 0xFFFFFFFF]),
        st.lists(st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0, 0x8000)), max_size=16),
        st.integers(0, 16),
    ),
    max_size=20,
)
fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_sane(guest: FakeGuest, caplog: pytest.LogCaptureFixture) -> None:
    assert not caplog.records, caplog.text
    assert guest.hcall(n.H_CPPR, 0xFF)[0] == n.H_SUCCESS


@fuzz
@given(CALLS, st.binary(max_size=64))
def test_random_hypercalls_never_raise(
    hostile: FakeGuest, caplog: pytest.LogCaptureFixture, calls: list[tuple[int, list[int]]], data: bytes
) -> None:
    hostile.partition.memory.write(0x1000, data)
    for number, args in calls:
        hostile.hcall(number, *args)
    check_sane(hostile, caplog)


@fuzz
@given(SERVICES)
def test_random_rtas_calls_never_raise(
    hostile: FakeGuest, caplog: pytest.LogCaptureFixture, calls: list[tuple[int, list[int], int]]
) -> None:
    for token, args, nret in calls:
        hostile.rtas(token, *args, nret=nret)
    check_sane(hostile, caplog)


@fuzz
@given(st.integers(0, 1 << 20), st.binary(min_size=12, max_size=96))
def test_random_rtas_blocks_never_raise(
    hostile: FakeGuest, caplog: pytest.LogCaptureFixture, address: int, block: bytes
) -> None:
    address = min(address, (1 << 20) - len(block))
    hostile.partition.memory.write(address, block)
    hostile.hcall(n.KVMPPC_H_RTAS, address)
    check_sane(hostile, caplog)


# -- state


def test_saved_state_restores_into_a_new_partition(guest: FakeGuest) -> None:
    p = guest.partition
    guest.hcall(n.H_ENTER, 0, 8, 0x81, 0x42012)
    guest.rtas("start-cpu", 1, 0, 0)
    guest.rtas("set-time-of-day", 2000, 1, 1, 0, 0, 0, 0)
    guest.rtas("ibm,nmi-register", 0x500, 0x600)
    guest.hcall(n.H_REGISTER_PROC_TBL, 0x18 | 5, 0x10000, 0, 8)
    guest.rtas("ibm,set-xive", p.vtys[0].irq.number, 1, 5)
    p.vtys[0].feed(b"typed ahead")
    p.nvram.data[100] = 7
    vcpus = [FakeVcpu(i) for i in range(4)]
    other = Partition(p.memory, vcpus, allocate_hpt=lambda order: memoryview(bytearray(1 << order)))
    other.restore(p.save())
    assert other.save() == p.save()
    assert not other.is_stopped(1)
    assert vcpus[3].process_table == (0x10000, 20, True, True)
    assert FakeGuest(other).hcall(n.H_READ, 0, 8)[:3] == (0, 0x81, 0x42012)
    assert get(FakeGuest(other)) == b"typed ahead"
