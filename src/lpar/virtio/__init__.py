# SPDX-License-Identifier: GPL-2.0-only
"""virtio 1.2 devices: split queues over guest memory, device models, the PCI transport."""

from lpar.virtio.device import Device, virtio_device
from lpar.virtio.memory import DmaMemory
from lpar.virtio.queue import Chain, Queue, QueueError

__all__ = ["Chain", "Device", "DmaMemory", "Queue", "QueueError", "virtio_device"]
