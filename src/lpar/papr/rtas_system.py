# SPDX-License-Identifier: GPL-2.0-only
"""RTAS calls about the system as a whole: power, panic, events, parameters, time of day.

Source: PAPR 7.3: get-time-of-day 7.3.2, event-scan and check-exception 7.3.3, power-off and
system-reboot 7.3.6, ibm,get-system-parameter 7.3.16, ibm,os-term 7.3.9.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lpar.papr import numbers as n
from lpar.papr.events import Panic, PowerOff, Reboot
from lpar.papr.registry import Args, Result, rtas

if TYPE_CHECKING:
    from collections.abc import Callable

    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS = 1_000_000_000
_MESSAGE_LIMIT = 1024  #: bytes of an os-term message that are kept


@rtas("get-time-of-day", nargs=0, nret=8)
def rtas_get_time_of_day(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Year, month, day, hour, minute, second, nanosecond, in UTC."""
    seconds, ns = divmod(p.wall_clock_ns(), _NS)
    t = _EPOCH + timedelta(seconds=seconds)
    return n.RTAS_SUCCESS, t.year, t.month, t.day, t.hour, t.minute, t.second, ns


@rtas("set-time-of-day", nargs=7)
def rtas_set_time_of_day(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set the clock: (year, month, day, hour, minute, second, nanosecond), in UTC."""
    year, month, day, hour, minute, second, ns = a
    try:
        t = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except (ValueError, OverflowError):
        return n.RTAS_PARAM_ERROR
    if ns >= _NS:
        return n.RTAS_PARAM_ERROR
    p.set_wall_clock_ns((t - _EPOCH) // timedelta(seconds=1) * _NS + ns)
    return n.RTAS_SUCCESS


@rtas("power-off", nargs=2)
def rtas_power_off(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Switch the machine off."""
    p.events.put(PowerOff())
    return n.RTAS_SUCCESS


@rtas("system-reboot", nargs=0)
def rtas_system_reboot(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Start the machine again."""
    p.events.put(Reboot())
    return n.RTAS_SUCCESS


@rtas("ibm,os-term", nargs=1)
def rtas_os_term(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """The operating system died: (address of its last words)."""
    length = max(min(_MESSAGE_LIMIT, p.memory.size - a[0]), 0)
    words = p.memory.read(a[0], length).split(b"\0", 1)[0] if length else b""
    p.events.put(Panic(words.decode("utf-8", "replace").strip()))
    return n.RTAS_SUCCESS


@rtas("event-scan", nargs=4)
def rtas_event_scan(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Poll for an error log: (mask, critical, buffer, length); there are none."""
    return n.RTAS_NO_ERRORS_FOUND


@rtas("check-exception", nargs=(6, 7))
def rtas_check_exception(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Ask for the error log of an event interrupt; there are none."""
    return n.RTAS_NO_ERRORS_FOUND


@rtas("set-indicator", nargs=3)
def rtas_set_indicator(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set an indicator: (type, index, state); only the global interrupt queue (9005) exists."""
    return n.RTAS_SUCCESS if a[0] == 9005 and a[2] <= 1 else n.RTAS_PARAM_ERROR


@rtas("get-sensor-state", nargs=2, nret=2)
def rtas_get_sensor_state(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Read a sensor: (type, index); only the power sensor (9, index 0) exists: all is well."""
    return (n.RTAS_SUCCESS, 0) if a == (9, 0) else n.RTAS_PARAM_ERROR


@rtas("set-power-level", nargs=2, nret=2)
def rtas_set_power_level(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set a power domain's level: (domain, level); the only domain (-1) is always full on."""
    return (n.RTAS_SUCCESS, 100) if a[0] == 0xFFFFFFFF else n.RTAS_PARAM_ERROR


@rtas("get-power-level", nargs=1, nret=2)
def rtas_get_power_level(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """A power domain's level: (domain)."""
    return (n.RTAS_SUCCESS, 100) if a[0] == 0xFFFFFFFF else n.RTAS_PARAM_ERROR


def _splpar_characteristics(p: Partition) -> bytes:
    count = len(p.vcpus)
    text = f"MaxEntCap={count},DesMem={p.memory.size >> 20},DesProcs={count},MaxPlatProcs={count}"
    return text.encode() + b"\0"


#: readable system parameters (PAPR table 7.3.16.1): token to value
_PARAMETERS: dict[int, Callable[[Partition], bytes]] = {
    20: _splpar_characteristics,
    42: lambda p: b"\0",  # platform diagnostics run mode: disabled
    48: lambda p: p.uuid,
    55: lambda p: p.name.encode() + b"\0",
}


@rtas("ibm,get-system-parameter", nargs=3)
def rtas_get_system_parameter(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Read a system parameter: (token, buffer, length); the buffer gets a length and the value."""
    token, buffer, length = a
    value_of = _PARAMETERS.get(token)
    if value_of is None:
        return n.RTAS_PARAM_ERROR
    if length < 2:
        return n.RTAS_SYSPARM_PARAM_ERROR
    value = value_of(p)
    p.write_memory(buffer, len(value).to_bytes(2, "big") + value[: length - 2])
    return n.RTAS_SUCCESS


@rtas("ibm,set-system-parameter", nargs=2)
def rtas_set_system_parameter(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set a system parameter: (token, buffer); none of ours may be changed."""
    return n.RTAS_NOT_AUTHORIZED if a[0] in _PARAMETERS else n.RTAS_PARAM_ERROR
