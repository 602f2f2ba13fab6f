# SPDX-License-Identifier: GPL-2.0-only
"""Published answers, computed with the instructions made for them, in both byte orders and on two tiers.

AES: FIPS 197, appendices B and C.  SHA-2: FIPS 180-4's "abc".  GHASH: the Galois/Counter Mode of McGrew and
Viega, test case 2.  A product of many words: RSA-100 and its factors.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence

import pytest
from tests.cpu.runner import assembled, run_engine
from tests.isa.case import Case, State

Run = Callable[..., State]
W32, W64, W128 = (1 << 32) - 1, (1 << 64) - 1, (1 << 128) - 1


@pytest.fixture(params=[("interpreter", True), ("interpreter", False), ("units", True)], ids=str)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs assembler lines with some VRs or GPRs: the state after."""
    tier, little = request.param

    def execute(*lines: str, vr: dict[int, int] | None = None, gpr: dict[int, int] | None = None) -> State:
        vsr = [0] * 64
        for n, value in (vr or {}).items():
            vsr[32 + n] = value
        before = State([(gpr or {}).get(n, 0) for n in range(32)], vsr)
        [after] = run_engine([Case(tuple(assembled(*lines)), before)], little=little, tier=tier)
        assert not after.fault
        return after

    return execute


def schedule(run: Run, key: bytes) -> list[int]:
    """AES-128's round keys; vsbox substitutes."""
    words = list(struct.unpack(">4I", key))
    rcon = 1
    for n in range(4, 44):
        word = words[-1]
        if n % 4 == 0:
            word = (word << 8 | word >> 24) & W32
            word = run("vsbox 1, 2", vr={2: word}).vsr[33] & W32 ^ rcon << 24
            rcon = rcon << 1 ^ (0x11B if rcon & 0x80 else 0)
        words.append(words[-4] ^ word)
    packed = struct.pack(">44I", *words)
    return [int.from_bytes(packed[at : at + 16], "big") for at in range(0, 176, 16)]


#: key, plain text, cipher text
AES = (
    "2b7e151628aed2a6abf7158809cf4f3c 3243f6a8885a308d313198a2e0370734 3925841d02dc09fbdc118597196a0b32",
    "000102030405060708090a0b0c0d0e0f 00112233445566778899aabbccddeeff 69c4e0d86a7b0430d8cdb78070b4c55a",
)


@pytest.mark.parametrize("known", AES)
def test_aes(run: Run, known: str) -> None:
    """vcipher, vcipherlast and back by vncipher, vncipherlast."""
    key, plain, cipher = known.split()
    keys = schedule(run, bytes.fromhex(key))
    forward = [*(f"vcipher 1, 1, {n}" for n in range(2, 11)), "vcipherlast 1, 1, 11"]
    back = [*(f"vncipher 1, 1, {n}" for n in range(10, 1, -1)), "vncipherlast 1, 1, 12"]
    registers = {1: int(plain, 16) ^ keys[0], 12: keys[0], **{n + 1: keys[n] for n in range(1, 11)}}
    after = run(*forward, vr=registers)
    assert f"{after.vsr[33]:032x}" == cipher
    after = run(*back, vr=registers | {1: int(cipher, 16) ^ keys[10]})
    assert f"{after.vsr[33]:032x}" == plain


def primes(count: int) -> list[int]:
    """The first prime numbers."""
    found: list[int] = []
    n = 2
    while len(found) < count:
        if all(n % p for p in found):
            found.append(n)
        n += 1
    return found


def root(value: int, degree: int, bits: int) -> int:
    """The first ``bits`` bits of the fraction of a root."""
    scaled = value << (degree * bits)
    low, high = 0, 1 << (bits + 10)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= scaled else (low, middle)
    return low & (1 << bits) - 1


def digest(run: Run, bits: int) -> str:
    """SHA-256 (32) or SHA-512 (64) of "abc": vshasigmaw or vshasigmad does the four functions."""
    mask, rounds, letter = (1 << bits) - 1, 64 if bits == 32 else 80, "w" if bits == 32 else "d"
    numbers = primes(rounds)
    state = [root(p, 2, bits) for p in numbers[:8]]
    block = b"abc\x80" + bytes(2 * bits - 5) + bytes([24])
    words = [int.from_bytes(block[at : at + bits // 8], "big") for at in range(0, 2 * bits, bits // 8)]

    def sigma(value: int, big: int, which: int) -> int:
        made = run(f"vshasigma{letter} 1, 2, {big}, {15 * which}", vr={2: value}).vsr[33]
        return made & mask

    for n in range(16, rounds):
        total = words[n - 16] + sigma(words[n - 15], 0, 0) + words[n - 7] + sigma(words[n - 2], 0, 1)
        words.append(total & mask)
    a, b, c, d, e, f, g, h = state
    for n in range(rounds):
        first = h + sigma(e, 1, 1) + (e & f ^ ~e & g) + root(numbers[n], 3, bits) + words[n]
        second = sigma(a, 1, 0) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (first + second) & mask, a, b, c, (d + first) & mask, e, f, g
    final = [(x + y) & mask for x, y in zip(state, (a, b, c, d, e, f, g, h), strict=True)]
    return b"".join(x.to_bytes(bits // 8, "big") for x in final).hex()


@pytest.mark.parametrize("bits", [32, 64])
def test_sha2(run: Run, bits: int) -> None:
    known = {32: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
             64: hashlib.sha512(b"abc").hexdigest()}  # fmt: skip
    assert digest(run, bits) == known[bits]


def carryless(run: Run, a: int, b: int) -> int:
    """The product of 128-bit polynomials: four doublewords by vpmsumd, each beside a zero."""
    total = 0
    for n in range(2):
        for m in range(2):
            part = run("vpmsumd 1, 2, 3", vr={2: a >> 64 * n & W64, 3: b >> 64 * m & W64}).vsr[33]
            total ^= part << 64 * (n + m)
    return total


def reverse(value: int, bits: int = 128) -> int:
    """The bits the other way round, as GCM counts them."""
    return int(f"{value:0{bits}b}"[::-1], 2)


def ghash(run: Run, h: int, blocks: Sequence[int]) -> int:
    """GHASH."""
    total = 0
    for block in blocks:
        product = carryless(run, reverse(total ^ block), reverse(h))
        for n in range(254, 127, -1):  # modulo x^128 + x^7 + x^2 + x + 1
            product ^= (0x87 | 1 << 128) << (n - 128) if product >> n & 1 else 0
        total = reverse(product)
    return total


def test_ghash(run: Run) -> None:
    h, text, lengths = 0x66E94BD4EF8A2C3B884CFA59CA342B2E, 0x0388DACE60B6A392F328C2B971B2FE78, 0x80
    assert ghash(run, h, [text, lengths]) == 0xF38CBB1AD69223DCC3457AE5B6B0F885


P = 37975227936943673922808872755445627854565536638199
Q = 40094690950920881030683735292761468389214899724061
RSA_100 = 1522605027922533360535618378132637429718068114961380688657908494580122963258952897654000350692006139


def test_long_product(run: Run) -> None:
    """Schoolbook multiplication with mulld, mulhdu, addc, adde and addze: p in r3 to r5, q in r6 to r8."""
    lines = [f"li {n}, 0" for n in range(10, 16)]
    for i in range(3):
        for j in range(3):
            lines += [f"mulld 20, {3 + i}, {6 + j}", f"mulhdu 21, {3 + i}, {6 + j}"]
            at = 10 + i + j
            lines += [f"addc {at}, {at}, 20", f"adde {at + 1}, {at + 1}, 21"]
            lines += [f"addze {n}, {n}" for n in range(at + 2, 16)]
    gpr = {n + 3: P >> 64 * n & W64 for n in range(3)} | {n + 6: Q >> 64 * n & W64 for n in range(3)}
    after = run(*lines, gpr=gpr)
    assert sum(after.gpr[10 + n] << 64 * n for n in range(6)) == RSA_100


def test_decimal_sum_of_thirty_one_digits(run: Run) -> None:
    """bcdadd.: the product's first digits, and 1, by hand."""
    digits = int(str(RSA_100)[:31])
    packed = int(f"{digits}C", 16), int("1C", 16)
    after = run("bcdadd. 1, 2, 3, 0", vr={2: packed[0], 3: packed[1]})
    assert f"{after.vsr[33]:032x}" == f"{digits + 1}c"
