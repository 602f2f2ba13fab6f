# SPDX-License-Identifier: GPL-2.0-only
"""libslirp by ctypes: its structures and functions (libslirp.h, version 4.0 and later).

The library is called with the interpreter lock held (PyDLL): its functions are short, never wait, and
call back into Python all the time.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_int,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_uint8,
    c_uint32,
    c_void_p,
)

from lpar.errors import ConfigError

LIBRARY = "libslirp.so.0"
CONFIG_VERSION = 1  #: what every 4.x knows
CONFIG_NO_DHCP = 4  #: from libslirp 4.7 on
POLL_IN, POLL_OUT, POLL_PRI, POLL_ERR, POLL_HUP = 1, 2, 4, 8, 16


class In4(Structure):
    """struct in_addr: an address in network order."""

    _fields_ = [("word", c_uint32)]


class In6(Structure):
    """struct in6_addr."""

    _fields_ = [("words", c_uint32 * 4)]


class Config(Structure):
    """SlirpConfig, with room for fields of later versions, which version 1 leaves alone."""

    _fields_ = [
        ("version", c_uint32),
        ("restricted", c_int),
        ("in_enabled", c_bool),
        ("vnetwork", In4),
        ("vnetmask", In4),
        ("vhost", In4),
        ("in6_enabled", c_bool),
        ("vprefix_addr6", In6),
        ("vprefix_len", c_uint8),
        ("vhost6", In6),
        ("vhostname", c_char_p),
        ("tftp_server_name", c_char_p),
        ("tftp_path", c_char_p),
        ("bootfile", c_char_p),
        ("vdhcp_start", In4),
        ("vnameserver", In4),
        ("vnameserver6", In6),
        ("vdnssearch", c_void_p),
        ("vdomainname", c_char_p),
        ("if_mtu", c_size_t),
        ("if_mru", c_size_t),
        ("disable_host_loopback", c_bool),
        ("enable_emu", c_bool),
        ("outbound_addr", c_void_p),
        ("outbound_addr6", c_void_p),
        ("disable_dns", c_bool),
        ("disable_dhcp", c_bool),
        ("later", c_void_p * 8),
    ]


SendPacket = CFUNCTYPE(c_ssize_t, c_void_p, c_size_t, c_void_p)
GuestError = CFUNCTYPE(None, c_char_p, c_void_p)
Clock = CFUNCTYPE(c_int64, c_void_p)
TimerCallback = CFUNCTYPE(None, c_void_p)
TimerNew = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p)
TimerFree = CFUNCTYPE(None, c_void_p, c_void_p)
TimerMod = CFUNCTYPE(None, c_void_p, c_int64, c_void_p)
PollFd = CFUNCTYPE(None, c_int, c_void_p)
Notify = CFUNCTYPE(None, c_void_p)
AddPoll = CFUNCTYPE(c_int, c_int, c_int, c_void_p)
GetEvents = CFUNCTYPE(c_int, c_int, c_void_p)


class Callbacks(Structure):
    """SlirpCb, the same way."""

    _fields_ = [
        ("send_packet", SendPacket),
        ("guest_error", GuestError),
        ("clock_get_ns", Clock),
        ("timer_new", TimerNew),
        ("timer_free", TimerFree),
        ("timer_mod", TimerMod),
        ("register_poll_fd", PollFd),
        ("unregister_poll_fd", PollFd),
        ("notify", Notify),
        ("later", c_void_p * 8),
    ]


def load() -> ctypes.PyDLL:
    """The library with its functions declared.  Raises ConfigError where there is none."""
    try:
        library = ctypes.PyDLL(LIBRARY)
    except OSError:
        hint = "install libslirp (Debian: apt-get install libslirp0), or give -n none"
        raise ConfigError(f"no {LIBRARY} on this machine, which user networking needs", hint=hint) from None
    declare(library, "slirp_new", c_void_p, POINTER(Config), POINTER(Callbacks), c_void_p)
    declare(library, "slirp_cleanup", None, c_void_p)
    declare(library, "slirp_pollfds_fill", None, c_void_p, POINTER(c_uint32), AddPoll, c_void_p)
    declare(library, "slirp_pollfds_poll", None, c_void_p, c_int, GetEvents, c_void_p)
    declare(library, "slirp_input", None, c_void_p, c_char_p, c_int)
    declare(library, "slirp_add_hostfwd", c_int, c_void_p, c_int, In4, c_int, In4, c_int)
    declare(library, "slirp_version_string", c_char_p)
    return library


def declare(library: ctypes.PyDLL, name: str, result: object, *arguments: object) -> None:
    """Say what a function takes and gives."""
    function = getattr(library, name)
    function.restype = result
    function.argtypes = list(arguments)
