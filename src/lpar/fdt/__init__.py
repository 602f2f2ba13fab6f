# SPDX-License-Identifier: GPL-2.0-only
"""Flattened device trees, bytes in and bytes out.

>>> root = Node("", {"#address-cells": u32(2)})
>>> _ = root.add("chosen", bootargs=string("console=hvc0"))
>>> parse(flatten(Tree(root))).root.find("/chosen").text("bootargs")
'console=hvc0'
"""

from lpar.fdt.flatten import flatten
from lpar.fdt.parse import FdtError, parse
from lpar.fdt.tree import EMPTY, Node, Tree, cells, string, stringlist, u32, u64

__all__ = [
    "EMPTY",
    "FdtError",
    "Node",
    "Tree",
    "cells",
    "flatten",
    "parse",
    "string",
    "stringlist",
    "u32",
    "u64",
]
