# SPDX-License-Identifier: GPL-2.0-only
"""A tap interface of the host: by name, a new one, or a descriptor that somebody else has set up.

Frames carry the virtio-net header, so the kernel does checksums and segmentation for the guest, or
passes the guest's wish on to real hardware.  Source: Linux, Documentation/networking/tuntap.rst and
include/uapi/linux/if_tun.h.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import os
import select
import socket
import struct
import subprocess
from collections.abc import Sequence

from lpar.backend.network import (
    F_CSUM,
    F_GUEST_CSUM,
    F_GUEST_ECN,
    F_GUEST_TSO4,
    F_GUEST_TSO6,
    F_HOST_ECN,
    F_HOST_TSO4,
    F_HOST_TSO6,
    HEADER_SIZE,
    MAX_FRAME,
    Loop,
    Received,
)
from lpar.errors import ConfigError, HostError

DEVICE = "/dev/net/tun"
BATCH = 64  #: frames read before others get their turn

_TUNSETIFF, _TUNGETIFF = 0x400454CA, 0x800454D2
_TUNSETOFFLOAD, _TUNSETVNETHDRSZ, _TUNSETVNETLE = 0x400454D0, 0x400454D8, 0x400454DC
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_TUN_F_CSUM, _TUN_F_TSO4, _TUN_F_TSO6, _TUN_F_TSO_ECN = 1, 2, 4, 8
_SIOCSIFADDR, _SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFNETMASK = 0x8916, 0x8913, 0x8914, 0x891C
_IFF_UP = 1
_REQUEST = struct.Struct("16sH22x")  # struct ifreq with ifr_flags
_NAME_LIMIT = 15
_OFFLOADS = (
    (F_GUEST_CSUM, _TUN_F_CSUM),
    (F_GUEST_TSO4, _TUN_F_TSO4),
    (F_GUEST_TSO6, _TUN_F_TSO6),
    (F_GUEST_ECN, _TUN_F_TSO_ECN),
)


class TapNetwork:
    """The network behind a tap interface.

    ``name`` may be empty (the host chooses); ``fd`` is an open descriptor in place of it.  ``host_ip``
    is what the interface gets, ``script`` is run with its name in place of that.  Raises ConfigError,
    HostError.
    """

    features = (
        F_CSUM
        | F_GUEST_CSUM
        | F_HOST_TSO4
        | F_HOST_TSO6
        | F_HOST_ECN
        | F_GUEST_TSO4
        | F_GUEST_TSO6
        | F_GUEST_ECN
    )
    mtu: int | None = None

    def __init__(
        self,
        name: str = "",
        *,
        fd: int | None = None,
        host_ip: str | None = None,
        script: str | None = None,
        downscript: str | None = None,
    ) -> None:
        self._fd = _open(name) if fd is None else _given(fd)
        self._downscript = downscript
        self._loop: Loop | None = None
        self._received: Received | None = None
        self._buffer = bytearray(HEADER_SIZE + MAX_FRAME)
        try:
            self.name = _interface(self._fd)
            _use_header(self._fd)
            if fd is None:
                self._bring_up(script, host_ip)
        except BaseException:
            os.close(self._fd)
            raise

    def _bring_up(self, script: str | None, host_ip: str | None) -> None:
        if script:
            _run_script(script, self.name)
        elif host_ip:
            _set_up(self.name, host_ip)

    # -- the card's side --------------------------------------------------------------------

    def start(self, loop: Loop, received: Received) -> None:
        """Begin to read."""
        self._received = received
        if self._loop is not loop:
            self._loop = loop
            loop.watch(self._fd, select.EPOLLIN, self._on_ready)

    def stop(self) -> None:
        """Frames wait in the kernel, or are lost."""
        self._loop = self._received = None

    def agreed(self, features: int) -> None:
        """Tell the kernel which frames the guest understands."""
        wanted = sum(ours for theirs, ours in _OFFLOADS if features & theirs)
        if not wanted & _TUN_F_CSUM:
            wanted = 0
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._fd, _TUNSETOFFLOAD, wanted)

    def send(self, header: bytes, frame: Sequence[memoryview]) -> None:
        """Straight from guest memory; the kernel checks the header, a frame that cannot go is lost."""
        with contextlib.suppress(OSError):
            os.writev(self._fd, [header, *frame])

    def flush(self) -> None:
        """Nothing waits here."""

    def resume(self) -> None:
        """There is room again."""
        if self._loop is not None:
            self._loop.watch(self._fd, select.EPOLLIN, self._on_ready)

    def close(self) -> None:
        """Let the interface go; the kernel removes one that we made."""
        if self._downscript:
            with contextlib.suppress(HostError):
                _run_script(self._downscript, self.name)
        os.close(self._fd)

    def _on_ready(self, events: int) -> None:
        for _ in range(BATCH):
            try:
                size = os.readv(self._fd, [self._buffer])
            except BlockingIOError:
                return None
            except OSError:  # the interface went down or away
                return self._pause()
            frame = bytes(memoryview(self._buffer)[HEADER_SIZE:size])
            if self._received is None or not self._received(bytes(self._buffer[:HEADER_SIZE]), frame):
                return self._pause()
        return None

    def _pause(self) -> None:
        if self._loop is not None:
            self._loop.watch(self._fd, 0, self._on_ready)


def _open(name: str) -> int:
    if len(name) > _NAME_LIMIT or "/" in name:
        raise ConfigError(f"-n: {name!r} cannot be the name of an interface")
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as err:
        hint = "tap needs the module tun and permission; without: -n user"
        raise HostError(f"cannot open {DEVICE}: {err.strerror}", hint=hint) from None
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    try:
        fcntl.ioctl(fd, _TUNSETIFF, _REQUEST.pack((name or "tap%d").encode(), flags))
    except OSError as err:
        os.close(fd)
        raise _refused(name, err) from None
    return fd


def _refused(name: str, err: OSError) -> HostError:
    if err.errno == errno.EBUSY:
        return HostError(f"tap interface {name} is in use", hint="give another with tapif=NAME")
    hint = (
        f"as root: ip tuntap add dev {name or 'tap0'} mode tap user $USER; then -n tap,tapif={name or 'tap0'}"
    )
    return HostError(f"cannot use tap interface {name or 'tap%d'}: {err.strerror}", hint=hint)


def _given(fd: int) -> int:
    """A descriptor of our own for what was given; it must be non-blocking, which is shared."""
    try:
        own = os.dup(fd)
        os.set_blocking(own, False)
    except OSError as err:
        hint = "the caller leaves it open for lpar: -n tap,fd=3 3<>..."
        raise ConfigError(f"-n: descriptor {fd} cannot be used: {err.strerror}", hint=hint) from None
    return own


def _interface(fd: int) -> str:
    """The interface's name.  Raises ConfigError for a descriptor that is no tap with headers."""
    try:
        name, flags = _REQUEST.unpack(fcntl.ioctl(fd, _TUNGETIFF, bytes(_REQUEST.size)))
    except OSError:
        hint = "open /dev/net/tun and attach it by TUNSETIFF"
        raise ConfigError("-n: the descriptor given is not of a tap interface", hint=hint) from None
    if not flags & _IFF_TAP or not flags & _IFF_VNET_HDR or not flags & _IFF_NO_PI:
        hint = "open it with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR"
        raise ConfigError("-n: the descriptor given is of another kind of interface", hint=hint)
    text: str = name.rstrip(b"\0").decode()
    return text


def _use_header(fd: int) -> None:
    try:
        fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", HEADER_SIZE))
        fcntl.ioctl(fd, _TUNSETVNETLE, struct.pack("i", 1))
    except OSError as err:
        raise HostError(f"the tap interface takes no virtio header: {err.strerror}") from None


def _run_script(script: str, name: str) -> None:
    try:
        done = subprocess.run([script, name], stdin=subprocess.DEVNULL, stdout=2, check=False)
    except OSError as err:
        raise ConfigError(f"-n: cannot run {script}: {err.strerror}") from None
    if done.returncode:
        raise HostError(f"{script} {name} failed with status {done.returncode}")


def _set_up(name: str, host_ip: str) -> None:
    """Give the interface its address and bring it up."""
    try:
        address = ipaddress.IPv4Address(host_ip).packed
    except ValueError as err:
        raise ConfigError(f"-n: {err}", hint="for example host_ip=192.168.33.1") from None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, b"\xff\xff\xff\x00")):
                argument = struct.pack("16sHH4s16x", name.encode(), socket.AF_INET, 0, value)
                fcntl.ioctl(any_socket, request, argument)
            flags = _REQUEST.unpack(fcntl.ioctl(any_socket, _SIOCGIFFLAGS, _REQUEST.pack(name.encode(), 0)))[
                1
            ]
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _REQUEST.pack(name.encode(), flags | _IFF_UP))
        except OSError as err:
            hint = "set it up beforehand, as root, and leave host_ip out"
            raise HostError(f"cannot set up {name}: {err.strerror}", hint=hint) from None
