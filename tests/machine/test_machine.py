# SPDX-License-Identifier: GPL-2.0-only
"""The machine with guests written in Python: how runs end, reboots, console, secondaries."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lpar.accel.protocol import Exit, ExitReason
from lpar.config import MachineConfig
from lpar.errors import ConfigError, HostError, InternalError
from lpar.host.tty import Key
from lpar.machine import Machine
from lpar.papr.numbers import H_CEDE, MSR_EE
from lpar.testing.elf import elf
from lpar.testing.fake_accel import FakeAccelerator, GuestProgram, Program, ScriptedVcpu

POWER_OFF = (0xFFFFFFFF, 0xFFFFFFFF)
HUNG = 60  #: seconds after which a test is lost; none should come near


class Pipes:
    """The machine's standard input and output, as the test holds them."""

    def __init__(self) -> None:
        self.input, self.to_guest = os.pipe()
        self.from_guest, self.output = os.pipe()

    def close(self) -> None:
        for fd in (self.input, self.to_guest, self.from_guest, self.output):
            try:
                os.close(fd)
            except OSError:
                pass


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    pipes.close()


@pytest.fixture
def config(tmp_path: Path) -> MachineConfig:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(elf(b"\x60\0\0\0" * 16))
    return MachineConfig(kernel=str(kernel), memory=64 << 20, timeout=HUNG, name="test")


class Bench:
    """Runs guests; remembers every accelerator that was made."""

    def __init__(self, config: MachineConfig, pipes: Pipes) -> None:
        self.config = config
        self.pipes = pipes
        self.accelerators: list[FakeAccelerator] = []

    def machine(self, programs: dict[int, GuestProgram] | Callable[[int], Any], **changes: Any) -> Machine:
        def make() -> FakeAccelerator:
            these = programs(len(self.accelerators)) if callable(programs) else programs
            self.accelerators.append(FakeAccelerator(these))
            return self.accelerators[-1]

        config = dataclasses.replace(self.config, cpus=4, **changes)
        return Machine(config, accelerator=make, input_fd=self.pipes.input, output_fd=self.pipes.output)

    def run(self, program: GuestProgram, **changes: Any) -> int:
        return self.machine({0: program}, **changes).run()

    def output(self) -> bytes:
        os.close(self.pipes.output)
        with open(self.pipes.from_guest, "rb", closefd=False) as file:
            return file.read()


@pytest.fixture
def bench(config: MachineConfig, pipes: Pipes) -> Bench:
    return Bench(config, pipes)


def power_off(cpu: ScriptedVcpu) -> Program:
    yield from cpu.print(b"good bye, and here is more than sixteen bytes\n")
    yield from cpu.rtas("power-off", *POWER_OFF)


def spin(cpu: ScriptedVcpu) -> Program:
    """Busy, as a guest that computes."""
    yield from cpu.print(b"spinning\n")
    while True:
        yield from cpu.hcall(0xFFF0)


def test_power_off(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.run(power_off) == 0
    assert bench.output() == b"good bye, and here is more than sixteen bytes\n"
    assert capsys.readouterr().err == ""
    assert [accelerator.closed for accelerator in bench.accelerators] == [True]


def test_nothing_runs_behind_the_power_off(bench: Bench) -> None:
    def guest(cpu: ScriptedVcpu) -> Program:
        yield from cpu.rtas("power-off", *POWER_OFF)
        yield from cpu.print(b"still here")

    assert bench.run(guest) == 0
    assert bench.output() == b""


def test_entry_state(bench: Bench) -> None:
    """r3 is a device tree in guest memory that describes this machine; r5 is 0."""
    seen: dict[str, Any] = {}

    def guest(cpu: ScriptedVcpu) -> Program:
        seen.update(cpu.regs, magic=cpu.memory.read_u32(cpu.regs["r3"]))
        yield from power_off(cpu)

    assert bench.run(guest, params="hello=world") == 0
    assert seen["magic"] == 0xD00DFEED
    assert (seen["r5"], seen["msr"]) == (0, 1 << 63 | 1 << 12)


def test_panic(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    def guest(cpu: ScriptedVcpu) -> Program:
        cpu.memory.write(0x4000, b"Attempted to kill init!\x1b[2J\0")
        yield from cpu.rtas("ibm,os-term", 0x4000)

    assert bench.run(guest) == 255
    line = capsys.readouterr().err
    assert line.startswith("lpar: error: the guest panicked: Attempted to kill init!")
    assert line.count("\n") == 1 and "\x1b" not in line


def test_timeout(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.run(spin, timeout=0.2) == 124
    assert capsys.readouterr().err == "lpar: error: the guest did not end within 0.2 s\n"


def test_timeout_of_an_idle_guest(bench: Bench) -> None:
    def guest(cpu: ScriptedVcpu) -> Program:
        while True:
            yield from cpu.hcall(H_CEDE)

    assert bench.run(guest, timeout=0.2) == 124
    assert bench.accelerators[0].vcpus[0].regs["msr"] & MSR_EE


@pytest.mark.parametrize(
    ("reason", "status", "text"),
    [
        (ExitReason.HALTED, 255, "lpar: error: the guest halted: checkstop\n"),
        (ExitReason.INTERNAL, None, ""),
    ],
)
def test_vcpu_gives_up(
    reason: ExitReason, status: int | None, text: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def guest(cpu: ScriptedVcpu) -> Program:
        yield Exit(reason, message="checkstop")

    if status is None:
        with pytest.raises(InternalError, match="vCPU 0: checkstop"):
            bench.run(guest)
        dump = capsys.readouterr().err
        assert dump.startswith("vCPU 0:\n") and " > 0000000000000000  60000000  ori" in dump
    else:
        assert bench.run(guest) == status
        assert capsys.readouterr().err == text


def test_broken_engine(bench: Bench) -> None:
    """What a vCPU's thread raises is raised where the user sees it."""

    def guest(cpu: ScriptedVcpu) -> Program:
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        bench.run(guest)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals(number: signal.Signals, bench: Bench) -> None:
    before = signal.getsignal(number)

    def guest(cpu: ScriptedVcpu) -> Program:
        os.kill(os.getpid(), number)
        yield from spin(cpu)

    assert bench.run(guest) == 128 + number
    assert signal.getsignal(number) is before


def reboots(count: int) -> Callable[[int], dict[int, GuestProgram]]:
    """Programs that reboot ``count`` times, then power off; each boot writes its number."""

    def programs(boot: int) -> dict[int, GuestProgram]:
        def guest(cpu: ScriptedVcpu) -> Program:
            yield from cpu.print(b"boot %d %d\n" % (boot, cpu.memory.read_u32(0x100000)))
            cpu.memory.write_u32(0x100000, 1)
            if boot < count:
                yield from cpu.rtas("system-reboot")
            else:
                yield from cpu.rtas("power-off", *POWER_OFF)

        return {0: guest}

    return programs


def test_reboot_starts_over(bench: Bench) -> None:
    """Each boot has fresh memory and fresh vCPUs."""
    assert bench.machine(reboots(3)).run() == 0
    assert bench.output() == b"boot 0 0\nboot 1 0\nboot 2 0\nboot 3 0\n"
    assert [accelerator.closed for accelerator in bench.accelerators] == [True] * 4


def test_no_reboot(bench: Bench) -> None:
    assert bench.machine(reboots(3), no_reboot=True).run() == 0
    assert bench.output() == b"boot 0 0\n"


def test_timeout_is_for_all_boots(bench: Bench) -> None:
    assert bench.machine(reboots(1 << 30), timeout=0.3).run() == 124


def test_what_a_reboot_keeps(bench: Bench) -> None:
    """NVRAM, the clock, and input that nobody has read yet."""
    seen: list[Any] = []

    def programs(boot: int) -> dict[int, GuestProgram]:
        def first(cpu: ScriptedVcpu) -> Program:
            cpu.memory.write(0x4000, b"kept")
            yield from cpu.rtas("nvram-store", 0x2000, 0x4000, 4, nret=2)
            yield from cpu.rtas("set-time-of-day", 1999, 12, 31, 23, 59, 0, 0)
            while not (typed := (yield from cpu.read_console())):
                pass
            seen.append(typed)
            yield from cpu.rtas("system-reboot")

        def second(cpu: ScriptedVcpu) -> Program:
            yield from cpu.rtas("nvram-fetch", 0x2000, 0x5000, 4, nret=2)
            clock = yield from cpu.rtas("get-time-of-day", nret=8)
            seen.extend([cpu.memory.read(0x5000, 4), clock[:3], (yield from cpu.read_console())])
            yield from power_off(cpu)

        return {0: second if boot else first}

    os.write(bench.pipes.to_guest, b"0123456789abcdef" + b"the rest")
    assert bench.machine(programs).run() == 0
    assert seen == [b"0123456789abcdef", b"kept", (0, 1999, 12), b"the rest"]


def test_console_echo(bench: Bench) -> None:
    """Bytes through a pipe to the guest and back, all of them, in order."""
    data = bytes(range(256)) * 100

    def guest(cpu: ScriptedVcpu) -> Program:
        left = len(data)
        while left:
            piece = yield from cpu.read_console()
            left -= len(piece)
            yield from cpu.print(piece)
        yield from cpu.rtas("power-off", *POWER_OFF)

    got = bytearray()

    def collect() -> None:
        while len(got) < len(data):
            got.extend(os.read(bench.pipes.from_guest, 4096))

    threads = [
        threading.Thread(target=collect),
        threading.Thread(
            target=lambda: [
                os.write(bench.pipes.to_guest, data[i : i + 999]) for i in range(0, len(data), 999)
            ]
        ),
    ]
    for thread in threads:
        thread.start()
    assert bench.run(guest) == 0
    for thread in threads:
        thread.join()
    assert got == data


def test_input_ends(bench: Bench) -> None:
    """The end of a pipe is not the end of the guest."""
    os.close(bench.pipes.to_guest)
    assert bench.run(power_off) == 0


def test_nobody_reads_the_console(bench: Bench) -> None:
    os.close(bench.pipes.from_guest)
    with pytest.raises(HostError, match="stdout is closed"):
        bench.run(spin)


def test_keys(bench: Bench) -> None:
    """Break sends Linux's SysRq key; exit ends the run with status 0."""
    seen = []

    def guest(cpu: ScriptedVcpu) -> Program:
        machine._on_key(Key.BREAK)
        while not (typed := (yield from cpu.read_console())):
            pass
        seen.append(typed)
        machine._on_key(Key.EXIT)
        yield from spin(cpu)

    machine = bench.machine({0: guest})
    assert machine.run() == 0
    assert seen == [b"\x0f"]


def test_secondaries_start_when_told(bench: Bench) -> None:
    """start-cpu sets pc and r3 and lets exactly that vCPU run; stop-self parks it again."""
    ran: list[tuple[int, int, int]] = []
    done = threading.Event()

    def secondary(cpu: ScriptedVcpu) -> Program:
        ran.append((cpu.index, cpu.regs["pc"], cpu.regs["r3"]))
        yield from cpu.rtas("stop-self")
        done.set()
        yield from spin(cpu)

    def boot(cpu: ScriptedVcpu) -> Program:
        before = yield from cpu.rtas("query-cpu-stopped-state", 2, nret=2)
        yield from cpu.rtas("start-cpu", 2, 0x1234, 0x77)
        while (yield from cpu.rtas("query-cpu-stopped-state", 2, nret=2)) != before or not ran:
            pass
        yield from power_off(cpu)

    assert bench.machine(dict.fromkeys((1, 2, 3), secondary) | {0: boot}).run() == 0
    assert ran == [(2, 0x1234, 0x77)]
    assert not done.is_set()


def test_mmio_where_nothing_is(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    def guest(cpu: ScriptedVcpu) -> Program:
        yield Exit(ExitReason.MMIO_READ, addr=0x3F0000000000, size=4)
        yield Exit(ExitReason.MMIO_WRITE, addr=0x3F0000000008, size=8, value=0x12)
        yield from power_off(cpu)

    assert bench.run(guest, debug_mmio=True) == 0
    assert bench.accelerators[0].vcpus[0].mmio_answers == [0xFFFFFFFF]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "mmio: cpu 0: load 4 bytes at 0x3f0000000000, nothing there",
        "mmio: cpu 0: store 8 bytes at 0x3f0000000008: 0x12, nothing there",
    ]


def test_traces(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.run(power_off, debug_rtas=True, debug_hcall=True) == 0
    err = capsys.readouterr().err
    assert "power-off" in err and "H_PUT_TERM_CHAR" in err


def test_dry_run_and_dump(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob = tmp_path / "tree.dtb"

    def never(cpu: ScriptedVcpu) -> Program:
        raise AssertionError("ran")
        yield

    assert bench.run(never, dry_run=True, dump_dtb=str(blob), params="a=b") == 0
    assert blob.read_bytes()[:4] == b"\xd0\x0d\xfe\xed"
    assert "entry" in capsys.readouterr().err
    if shutil.which("dtc"):
        words = ["dtc", "-q", "-I", "dtb", "-O", "dts", str(blob)]
        source = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert 'bootargs = "a=b"' in source
        assert 'ibm,partition-name = "test"' in source


def test_dump_to_nowhere(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write .*: Is a directory"):
        bench.run(power_off, dump_dtb=str(tmp_path))


def test_no_kernel_file(bench: Bench) -> None:
    with pytest.raises(ConfigError):
        bench.run(power_off, kernel="/nonexistent")
    assert bench.accelerators == []


def test_pause_and_resume(bench: Bench) -> None:
    """While paused no vCPU makes an exit; a dump shows each that was started."""
    exits: list[int] = []

    def guest(cpu: ScriptedVcpu) -> Program:
        yield from cpu.print(b"up")
        while True:
            exits.append(1)
            yield from cpu.hcall(0xFFF0)

    machine = bench.machine({0: guest})
    running = threading.Thread(target=machine.run)
    running.start()
    assert os.read(bench.pipes.from_guest, 2) == b"up"
    system = machine._system
    while system is None:
        system = machine._system
    system.pause()
    before = len(exits)
    assert system.dump().startswith("vCPU 0:\n") and system.paused
    assert len(exits) == before
    system.resume()
    while len(exits) == before:
        pass
    machine._on_key(Key.DUMP)
    machine._on_key(Key.PAUSE)
    assert system.paused
    machine._on_key(Key.PAUSE)
    assert not system.paused
    machine._on_key(Key.NMI)
    assert bench.accelerators[0].vcpus[0].system_resets == 1
    machine.end()
    running.join(HUNG)
    assert not running.is_alive()
