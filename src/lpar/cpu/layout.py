# SPDX-License-Identifier: GPL-2.0-only
"""Where each part of a vCPU's state lives in memory.

One block of memory per vCPU, addressed by compiled code through one pointer and by Python through
``State``.  Architected registers come from ``lpar.isa.state``; the rest is the engine's own.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from lpar.isa.state import FIELDS

TLB_ENTRIES = 1024  #: data TLB entries for each of the modes below
TLB_ENTRY = 32  #: bytes: read tag, write tag, addend (host - ea), real address | flags
TLB_MODES = 6  #: real; supervisor for each AMR[0:1] 0 to 3; problem state
CTLB_ENTRIES = 512  #: code TLB: tag, records, real page, pc_adj
CTLB_ENTRY = 32
FILL_LOG = 512  #: fills that a vCPU remembers of each half, so that a flush soon after another is quick
#: bytes of a state block in front of its address: x86-64 has short displacements from -128 to 127, which are
#: those of the general registers
BIAS = 128
NARROWEST = 32  #: bits that a field takes: hosts forward stored bytes less quickly (docs/design/engine.md)
NO_TAG = (1 << 64) - 1  #: never equal to a page's tag

#: engine state, 64 bits each: name -> count (0: scalar)
ENGINE: dict[str, int] = {
    # hot
    "exit_request": 0,  # non-zero: leave the fast path at the next poll (bits: see requests below)
    "pc_adj": 0,  # cia = pc_adj + record address / 2
    "region_rec": 0,  # the record of the region under way, for its exits
    "pc": 0,  # valid outside handlers and where a slow path stored it
    "tlb": 0,  # address of the current mode's data TLB
    "mode_key": 0,  # what the code TLB's tag carries besides the page
    "fault": 0,  # a slow path's outcome: 0 fine, else see native_mmu
    "code_base": 3,  # record regions: LE 64-bit, other LE, BE
    "code_region": 0,  # the current one
    "current_region": 0,
    "handler_base": 0,
    # interrupts
    "exc_vector": 0,
    "exc_srr1": 0,
    "exc_ea": 0,
    "pending": 0,  # bits: external, decrementer, system reset, doorbell...
    # reservation
    "resv_addr": 0,
    "resv_size": 0,
    "resv_lo": 0,
    "resv_hi": 0,
    # exits
    "exit_reason": 0,
    "exit_addr": 0,
    "exit_size": 0,
    "exit_value": 0,
    "mmio_ready": 0,  # the machine has answered an exit: 1 a load, 2 a store
    "mmio_addr": 0,  # the real address that it answered
    "mmio_value": 0,
    # time: timebase ticks (512 MHz)
    "tb_offset": 0,
    "dec_deadline": 0,  # absolute timebase of DEC's passing zero
    "dec_level": 0,  # the decrementer's exception exists
    "dec_bits": 0,
    # memory
    "ram_base": 0,
    "ram_size": 0,
    "page_flags": 0,  # host address of a byte for each 4 KiB page of RAM
    "shared": 0,  # host address of the state that all vCPUs share
    "hpt_base": 0,
    "hpt_mask": 0,
    "prtb_base": 0,  # process table, guest real
    "prtb_size": 0,
    "slb_esid": 64,
    "slb_vsid": 64,
    "tlb_gen": 0,
    "fill_log": 2 * FILL_LOG,  # addresses of the TLB entries filled since the last flush, see native_tlb
    "fill_count": 2,  # how many; FILL_LOG: too many to tell
    "polls": 0,
    "in_guest": 0,
    "running": 0,  # entered by Python and not back yet: its decrementer counts
    "index": 0,
    "isa": 0,  # 207, 300, 310
    "smp": 0,
    "wake_fd": 0,  # eventfd that ends the vCPU's sleep
    # hypercalls that are answered natively
    "hcalls": 2,  # a bit for each number, see native_hcalls
    "ceded": 0,  # asleep in H_CEDE
    "prodded": 0,  # H_PROD has ended the sleep, or will end the next one
    "yield_at": 0,  # host address of the dispatch count in the VPA, 0: none
    "shares": 0,  # the guest knows of shared processors
    "decode_table": 0,
    "prefix_table": 0,
    # counters
    "n_decoded": 0,
    "n_tlb_fill": 0,
    "n_code_fill": 0,
    "n_illegal": 0,
    "n_interrupts": 0,
    "n_smc": 0,
    "n_flush": 0,
    "n_goto": 0,
    "last_illegal": 0,
    "scratch": 8,
    # the compiled tier
    "links": 1024,  # addresses of routines and special handlers, see Code.links
    "samples": 64,  # ring of record addresses where polls found us
    "n_samples": 0,
    "n_passed": 0,  # samples and other requests that found a region, see native_sample
    "profile": 0,  # buffer for samples, see native_profile; 0: none
    "step": 3,  # records of the one instruction that is traced (native_step), and what stands behind it
    "stepping": 0,  # it is under way
    "step_pc": 0,
    "step_msr": 0,
    "look_again": 0,  # more of the engine's code has come since an instruction was found missing
    # units (native_unit)
    "stencil_table": 0,  # host address; 0: no units
    "stencil_symbols": 0,
    "unit_alone": 0,  # the handler lp_alone
    "unit_next": 0,  # where this vCPU writes its next unit
    "unit_limit": 0,  # and its stubs, downwards from there
    "unit_stubs": 0,  # those of the unit under way
    "n_unit_flushes": 0,
    "unit_place": 64,
    "unit_pending": 64,
    "unit_words": 64,
    "unit_values": 64,
}

#: bits of ``pending``
PEND_EXTERNAL = 1
PEND_RESET = 2
PEND_DOORBELL = 4
#: bits of ``exit_request``
REQ_INTERRUPT = 1  #: look at pending interrupts and the decrementer
REQ_KICK = 2  #: go back to Python
REQ_FLUSH = 4  #: flush the TLBs
REQ_QUIESCE = 8  #: somebody waits for us to pass a poll
REQ_SAMPLE = 16  #: note where we are, for the compiled tier
REQ_PROFILE = 32  #: note where we are, for the user
REQ_STEP = 64  #: an instruction is traced
#: exit reasons
EXIT_HCALL, EXIT_MMIO_READ, EXIT_MMIO_WRITE, EXIT_KICKED, EXIT_HALTED, EXIT_INTERNAL = range(1, 7)
EXIT_MISSING = 7  #: an instruction whose code is still being built


@dataclass(frozen=True, slots=True)
class Slot:
    """One register or array: byte offset from the state's address, width (bits), stride (bytes), count."""

    offset: int
    width: int
    stride: int
    count: int

    @property
    def place(self) -> int:
        """The byte offset in the block."""
        return BIAS + self.offset


def _build() -> tuple[dict[str, Slot], int]:
    slots: dict[str, Slot] = {}
    at = -BIAS
    hot = ["gpr", "cr", "so", "ov", "ca", "ov32", "ca32", "lr", "ctr", "msr", "fpscr", "vscr"]
    order = [(n, *FIELDS[n]) for n in hot]
    order += [(n, 64, c) for n, c in ENGINE.items()]
    order += [(n, *v) for n, v in FIELDS.items() if n not in hot]
    for name, width, count in order:
        stride = max(NARROWEST, width) // 8
        at = (at + stride - 1) // stride * stride
        slots[name] = Slot(at, width, stride, count)
        at += stride * max(1, count)
    at = (at + 63) // 64 * 64
    slots["ctlb"] = Slot(at, 8, CTLB_ENTRY, CTLB_ENTRIES)
    at += CTLB_ENTRY * CTLB_ENTRIES
    slots["dtlb"] = Slot(at, 8, TLB_ENTRY * TLB_ENTRIES, TLB_MODES)
    at += TLB_ENTRY * TLB_ENTRIES * TLB_MODES
    return slots, (at + BIAS + 4095) // 4096 * 4096


SLOTS, STATE_SIZE = _build()
MASK64 = (1 << 64) - 1
#: fields of 64 bits by the number of their word: the most of what Python touches, at every exit
_WORDS = {name: slot.place // 8 for name, slot in SLOTS.items() if (slot.width, slot.stride) == (64, 8)}


class State:
    """Python's view of a vCPU's state block in host memory at ``place``; code knows it by ``address``."""

    def __init__(self, place: int) -> None:
        self.address = place + BIAS
        self._raw = (ctypes.c_ubyte * STATE_SIZE).from_address(place)
        self.bytes = memoryview(self._raw).cast("B")
        self._words = self.bytes.cast("Q")

    def get(self, name: str, index: int = 0) -> int:
        """Read a field as an unsigned integer."""
        word = _WORDS.get(name)
        if word is not None:
            return self._words[word + index]
        slot = SLOTS[name]
        at = slot.place + slot.stride * index
        return int.from_bytes(self.bytes[at : at + slot.stride], "little")

    def set(self, name: str, value: int, index: int = 0) -> None:
        """Write a field, truncated to its width."""
        word = _WORDS.get(name)
        if word is not None:
            self._words[word + index] = value & MASK64
            return
        slot = SLOTS[name]
        at = slot.place + slot.stride * index
        value &= (1 << slot.width) - 1
        self.bytes[at : at + slot.stride] = value.to_bytes(slot.stride, "little")

    def save(self) -> dict[str, Any]:
        """All architected state as plain data, SLB entries included."""
        counts = {n: count for n, (_, count) in FIELDS.items()} | {
            n: ENGINE[n] for n in ("slb_esid", "slb_vsid")
        }
        return {n: [self.get(n, i) for i in range(c)] if c else self.get(n) for n, c in counts.items()}
