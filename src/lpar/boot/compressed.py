# SPDX-License-Identifier: GPL-2.0-only
"""Compressed kernels: gzip, xz, lzma, bzip2 by the standard library, zstd by what is there.

Only the first stream is taken: what follows it (the kernel's appended size, a signature) is
not ours.  Output is bounded, so that a small file cannot take all host memory.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from lpar.boot.blob import Blob, BytesBlob
from lpar.errors import ConfigError
from lpar.units import human_size

OUTPUT_LIMIT = 2 << 30  #: bytes; larger than any kernel


@dataclass(frozen=True, slots=True)
class Format:
    """A compression format: its magic bytes, and how to decompress (None: not supported).

    ``decompress(data, limit)`` gives up to ``limit`` bytes and whether the stream ended there.
    """

    name: str
    magic: bytes
    decompress: Callable[[bytes, int], tuple[bytes, bool]] | None


def find_format(head: bytes) -> Format | None:
    """The format of a file that begins with ``head``."""
    return next((known for known in FORMATS if head.startswith(known.magic)), None)


def decompressed(blob: Blob, known: Format, limit: int = OUTPUT_LIMIT) -> BytesBlob:
    """The content of ``blob``.  Raises ConfigError if it is broken, truncated or endless."""
    if known.decompress is None:
        raise ConfigError(
            f"{blob.name} is compressed with {known.name}, which is not supported",
            hint=f"decompress it first with the {known.name} program",
        )
    try:
        content, ended = known.decompress(blob.read(0, blob.size), limit)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise _broken(blob.name, known.name, str(error)) from error
    if not ended:
        if len(content) >= limit:
            raise ConfigError(
                f"{blob.name} decompresses to more than {human_size(limit)}", hint="is it really a kernel?"
            )
        raise _broken(blob.name, known.name, "it is truncated")
    return BytesBlob(blob.name, content)


def _broken(name: str, format_name: str, why: str) -> ConfigError:
    why = " ".join(why.split()) or "bad data"
    return ConfigError(
        f"{name}: cannot decompress {format_name}: {why}", hint="fetch or build the file again"
    )


def _gzip(data: bytes, limit: int) -> tuple[bytes, bool]:
    stream = zlib.decompressobj(wbits=31)
    return stream.decompress(data, limit), stream.eof


def _lzma(data: bytes, limit: int) -> tuple[bytes, bool]:
    stream = lzma.LZMADecompressor()
    return stream.decompress(data, limit), stream.eof


def _bzip2(data: bytes, limit: int) -> tuple[bytes, bool]:
    stream = bz2.BZ2Decompressor()
    return stream.decompress(data, limit), stream.eof


def _zstd(data: bytes, limit: int) -> tuple[bytes, bool]:
    """Python 3.14's own module, or else the zstd program."""
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        return _zstd_program(data, limit)
    try:
        stream = module.ZstdDecompressor()
        return stream.decompress(data, limit), stream.eof
    except module.ZstdError as error:
        raise ValueError(str(error)) from error


def _zstd_program(data: bytes, limit: int) -> tuple[bytes, bool]:
    program = shutil.which("zstd")
    if program is None:
        raise ConfigError(
            "the kernel is compressed with zstd, and there is no zstd program",
            hint="install zstd (apt-get install zstd), or decompress the kernel first",
        )
    with tempfile.TemporaryFile() as source:
        source.write(data)
        source.seek(0)
        command = [program, "-dcq", "--long=31"]
        with subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stderr is not None
            content = child.stdout.read(limit)
            if len(content) >= limit:
                child.kill()
                return content, False
            message = child.stderr.read().decode(errors="replace")
        # What comes behind the first frame is an error to the program, but not to us.
        if child.returncode and not content:
            raise ValueError(message.strip())
        return content, not child.returncode or "unknown header" in message or "unsupported format" in message


#: Magic bytes as in the kernel's lib/decompress.c; lzma "alone" has none, these are its usual properties.
FORMATS = (
    Format("gzip", b"\x1f\x8b\x08", _gzip),
    Format("xz", b"\xfd7zXZ\0", _lzma),
    Format("zstd", b"\x28\xb5\x2f\xfd", _zstd),
    Format("bzip2", b"BZh", _bzip2),
    Format("lzma", b"\x5d\0\0", _lzma),
    Format("lz4", b"\x02\x21\x4c\x18", None),
    Format("lz4", b"\x04\x22\x4d\x18", None),
    Format("lzop", b"\x89LZO", None),
)
