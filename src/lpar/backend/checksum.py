# SPDX-License-Identifier: GPL-2.0-only
"""Internet checksums that a guest left to its card (VIRTIO 1.2, 5.1.6.2, NEEDS_CSUM)."""

from __future__ import annotations

import struct

_PLACE = struct.Struct("<HH")  #: csum_start, csum_offset of the header
_PLACE_AT = 6


def ones_sum(data: bytes | memoryview) -> int:
    """The ones' complement sum of 16-bit big-endian words; an odd byte counts as a high one.

    One number of all bytes is folded in halves, which costs about as much as adding twice its length.
    """
    size = len(data) + (len(data) & 1)
    value = int.from_bytes(data, "big") << (8 * (len(data) & 1))
    bits = 8 * size
    while bits > 64:
        half = -(-bits // 32) * 16
        value = (value >> half) + (value & (1 << half) - 1)
        bits = half + 16
    return value % 0xFFFF or (0xFFFF if value else 0)


def complete(frame: bytes, header: bytes) -> bytes:
    """The frame with the checksum that its header asks for; as it is if that lies outside.

    The place of the checksum holds the sum of the pseudo-header already.
    """
    start, offset = _PLACE.unpack_from(header, _PLACE_AT)
    at = start + offset
    if at + 2 > len(frame):
        return frame
    value = ~ones_sum(memoryview(frame)[start:]) & 0xFFFF
    return frame[:at] + (value or 0xFFFF).to_bytes(2, "big") + frame[at + 2 :]
