# SPDX-License-Identifier: GPL-2.0-only
"""Everything of a machine that one boot of the guest uses: built anew when the guest reboots."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lpar import log
from lpar.accel.protocol import Facts, Profile, Vcpu
from lpar.boot import BootLayout, EntryState, load, plan
from lpar.config import MachineConfig
from lpar.errors import InternalError
from lpar.host.memory import GuestMemory
from lpar.machine import dump, profile
from lpar.machine.accelerator import Accelerator
from lpar.machine.devices import DeviceSet, attach
from lpar.machine.ends import End, Failure
from lpar.machine.processors import model_of
from lpar.machine.runner import VcpuRunner
from lpar.papr import device_tree, phb_tree
from lpar.papr.cpu_models import DEFAULT, MODELS
from lpar.papr.device_tree_cpus import threads_per_core
from lpar.papr.device_tree_memory import first_block_size
from lpar.papr.events import Event
from lpar.papr.partition import Partition
from lpar.papr.registry import hypertas_functions, rtas_tokens
from lpar.papr.vty import Output
from lpar.virtio.console import Channel, Console

STOP_TIMEOUT = 30.0  #: seconds that all vCPUs together have to come back from the guest

MachineEvent = Event | End | Failure
Events = queue.SimpleQueue[MachineEvent]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What outlives a boot: where output and events go, and what makes vCPUs."""

    accelerator: Callable[[], Accelerator]
    console: Output
    events: Events
    size: Callable[[], tuple[int, int]] = lambda: (80, 24)  #: (columns, rows) of the console's terminal
    devices: DeviceSet = field(default_factory=DeviceSet)


class _GuestEnds:
    """Where the partition puts what ends the boot: no vCPU goes on behind its own power-off call."""

    def __init__(self, system: System) -> None:
        self._system = system

    def put(self, event: Event) -> None:
        """Called in a vCPU's thread."""
        self._system.end_runners()
        self._system.around.events.put(event)


class System:
    """Memory, vCPUs and partition of one boot; ``kept`` is what the boot before left (see ``keep``).

    Raises ConfigError for a guest that cannot be loaded and HostError if the host refuses.
    """

    def __init__(
        self, config: MachineConfig, around: Surroundings, kept: dict[str, Any] | None = None
    ) -> None:
        self.config = config
        self.around = around
        self.paused = False
        self.layout = _layout(config)
        self._profile: Profile | None = None
        if config.profile is not None:
            profile.paths(config.profile)  # refused now rather than when the guest has run
        self._accelerator = around.accelerator()  # before RAM takes the room of its code
        self.memory = GuestMemory(config.memory, hugetlbfs=config.hugetlbfs)
        threads = threads_per_core(config.cpus, MODELS.get(config.cpu, DEFAULT))
        vcpus = self._accelerator.create_vcpus(self.memory, config.cpus, config.cpu, threads)
        self.partition = self._make_partition(vcpus)
        if kept is not None:
            _restore_kept(self.partition, kept)
        self.devices = around.devices.make()
        self.terminal = self._add_terminal() if config.console == "virtio" else None
        attach(self.devices, self.partition, legacy=config.virtio_transport == "pci-legacy")
        facts = self._accelerator.facts()
        self.device_tree = device_tree.build(describe(config, self.layout, self.partition, facts))
        self._runners = [self._runner(index) for index in range(config.cpus)]

    def _add_terminal(self) -> Console:
        """The console as a virtio device; the hypervisor's stays for what comes before its driver."""
        terminal = Console([Channel(self.around.console, console=True)], self.around.size())
        self.devices.append(terminal)
        return terminal

    def send(self, data: bytes) -> int:
        """Console input, waiting for room; fewer bytes only when the guest stops listening."""
        if self.terminal is not None and self.terminal.ports[0].guest_open:
            return self.terminal.ports[0].send_all(data)
        return self.partition.vtys[0].send(data)

    def resize(self) -> None:
        """The terminal has another size."""
        if self.terminal is not None:
            self.terminal.resize(*self.around.size())

    def _make_partition(self, vcpus: Sequence[Vcpu]) -> Partition:
        config = self.config
        partition = Partition(
            self.memory,
            vcpus,
            self.around.console,
            allocate_hpt=self._accelerator.allocate_hpt,
            trace_hcall=log.write if config.debug_hcall else None,
            trace_rtas=log.write if config.debug_rtas else None,
            name=config.name or "lpar",
            kernel_interrupts=self._accelerator.kernel_interrupts(),
        )
        facts = self._accelerator.facts()
        partition.hpt_order = facts.hpt_order or partition.hpt_order
        partition.cpu_characteristics = facts.characteristics
        partition.flush_hpte = self._accelerator.flush_hpte
        partition.memory_written = self._accelerator.memory_written
        partition.use_natives(self._accelerator.natives())
        partition.events = cast("queue.SimpleQueue[Event]", _GuestEnds(self))
        partition.rtas_base, partition.rtas_size = self.layout.rtas_addr, self.layout.rtas_size
        return partition

    def _runner(self, index: int) -> VcpuRunner:
        trace = log.write if self.config.debug_mmio else None
        return VcpuRunner(self.partition.vcpus[index], self.partition, self.around.events.put, trace)

    def load(self) -> None:
        """Fill guest memory and set the first vCPU to the guest's entry."""
        begin = time.perf_counter()
        enter(self.partition.vcpus[0], load(self.memory, self.layout, self.device_tree))
        log.debug(f"loaded in {time.perf_counter() - begin:.3f} s")

    def start(self) -> None:
        """Let the guest run."""
        for runner in self._runners:
            runner.start()
        if self.config.profile is not None:
            self._profile = self._accelerator.start_profile()
            if self._profile is None:
                log.warning("this accelerator takes no profiles")

    def end_runners(self) -> None:
        """Let no vCPU run on after the exit it is in."""
        for runner in self._runners:
            runner.end()

    def stop(self) -> None:
        """Bring all vCPUs back from the guest, for good.  Raises InternalError if one does not come."""
        for runner in self._runners:
            runner.request_stop()
        self.partition.shut_down()
        deadline = time.monotonic() + STOP_TIMEOUT
        for runner in self._runners:
            if not runner.join(max(deadline - time.monotonic(), 0.001)):
                raise InternalError(f"vCPU {runner.vcpu.index} does not stop")
        self._write_profile()

    def _write_profile(self) -> None:
        taken, self._profile = self._profile, None
        if taken is not None and self.config.profile is not None:
            taken.stop()
            for line in profile.write(self.config.profile, taken, self.memory, self.config.name or "guest"):
                log.info(line)

    def pause(self) -> None:
        """Bring all vCPUs back from the guest until ``resume``; their registers may be read then.

        Raises InternalError if one does not come.
        """
        self.paused = True
        for runner in self._runners:
            if not runner.pause(STOP_TIMEOUT):
                raise InternalError(f"vCPU {runner.vcpu.index} does not pause")

    def resume(self) -> None:
        """Let all vCPUs run again."""
        self.paused = False
        for runner in self._runners:
            runner.resume()

    def dump(self) -> str:
        """Registers, code and stack of every started vCPU, which is paused meanwhile."""
        was_paused = self.paused
        self.pause()
        try:
            started = [vcpu for vcpu in self.partition.vcpus if not self.partition.is_stopped(vcpu.index)]
            return "\n".join(dump.registers(vcpu, self.memory) for vcpu in started)
        finally:
            if not was_paused:
                self.resume()

    def system_reset(self) -> None:
        """System reset interrupt (NMI) on every started vCPU."""
        for vcpu in self.partition.vcpus:
            self.partition.system_reset(vcpu.index)

    def keep(self) -> dict[str, Any]:
        """What outlives a reboot: NVRAM, the clock, the identity, input that nobody has read."""
        partition = self.partition
        return {
            "nvram": partition.nvram.save(),
            "rtc_offset_ns": partition.rtc_offset_ns,
            "uuid": partition.uuid,
            "input": partition.vtys[0].save()["input"],
        }

    def close(self) -> None:
        """Free devices, vCPUs and memory; only after ``stop``, or if it never started."""
        for device in self.devices:
            device.close()
        self._accelerator.close()
        self.memory.close()


def _layout(config: MachineConfig) -> BootLayout:
    if config.kernel is None:
        raise InternalError("a machine without a kernel was not refused")
    initrd = Path(config.initrd) if config.initrd else None
    block = first_block_size(config.memory)
    return plan(Path(config.kernel), initrd, config.params, config.memory, first_block=block)


def _restore_kept(partition: Partition, kept: dict[str, Any]) -> None:
    partition.nvram.restore(kept["nvram"])
    partition.rtc_offset_ns = kept["rtc_offset_ns"]
    partition.uuid = kept["uuid"]
    partition.vtys[0].feed(kept["input"])


def describe(
    config: MachineConfig, layout: BootLayout, partition: Partition, facts: Facts | None = None
) -> device_tree.Description:
    """What the device tree is to say of this machine."""
    facts = facts or Facts(DEFAULT.name)
    return device_tree.Description(
        ram_size=config.memory,
        cpus=config.cpus,
        model=model_of(facts),
        threads=facts.threads,
        mmu=device_tree.Mmu(facts.mmu),
        hpt_order=partition.hpt_order,
        bootargs=config.params,
        initrd=(layout.initrd_addr, layout.initrd_end) if layout.initrd_size else None,
        rtas=(layout.rtas_addr, layout.rtas_size),
        rtas_tokens=rtas_tokens(),
        hypertas=hypertas_functions(),
        vtys=tuple(device_tree.Vty(vty.unit, vty.irq.number) for vty in partition.vtys),
        nvram_size=len(partition.nvram.data),
        random=True,
        name=config.name,
        uuid=str(uuid.UUID(bytes=partition.uuid)),
        extend=tuple(phb_tree.adder(bridge, device_tree.PHANDLE_XICP) for bridge in partition.bridges),
    )


def enter(vcpu: Vcpu, state: EntryState) -> None:
    """Set the registers a vCPU starts with."""
    for number, value in enumerate(state.gprs):
        vcpu.set_reg(f"r{number}", value)
    vcpu.set_reg("msr", state.msr)
    vcpu.set_reg("pc", state.pc)
