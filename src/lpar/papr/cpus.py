# SPDX-License-Identifier: GPL-2.0-only
"""What the partition keeps of each virtual processor besides its registers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu


class ProcessTable(NamedTuple):
    """The registered process table: guest-real ``base``, 2**log2_size bytes; see Vcpu."""

    base: int
    log2_size: int
    radix: bool
    gtse: bool


class Processor:
    """PAPR's state of one virtual processor.  Addresses are guest-real, 0 where not registered.

    ``running`` is set while the processor is started; the vCPU's thread waits on it while it is
    stopped.  ``todo`` is work that must happen in the vCPU's own thread (register changes asked
    for by others); ``Partition.settle`` does it.
    """

    __slots__ = (
        "dtl",
        "dtl_size",
        "joined",
        "running",
        "slb_shadow",
        "slb_shadow_size",
        "stopping",
        "todo",
        "vpa",
    )

    def __init__(self, started: bool) -> None:
        self.running = threading.Event()
        if started:
            self.running.set()
        self.stopping = False  #: stop-self is under way: becomes "stopped" once the call is answered
        self.joined = False  #: in H_JOIN
        self.vpa = 0
        self.slb_shadow = 0
        self.slb_shadow_size = 0
        self.dtl = 0
        self.dtl_size = 0
        self.todo: list[Callable[[Vcpu], None]] = []

    def forget_areas(self) -> None:
        """Drop the registered areas: the processor stopped."""
        self.vpa = self.slb_shadow = self.slb_shadow_size = self.dtl = self.dtl_size = 0

    def save(self) -> dict[str, Any]:
        """Plain data.  Work in ``todo`` must have been settled."""
        areas = [self.vpa, self.slb_shadow, self.slb_shadow_size, self.dtl, self.dtl_size]
        return {"started": self.running.is_set(), "joined": self.joined, "areas": areas}

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state back."""
        self.vpa, self.slb_shadow, self.slb_shadow_size, self.dtl, self.dtl_size = data["areas"]
        self.joined = data["joined"]
        self.stopping = False
        self.todo.clear()
        if data["started"]:
            self.running.set()
        else:
            self.running.clear()
