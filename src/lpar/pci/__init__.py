# SPDX-License-Identifier: GPL-2.0-only
"""PCI functions as a bridge sees them: configuration space, BARs, interrupts.  Knows no bridge."""

from lpar.pci.address_map import AddressMap, Region
from lpar.pci.bus import Bus, Window
from lpar.pci.function import Bar, BarKind, Function, Identity

__all__ = ["AddressMap", "Bar", "BarKind", "Bus", "Function", "Identity", "Region", "Window"]
