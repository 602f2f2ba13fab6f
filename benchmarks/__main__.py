# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks``: measure, print the table, write it to benchmarks/results.

The last line is for scripts: ``ratio 1.23``, lpar's median time to the shell prompt over QEMU's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.contenders import CONTENDERS, REFERENCE, Contender, Machine
from benchmarks.measure import measure, run_once
from benchmarks.rows import ALL, BOOT, Row
from lpar.cli.guests import debian_installer
from lpar.errors import LparError
from lpar.testing.console import ConsoleError

RESULTS = Path(__file__).parent / "results"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="lpar beside QEMU, paired.")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument(
        "--rows", default=",".join(ALL), metavar="NAMES", help="comma between; all: %(default)s"
    )
    parser.add_argument(
        "--contenders", default=",".join(CONTENDERS), metavar="NAMES", help="all: %(default)s"
    )
    parser.add_argument("--cpus", type=int, default=1, metavar="N")
    parser.add_argument("--memory", default="1G", metavar="SIZE")
    parser.add_argument("--params", default="", help="more kernel parameters, for all")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    return parser


def tell(contender: str, row: str, seconds: float) -> None:
    """Show a figure as soon as it is known."""
    print(f"{contender:<10} {row:<10} {seconds:8.2f}", flush=True)


def bench(options: argparse.Namespace) -> None:
    """Measure and report.  Raises ConsoleError, LparError, KeyError for an unknown name."""
    contenders: Sequence[Contender] = [CONTENDERS[name] for name in options.contenders.split(",")]
    rows: Sequence[Row] = [ALL[name] for name in options.rows.split(",")]
    machine = Machine(debian_installer(), options.cpus, options.memory, options.params)
    if "lpar" in options.contenders.split(","):
        run_once(CONTENDERS["lpar"], [BOOT], machine)  # fills the cache of compiled code
    times = measure(contenders, rows, machine, options.rounds, tell)
    print(report.table(times))
    report.write(options.results, times, report.circumstances(machine, options.rounds))
    boot = times.get(BOOT.name, {})
    if "lpar" in boot and REFERENCE in boot:
        print(f"ratio {report.ratio(boot, 'lpar'):.2f}")


def main() -> int:
    """The status is 1 when a guest fails."""
    try:
        bench(parser().parse_args())
    except KeyError as err:
        print(f"bench: no {err}", file=sys.stderr)
        return 2
    except (ConsoleError, LparError, OSError) as err:
        print(f"bench: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
