# SPDX-License-Identifier: GPL-2.0-only
"""Executable memory for compiled regions."""

from __future__ import annotations

import ctypes
import platform
from concurrent.futures import ThreadPoolExecutor

import pytest

from lpar.cpu.arena import Arena
from lpar.cpu.relocate import MACHINES

pytestmark = pytest.mark.skipif(platform.machine() not in MACHINES, reason="no regions for this host")


def test_threads_do_not_share_a_place() -> None:
    """The sampler and the compiler add code at the same time; each image stays whole."""
    arena = Arena(ctypes.addressof(ctypes.c_char(b"x")))
    images = [bytes([n % 256]) * (1000 + n) for n in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(arena.add, images))
    for place, image in zip(places, images, strict=True):
        assert place is not None
        assert ctypes.string_at(place, len(image)) == image
