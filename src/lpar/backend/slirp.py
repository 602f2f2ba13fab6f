# SPDX-License-Identifier: GPL-2.0-only
"""User networking: a whole network made of the host's sockets, without any privilege, by libslirp.

The guest is 10.0.2.15 (DHCP, or any other address), the host 10.0.2.2, which reaches the host's own
loopback, the name server 10.0.2.3; the same with fec0::/64.  Nothing ever leaves in frames, so large
packets are only cheaper; but libslirp's windows are 64 KiB, and four packets in flight beat one.

libslirp may be called by one thread at a time: everything here belongs to the loop's thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import logging
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lpar.backend import libslirp
from lpar.backend.checksum import complete
from lpar.backend.network import (
    F_CSUM,
    F_GUEST_CSUM,
    F_HOST_ECN,
    F_HOST_TSO4,
    F_HOST_TSO6,
    F_MTU,
    HEADER_DATA_VALID,
    HEADER_NEEDS_CSUM,
    HEADER_SIZE,
    MAX_FRAME,
    Cancellable,
    Loop,
    Received,
)
from lpar.errors import ConfigError, HostError

MTU = 16384
ETHERNET_HEADER = 14
PREFIX6, HOST6, DNS6 = "fec0::", "fec0::2", "fec0::3"
NO_TIMEOUT = 0xFFFF_FFFF

_log = logging.getLogger(__name__)
_EVENTS = (
    (libslirp.POLL_IN, select.EPOLLIN),
    (libslirp.POLL_OUT, select.EPOLLOUT),
    (libslirp.POLL_PRI, select.EPOLLPRI),
    (libslirp.POLL_ERR, select.EPOLLERR),
    (libslirp.POLL_HUP, select.EPOLLHUP | select.EPOLLRDHUP),
)
_TO_EPOLL = [sum(theirs for ours, theirs in _EVENTS if bits & ours) for bits in range(32)]


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of the host that leads into the guest; ``address`` of the host is for all, or one."""

    udp: bool
    address: str
    port: int
    guest: str
    guest_port: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """The network as the guest sees it."""

    guest: str = "10.0.2.15"
    host: str = "10.0.2.2"
    dhcp: bool = True

    def network(self) -> ipaddress.IPv4Network:
        """The /24 that both are in.  Raises ConfigError if they are not."""
        try:
            network = ipaddress.IPv4Network(f"{self.host}/24", strict=False)
            inside = ipaddress.IPv4Address(self.guest) in network and self.guest != self.host
        except ValueError as err:
            raise ConfigError(f"-n: {err}", hint="for example -n user,host_ip=10.0.2.2") from None
        if not inside:
            hint = f"guest_ip and host_ip are two of {network}"
            raise ConfigError(f"-n: the guest cannot be {self.guest} beside {self.host}", hint=hint)
        return network

    def name_server(self) -> str:
        """The first address of the network that is free: by default .3."""
        hosts = (str(a) for a in self.network().hosts())
        taken = (self.guest, self.host, str(self.network()[1]))
        return next(address for address in hosts if address not in taken)


class UserNetwork:
    """A network of the user's own.  Raises ConfigError without the library, or for a port in use."""

    features = F_CSUM | F_GUEST_CSUM | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN | F_MTU
    mtu: int | None = MTU

    def __init__(self, addresses: Addresses | None = None, forwards: Sequence[Forward] = ()) -> None:
        self._addresses = addresses or Addresses()
        self._config = _config(self._addresses)
        self._library = libslirp.load()
        self._epoll = select.epoll()
        self._watched: dict[int, int] = {}
        self._polled: list[int] = []
        self._ready: dict[int, int] = {}
        self._loop: Loop | None = None
        self._received: Received | None = None
        self._wake: Cancellable | None = None
        self._wake_at = float("inf")
        self._timers: dict[int, _Timer] = {}
        self._header = bytes(HEADER_SIZE)
        self._callbacks = self._make_callbacks()
        self._timeout = ctypes.c_uint32()
        self._add_poll = libslirp.AddPoll(self._on_add_poll)
        self._get_events = libslirp.GetEvents(self._on_get_events)
        self._slirp = self._library.slirp_new(self._config, self._callbacks, None)
        if not self._slirp:
            hint = "--no-dhcp wants libslirp 4.7 or later"
            raise HostError("libslirp refuses its configuration", hint=hint)
        try:
            for forward in forwards:
                self._forward(forward)
        except BaseException:
            self.close()
            raise

    def _make_callbacks(self) -> libslirp.Callbacks:
        return libslirp.Callbacks(
            libslirp.SendPacket(self._on_packet),
            libslirp.GuestError(self._on_guest_error),
            libslirp.Clock(lambda _: time.monotonic_ns()),
            libslirp.TimerNew(self._on_timer_new),
            libslirp.TimerFree(self._on_timer_free),
            libslirp.TimerMod(self._on_timer_mod),
            libslirp.PollFd(lambda fd, _: None),
            libslirp.PollFd(self._on_unregister),
            libslirp.Notify(lambda _: None),
        )

    def _forward(self, forward: Forward) -> None:
        here, there = _in4(forward.address), _in4(forward.guest)
        done = self._library.slirp_add_hostfwd(
            self._slirp, int(forward.udp), here, forward.port, there, forward.guest_port
        )
        if done < 0:
            kind = "UDP" if forward.udp else "TCP"
            hint = "it may be taken, or below 1024: choose another with hostfwd=PORT:GUEST-PORT"
            raise ConfigError(f"cannot listen on {kind} port {forward.port} of the host", hint=hint)

    # -- the card's side --------------------------------------------------------------------

    def start(self, loop: Loop, received: Received) -> None:
        """Begin to serve the sockets."""
        self._received = received
        if self._loop is loop:
            return
        self._loop = loop
        loop.watch(self._epoll.fileno(), select.EPOLLIN, self._on_ready)
        for timer in self._timers.values():
            timer.move(loop)
        self._wake_at = float("inf")
        self._fill()

    def stop(self) -> None:
        """Sockets stay open, but nobody serves them."""
        self._loop = self._received = None

    def agreed(self, features: int) -> None:
        """The guest need not look at checksums that libslirp has just made, if it understands that."""
        flags = HEADER_DATA_VALID if features & F_GUEST_CSUM else 0
        self._header = bytes([flags]) + bytes(HEADER_SIZE - 1)

    def send(self, header: bytes, frame: Sequence[memoryview]) -> None:
        """Hand a frame to libslirp, which takes IP packets of any size; its checksum must be right."""
        data = b"".join(frame)
        if not ETHERNET_HEADER <= len(data) <= MAX_FRAME:
            return
        if header[0] & HEADER_NEEDS_CSUM:
            data = complete(data, header)
        self._library.slirp_input(self._slirp, data, len(data))

    def flush(self) -> None:
        """Let libslirp send what was held back until now, and learn what it waits for."""
        self._ready = {}
        self._poll()

    def _fill(self) -> None:
        self._polled.clear()
        self._timeout.value = NO_TIMEOUT
        self._library.slirp_pollfds_fill(self._slirp, self._timeout, self._add_poll, None)
        if len(self._polled) != len(self._watched):
            for fd in set(self._watched).difference(self._polled):
                self._unwatch(fd)
        if self._timeout.value != NO_TIMEOUT:
            self._wake_in(self._timeout.value / 1000)

    def resume(self) -> None:
        """Frames that found no room are lost: their senders send again."""

    def close(self) -> None:
        """Close all sockets."""
        if self._slirp:
            slirp, self._slirp = self._slirp, None
            self._library.slirp_cleanup(slirp)
            self._epoll.close()

    # -- the loop's side --------------------------------------------------------------------

    def _on_ready(self, events: int) -> None:
        self._ready = dict(self._epoll.poll(0))
        self._poll()

    def _poll(self) -> None:
        self._library.slirp_pollfds_poll(self._slirp, 0, self._get_events, None)
        self._ready = {}
        self._fill()

    def _wake_in(self, seconds: float) -> None:
        """libslirp wants to be called after a while whatever happens; an earlier wish stays."""
        at = time.monotonic() + seconds
        if self._loop is None or self._wake_at <= at:
            return
        if self._wake is not None:
            self._wake.cancel()
        self._wake_at = at
        self._wake = self._loop.call_later(seconds, self._on_wake)

    def _on_wake(self) -> None:
        self._wake, self._wake_at = None, float("inf")
        if self._slirp:
            self.flush()

    # -- called by libslirp -----------------------------------------------------------------

    def _on_packet(self, data: int, length: int, _: object) -> int:
        if self._received is not None:
            self._received(self._header, ctypes.string_at(data, length))
        return length

    def _on_guest_error(self, message: bytes | None, _: object) -> None:
        _log.debug("network: %s", (message or b"").decode(errors="replace"))

    def _on_add_poll(self, fd: int, events: int, _: object) -> int:
        wanted = _TO_EPOLL[events & 31]
        known = self._watched.get(fd)
        if known != wanted:
            self._watched[fd] = wanted
            (self._epoll.register if known is None else self._epoll.modify)(fd, wanted)
        self._polled.append(fd)
        return len(self._polled) - 1

    def _on_get_events(self, index: int, _: object) -> int:
        ready = self._ready.get(self._polled[index], 0) if index >= 0 else 0
        return sum(ours for ours, theirs in _EVENTS if ready & theirs) if ready else 0

    def _on_unregister(self, fd: int, _: object) -> None:
        """libslirp is about to close a socket, whose number may come again at once."""
        self._unwatch(fd)

    def _unwatch(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None and not self._epoll.closed:
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def _on_timer_new(self, callback: int, argument: int, _: object) -> int:
        number = len(self._timers) + 1
        self._timers[number] = _Timer(libslirp.TimerCallback(callback), argument)
        return number

    def _on_timer_free(self, number: int, _: object) -> None:
        self._timers[number].cancel()

    def _on_timer_mod(self, number: int, milliseconds: int, _: object) -> None:
        self._timers[number].set(self._loop, milliseconds / 1000)


class _Timer:
    """One of libslirp's timers (router advertisements)."""

    def __init__(self, callback: ctypes._FuncPointer, argument: int) -> None:
        self._callback, self._argument = callback, argument
        self._call: Cancellable | None = None
        self._at: float | None = None

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = self._at = None

    def set(self, loop: Loop | None, at: float) -> None:
        """Expire when the monotonic clock shows ``at`` seconds, once there is a loop."""
        self.cancel()
        self._at = at
        if loop is not None:
            self._call = loop.call_later(max(at - time.monotonic(), 0), self._expire)

    def move(self, loop: Loop) -> None:
        """The loop before is gone."""
        if self._at is not None:
            self.set(loop, self._at)

    def _expire(self) -> None:
        self._call = self._at = None
        self._callback(self._argument)


def _in4(address: str) -> libslirp.In4:
    try:
        return libslirp.In4.from_buffer_copy(ipaddress.IPv4Address(address).packed)
    except ValueError as err:
        raise ConfigError(f"-n: {err}") from None


def _in6(address: str) -> libslirp.In6:
    return libslirp.In6.from_buffer_copy(ipaddress.IPv6Address(address).packed)


def _config(addresses: Addresses) -> libslirp.Config:
    network = addresses.network()
    return libslirp.Config(
        version=libslirp.CONFIG_VERSION if addresses.dhcp else libslirp.CONFIG_NO_DHCP,
        in_enabled=True,
        vnetwork=_in4(str(network.network_address)),
        vnetmask=_in4(str(network.netmask)),
        vhost=_in4(addresses.host),
        in6_enabled=True,
        vprefix_addr6=_in6(PREFIX6),
        vprefix_len=64,
        vhost6=_in6(HOST6),
        vhostname=b"lpar",
        vdhcp_start=_in4(addresses.guest),
        vnameserver=_in4(addresses.name_server()),
        vnameserver6=_in6(DNS6),
        if_mtu=MTU,
        if_mru=MTU,
        disable_dhcp=not addresses.dhcp,
    )
