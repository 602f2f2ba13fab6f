# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures for all tests."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator

import pytest

from lpar import log
from lpar.cli import guests, kernels


@pytest.fixture(scope="session", autouse=True)
def _normal_signals() -> None:
    """Whoever started us (nohup, a background job) may have ignored signals, which programs inherit."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _normal_log() -> Iterator[None]:
    """Each test starts with the normal log level."""
    log.set_level()
    yield
    log.set_level()


@pytest.fixture(scope="session")
def debian() -> guests.Guest:
    """Debian's installer for ppc64el, from the user's cache (fetched once)."""
    if shutil.which("apt-get") is None and not guests.cache_dir().is_dir():
        pytest.skip("no apt-get here to fetch the guest with")
    return guests.debian_installer()


@pytest.fixture(scope="session")
def debian_kernel() -> kernels.Kernel:
    """Debian's kernel for ppc64el with lpar's initramfs, from the user's cache (fetched once)."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get here to fetch the kernel with")
    return kernels.debian_kernel()
