# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU over the fake: exits, answers, registers, kicks."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

import pytest
from tests.kvm.conftest import Make
from tests.kvm.fake_kvm import FakeKernel, FakeVcpu

from lpar.accel.kvm_vcpu import KvmVcpu
from lpar.accel.protocol import Exit, ExitReason
from lpar.host.kvm import abi

MASK64 = (1 << 64) - 1


@pytest.fixture
def vcpu(hv: FakeKernel, make: Make) -> KvmVcpu:
    return make(hv).vcpus[0]


@pytest.fixture
def fake(hv: FakeKernel, vcpu: KvmVcpu) -> FakeVcpu:
    return next(iter(hv.vcpus.values()))


def play(hv: FakeKernel, *steps: str) -> None:
    """What the guest does, one step for each KVM_RUN; then it is interrupted for ever."""
    todo: Iterator[str] = iter(steps)
    hv.guest = lambda vcpu: eval(next(todo, "1"), {"cpu": vcpu, "abi": abi})


def test_hypercall(hv: FakeKernel, vcpu: KvmVcpu, fake: FakeVcpu) -> None:
    play(hv, "cpu.hcall(0x58, 1, 2, 3)")
    assert vcpu.run() == Exit(ExitReason.HCALL)
    assert vcpu.hcall_args() == (0x58, 1, 2, 3, 0, 0, 0, 0, 0, 0)
    assert vcpu.get_reg("r4") == 1  # not answered: still the arguments
    vcpu.hcall_return(-2, 7, 8)
    assert vcpu.run().reason is ExitReason.KICKED
    assert list(fake.regs.gpr[3:7]) == [-2 & MASK64, 7, 8, 3]


def test_registers_between_answer_and_run(hv: FakeKernel, vcpu: KvmVcpu, fake: FakeVcpu) -> None:
    """They are what the guest will see, and what is set stays set."""
    play(hv, "cpu.hcall(0x58, 1)")
    vcpu.run()
    vcpu.hcall_return(0, 42)
    assert (vcpu.get_reg("r3"), vcpu.get_reg("r4")) == (0, 42)
    vcpu.set_reg("r3", 0xABC)
    vcpu.set_reg("pc", 0x100)
    vcpu.run()
    assert (fake.regs.gpr[3], fake.regs.gpr[4], fake.regs.pc) == (0xABC, 42, 0x100)


def test_a_handler_may_set_registers_before_the_answer(hv: FakeKernel, vcpu: KvmVcpu, fake: FakeVcpu) -> None:
    play(hv, "cpu.hcall(0xe0)")
    vcpu.run()
    vcpu.set_reg("msr", 0x9000)
    vcpu.hcall_return(0)
    vcpu.run()
    assert (fake.regs.msr, fake.regs.gpr[3]) == (0x9000, 0)


def test_every_register(vcpu: KvmVcpu, fake: FakeVcpu) -> None:
    special = ("pc", "msr", "lr", "ctr", "cr", "xer", "srr0", "srr1")
    for number, name in enumerate([*(f"r{n}" for n in range(32)), *special]):
        vcpu.set_reg(name, 0x1000 + number)
        assert vcpu.get_reg(name) == 0x1000 + number
    for name in ("lpcr", "ciabr", "dawr0", "dawrx0", "sprg0", "sprg3"):
        vcpu.set_reg(name, MASK64 + 1 + 5)
        assert vcpu.get_reg(name) == 5
    assert fake.regs.gpr[31] == 0x101F and fake.regs.sprg0 == 5
    assert vcpu.get_reg("pvr") == 0x004E1202
    for name in ("dawr1", "nonsense", "r32"):
        with pytest.raises(KeyError):
            vcpu.get_reg(name)
    with pytest.raises(KeyError):
        vcpu.set_reg("nonsense", 1)


def test_mmio(hv: FakeKernel, vcpu: KvmVcpu, fake: FakeVcpu) -> None:
    """Values are the bytes in address order, read big-endian."""
    play(
        hv,
        "cpu.exit(abi.KVM_EXIT_MMIO, 'Q8BIB', 0x3f0000001000, *range(1, 9), 4, 0)",
        "cpu.exit(abi.KVM_EXIT_MMIO, 'Q8BIB', 0x3f0000001004, *range(1, 9), 2, 1)",
    )
    assert vcpu.run() == Exit(ExitReason.MMIO_READ, 0x3F0000001000, 4)
    vcpu.complete_mmio_read(0x11223344)
    assert bytes(fake.page[40:48]) == bytes.fromhex("1122334405060708")
    assert vcpu.run() == Exit(ExitReason.MMIO_WRITE, 0x3F0000001004, 2, 0x0102)


@pytest.mark.parametrize(
    ("step", "reason", "message"),
    [
        ("cpu.exit(24, 'II', 1, 0)", ExitReason.SHUTDOWN, ""),
        ("cpu.exit(24, 'II', 2, 0)", ExitReason.RESET, ""),
        ("cpu.exit(24, 'II', 3, 0)", ExitReason.HALTED, "KVM says that it crashed"),
        ("cpu.exit(21)", ExitReason.HALTED, "its watchdog expired"),
        ("cpu.exit(16)", ExitReason.HALTED, "a machine check that it cannot take"),
        ("cpu.exit(17, 'IIQ', 1, 1, 0xbad)", ExitReason.INTERNAL, "KVM internal error 1 0xbad"),
        ("cpu.exit(17, 'II', 1, 0xffffffff)", ExitReason.INTERNAL, "KVM internal error 1"),
        ("cpu.exit(9, 'Q', 0xabc)", ExitReason.INTERNAL, "KVM entry failed, hardware reason 0xabc"),
        ("cpu.exit(0, 'Q', 0xabc)", ExitReason.INTERNAL, "KVM unknown exit, hardware reason 0xabc"),
        ("cpu.exit(99)", ExitReason.INTERNAL, "KVM exit reason 99"),
    ],
)
def test_rare_exits(hv: FakeKernel, vcpu: KvmVcpu, step: str, reason: ExitReason, message: str) -> None:
    play(hv, step)
    told = vcpu.run()
    assert told.reason is reason
    assert told.message.startswith(message)


def test_failing_run(hv: FakeKernel, vcpu: KvmVcpu) -> None:
    hv.refuse["RUN"] = errno.EFAULT
    assert vcpu.run() == Exit(ExitReason.INTERNAL, message="KVM_RUN: Bad address (EFAULT)")


def test_kick_before_run_is_kept(hv: FakeKernel, vcpu: KvmVcpu, fake: FakeVcpu) -> None:
    entered: list[int] = []
    hv.guest = lambda cpu: entered.append(1)  # type: ignore[func-returns-value]
    vcpu.kick()
    assert vcpu.run() == Exit(ExitReason.KICKED)
    assert not entered and fake.page[1] == 0


def test_kick_beside_another_exit_is_kept(hv: FakeKernel, vcpu: KvmVcpu) -> None:
    """The exit is told first, the kick next: what was asked with it must not wait for the guest."""

    def guest(cpu: FakeVcpu) -> None:
        vcpu.kick()
        cpu.exit(abi.KVM_EXIT_MMIO, "Q8BIB", 0x3F0000001000, *range(8), 4, 1)

    hv.guest = guest  # type: ignore[assignment]
    assert vcpu.run().reason is ExitReason.MMIO_WRITE
    assert vcpu.run() == Exit(ExitReason.KICKED)
    assert vcpu.run().reason is ExitReason.MMIO_WRITE


def test_kick_ends_a_run(hv: FakeKernel, vcpu: KvmVcpu) -> None:
    """A vCPU that computes: the kick's signal comes through the mask that KVM_RUN has."""
    inside, waiting = os.pipe()
    masks: list[int] = []

    def compute(cpu: FakeVcpu) -> int:
        os.write(waiting, b"x")
        import signal

        masks.append(signal.sigwait([signal.SIGUSR2]))
        return 1

    hv.guest = compute
    exits: list[Exit] = []
    thread = threading.Thread(target=lambda: exits.append(vcpu.run()))
    thread.start()
    os.read(inside, 1)
    vcpu.kick()
    thread.join(60)
    assert exits == [Exit(ExitReason.KICKED)] and masks == [12]
    os.close(inside)
    os.close(waiting)


def test_system_reset(hv: FakeKernel, vcpu: KvmVcpu, fake: FakeVcpu) -> None:
    """Registers change in the vCPU's own thread, behind the answer of the call it was in."""
    play(hv, "cpu.hcall(0xe0)")
    vcpu.set_reg("pc", 0xC000000000001234)
    vcpu.set_reg("msr", 0x8000000000009033)
    vcpu.set_reg("lpcr", 1 << 25)
    vcpu.run()
    vcpu.hcall_return(0)
    vcpu.raise_system_reset()
    assert fake.regs.pc == 0xC000000000001234
    vcpu.run()
    assert (fake.regs.pc, fake.regs.srr0, fake.regs.gpr[3]) == (0x100, 0xC000000000001234, 0)
    assert (fake.regs.srr1, fake.regs.msr) == (0x8000000000009033, 1 << 63 | 1 << 12 | 1)


def test_prod_wakes(vcpu: KvmVcpu, fake: FakeVcpu) -> None:
    """A vCPU that ceded sleeps inside the kernel: only leaving KVM_RUN wakes it."""
    vcpu.prod()
    assert fake.page[1] == 1
    vcpu.wait()
