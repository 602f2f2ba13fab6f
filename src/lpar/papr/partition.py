# SPDX-License-Identifier: GPL-2.0-only
"""The partition: all that PAPR's hypervisor keeps of one guest, and the answer to its hypercalls.

Each vCPU's thread calls :meth:`Partition.handle_hcall`; handlers run at the same time and lock the
part they change (interrupt controller, page table, terminal, NVRAM, processors).

What the machine's run loop owes the partition:

* on ``ExitReason.HCALL``: ``handle_hcall(vcpu)``, then, if ``is_stopped(index)``, wait with
  ``wait_started(index)`` before the next ``run``;
* on ``ExitReason.KICKED``: ``settle(vcpu)``, which does what other processors asked for;
* at the end: ``shut_down()``, so that nobody sleeps on.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import uuid as uuid_module
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from lpar.errors import GuestError, HostError, LparError
from lpar.papr import (  # the registrations, in the order of the RTAS tokens
    hcalls_cpu,
    hcalls_memory,
    hcalls_mmu,
    hcalls_term,
    hcalls_xics,
    phb_rtas,
    rtas,
    rtas_cpu,
    rtas_system,
    tce,
    vpa,
)
from lpar.papr import numbers as n
from lpar.papr.cpus import Processor, ProcessTable
from lpar.papr.events import Event
from lpar.papr.hpt import HashTable, hpt_order
from lpar.papr.nvram import Nvram
from lpar.papr.phb import HostBridge
from lpar.papr.registry import HCALL_HANDLERS, HCALLS, Args, Result
from lpar.papr.vty import Output, Vty, discard
from lpar.papr.xics import Xics
from lpar.papr.xics_kernel import KernelXics

if TYPE_CHECKING:
    from lpar.accel.protocol import KernelInterrupts, Natives, Vcpu
    from lpar.host.memory import GuestMemory

__all__ = ["Partition"]

_REGISTRATIONS = (
    hcalls_cpu, hcalls_memory, hcalls_mmu, hcalls_term, hcalls_xics,
    phb_rtas, rtas, rtas_cpu, rtas_system, tce, vpa
)  # fmt: skip
_log = logging.getLogger(__name__)
_FWNMI_SAVE = 0x30  #: offset of the register save slots in the RTAS area, 16 bytes for each processor


class MmioBus(Protocol):
    """Devices outside RAM, for the logical cache-inhibited loads and stores."""

    def read(self, address: int, size: int) -> int | None:
        """The value, or None where no device answers."""

    def write(self, address: int, size: int, value: int) -> bool:
        """False where no device answers."""


class Partition:
    """One guest's hypervisor state.

    ``console`` takes the output of the first terminal (see ``vty.Output``); ``start`` is called
    with a processor's number once start-cpu has set it up; ``allocate_hpt`` gives the page
    table's buffer of 2**order bytes, or None if there is none to be had; ``trace_hcall`` and
    ``trace_rtas`` get one line per call.
    """

    def __init__(
        self,
        memory: GuestMemory,
        vcpus: Sequence[Vcpu],
        console: Output = discard,
        *,
        start: Callable[[int], None] | None = None,
        allocate_hpt: Callable[[int], memoryview | None] | None = None,
        trace_hcall: Callable[[str], None] | None = None,
        trace_rtas: Callable[[str], None] | None = None,
        name: str = "lpar",
        uuid: bytes | None = None,
        kernel_interrupts: KernelInterrupts | None = None,
    ) -> None:
        self.memory = memory
        self.vcpus = list(vcpus)
        self.processors = [Processor(started=i == 0) for i in range(len(self.vcpus))]
        self.xics = _make_xics(kernel_interrupts, self.vcpus)
        self.vtys: list[Vty] = []
        self.vtys_by_unit: dict[int, Vty] = {}
        self.bridges: list[HostBridge] = []
        self.nvram = Nvram()
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.process_table = ProcessTable(0, 12, False, False)
        self.name: str = name
        self.uuid: bytes = uuid or uuid_module.uuid4().bytes
        self.shared_processors = len(self.vcpus) > (os.cpu_count() or 1)
        self.trace_hcall = trace_hcall
        self.trace_rtas = trace_rtas
        # Hooks of the machine, set before the guest runs
        self.start = start
        self.allocate_hpt = allocate_hpt
        self.hpt_order = hpt_order(memory.size)
        self.flush_hpte: Callable[[int, int, int], None] = self._flush_all
        self.memory_written: Callable[[int, int], None] | None = None  #: (address, length) behind the engine
        self.natives: Natives | None = None
        self.cpu_characteristics: tuple[int, int] | None = None  #: of real processors; None: emulated
        self.mmio: MmioBus | None = None
        self.entropy: Callable[[int], bytes] = os.urandom
        self.clock: Callable[[], int] = time.time_ns
        self.rtas_base = 0  #: guest-real address of the RTAS blob
        self.rtas_size = 0  #: bytes, as rtas-size says
        # Guest state
        self.rtc_offset_ns = 0
        self.fwnmi_system_reset: int | None = None
        self.fwnmi_machine_check: int | None = None
        self._hpt: HashTable | None = None
        self._lock = threading.Lock()  #: page table allocation, processors' todo lists
        self._joining = threading.Condition(threading.Lock())
        self._ended = False
        self.add_vty(console)

    # -- hypercalls -------------------------------------------------------------------------

    def handle_hcall(self, vcpu: Vcpu) -> None:
        """Answer the hypercall that ``vcpu`` stopped at; never raises for what the guest did."""
        args = vcpu.hcall_args()
        handler = HCALL_HANDLERS.get(args[0])
        if handler is None:
            result: Result = n.H_FUNCTION
        else:
            try:
                result = handler(self, vcpu, args)
            except GuestError:
                result = n.H_PARAMETER
            except HostError:
                raise  # the guest cannot go on without what the host refused
            except Exception:
                _log.exception("hypercall %#x failed; this is a bug in lpar", args[0])
                result = n.H_HARDWARE
        if self.trace_hcall:
            self.trace_hcall(_trace_line(vcpu, args, result))
        if type(result) is tuple:
            vcpu.hcall_return(*result)
        else:
            vcpu.hcall_return(result)  # type: ignore[arg-type]
        cpu = self.processors[vcpu.index]
        if cpu.todo or cpu.stopping:
            self.settle(vcpu)

    def use_natives(self, natives: Natives | None) -> None:
        """Leave hypercalls to the accelerator, unless each is to be shown."""
        if natives is not None and self.trace_hcall is None:
            self.natives = natives
            natives.answer(HCALL_HANDLERS)
            self.vtys[0].use(natives)

    def areas_changed(self, index: int) -> None:
        """Processor ``index`` registered its VPA or lost it."""
        if self.natives is not None:
            self.natives.set_yield_count(index, self._yield_at(index), self.shared_processors)

    def _yield_at(self, index: int) -> int:
        area = self.processors[index].vpa
        return area + vpa.VPA_YIELD_COUNT if area else 0

    def settle(self, vcpu: Vcpu) -> None:
        """Do in the vCPU's own thread what others asked of it; finish stop-self."""
        cpu = self.processors[vcpu.index]
        with self._lock:
            todo, cpu.todo = cpu.todo, []
        for work in todo:
            work(vcpu)
        if cpu.stopping:
            cpu.forget_areas()
            self.areas_changed(vcpu.index)
            cpu.running.clear()
            cpu.stopping = False

    def post(self, index: int, work: Callable[[Vcpu], None]) -> None:
        """Have ``work`` done by the thread of vCPU ``index`` before its next guest instruction."""
        with self._lock:
            self.processors[index].todo.append(work)
        self.vcpus[index].kick()

    def on_every_vcpu(self, caller: Vcpu, work: Callable[[Vcpu], None]) -> None:
        """``work`` on the caller and the stopped vCPUs at once, on the running ones soon."""
        for vcpu, cpu in zip(self.vcpus, self.processors, strict=True):
            if vcpu is caller or not cpu.running.is_set():
                work(vcpu)
            else:
                self.post(vcpu.index, work)

    # -- processors -------------------------------------------------------------------------

    def is_stopped(self, index: int) -> bool:
        """Whether processor ``index`` must not run (never started, or stop-self)."""
        return not self.processors[index].running.is_set()

    def wait_started(self, index: int, timeout: float | None = None) -> bool:
        """Sleep until processor ``index`` is started; False after ``timeout`` seconds or at the end."""
        self.processors[index].running.wait(timeout)
        return not self.is_stopped(index) and not self._ended

    def start_processor(self, index: int) -> None:
        """Let a stopped processor run; its registers are set already."""
        self.processors[index].running.set()
        if self.start is not None:
            self.start(index)

    def cpu_state(self, index: int) -> int:
        """CPU_STOPPED, CPU_STOPPING or CPU_RUNNING."""
        cpu = self.processors[index]
        if not cpu.running.is_set():
            return n.CPU_STOPPED
        return n.CPU_STOPPING if cpu.stopping else n.CPU_RUNNING

    def shut_down(self) -> None:
        """Wake every thread that waits in the partition, for good."""
        self._ended = True
        for cpu in self.processors:
            cpu.running.set()
        for vty in self.vtys:
            vty.close()
        with self._joining:
            self._joining.notify_all()

    def join(self, index: int) -> int:
        """H_JOIN of processor ``index``: sleep until prodded, or H_CONTINUE for the last one."""
        with self._joining:
            others = [cpu for i, cpu in enumerate(self.processors) if i != index]
            if all(cpu.joined or not cpu.running.is_set() for cpu in others):
                return n.H_CONTINUE
            mine = self.processors[index]
            mine.joined = True
            self._joining.wait_for(lambda: self._ended or not mine.joined)
            mine.joined = False
            return n.H_SUCCESS

    def unjoin(self, index: int) -> None:
        """H_PROD ends the H_JOIN of processor ``index``."""
        cpu = self.processors[index]
        if cpu.joined:
            with self._joining:
                cpu.joined = False
                self._joining.notify_all()

    def yield_count(self, index: int) -> int:
        """The dispatch counter in the processor's VPA; 0 without one."""
        at = self._yield_at(index)
        return self.memory.read_u32(at) if at else 0

    def yielding(self, index: int) -> int:
        """The processor goes to sleep: its count becomes odd.  Gives the count to go on with."""
        at = self._yield_at(index)
        if not at or not self.shared_processors:
            return 0
        count = self.memory.read_u32(at) | 1
        self.memory.write_u32(at, count)
        return count + 1 & 0xFFFFFFFF

    def resumed(self, index: int, count: int) -> None:
        """The processor goes on: its count is even again."""
        at = self._yield_at(index)
        if at and self.shared_processors:
            self.memory.write_u32(at, count)

    def system_reset(self, index: int) -> None:
        """System reset interrupt on processor ``index``, at the registered address if there is one."""
        if self.is_stopped(index):
            return
        if self.fwnmi_system_reset is not None and self._fwnmi_slot(index):
            self.post(index, self._deliver_fwnmi)
        else:
            self.vcpus[index].raise_system_reset()

    def _fwnmi_slot(self, index: int) -> int:
        """Where r3 of processor ``index`` is saved; 0 if the RTAS area has no room."""
        offset = _FWNMI_SAVE + 16 * index
        return self.rtas_base + offset if offset + 32 <= self.rtas_size else 0

    def _deliver_fwnmi(self, vcpu: Vcpu) -> None:
        """System reset as PAPR 7.3.14 has it: r3 points to its saved value in the RTAS area."""
        slot = self._fwnmi_slot(vcpu.index)
        self.memory.write_u64(slot, vcpu.get_reg("r3"))
        vcpu.set_reg("r3", slot)
        vcpu.set_reg("srr0", vcpu.get_reg("pc"))
        vcpu.set_reg("srr1", vcpu.get_reg("msr") & ~0x783F0000)
        little = vcpu.get_reg("lpcr") & n.LPCR_ILE
        vcpu.set_reg("msr", n.MSR_SF | n.MSR_ME | (n.MSR_LE if little else 0))
        vcpu.set_reg("pc", self.fwnmi_system_reset or 0x100)

    # -- translation ------------------------------------------------------------------------

    def hash_table(self) -> HashTable | None:
        """The hashed page table, made when first asked for; None if it cannot be had."""
        return self._hpt or self._make_hpt()

    def _make_hpt(self) -> HashTable | None:
        with self._lock:
            if self._hpt is None and self.allocate_hpt is not None:
                buffer = self._try_allocate(self.allocate_hpt)
                if buffer is not None:
                    self._hpt = HashTable(buffer, self.hpt_order, self._flush_one, self._table_lock())
                    for vcpu in self.vcpus:
                        vcpu.set_hash_table(self.hpt_order)
            return self._hpt

    def _table_lock(self) -> AbstractContextManager[object] | None:
        return None if self.natives is None else self.natives.table_lock()

    def _try_allocate(self, allocate: Callable[[int], memoryview | None]) -> memoryview | None:
        try:
            return allocate(self.hpt_order)
        except (LparError, MemoryError, OSError) as error:
            _log.error("no page table of 2**%d bytes for the guest: %s", self.hpt_order, error)
            return None

    def _flush_one(self, v: int, r: int, index: int) -> None:
        self.flush_hpte(v, r, index)

    def _flush_all(self, v: int, r: int, index: int) -> None:
        for vcpu in self.vcpus:
            vcpu.flush_tlb()

    def set_process_table(self, caller: Vcpu, table: ProcessTable) -> None:
        """H_REGISTER_PROC_TBL: all vCPUs translate through ``table`` from now on."""
        self.process_table = table
        self.on_every_vcpu(caller, lambda vcpu: vcpu.set_process_table(*table))

    def set_lpcr(self, caller: Vcpu, value: int, mask: int) -> None:
        """Set the bits of ``mask`` in every LPCR to ``value``."""

        def change(vcpu: Vcpu) -> None:
            vcpu.set_reg("lpcr", vcpu.get_reg("lpcr") & ~mask | value)

        self.on_every_vcpu(caller, change)

    # -- memory, terminals, time ------------------------------------------------------------

    def write_memory(self, address: int, data: bytes) -> None:
        """Write guest memory and tell the engine.  Raises GuestAccessError outside RAM."""
        self.memory.write(address, data)
        if self.memory_written is not None:
            self.memory_written(address, len(data))

    def mmio_read(self, address: int, size: int) -> int | None:
        """Load from a device; None where there is none."""
        return None if self.mmio is None else self.mmio.read(address, size)

    def mmio_write(self, address: int, size: int, value: int) -> bool:
        """Store to a device; False where there is none."""
        return self.mmio is not None and self.mmio.write(address, size, value)

    def add_vty(self, output: Output = discard) -> Vty:
        """One more virtual terminal, at the next unit address."""
        unit = n.VTY_BASE + len(self.vtys)
        vty = Vty(unit, self.xics.allocate(), output)
        self.vtys.append(vty)
        self.vtys_by_unit[unit] = vty
        return vty

    def vty(self, unit: int) -> Vty | None:
        """The terminal at a unit address; 0 is the first one, as PAPR's default console."""
        return self.vtys[0] if unit == 0 else self.vtys_by_unit.get(unit)

    def wall_clock_ns(self) -> int:
        """The guest's clock: nanoseconds since 1970, UTC."""
        return self.clock() + self.rtc_offset_ns

    def set_wall_clock_ns(self, value: int) -> None:
        """Set the guest's clock; the host's is left alone."""
        self.rtc_offset_ns = value - self.clock()

    # -- state ------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Plain data of everything here but registers and memory; all vCPUs are paused."""
        return {
            "processors": [cpu.save() for cpu in self.processors],
            "xics": self.xics.save(),
            "vtys": [vty.save() for vty in self.vtys],
            "nvram": self.nvram.save(),
            "bridges": [bridge.save() for bridge in self.bridges],
            "process_table": list(self.process_table),
            "hpt": self._hpt.save() if self._hpt else None,
            "rtc_offset_ns": self.rtc_offset_ns,
            "fwnmi": [self.fwnmi_system_reset, self.fwnmi_machine_check],
            "uuid": self.uuid,
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state back; all vCPUs are paused, and flush their translations."""
        for cpu, saved in zip(self.processors, data["processors"], strict=True):
            cpu.restore(saved)
        for index in range(len(self.vcpus)):
            self.areas_changed(index)
        self.xics.restore(data["xics"])
        for vty, saved in zip(self.vtys, data["vtys"], strict=True):
            vty.restore(saved)
        self.nvram.restore(data["nvram"])
        for bridge, saved in zip(self.bridges, data["bridges"], strict=True):
            bridge.restore(saved)
        self.rtc_offset_ns = data["rtc_offset_ns"]
        self.fwnmi_system_reset, self.fwnmi_machine_check = data["fwnmi"]
        self.uuid = data["uuid"]
        self._restore_translation(data)

    def _restore_translation(self, data: dict[str, Any]) -> None:
        self.process_table = ProcessTable(*data["process_table"])
        table = self.hash_table() if data["hpt"] is not None else None
        if table is not None:
            table.restore(data["hpt"])
        for vcpu in self.vcpus:
            vcpu.set_process_table(*self.process_table)
            vcpu.flush_tlb()


def _make_xics(kernel: KernelInterrupts | None, vcpus: Sequence[Vcpu]) -> Xics:
    """The interrupt controller: ours, or the accelerator's own."""
    if kernel is None:
        return Xics([vcpu.set_external_interrupt for vcpu in vcpus])
    xics = KernelXics(kernel, len(vcpus))
    xics.take_rtas()
    return xics


def _trace_line(vcpu: Vcpu, args: Args, result: Result) -> str:
    call = HCALLS.get(args[0])
    name = call.name if call else f"unknown {args[0]:#x}"
    shown = ", ".join(f"{arg:#x}" for arg in args[1:5])
    status, *rets = result if isinstance(result, tuple) else (result,)
    answer = ", ".join([n.RETURN_NAMES.get(status, str(status)), *(f"{ret:#x}" for ret in rets)])
    return f"hcall cpu{vcpu.index} {name}({shown}) = {answer}"
