# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU of the host's KVM behind the Vcpu protocol.

Rules of this file:

* A hypercall that was answered, and a load, are finished by the *next* KVM_RUN: it copies r3 to r12 (or
  the loaded value) from the shared page.  Whoever looks at registers in between would see, and lose,
  other values; so register access first runs the vCPU with ``immediate_exit``, which finishes and
  comes back at once (:meth:`KvmVcpu._finish`).
* A kick sets ``immediate_exit`` first and sends the signal second: a thread on its way into the guest
  sees the one, a thread inside the other.  The signal is blocked in the vCPU's thread and let through
  by the kernel while it runs the guest, so that no handler is ever called.
* What must change registers from other threads (system reset) is left in a flag and done by the vCPU's
  own thread before it enters the guest.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable

from lpar.accel.protocol import Exit, ExitReason
from lpar.errors import HostError
from lpar.host.kvm import abi
from lpar.host.kvm.device import Vcpu

KICK = signal.SIGUSR2
MASK64 = (1 << 64) - 1
MSR_SF, MSR_ME, MSR_LE = 1 << 63, 1 << 12, 1 << 0
LPCR_ILE = 1 << 25
SRR1_CLEARED = 0x783F0000  #: MSR bits that an interrupt does not copy to SRR1
SYSTEM_RESET = 0x100
PAUSE = 0.01  #: seconds that ``wait`` sleeps at once; the kernel itself answers H_CEDE

_KICKED, _HCALL = Exit(ExitReason.KICKED), Exit(ExitReason.HCALL)
_GPRS = {f"r{n}": n for n in range(32)}
_REGS = frozenset(name for name, _ in abi.Regs._fields_ if name != "gpr")  # type: ignore[misc]


class KvmVcpu:
    """One vCPU.  ``timebase_hz`` is the host's; ``set_mmu`` configures the machine's translation."""

    def __init__(
        self,
        index: int,
        vcpu: Vcpu,
        timebase_hz: int,
        set_mmu: Callable[[int, int, bool, bool], None],
    ) -> None:
        self.index = index
        self.fd = vcpu
        self._timebase_hz = timebase_hz
        self._set_mmu = set_mmu
        self._enter_guest = vcpu.enter
        self._page = memoryview(vcpu.page)
        self._lock = threading.Lock()  #: kicks, against the thread's coming and going
        self._thread: int | None = None  #: in KVM_RUN, by its identity
        self._prepared: int | None = None  #: the thread whose signal mask is set up
        self._kicked = self._resetting = False
        self._answered = False  #: the next KVM_RUN copies our answer to registers first
        self._woken = threading.Event()

    # -- running -----------------------------------------------------------------------------
    def run(self) -> Exit:
        """Run guest code until something needs the machine."""
        if self._resetting:
            self._system_reset()
        error = self._enter()
        if error == errno.EINTR:
            self._take_kicks()
            return _KICKED
        reason = self.fd.run.exit_reason
        if not error and reason == abi.KVM_EXIT_PAPR_HCALL:
            return _HCALL
        return self._rare(reason, error)

    def _enter(self) -> int:
        """KVM_RUN where kicks reach it; 0 or the error number."""
        me = threading.get_ident()
        if self._prepared != me:
            self._prepare_thread(me)
        with self._lock:
            self._thread = me
        try:
            return self._run_ioctl()
        finally:
            with self._lock:
                self._thread = None

    def _run_ioctl(self) -> int:
        self._answered = False
        return self._enter_guest()

    def _prepare_thread(self, me: int) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [KICK])
        blocked = sum(1 << number - 1 for number in before if number != KICK)
        self.fd.set_signal_mask(blocked)
        self._prepared = me

    def _take_kicks(self) -> None:
        """Forget the kicks until now: KICKED answers them.  Beside another exit they stay for later."""
        with self._lock:
            self._kicked = False
            self.fd.run.immediate_exit = 0
        while signal.sigtimedwait([KICK], 0):
            pass

    def _rare(self, reason: int, error: int) -> Exit:
        if error:
            return Exit(ExitReason.INTERNAL, message=f"KVM_RUN: {_words(error)}")
        if reason == abi.KVM_EXIT_MMIO:
            return self._mmio()
        if reason == abi.KVM_EXIT_INTR:
            return _KICKED
        if reason == abi.KVM_EXIT_SYSTEM_EVENT:
            return self._system_event()
        if reason in _HALTS:
            return Exit(ExitReason.HALTED, message=_HALTS[reason])
        return Exit(ExitReason.INTERNAL, message=self._failure(reason))

    def _mmio(self) -> Exit:
        access = self.fd.mmio
        size = min(access.len, 8)
        if not access.is_write:
            return Exit(ExitReason.MMIO_READ, access.phys_addr, size)
        value = int.from_bytes(abi.bytes_of(access.data, size), "big")
        return Exit(ExitReason.MMIO_WRITE, access.phys_addr, size, value)

    def _system_event(self) -> Exit:
        kind = self.fd.event.type
        if kind == abi.KVM_SYSTEM_EVENT_SHUTDOWN:
            return Exit(ExitReason.SHUTDOWN)
        if kind == abi.KVM_SYSTEM_EVENT_RESET:
            return Exit(ExitReason.RESET)
        crashed = kind == abi.KVM_SYSTEM_EVENT_CRASH
        return Exit(ExitReason.HALTED, message="KVM says that it crashed" if crashed else f"event {kind}")

    def _failure(self, reason: int) -> str:
        told = self.fd.internal
        if reason == abi.KVM_EXIT_INTERNAL_ERROR:
            data = " ".join(f"{word:#x}" for word in told.data[: min(told.ndata, 16)])
            return f"KVM internal error {told.suberror} {data}".rstrip()
        if reason in (abi.KVM_EXIT_FAIL_ENTRY, abi.KVM_EXIT_UNKNOWN):
            hardware = told.suberror | told.ndata << 32 if _LITTLE else told.suberror << 32 | told.ndata
            what = "entry failed" if reason == abi.KVM_EXIT_FAIL_ENTRY else "unknown exit"
            return f"KVM {what}, hardware reason {hardware:#x}"
        return f"KVM exit reason {reason}"

    def kick(self) -> None:
        """Make ``run`` or ``wait`` return soon."""
        with self._lock:
            self._kicked = True
            self.fd.run.immediate_exit = 1
            if self._thread is not None:
                signal.pthread_kill(self._thread, KICK)
        self._woken.set()

    def complete_mmio_read(self, value: int) -> None:
        """Answer an MMIO_READ exit."""
        size = min(self.fd.mmio.len, 8)
        self.fd.mmio.data[:size] = (value & (1 << 8 * size) - 1).to_bytes(size, "big")
        self._answered = True

    # -- waiting -----------------------------------------------------------------------------
    def wait(self) -> None:
        """H_CEDE where the kernel does not answer it: a short sleep; the guest then looks again."""
        self._woken.wait(PAUSE)
        self._woken.clear()

    def prod(self) -> None:
        """End a ``wait``, or the sleep of a vCPU that ceded inside the kernel."""
        self.kick()

    # -- interrupts --------------------------------------------------------------------------
    def set_external_interrupt(self, level: bool) -> None:
        """Drive the external interrupt input."""
        self.fd.interrupt(abi.KVM_INTERRUPT_SET_LEVEL if level else abi.KVM_INTERRUPT_UNSET)
        if level:
            self._woken.set()

    def raise_system_reset(self) -> None:
        """Deliver a system reset soon."""
        self._resetting = True
        self.kick()

    def _system_reset(self) -> None:
        """As the processor would: SRR0, SRR1, 0x100 in real mode."""
        self._resetting = False
        self._finish()
        regs = self.fd.regs()
        regs.srr0, regs.srr1 = regs.pc, regs.msr & ~SRR1_CLEARED & MASK64
        little = self.get_reg("lpcr") & LPCR_ILE
        regs.msr = MSR_SF | MSR_ME | (MSR_LE if little else 0)
        regs.pc = SYSTEM_RESET
        self.fd.set_regs(regs)

    # -- registers ---------------------------------------------------------------------------
    def _finish(self) -> None:
        """Have the kernel copy an answer that waits in the shared page."""
        if not self._answered:
            return
        self.fd.run.immediate_exit = 1
        error = self._run_ioctl()
        with self._lock:
            if not self._kicked:
                self.fd.run.immediate_exit = 0
        if error not in (0, errno.EINTR):
            raise HostError(f"KVM_RUN: {_words(error)}")

    def get_reg(self, name: str) -> int:
        """Read a register."""
        if name in abi.ONE_REGS:
            return self._one_reg(name)
        if name == "pvr":
            return int(self.fd.sregs().pvr)
        if name == "tb":
            return time.monotonic_ns() * self._timebase_hz // 1_000_000_000 & MASK64
        if name not in _GPRS and name not in _REGS:
            raise KeyError(name)
        self._finish()
        regs = self.fd.regs()
        return int(regs.gpr[_GPRS[name]] if name in _GPRS else getattr(regs, name))

    def _one_reg(self, name: str) -> int:
        try:
            return self.fd.one_reg(abi.ONE_REGS[name])
        except OSError:  # LPCR under PR; registers of another processor
            if name == "lpcr":
                return 0
            raise KeyError(name) from None

    def set_reg(self, name: str, value: int) -> None:
        """Write a register."""
        if name in abi.ONE_REGS:
            try:
                self.fd.set_one_reg(abi.ONE_REGS[name], value)
            except OSError:
                raise KeyError(name) from None
            return
        if name not in _GPRS and name not in _REGS:
            raise KeyError(name)
        self._finish()
        regs = self.fd.regs()
        if name in _GPRS:
            regs.gpr[_GPRS[name]] = value & MASK64
        else:
            setattr(regs, name, value & MASK64)
        self.fd.set_regs(regs)

    def hcall_args(self) -> tuple[int, ...]:
        """r3 to r12."""
        number, _, *args = _HCALL_FIELDS.unpack_from(self._page, _UNION)
        return (number, *args)

    def hcall_return(self, status: int, *rets: int) -> None:
        """Put the answer in r3 and r4 on; the next ``run`` hands it over."""
        _WORD.pack_into(self._page, _RET, status & MASK64)
        for at, value in enumerate(rets, 1):
            _WORD.pack_into(self._page, _RET + 8 * at, value & MASK64)
        self._answered = True

    # -- memory management -------------------------------------------------------------------
    def flush_tlb(self) -> None:
        """The kernel does that by itself."""

    def set_process_table(self, base: int, log2_size: int, radix: bool, gtse: bool) -> None:
        """Use a process table.  Raises HostError if the kernel refuses."""
        self._set_mmu(base, log2_size, radix, gtse)

    def set_hash_table(self, order: int) -> None:
        """The kernel has it already."""

    def close(self) -> None:
        """Give the vCPU back; it runs no more."""
        self._page.release()
        self.fd.close()


_HCALL_FIELDS, _WORD = struct.Struct("=11Q"), struct.Struct("=Q")
_UNION = ctypes.sizeof(abi.RunHead)
_RET = _UNION + 8  #: r3's answer; those of r4 and up follow
_LITTLE = sys.byteorder == "little"
_HALTS = {
    abi.KVM_EXIT_HLT: "it waits for nothing",
    abi.KVM_EXIT_SHUTDOWN: "KVM shut it down",
    abi.KVM_EXIT_WATCHDOG: "its watchdog expired",
    abi.KVM_EXIT_NMI: "a machine check that it cannot take",
    abi.KVM_EXIT_DEBUG: "a breakpoint that nobody set",
}


def _words(number: int) -> str:
    return f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
