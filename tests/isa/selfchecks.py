# SPDX-License-Identifier: GPL-2.0-only
"""Debian's programs check themselves in a guest: ``make selfchecks``.

Python's own tests of arithmetic, and known answers from openssl, perl, sqlite3 and busybox, in an initramfs
of Debian's ppc64el packages.  A check passes if its command ends with status 0 and, where an answer is known,
prints it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lpar.cli import apt
from lpar.cli.cpio import Entry, archive, regular
from lpar.cli.guests import debian_installer

PACKAGES = (
    *("libc6", "libgcc-s1", "libstdc++6", "dash", "coreutils", "mount", "busybox", "libselinux1"),
    "libpcre2-8-0",
    *("libacl1", "libattr1", "libgmp10", "libblkid1", "libmount1", "libsmartcols1", "zlib1g", "libbz2-1.0"),
    *("liblzma5", "libzstd1", "libssl3", "openssl", "libcrypt1", "libexpat1", "libffi8", "libuuid1"),
    "libdb5.3",
    *("libreadline8", "libtinfo6", "libncursesw6", "libnsl2", "libtirpc3", "libsqlite3-0", "sqlite3"),
    *("libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0", "libcom-err2", "libkeyutils1"),
    *("perl-base", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
    "libpython3.11-testsuite",
)  # fmt: skip
PYTHON_TESTS = (
    "math", "cmath", "float", "struct", "decimal", "hashlib", "zlib", "complex", "long", "fractions",
    "binascii",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """A shell command and what it prints; None: its status alone counts."""

    command: str
    answer: str | None = None


HEX = "busybox hexdump -ve '1/1 \"%02x\"'"
#: published: FIPS 180-4, FIPS 202, RFC 1321, FIPS 197, NIST SP 800-38A, RFC 8439 and plain arithmetic
CHECKS = (
    Check("printf abc | openssl dgst -md5 -r | cut -c1-32", "900150983cd24fb0d6963f7d28e17f72"),
    Check("printf abc | openssl dgst -sha1 -r | cut -c1-40", "a9993e364706816aba3e25717850c26c9cd0d89d"),
    Check(
        "printf abc | openssl dgst -sha256 -r | cut -c1-64",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ),
    Check(
        "printf abc | openssl dgst -sha512 -r | cut -c1-128",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
    Check(
        "printf abc | openssl dgst -sha3-256 -r | cut -c1-64",
        "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
    ),
    Check(
        "printf '\\000\\021\\042\\063\\104\\125\\146\\167\\210\\231\\252\\273\\314\\335\\356\\377' | "
        "openssl enc -aes-128-ecb -nopad -K 000102030405060708090a0b0c0d0e0f | " + HEX,
        "69c4e0d86a7b0430d8cdb78070b4c55a",
    ),
    Check(
        "printf '\\153\\301\\276\\342\\056\\100\\237\\226\\351\\075\\176\\021\\163\\223\\027\\052' | "
        "openssl enc -aes-256-ctr -iv f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff "
        "-K 603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4 | " + HEX,
        "601ec313775789a5b7a7f504bbf3d228",
    ),
    Check("openssl prime 170141183460469231731687303715884105727 | cut -d' ' -f4", "prime"),
    Check("perl -e 'print 2**53+1, \" \", 0.1+0.2, \" \", atan2(1,1)*4, \" \", -7%3, \" \", ~0'",
          "9.00719925474099e+15 0.3 3.14159265358979 2 18446744073709551615"),
    Check("perl -e '$s+=$_*$_ for 1..100000; printf \"%.0f %.17g\", $s, sqrt 2'",
          "333338333350000 1.4142135623730951"),
    Check("sqlite3 :memory: 'with recursive n(i) as (select 1 union all select i+1 from n where i<100000) "
          "select sum(i*i), printf(\"%.15g\", avg(1.0/i)), 9223372036854775807/3 from n'",
          "333338333350000|0.000120901461298633|3074457345618258602"),
    Check("sqlite3 :memory: 'create table t(a integer primary key, b); "
          "with recursive n(i) as (select 1 union all select i+1 from n where i<20000) "
          "insert into t select i, hex(i*i) from n; create index x on t(b); "
          "pragma integrity_check'", "ok"),
    Check("busybox seq 1 1000 | busybox sha256sum | busybox cut -c1-64",
          "67d4ff71d43921d5739f387da09746f405e425b07d727e4c69d029461d1f051f"),
    Check("busybox echo $((9223372036854775807 / 7 % 1000003))", "667908"),
    Check("python3.11 -c 'from math import *; e = 2**-52; print(sin(1e22), "
          "tan(1.5707963267948966), exp(-745.1332191019411), log(1+e), pow(1+e, 1/e), fmod(1.7e308, 3.3))'",
          "-0.8522008497671888 1.633123935319537e+16 5e-324 2.2204460492503128e-16 "
          "2.718281828459045 0.407921992827168"),
    *(Check(f"cd /tmp && python3.11 -m test -q test_{name}") for name in PYTHON_TESTS),
)  # fmt: skip

INIT = """#!/bin/dash
export PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/tmp TERM=dumb LC_ALL=C.UTF-8 PERL_BADLANG=0
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
. /checks
busybox poweroff -f
"""


def script(checks: Sequence[Check]) -> str:
    """Runs every check, between lines that tell where it begins and its status."""
    parts = []
    for n, check in enumerate(checks):
        parts.append(
            f"echo; echo BEGIN {n}\n( {check.command} ) 2>&1\nstatus=$?; echo; echo END {n} $status\n"
        )
    return "".join(parts)


def entries(root: Path) -> Iterator[Entry]:
    """All of ``root``."""
    for path in sorted(root.rglob("*")):
        name, mode = str(path.relative_to(root)), path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield Entry(name, mode, os.readlink(path).encode())
        elif stat.S_ISREG(mode):
            yield regular(name, path.read_bytes(), stat.S_IMODE(mode))
        else:
            yield Entry(name, stat.S_IFDIR | 0o755)


def initramfs(to: Path, checks: Sequence[Check]) -> None:
    """Fetch the packages and make the archive.  Raises HostError."""
    with tempfile.TemporaryDirectory(prefix="lpar-selfchecks-") as work:
        root, debs = Path(work, "root"), Path(work, "debs")
        root.mkdir()
        debs.mkdir()
        for deb in apt.Foreign(Path(work), "ppc64el").fetch(PACKAGES, debs):
            apt.unpack(deb, root)
        shutil.rmtree(root / "usr/share/doc")
        for name in ("proc", "sys", "dev", "tmp"):
            (root / name).mkdir(exist_ok=True)
        made = [
            *entries(root),
            regular("init", INIT.encode(), 0o755),
            regular("checks", script(checks).encode()),
        ]
        to.write_bytes(archive(made))


def results(output: str, checks: Sequence[Check]) -> list[str]:
    """One line for each check that failed."""
    failed = []
    for n, check in enumerate(checks):
        found = re.search(rf"^BEGIN {n}\n(.*?)\nEND {n} (\d+)$", output, re.M | re.S)
        said, status = (found[1].strip(), found[2]) if found else ("it never ended", "none")
        right = status == "0" and (check.answer is None or said.splitlines()[-1:] == [check.answer])
        print(f"{'pass' if right else 'FAIL'}  {check.command[:90]}")
        if not right:
            failed.append(f"{check.command}: status {status}: {said[-800:]}")
    return failed


def main() -> int:
    """Boot, check, report; 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.isa.selfchecks", description=__doc__)
    parser.add_argument("--timeout", type=int, default=3600, help="seconds for the guest")
    parser.add_argument("--only", default="", help="a regular expression over commands")
    given, more = parser.parse_known_args()
    checks = [check for check in CHECKS if re.search(given.only, check.command)]
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lpar-selfchecks-") as work:
        initrd = Path(work, "initrd")
        initramfs(initrd, checks)
        lpar = [sys.executable, "-m", "lpar", "run", "-q", str(debian_installer().kernel), "-i", str(initrd)]
        words = [*lpar, "-m", "3G", "-p", "console=hvc0 quiet", "--timeout", str(given.timeout), *more]
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
        )
    failed = results(done.stdout.replace("\r", ""), checks)
    print("\n".join(failed))
    print(f"{len(checks) - len(failed)} of {len(checks)} passed, {time.monotonic() - start:.0f} s")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
