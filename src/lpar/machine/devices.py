# SPDX-License-Identifier: GPL-2.0-only
"""From the machine's description to its virtio devices.

A ``DeviceSet`` is made once for a run: it opens what devices need of the host (images, sockets,
folders) and keeps it over reboots.  Each boot has devices of its own, ``make``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType

from lpar.backend.ninep import Export
from lpar.backend.open_disk import open_disk
from lpar.config import MachineConfig
from lpar.config.disk import DiskConfig, parse_disk
from lpar.config.network import NetworkConfig, mac_bytes, parse_network
from lpar.config.share import Share, parse_share
from lpar.machine.networks import open_network
from lpar.papr.partition import Partition
from lpar.papr.phb import HostBridge
from lpar.pci import AddressMap
from lpar.virtio import Device, DmaMemory
from lpar.virtio.blk import Blk
from lpar.virtio.legacy import LegacyFunction
from lpar.virtio.net import Net
from lpar.virtio.ninep import NineP
from lpar.virtio.pci import VirtioFunction
from lpar.virtio.rng import Rng

Maker = Callable[[], Device]


class DeviceSet:
    """What a machine's devices are made from; none without a description.

    Raises ConfigError and HostError for what cannot be opened.
    """

    def __init__(self, config: MachineConfig | None = None, more: Sequence[Maker] = ()) -> None:
        self._held = contextlib.ExitStack()
        self._makers: list[Maker] = [*more]
        if config is not None:
            with contextlib.ExitStack() as undo:
                undo.callback(self._held.close)
                self._open(config)
                undo.pop_all()

    def _open(self, config: MachineConfig) -> None:
        """One line for each kind of device; ``self._held`` closes what is opened here."""
        for text in config.disks:
            self._open_disk(parse_disk(text))
        if config.rng:
            self._makers.append(Rng)
        for text in config.shares:
            self._open_share(parse_share(text))
        for index, text in enumerate(config.networks):
            self._open_network(parse_network(text), index, dhcp=not config.no_dhcp)

    def _open_share(self, share: Share) -> None:
        export = Export(share.folder, read_only=share.read_only, mapped=share.mapped)
        self._held.callback(export.close)
        self._makers.append(lambda: NineP(export, share.tag))

    def _open_network(self, config: NetworkConfig, index: int, *, dhcp: bool) -> None:
        if config.mode == "none":
            return
        network = open_network(config, dhcp=dhcp)
        self._held.callback(network.close)
        self._makers.append(lambda: Net(network, mac_bytes(config, index)))

    def _open_disk(self, config: DiskConfig) -> None:
        disk = open_disk(config)
        self._held.callback(disk.close)
        self._makers.append(lambda: Blk(disk, serial=config.serial, queues=config.queues))

    def make(self) -> list[Device]:
        """New devices for one boot, in the order of their slots."""
        return [maker() for maker in self._makers]

    def __enter__(self) -> DeviceSet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()


def attach(devices: Sequence[Device], partition: Partition, *, legacy: bool = False) -> None:
    """Put devices on a PCI bus of the partition; none, no bus.  ``legacy``: by the interface before 1.0."""
    if not devices:
        return
    addresses = AddressMap()
    bridge = HostBridge(partition.xics, addresses)
    memory = DmaMemory(partition.memory, partition.memory_written)
    function = LegacyFunction if legacy else VirtioFunction
    for device in devices:
        bridge.add(function(device, memory))
    partition.mmio = addresses
    partition.bridges.append(bridge)
