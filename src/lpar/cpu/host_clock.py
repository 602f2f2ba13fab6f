# SPDX-License-Identifier: GPL-2.0-only
"""Samples of a host thread's program counter, by the thread's own CPU clock (timer_create(2)).

Each timer signals its thread; the handler, native code, finds the buffer in the signal's value, and the
program counter in the context that the kernel saved.  It touches nothing else.  A sample has in its upper
16 bits how many periods have passed unnoticed.
"""

from __future__ import annotations

import ctypes
import platform
import signal
from collections.abc import Iterator

from lpar.cpu.ir import Module
from lpar.errors import HostError

HOST_HANDLER = "lp_note_host_pc"
KEPT = 1 << 16  #: addresses of a thread; the newest stay
SIGEV_THREAD_ID, SA_SIGINFO, SA_RESTART = 4, 4, 0x10000000
OVERRUN, VALUE = 20, 24  #: offsets in siginfo_t: si_overrun, si_value
#: offset in ucontext_t: REG_RIP; pc of struct sigcontext
PROGRAM_COUNTER = {"x86_64": 168, "aarch64": 440}.get(platform.machine(), 0)

_libc = ctypes.CDLL(None, use_errno=True)


class _Event(ctypes.Structure):
    """struct sigevent with SIGEV_THREAD_ID."""

    _fields_ = (
        ("value", ctypes.c_uint64), ("signo", ctypes.c_int), ("notify", ctypes.c_int), ("tid", ctypes.c_int),
        ("pad", ctypes.c_int * 11),
    )  # fmt: skip


class _Action(ctypes.Structure):
    """struct sigaction of the C library."""

    _fields_ = (
        ("handler", ctypes.c_void_p), ("mask", ctypes.c_ubyte * 128), ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )  # fmt: skip


def handler_module() -> Module:
    """The signal handler's code."""
    module = Module(platform.machine())
    module.define(
        "@" + HOST_HANDLER,
        f"""define void @{HOST_HANDLER}(i32 %signal, ptr %info, ptr %context) nounwind {{
entry:
  %value = getelementptr i8, ptr %info, i64 {VALUE}
  %buffer = load ptr, ptr %value, align 8
  %from = getelementptr i8, ptr %context, i64 {PROGRAM_COUNTER}
  %pc = load i64, ptr %from, align 8
  %late = getelementptr i8, ptr %info, i64 {OVERRUN}
  %missed = load i32, ptr %late, align 4
  %wide = zext i32 %missed to i64
  %weight = shl i64 %wide, 48
  %sample = or i64 %pc, %weight
  %count = atomicrmw add ptr %buffer, i64 1 seq_cst
  %place = and i64 %count, {KEPT - 1}
  %next = add i64 %place, 1
  %to = getelementptr i64, ptr %buffer, i64 %next
  store i64 %sample, ptr %to, align 8
  ret void
}}""",
    )
    return module


def install(handler: int) -> None:
    """Have native code at ``handler`` take the signals.  Raises HostError where that cannot be."""
    if not PROGRAM_COUNTER:
        raise HostError("--profile needs an x86-64 or arm64 host", hint="leave it out")
    _set_action(_Action(handler=handler, flags=SA_SIGINFO | SA_RESTART))


def uninstall() -> None:
    """Signals that are still under way are ignored."""
    _set_action(_Action(handler=int(signal.SIG_IGN)))


def _set_action(action: _Action) -> None:
    if _libc.sigaction(int(signal.SIGPROF), ctypes.byref(action), None):
        raise HostError("cannot set the profiler's signal handler")


class ThreadClock:
    """Samples of the thread ``tid``, ``rate`` for each second of its CPU time."""

    def __init__(self, name: str, tid: int, rate: int) -> None:
        self.name = name
        self._buffer = (ctypes.c_uint64 * (KEPT + 1))()
        event = _Event(ctypes.addressof(self._buffer), signal.SIGPROF, SIGEV_THREAD_ID, tid)
        self._timer = ctypes.c_void_p()
        clock = ctypes.c_int(~tid << 3 | 6)  # the scheduler's clock of a thread, as in linux/posix-timers.h
        self._running = not _libc.timer_create(clock, ctypes.byref(event), ctypes.byref(self._timer))
        if self._running:
            period = 1_000_000_000 // rate
            _libc.timer_settime(self._timer, 0, (ctypes.c_long * 4)(0, period, 0, period), None)

    def stop(self) -> None:
        """No more samples."""
        if self._running:
            _libc.timer_delete(self._timer)
        self._running = False

    def samples(self) -> Iterator[tuple[int, int]]:
        """Program counters, and for how many periods each stands: the host's tick may be coarser."""
        for sample in self._buffer[1 : 1 + min(self._buffer[0], KEPT)]:
            yield sample & (1 << 48) - 1, 1 + (sample >> 48)
