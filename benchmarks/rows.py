# SPDX-License-Identifier: GPL-2.0-only
"""What is measured, one row of the table each.  To add a row, add it to ROWS.

A row says which ``image`` it needs (the guest that is booted for it), how many ``cpus``, and the
``line`` for the guest's shell.  Most lines run lparbench, which prints the time by the guest's own
clock and a checksum that must be the same on every machine.  Rows without a line come with the start
of a guest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

START = "start"  #: image: the smallest kernel, which prints and stops
SHELL = "shell"  #: image: Debian's installer with a shell
PROGRAMS = "programs"  #: image: the same, with lparbench
DISK = "disk"  #: image: Debian's kernel, lpardisk, and two disks of 512 MiB
NET = "net"  #: image: Debian's kernel, lparnet, and a card on a user network
USERLAND = "userland"  #: image: the same, with lparbench and Debian's programs


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: in seconds, less is better, unless ``unit`` says MiB.

    ``answer`` is what the line must print, for lines without lparbench.  ``half`` names the row that
    does on one CPU half of the work that this one does on two.
    """

    name: str
    group: str
    about: str
    line: str = ""
    image: str = PROGRAMS
    cpus: int = 1
    answer: str | None = None
    half: str | None = None
    unit: str = "s"
    in_total: bool = field(default=True)  #: whether it counts for the geometric means


def _own(group: str, name: str, about: str) -> Row:
    return Row(name, group, about, f"/lparbench {name}")


def _real(name: str, about: str, *command: str) -> Row:
    words = " ".join(f"'{word}'" if " " in word else word for word in command)
    return Row(name, "real", about, f"/lparbench -c /debian run {words}", USERLAND)


def _shell(name: str, about: str, line: str, answer: str | None = None) -> Row:
    return Row(name, "shell", about, line, SHELL, answer=answer)


def _disk(name: str, about: str, words: str) -> Row:
    operation, block, count, threads = words.split()
    device = "/dev/vdb" if "write" in operation else "/dev/vda"
    return Row(name, "disk", about, f"/lpardisk {operation} {device} {block} {count} {threads}", DISK)


def _net(name: str, about: str, words: str) -> Row:
    return Row(name, "net", about, f"/net {words}", NET)


def _pair(name: str, kind: str, option: str, count: str = "") -> tuple[Row, Row]:
    """A row on one of two CPUs, and twice its work on both."""
    one = Row(
        f"{kind}1-{name}",
        "two",
        f"{name}, one of two CPUs",
        f"/lparbench {option} 1 {name} {count}".rstrip(),
        cpus=2,
    )
    both = f"{name} twice at once, in {'processes' if kind == 'p' else 'threads'}"
    return one, Row(
        f"{kind}2-{name}",
        "two",
        both,
        f"/lparbench {option} 2 {name} {count}".rstrip(),
        cpus=2,
        half=one.name,
    )


OPENSSL = ("/usr/bin/openssl",)
RSA = (*OPENSSL, "pkey", "-check", "-noout", "-in", "/data/key.pem")
SQLITE = ("/usr/bin/sqlite3", ":memory:")
PYTHON = ("/usr/bin/python3.11", "-I", "-S")
CC1 = "/usr/lib/gcc/powerpc64le-linux-gnu/12/cc1"
COMPILE = (
    f"{CC1} -quiet -fpreprocessed -std=gnu11 -O2 /data/input.i -o /tmp/x.s"
    " && /usr/bin/powerpc64le-linux-gnu-as -o /tmp/x.o /tmp/x.s && /bin/lparbench cat /tmp/x.s /tmp/x.o"
)

FIRST = Row("start", "startup", "from the command to what the guest's first instructions print", image=START)
BOOT = Row("boot", "startup", "from the command to the shell prompt", image=SHELL)
POWER_OFF = Row("power off", "startup", "from poweroff -f to the end of the program", image=SHELL)
MEMORY = Row(
    "host memory",
    "host",
    "peak of the host's memory beyond the guest's RAM, after the rows of lparbench",
    unit="MiB",
    in_total=False,
)
_AWK = "awk 'BEGIN { while (i++ < 200000) s += i / 2; print s }'"
_SEQ = "for n in $(seq 200); do /bin/true; done"
ROWS = (
    FIRST,
    BOOT,
    _shell("processes", "200 processes, one after the other", _SEQ, ""),
    _shell("files", "list all files of the initrd", "ls -lR /bin /etc /lib /usr /var | wc -l"),
    _shell("awk", "200000 rounds of busybox's awk", _AWK),
    _shell("console", "print 5000 lines", "seq 5000"),
    POWER_OFF,
    _own("integer", "sieve", "primes below 2^20, 120 times"),
    _own("integer", "crc32", "CRC-32 of 240 MiB by a table"),
    _own("integer", "sha256", "SHA-256 of 48 MiB"),
    _own("integer", "mix", "21 million rounds of records, strings, switches and calls"),
    _own("integer", "quicksort", "sort 65536 words, 100 times"),
    _own("integer", "bytecode", "60 million operations of an interpreter in C"),
    _own("float", "matmul", "40 products of matrices of order 96, scalar"),
    _own("float", "matmul-vsx", "the same with vectors"),
    _own("float", "nbody", "240000 steps of five bodies"),
    _own("float", "fft", "180 transforms of 4096 points"),
    _own("memory", "memcpy", "copy 2.4 GiB by the C library"),
    _own("memory", "chase", "4 million dependent loads over 32 MiB"),
    _own("memory", "faults", "38400 page faults"),
    _own("system", "syscall", "a million calls of getppid"),
    _own("system", "pipe", "8000 words to a process and back"),
    _own("system", "forkexec", "400 times fork, exec, exit, wait"),
    _own("system", "switch", "a token 2000 times round eight processes"),
    MEMORY,
    _real("gzip", "compress 8 MiB of text", "/bin/gzip", "-6", "-n", "-c", "/data/text"),
    _real("gunzip", "and 40 MiB back", "/bin/gzip", "-dc", *["/data/text.gz"] * 5),
    _real("xz", "compress 4 MiB of text", "/usr/bin/xz", "-1", "-T1", "-c", "/data/half"),
    _real("unxz", "and 16 MiB back", "/usr/bin/xz", "-dc", *["/data/text.xz"] * 2),
    _real("openssl-sha", "SHA-256 of 16 MiB", *OPENSSL, "dgst", "-sha256", *["/data/text"] * 2),
    _real(
        "openssl-rsa",
        "check an RSA key of 2048 bits",
        *OPENSSL,
        "pkey",
        "-check",
        "-noout",
        "-in",
        "/data/key.pem",
    ),
    _real("py-bodies", "python3: floats and attributes", *PYTHON, "/data/bodies.py"),
    _real("py-flips", "python3: lists and slices", *PYTHON, "/data/flips.py"),
    _real("py-text", "python3: strings, dictionaries, regular expressions", *PYTHON, "/data/text.py"),
    _real("py-queens", "python3: generators, sets, big integers", *PYTHON, "/data/queens.py"),
    _real("gcc", "gcc -O2 of a file of 800 lines, and as", "/bin/sh", "-c", COMPILE),
    _real("sqlite", "20000 inserts, queries and updates", *SQLITE, ".read /data/bench.sql"),
    _disk("disk-read", "read 2 GiB in blocks of 1 MiB", "read 1048576 2048 1"),
    _disk("disk-write", "write 1 GiB in blocks of 1 MiB, fsync", "write 1048576 1024 1"),
    _disk("disk-randread", "30000 random reads of 4 KiB", "randread 4096 30000 1"),
    _disk("disk-randread8", "60000 random reads of 4 KiB by 8 threads", "randread 4096 60000 8"),
    _disk("disk-randwrite", "30000 random writes of 4 KiB, fsync", "randwrite 4096 30000 1"),
    _disk("disk-randwrite8", "60000 random writes of 4 KiB by 8 threads, fsync", "randwrite 4096 60000 8"),
    _net("net-down", "128 MiB from the host by TCP, user network", "down 128 1"),
    _net("net-up", "128 MiB to the host", "up 128 1"),
    _net("net-down4", "128 MiB from the host by four connections", "down 128 4"),
    _net("net-up4", "128 MiB to the host by four", "up 128 4"),
    *_pair("sieve", "p", "-j"),
    *_pair("sha256", "p", "-j"),
    *_pair("matmul", "p", "-j"),
    *_pair("bytecode", "p", "-j"),
    *_pair("faults", "p", "-j", "160"),
    *_pair("forkexec", "p", "-j", "250"),
    *_pair("mix", "t", "-t"),
    *_pair("memcpy", "t", "-t"),
)
ALL = {row.name: row for row in ROWS}
GROUPS = tuple(dict.fromkeys(row.group for row in ROWS))


def chosen(names: str) -> list[Row]:
    """Rows by name or group, commas between; a row of two CPUs brings its half.  Raises KeyError."""
    wanted: set[str] = set()
    for name in names.split(","):
        if name in GROUPS:
            wanted |= {row.name for row in ROWS if row.group == name}
        else:
            wanted |= {name, ALL[name].half or name}
    return [row for row in ROWS if row.name in wanted]
