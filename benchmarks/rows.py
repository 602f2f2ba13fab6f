# SPDX-License-Identifier: GPL-2.0-only
"""What is measured, one row of the table each.

A row is the time that something takes as the user at the console sees it.  ``BOOT`` and ``POWER_OFF`` come
with every start of a guest; the others are a line for the guest's shell.  To add a row, add it to ROWS.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement in seconds: ``line`` is typed at the guest's shell and must print ``answer``."""

    name: str
    about: str
    line: str = ""
    answer: str | None = None


BOOT = Row("boot", "from the command to the shell prompt")
POWER_OFF = Row("power off", "from poweroff -f to the end of the program")
LIST = "ls -lR /bin /etc /lib /usr /var"
ROWS = (
    Row("processes", "200 processes, one after the other", "for n in $(seq 200); do /bin/true; done", ""),
    Row(
        "files",
        "list all files of the initrd, 20 times",
        f"for n in $(seq 20); do {LIST}; done > /dev/null",
        "",
    ),
    Row(
        "sums", "SHA-256 of 8 MiB of zeros", "head -c 8388608 /dev/zero | sha256sum | cut -c 1-8", "2daeb1f3"
    ),
    Row("sort", "sort 20000 numbers as text", "seq 20000 | sort -r | tail -n 1", "1"),
    Row(
        "awk",
        "an interpreter: 200000 rounds of integers and floats",
        "awk 'BEGIN { for (i = 0; i < 200000; i++) s += i * 0.5; print s }'",
        "9999950000",
    ),
    Row("console", "print 5000 lines", "seq 5000"),
)
ALL = {row.name: row for row in (BOOT, *ROWS, POWER_OFF)}
