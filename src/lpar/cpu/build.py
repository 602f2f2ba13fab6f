# SPDX-License-Identifier: GPL-2.0-only
"""From definitions to machine code: trace everything, compile in parallel, keep the objects.

The compiled handlers are kept as object files in the cache directory, keyed by the engine's source text,
llvmlite, LLVM and the host CPU; a damaged or stale file is built anew.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import pickle
import pkgutil
import platform
import struct
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lpar.cpu import handlers, native_flow, stencil
from lpar.cpu.ir import Module
from lpar.cpu.native_decode import ENTRY
from lpar.cpu.stencil_table import GOES_ON, USES_REC, Table
from lpar.cpu.trace import trace_routine
from lpar.isa.routine import ROUTINES

Progress = Callable[[str, int, int], None]
KEPT_BUNDLES = 4
CompileSoon = Callable[[Module, Any], None]
MODULES = 8  #: compilation units: more than cores so that none waits long


@dataclass
class Bundle:
    """What a build leaves behind: object code and the decode table with symbols by number."""

    objects: list[bytes] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    #: decode entries (mask, value, fast, near, slow, kind, isa, two stencils), handlers as symbol numbers
    entries: list[tuple[int, int, int, int, int, int, int, int, int]] = field(default_factory=list)
    #: for each of 65536 buckets the index of its first entry
    buckets: bytes = b""
    #: prefixed instructions by the suffix's primary opcode: (mask, value, fast, slow, isa), masks of 64 bits
    prefixed: list[list[tuple[int, int, int, int, int]]] = field(default_factory=list)
    boundary: int = 0  #: the symbol for a prefix that is the last word of a 64-byte block
    #: routine -> state fields that it may touch, those of routines that it calls included
    touched: dict[str, set[str]] = field(default_factory=dict)
    #: the table of stencils, the symbols that it names, the constants of its code
    stencils: bytes = b""
    stencil_symbols: list[str] = field(default_factory=list)
    constants: bytes = b""


def cache_directory() -> Path:
    """Where compiled code is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "lpar" / "engine"


def source_key(host: str) -> str:
    """A digest of everything that the compiled code depends on."""
    digest = hashlib.sha256(host.encode())
    root = Path(__file__).resolve().parent.parent
    for room in ("isa", "cpu"):
        for path in sorted((root / room).glob("*.py")):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def import_definitions() -> None:
    """Import every module of the ISA and of the native parts, so that all registrations have happened."""
    for package_name in ("lpar.isa", "lpar.cpu"):
        package = importlib.import_module(package_name)
        for info in pkgutil.iter_modules(package.__path__):
            if package_name == "lpar.isa" or info.name.startswith("native_"):
                importlib.import_module(f"{package_name}.{info.name}")


def load_bundle(progress: Progress | None = None) -> Bundle:
    """The bundle for this host, from the cache or built."""
    from lpar.cpu import compiler

    key = source_key(compiler.host_description())
    path = cache_directory() / f"handlers-{key}.bin"
    found = _read(path)
    if found is not None:
        return found
    bundle = build(progress)
    _write(path, bundle)
    return bundle


def _read(path: Path) -> Bundle | None:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            return None
        loaded = pickle.loads(data[32:])
        return loaded if isinstance(loaded, Bundle) else None
    except Exception:  # a damaged pickle may raise anything; the file is built anew
        return None


def _write(path: Path, bundle: Bundle) -> None:
    body, scratch = pickle.dumps(bundle), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as out:
            scratch = Path(out.name)
            out.write(hashlib.sha256(body).digest() + body)
        os.replace(scratch, path)
        _prune(path)
    except OSError:  # a cache that cannot be written costs time only
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def _prune(newest: Path) -> None:
    """Keep the few newest bundles, and the compiled regions that belong to them."""
    bundles = sorted(newest.parent.glob("handlers-*.bin"), key=lambda p: p.stat().st_mtime)
    for stale in bundles[:-KEPT_BUNDLES]:
        stale.unlink(missing_ok=True)
    kept = {p.stem.removeprefix("handlers-") for p in bundles[-KEPT_BUNDLES:]}
    for regions in newest.parent.glob("regions-*.db*"):
        if regions.name.removeprefix("regions-").split(".")[0] not in kept:
            regions.unlink(missing_ok=True)


def build(progress: Progress | None = None) -> Bundle:
    """Trace and compile everything."""
    from lpar.cpu import compiler

    report = progress or (lambda what, done, total: None)
    import_definitions()
    variants = handlers.all_variants()
    bundle = Bundle()
    jobs: list[Future[bytes]] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:

        def compile_soon(module: Module, effort: compiler.Effort) -> None:
            jobs.append(pool.submit(compiler.compile_module, module, effort))

        bundle.touched = _trace_routines(compile_soon)
        share = -(-len(variants) // MODULES)
        stencils = []
        for n in range(MODULES):
            some = variants[n * share : (n + 1) * share]
            _trace_handlers(some, compile_soon)
            if platform.machine() == "x86_64":
                module, flags = _trace_stencils(some, bundle.touched)
                job = pool.submit(compiler.compile_module, module, compiler.Effort.STENCILS)
                stencils.append((job, module, flags))
            report("tracing", n + 1, MODULES)
        for n, made in enumerate(jobs):
            bundle.objects.append(made.result())
            report("compiling", n + 1, len(jobs))
        places = _stencil_table(bundle, stencils)
    _fill_table(bundle, variants, list(native_flow.SPECIALS), places)
    return bundle


def _trace_stencils(
    variants: Sequence[handlers.Variant], touched: dict[str, set[str]]
) -> tuple[Module, dict[str, int]]:
    """A module of stencils, and the flags of each."""
    module, flags = Module(platform.machine()), {}
    for variant in variants:
        for near in (False, True) if variant.kind else (False,):
            traced = stencil.trace_stencil(module, variant, near, touched)
            if traced is not None:
                uses_rec, goes_on = traced
                flags[stencil.symbol(variant, near)] = USES_REC * uses_rec | GOES_ON * goes_on
    return module, flags


def _stencil_table(
    bundle: Bundle, jobs: Sequence[tuple[Future[bytes], Module, dict[str, int]]]
) -> dict[str, int]:
    """Put the stencils into the bundle; where each one's header is."""
    table, places = Table(), dict[str, int]()
    for job, module, flags in jobs:
        holes = {name[1:]: node for node, name in module.holes.items()}
        table.add_object(job.result(), holes, flags, places)
    bundle.stencils, bundle.constants = bytes(table.image), bytes(table.constants)
    bundle.stencil_symbols = table.symbols
    return places


def _trace_routines(compile_soon: CompileSoon) -> dict[str, set[str]]:
    """Routines, which profit from LLVM's passes, and special handlers; what each routine touches."""
    from lpar.cpu import compiler

    modules = [Module(platform.machine()) for _ in range(2)]
    used = {r.name: trace_routine(modules[i % 2], r) for i, r in enumerate(ROUTINES.values())}
    for name, body in native_flow.SPECIALS.items():
        handlers.trace_special(modules[0], name, body)
    compiler.define_run(modules[0])
    for module in modules:
        compile_soon(module, compiler.Effort.ROUTINES)
    return _closure(used)


def _trace_handlers(variants: Sequence[handlers.Variant], compile_soon: CompileSoon) -> None:
    """Fast handlers are too short for passes to matter; slow twins, half of all, are compiled cheaply."""
    from lpar.cpu import compiler

    fast, slow = Module(platform.machine()), Module(platform.machine())
    for variant in variants:
        handlers.trace_variant(fast, slow, variant)
    compile_soon(fast, compiler.Effort.FAST)
    compile_soon(slow, compiler.Effort.SLOW)


def _closure(used: dict[str, set[str]]) -> dict[str, set[str]]:
    """Each routine's fields with those of all routines that it reaches."""
    closed = {}
    for name in used:
        seen: set[str] = set()
        todo = [name]
        while todo:
            for each in used[todo.pop()] - seen:
                seen.add(each)
                if each.startswith("rt_"):
                    todo.append(each[3:])
        closed[name] = seen
    return closed


def _fill_table(
    bundle: Bundle, variants: Sequence[handlers.Variant], specials: list[str], places: dict[str, int]
) -> None:
    numbers: dict[str, int] = {}

    def number(symbol: str) -> int:
        return numbers.setdefault(symbol, len(numbers))

    for name in ("lp_decode", *specials):
        number(name)
    rows = [
        (
            *(v.mask, v.value, number(v.fast), number(v.near), number(v.slow), v.kind, v.isa),
            places.get(stencil.symbol(v, False), 0),
            places.get(stencil.symbol(v, bool(v.kind)), 0),
        )
        for v in variants
        if v.instruction.prefix is None
    ]
    rows.sort(key=lambda r: -r[0].bit_count())
    illegal = number("lp_undefined")
    _bucketize(bundle, rows, (0, 0, illegal, illegal, illegal, 0, 0, 0, 0))
    _fill_prefixed(bundle, [v for v in variants if v.instruction.prefix], number)
    bundle.symbols = list(numbers)


def _fill_prefixed(
    bundle: Bundle, variants: Sequence[handlers.Variant], number: Callable[[str], int]
) -> None:
    """Lists of candidates by the suffix's primary opcode, each ending in the illegal entry."""
    undefined = number("lp_undefined_prefixed")
    bundle.boundary = number("lp_prefix_alignment")
    bundle.prefixed = [[] for _ in range(64)]
    for v in sorted(variants, key=lambda v: -v.mask.bit_count()):
        opcode = v.value >> 26 & 63
        bundle.prefixed[opcode].append((v.mask, v.value, number(v.fast), number(v.slow), v.isa))
    for rows in bundle.prefixed:
        rows.append((0, 0, undefined, undefined, 0))


def _bucketize(bundle: Bundle, rows: list[Any], last: tuple[int, ...]) -> None:
    """Lists of candidate entries by primary opcode and bits 21:30, each ending in the illegal entry."""
    by_opcode: dict[int, list[Any]] = {}
    for row in rows:
        by_opcode.setdefault(row[1] >> 26, []).append(row)
    starts: dict[tuple[Any, ...], int] = {}
    buckets = [0] * 65536

    def start_of(candidates: tuple[Any, ...]) -> int:
        if candidates not in starts:
            starts[candidates] = len(bundle.entries)
            bundle.entries.extend((*candidates, last))  # type: ignore[arg-type]
        return starts[candidates]

    for opcode in range(64):
        candidates = by_opcode.get(opcode, [])
        lists: dict[int, list[Any]] = {}
        for row in candidates:
            care, want = row[0] >> 1 & 0x3FF, row[1] >> 1 & 0x3FF
            for xo in _matching(care, want):
                lists.setdefault(xo, []).append(row)
        for xo in range(1024):
            buckets[opcode << 10 | xo] = start_of(tuple(lists.get(xo, ())))
    bundle.buckets = struct.pack("<65536I", *buckets)


def _matching(care: int, want: int) -> list[int]:
    free = ~care & 0x3FF
    out, sub = [], free
    while True:
        out.append(want & care | sub)
        if not sub:
            return out
        sub = (sub - 1) & free


def decode_image(bundle: Bundle, offsets: Sequence[int]) -> bytes:
    """The native decode table: bucket offsets in bytes, then entries with handler offsets."""
    head = len(bundle.buckets)
    starts = struct.unpack("<65536I", bundle.buckets)
    table = struct.pack("<65536I", *(head + s * ENTRY for s in starts))
    body = bytearray()
    for mask, value, fast, near, slow, *rest in bundle.entries:
        places = offsets[fast], offsets[near], offsets[slow]
        body += struct.pack("<IIiiiIIIII", mask, value, *places, *rest, 0)
    return table + bytes(body)


def prefix_image(bundle: Bundle, offsets: Sequence[int]) -> bytes:
    """The native table of prefixed instructions: 64 lists' places in bytes, boundary handler, the lists."""
    head = 65 * 4 + 4
    starts, body = [], bytearray()
    for rows in bundle.prefixed:
        starts.append(head + len(body))
        for mask, value, fast, slow, isa in rows:
            body += struct.pack("<QQiiII", mask, value, offsets[fast], offsets[slow], isa, 0)
    return struct.pack("<64Iii", *starts, offsets[bundle.boundary], 0) + bytes(body)
