# SPDX-License-Identifier: GPL-2.0-only
"""One host thread per vCPU: run, answer the exit, again.

Rules of this file: only the vCPU's own thread touches its registers while the machine runs.  To
stop, the flag is set first and the kick comes second; a kick is sticky, so a thread between its
look at the flag and ``run`` comes back at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from lpar import log
from lpar.accel.protocol import Exit, ExitReason, Vcpu
from lpar.errors import GuestError, InternalError
from lpar.machine import dump
from lpar.machine.ends import POWERED_OFF, VANISHED, End, Failure
from lpar.papr.events import Reboot
from lpar.papr.partition import Partition

Report = Callable[[End | Failure | Reboot], None]
Trace = Callable[[str], None]

_HCALL, _MMIO_WRITE = ExitReason.HCALL, ExitReason.MMIO_WRITE


class VcpuRunner:
    """Drives ``vcpu`` for ``partition``; what ends the machine goes to ``report``."""

    def __init__(
        self, vcpu: Vcpu, partition: Partition, report: Report, trace_mmio: Trace | None = None
    ) -> None:
        self.vcpu = vcpu
        self._partition = partition
        self._report = report
        self._trace_mmio = trace_mmio
        self._running = partition.processors[vcpu.index].running
        self._ending = False
        self._goes_on = threading.Event()  #: clear: the vCPU is to stay out of the guest
        self._goes_on.set()
        self._is_out = threading.Event()  #: it is
        self._thread = threading.Thread(target=self._main, name=f"vcpu{vcpu.index}", daemon=True)

    def start(self) -> None:
        """Let the vCPU run as soon as the partition has it started."""
        self._thread.start()

    def end(self) -> None:
        """Do not run the vCPU again once it comes back by itself."""
        self._ending = True

    def request_stop(self) -> None:
        """Ask the thread to end; returns at once."""
        self._ending = True
        self._goes_on.set()
        self._running.set()
        self.vcpu.kick()

    def pause(self, timeout: float) -> bool:
        """Have the vCPU out of the guest until ``resume``; whether it came within ``timeout`` seconds."""
        if self._goes_on.is_set():  # not paused already
            self._is_out.clear()
            self._goes_on.clear()
        cpu = self._partition.processors[self.vcpu.index]
        if not self._thread.is_alive() or not self._running.is_set() or cpu.joined:
            return True
        self.vcpu.kick()
        return self._is_out.wait(timeout) or not self._thread.is_alive()

    def resume(self) -> None:
        """Let the vCPU run again."""
        self._goes_on.set()

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the thread's end; whether it came."""
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            self._loop()
        except GuestError as err:
            self._report(End(VANISHED, err.message, is_error=True))
        except BaseException as err:  # it ends the machine, in the main thread
            self._report(Failure(err))

    def _loop(self) -> None:
        vcpu, running, handle_hcall = self.vcpu, self._running, self._partition.handle_hcall
        goes_on = self._goes_on
        while not self._ending:
            if not running.is_set():
                running.wait()
                continue
            if not goes_on.is_set():
                self._is_out.set()
                goes_on.wait()
                continue
            exit = vcpu.run()
            if exit.reason is _HCALL:
                handle_hcall(vcpu)
            elif exit.reason is _MMIO_WRITE:
                self._mmio_write(exit)
            elif not self._answer(exit):
                return

    def _answer(self, exit: Exit) -> bool:
        """Answer a rare exit; False when the vCPU cannot go on."""
        match exit.reason:
            case ExitReason.KICKED:
                self._partition.settle(self.vcpu)
            case ExitReason.MMIO_READ:
                self._mmio_read(exit)
            case ExitReason.HALTED:
                self._report(End(VANISHED, f"the guest halted: {exit.message}", is_error=True))
                return False
            case ExitReason.SHUTDOWN:
                self._report(End(POWERED_OFF))
                return False
            case ExitReason.RESET:
                self._report(Reboot())
                return False
            case ExitReason.INTERNAL:
                log.write(dump.registers(self.vcpu, self._partition.memory))
                raise InternalError(f"vCPU {self.vcpu.index}: {exit.message}")
            case _:
                raise InternalError(f"exit {exit.reason} has no answer")
        return True

    def _mmio_read(self, exit: Exit) -> None:
        """Where nothing answers all bits read as one, as on a bus."""
        value = self._partition.mmio_read(exit.addr, exit.size)
        found = value is not None
        if value is None:
            value = (1 << 8 * exit.size) - 1
        if self._trace_mmio:
            what = f": {value:#x}" if found else ", nothing there"
            self._trace_mmio(f"mmio: cpu {self.vcpu.index}: load {exit.size} bytes at {exit.addr:#x}{what}")
        self.vcpu.complete_mmio_read(value)

    def _mmio_write(self, exit: Exit) -> None:
        """Where nothing answers the store is lost."""
        found = self._partition.mmio_write(exit.addr, exit.size, exit.value)
        if self._trace_mmio:
            what = "" if found else ", nothing there"
            store = f"store {exit.size} bytes at {exit.addr:#x}: {exit.value:#x}{what}"
            self._trace_mmio(f"mmio: cpu {self.vcpu.index}: {store}")
