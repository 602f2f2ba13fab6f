# SPDX-License-Identifier: GPL-2.0-only
"""A disk whose changes go to a file of their own: the image below stays as it is.

The changes are kept in a sparse file without a name, as large as the disk, and are gone with the
run.  ``_changed`` has one byte for each cluster: searching bytes is quick in Python, and 10 GiB take
2.6 MB.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence

from lpar.backend.disk import SECTOR, Disk, read_all, skip, write_all
from lpar.errors import HostError
from lpar.host.files import punch_hole

CLUSTER = 4096
_ZERO_CLUSTER = memoryview(bytes(CLUSTER))


class OverlayDisk:
    """``below`` with changes beside it; ``folder`` is where they are kept ($TMPDIR unless told)."""

    def __init__(self, below: Disk, folder: str | None = None) -> None:
        self.size = below.size
        self.block_size = SECTOR
        self.read_only = False
        self.can_discard = True
        self._below = below
        self._changed = bytearray(-(-self.size // CLUSTER))
        self._lock = threading.Lock()
        try:
            self._file = tempfile.TemporaryFile(prefix="lpar-overlay-", dir=folder)  # noqa: SIM115
            self._file.truncate(self.size)
        except OSError as error:
            raise HostError(
                f"cannot keep the changes of a disk: {error.strerror}", hint="TMPDIR=/some/folder with room"
            ) from None
        self._fd = self._file.fileno()

    def read(self, views: Sequence[memoryview], offset: int) -> None:
        """From the changes where there are any."""
        with self._lock:
            runs = list(self._runs(offset, sum(map(len, views))))
        for length, changed in runs:
            part = _take(views, length)
            if changed:
                read_all(self._fd, part, offset)
            else:
                self._below.read(part, offset)
            views = skip(views, length)
            offset += length

    def read_now(self, views: Sequence[memoryview], offset: int) -> bool:
        """What is all in one place may be in the host's page cache."""
        with self._lock:
            runs = list(self._runs(offset, sum(map(len, views))))
        if len(runs) > 1 or (runs and runs[0][1]):
            return False
        return self._below.read_now(views, offset)

    def write_now(self, views: Sequence[memoryview], offset: int) -> bool:
        """Parts of clusters are read from below: who knows how long that takes."""
        return False

    def _runs(self, offset: int, length: int) -> Iterator[tuple[int, bool]]:
        """(bytes, whether changed) of the stretches of a range."""
        end = offset + length
        while offset < end:
            cluster = offset // CLUSTER
            changed = self._changed[cluster]
            stop = self._changed.find(1 - changed, cluster, -(-end // CLUSTER))
            after = end if stop < 0 else min(stop * CLUSTER, end)
            yield after - offset, bool(changed)
            offset = after

    def write(self, views: Sequence[memoryview], offset: int) -> None:
        """To the changes; clusters written in part get the rest from below first."""
        length = sum(map(len, views))
        with self._lock:
            self._complete(offset, length)
            write_all(self._fd, views, offset)
            first, last = offset // CLUSTER, -(-(offset + length) // CLUSTER)
            self._changed[first:last] = b"\1" * (last - first)

    def _complete(self, offset: int, length: int) -> None:
        """Copy up the clusters of which a range has only a part."""
        end = offset + length
        if offset % CLUSTER:
            self._copy_up(offset // CLUSTER)
        if end % CLUSTER and end // CLUSTER < len(self._changed):
            self._copy_up(end // CLUSTER)

    def _copy_up(self, cluster: int) -> None:
        if self._changed[cluster]:
            return
        start = cluster * CLUSTER
        buffer = memoryview(bytearray(min(CLUSTER, self.size - start)))
        self._below.read([buffer], start)
        write_all(self._fd, [buffer], start)
        self._changed[cluster] = 1

    def flush(self) -> None:
        """Nothing of it outlives the run: nothing to do."""

    def discard(self, offset: int, length: int) -> None:
        """As zeroes: what is below must not come back."""
        self.write_zeroes(offset, length, unmap=True)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool) -> None:
        """Whole clusters become holes of the changes; parts are written."""
        end = offset + length
        inner, inner_end = -(-offset // CLUSTER) * CLUSTER, end // CLUSTER * CLUSTER
        if inner >= inner_end:
            self.write([memoryview(bytes(length))], offset)
            return
        if offset < inner:
            self.write([_ZERO_CLUSTER[: inner - offset]], offset)
        if inner_end < end:
            self.write([_ZERO_CLUSTER[: end - inner_end]], inner_end)
        with self._lock:
            punch_hole(self._fd, inner, inner_end - inner)
            first, last = inner // CLUSTER, inner_end // CLUSTER
            self._changed[first:last] = b"\1" * (last - first)

    def close(self) -> None:
        """Forget the changes; close what is below."""
        self._file.close()
        self._below.close()


def _take(views: Sequence[memoryview], length: int) -> list[memoryview]:
    """The first ``length`` bytes."""
    taken = []
    for view in views:
        if length <= 0:
            break
        taken.append(view[:length])
        length -= len(view)
    return taken
