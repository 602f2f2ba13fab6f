# SPDX-License-Identifier: GPL-2.0-only
"""Whether this host's KVM can run a partition, and if not, why, in one line that names what is missing."""

from __future__ import annotations

import errno
import os
import platform
from pathlib import Path

from lpar.host.kvm import abi
from lpar.host.kvm.device import PATH, Kernel, System

_MODULES = ("kvm_hv", "kvm_pr")


def obstacle(kernel: Kernel | None = None) -> str:
    """Why KVM cannot be used; empty if it can.  Opens /dev/kvm and makes an empty machine, no more."""
    machine = platform.machine()
    if not machine.startswith("ppc64"):
        return f"no KVM for POWER guests on {machine}"
    try:
        system = System(kernel or Kernel())
    except OSError as err:
        return _cannot_open(err)
    try:
        return _missing(system)
    finally:
        system.close()


def _cannot_open(err: OSError) -> str:
    if err.errno in (errno.EACCES, errno.EPERM):
        return f"no permission to use {PATH} (group {_group()})"
    if err.errno == errno.ENOENT:
        return f"no {PATH}: {_module_to_load()}"
    if err.errno == errno.ENODEV:
        return f"{PATH} has nothing behind it: {_module_to_load()}"
    return f"cannot open {PATH}: {os.strerror(err.errno or 0)}"


def _group() -> str:
    """Who may use the device."""
    try:
        import grp

        return grp.getgrgid(os.stat(PATH).st_gid).gr_name
    except (OSError, KeyError):
        return "kvm"


def _module_to_load() -> str:
    loaded = [name for name in _MODULES if Path("/sys/module", name).is_dir()]
    if loaded:
        return f"module {' and '.join(loaded)} found no virtualization that it can use"
    where = Path("/lib/modules", os.uname().release)
    built = [name for name in _MODULES if any(where.rglob(name.replace("_", "-") + ".ko*"))]
    if built:
        return f"module {' or '.join(built)} is not loaded (modprobe {built[0]})"
    return "this kernel has neither module kvm_hv nor kvm_pr"


def _missing(system: System) -> str:
    version = system.api_version()
    if version != abi.API_VERSION:
        return f"KVM speaks version {version} of its interface, not {abi.API_VERSION}"
    try:
        machine = system.create_machine()
    except OSError as err:
        return f"KVM makes no machine: {err.strerror}; {_module_to_load()}"
    try:
        if not machine.has(abi.KVM_CAP_PPC_PAPR):
            return "KVM without PAPR (KVM_CAP_PPC_PAPR): it does not run partitions"
        return ""
    finally:
        machine.close()
