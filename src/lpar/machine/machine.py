# SPDX-License-Identifier: GPL-2.0-only
"""One machine from its description to its exit status."""

from __future__ import annotations

import dataclasses
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lpar import accel, log
from lpar.config import MachineConfig
from lpar.errors import ConfigError, HostError, LparError
from lpar.host.signals import ending_signals, window_changes
from lpar.host.tty import Console, Key, ensure_standard_fds
from lpar.machine.accelerator import Accelerator
from lpar.machine.devices import DeviceSet, Maker
from lpar.machine.ends import POWERED_OFF, TIMED_OUT, VANISHED, End, Failure, killed_by
from lpar.machine.system import MachineEvent, Surroundings, System
from lpar.papr.events import Panic, PowerOff, Reboot

SYSRQ = b"\x0f"  #: Ctrl-O: what Linux's hvc console takes for a break (drivers/tty/hvc/hvc_console.c)

LOOK_UP = 1.0  #: seconds that the main thread waits at once


class Machine:
    """A machine that runs once.

    ``accelerator`` is called for each boot; the descriptors are the console's; ``devices`` make more
    devices than the description has.
    """

    def __init__(
        self,
        config: MachineConfig,
        *,
        accelerator: Callable[[], Accelerator] | None = None,
        input_fd: int = 0,
        output_fd: int = 1,
        devices: Sequence[Maker] = (),
    ) -> None:
        self.config = config.validate()
        self._more_devices = devices
        self._events: queue.SimpleQueue[MachineEvent] = queue.SimpleQueue()
        self._console = Console(self._on_key, self._on_lost, input_fd=input_fd, output_fd=output_fd)
        self._choice: accel.Choice | None = None
        self._around = Surroundings(
            accelerator or self._choose, self._console.write, self._events, self._console.size
        )
        self._system: System | None = None  #: who gets the console's input now
        self._input_gate = threading.Condition()
        self._ended = False
        self._deadline: float | None = None

    def _choose(self) -> Accelerator:
        """The accelerator for one boot; a reboot takes what the first boot took."""
        if self._choice is None:
            self._choice = accel.choose(self.config.accel, _show_preparation, irqchip=self.config.irqchip)
        made: Accelerator = self._choice.make(_show_preparation)
        return made

    def _say_choice(self) -> None:
        if self._choice is not None and self._choice.why:
            log.info(f"accelerator {self._choice.name}: {self._choice.why}")

    def run(self) -> int:
        """Boot the guest and run it to its end; the exit status.

        Raises ConfigError and HostError before the guest runs, InternalError at any time.
        """
        with DeviceSet(self.config, self._more_devices) as devices:
            self._around = dataclasses.replace(self._around, devices=devices)
            return self._run()

    def _run(self) -> int:
        system = self._build(None)
        if self.config.dry_run:
            self._show_layout(system)
            system.close()
            return POWERED_OFF
        self._say_choice()
        if self.config.timeout is not None:
            self._deadline = time.monotonic() + self.config.timeout
        try:
            with ending_signals(self._on_signal), window_changes(self._on_resize):
                self._console.start(self._feed)
                event = self._run_to_end(system)
        finally:
            self._give_input_to(None, ended=True)
            self._console.close()
        return self._finish(event)

    def _build(self, kept: dict[str, Any] | None) -> System:
        system = System(self.config, self._around, kept)
        if kept is None and self.config.dump_dtb:
            _write_file(self.config.dump_dtb, system.device_tree)
        return system

    def _run_to_end(self, system: System) -> MachineEvent:
        """Boot after boot, until something other than a reboot happens."""
        while True:
            event = self._run_boot(system)
            if not isinstance(event, Reboot) or self.config.no_reboot:
                return event
            log.debug("the guest reboots")
            system = self._build(system.keep())

    def _run_boot(self, system: System) -> MachineEvent:
        system.load()
        system.start()
        self._give_input_to(system)
        try:
            event = self._next_event()
        finally:
            self._give_input_to(None)
            system.stop()
            system.close()
        return event

    def _next_event(self) -> MachineEvent:
        """The next thing that happens; the deadline comes before a reboot that arrives late.

        It looks up once a second: a signal that the kernel gives to another thread is handled in this one,
        but does not end its wait.
        """
        while True:
            left = LOOK_UP if self._deadline is None else self._deadline - time.monotonic()
            try:
                event = self._events.get(timeout=min(max(left, 0), LOOK_UP))
            except queue.Empty:
                if self._deadline is not None and time.monotonic() >= self._deadline:
                    return self._timed_out()
                continue
            late = isinstance(event, Reboot) and self._deadline is not None
            return self._timed_out() if late and time.monotonic() >= (self._deadline or 0) else event

    def _timed_out(self) -> End:
        return End(TIMED_OUT, f"the guest did not end within {self.config.timeout:g} s", is_error=True)

    def _finish(self, event: MachineEvent) -> int:
        match event:
            case PowerOff() | Reboot():
                return POWERED_OFF
            case Panic(message):
                log.error(f"the guest panicked: {_one_line(message)}")
                return VANISHED
            case End(status, message, is_error):
                if message:
                    (log.error if is_error else log.info)(message)
                return status
            case Failure(error):
                raise error

    # -- called from other threads and signal handlers ---------------------------------------

    def end(self, status: int = POWERED_OFF, message: str = "") -> None:
        """End the run from anywhere, with this exit status."""
        self._events.put(End(status, message))

    def _on_signal(self, number: signal.Signals) -> None:
        self._events.put(killed_by(number))

    def _on_resize(self) -> None:
        system = self._system
        if system is not None:
            system.resize()

    def _on_key(self, key: Key) -> None:
        if key is Key.EXIT:
            self.end()
        elif key is Key.BREAK:
            self._feed(SYSRQ)
        elif (system := self._system) is not None:
            try:
                self._control(key, system)
            except LparError as err:
                self._events.put(Failure(err))

    def _control(self, key: Key, system: System) -> None:
        """What a key asks of the guest that runs now."""
        match key:
            case Key.PAUSE if system.paused:
                system.resume()
                log.info("the guest goes on")
            case Key.PAUSE:
                system.pause()
                log.info("the guest is paused; Ctrl-a p lets it go on")
            case Key.DUMP:
                log.write(system.dump())
            case Key.NMI:
                system.system_reset()

    def _on_lost(self) -> None:
        self._events.put(Failure(HostError("nobody reads the guest's console any more: stdout is closed")))

    def _feed(self, data: bytes) -> None:
        """Console input to the guest that runs now, or to the next one; waits for room."""
        while data:
            with self._input_gate:
                self._input_gate.wait_for(lambda: self._system is not None or self._ended)
                system = self._system
            if system is None:
                return
            data = data[system.send(data) :]

    def _give_input_to(self, system: System | None, *, ended: bool = False) -> None:
        with self._input_gate:
            self._system = system
            self._ended = self._ended or ended
            self._input_gate.notify_all()

    # ----------------------------------------------------------------------------------------

    def _show_layout(self, system: System) -> None:
        for what, address, size in system.layout.describe():
            log.info(f"{address:#014x} {address + size:#014x}  {what}")
        log.info(f"{system.layout.kernel.entry:#014x}  entry")


def _show_preparation(what: str, done: int, total: int) -> None:
    log.progress(f"preparing the CPU engine, once on this machine: {what}", done, total)


def _one_line(text: str) -> str:
    """What a guest says, made fit for one line of a terminal."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _write_file(path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as err:
        hint = "--dump-dtb wants a file in a directory that exists and may be written"
        raise ConfigError(f"cannot write {path}: {err.strerror}", hint=hint) from None


def run_machine(config: MachineConfig) -> int:
    """Run the machine on this process's standard input and output; the exit status."""
    ensure_standard_fds()
    return Machine(dataclasses.replace(config)).run()
