# SPDX-License-Identifier: GPL-2.0-only
"""The hashed page table calls, with the codes that Linux asserts."""

from __future__ import annotations

import pytest

from lpar.papr import numbers as n
from lpar.papr.hpt import HPTE_R_C, HPTE_R_M, HPTE_R_PP0, HPTE_R_R, hpt_order, page_shift
from lpar.papr.partition import Partition
from lpar.testing.fake_vcpu import FakeGuest, FakeVcpu

AVPN = 0x4000123456789A80  # B = 1: a 1 TB segment
BOLTED = 1 << 4
V = AVPN | 1
R = 0x42000 | HPTE_R_M | 2


@pytest.fixture
def guest(partition: Partition) -> FakeGuest:
    return FakeGuest(partition)


def enter(guest: FakeGuest, index: int = 0, v: int = V, r: int = R, flags: int = 0) -> tuple[int, int]:
    return guest.hcall(n.H_ENTER, flags, index, v, r)[:2]


def test_table_is_made_at_the_first_use_only(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    assert guest.partition._hpt is None
    enter(guest)
    assert guest.partition.hpt_order == 18
    assert [vcpu.hpt_order for vcpu in vcpus] == [18] * 4


def test_enter_fills_a_group_then_says_full(guest: FakeGuest) -> None:
    for slot in range(8):
        assert enter(guest, 0x83) == (n.H_SUCCESS, 0x80 + slot)
    assert enter(guest, 0x83)[0] == n.H_PTEG_FULL
    assert enter(guest, 0x88) == (n.H_SUCCESS, 0x88)


def test_exact_enter(guest: FakeGuest) -> None:
    assert enter(guest, 5, flags=n.H_EXACT) == (n.H_SUCCESS, 5)
    assert enter(guest, 5, flags=n.H_EXACT)[0] == n.H_PTEG_FULL


def test_entry_is_big_endian_in_the_buffer(partition: Partition) -> None:
    buffer = bytearray(1 << 18)
    partition.allocate_hpt = lambda order: memoryview(buffer)
    enter(FakeGuest(partition), 3, v=V | 0x60, flags=n.H_EXACT)
    assert buffer[48:64] == V.to_bytes(8, "big") + R.to_bytes(8, "big")


def test_read_one_and_four(guest: FakeGuest) -> None:
    enter(guest, 6, flags=n.H_EXACT)
    assert guest.hcall(n.H_READ, 0, 6)[:3] == (n.H_SUCCESS, V, R)
    assert guest.hcall(n.H_READ, n.H_READ_4, 7)[:9] == (n.H_SUCCESS, 0, 0, 0, 0, V, R, 0, 0)


def test_remove_gives_the_entry_and_flushes_everybody(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    enter(guest, 6, flags=n.H_EXACT)
    assert guest.hcall(n.H_REMOVE, n.H_AVPN, 6, AVPN)[:3] == (n.H_SUCCESS, V, R)
    assert guest.hcall(n.H_READ, 0, 6)[:3] == (n.H_SUCCESS, 0, 0)
    assert all(vcpu.flushes for vcpu in vcpus)
    assert guest.hcall(n.H_REMOVE, 0, 6, 0)[0] == n.H_NOT_FOUND


def test_reference_and_change_set_during_the_flush_are_returned(partition: Partition) -> None:
    guest = FakeGuest(partition)
    buffer = bytearray(1 << 18)
    partition.allocate_hpt = lambda order: memoryview(buffer)
    enter(guest, 2, flags=n.H_EXACT)

    def late_store(v: int, r: int, index: int) -> None:
        buffer[16 * index + 14] |= HPTE_R_R >> 8
        buffer[16 * index + 15] |= HPTE_R_C

    partition.flush_hpte = late_store
    assert guest.hcall(n.H_REMOVE, 0, 2, 0)[2] == R | HPTE_R_R | HPTE_R_C


def test_avpn_and_andcond_conditions(guest: FakeGuest) -> None:
    enter(guest, 0, v=V | BOLTED)
    assert guest.hcall(n.H_REMOVE, n.H_AVPN, 0, AVPN ^ 0x80)[0] == n.H_NOT_FOUND
    assert guest.hcall(n.H_REMOVE, n.H_ANDCOND, 0, BOLTED)[0] == n.H_NOT_FOUND
    assert guest.hcall(n.H_REMOVE, n.H_ANDCOND, 0, 0x20)[0] == n.H_SUCCESS


def test_protect_changes_only_protection(guest: FakeGuest) -> None:
    enter(guest, 0)
    assert guest.hcall(n.H_PROTECT, n.H_AVPN | 1 << 8 | 3, 0, AVPN)[0] == n.H_SUCCESS
    assert guest.hcall(n.H_READ, 0, 0)[1:3] == (V, R & ~3 | HPTE_R_PP0 | 3)
    assert guest.hcall(n.H_PROTECT, n.H_AVPN, 0, AVPN ^ 0x80)[0] == n.H_NOT_FOUND
    assert guest.hcall(n.H_PROTECT, 0, 1, 0)[0] == n.H_NOT_FOUND


def test_clear_reference_and_change(guest: FakeGuest) -> None:
    enter(guest, 0, r=R | HPTE_R_R | HPTE_R_C)
    assert guest.hcall(n.H_CLEAR_MOD, 0, 0)[:2] == (n.H_SUCCESS, R | HPTE_R_R | HPTE_R_C)
    assert guest.hcall(n.H_CLEAR_REF, 0, 0)[:2] == (n.H_SUCCESS, R | HPTE_R_R)
    assert guest.hcall(n.H_READ, 0, 0)[2] == R


def test_clear_all(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    for index in (0, 77, OUTSIDE - 1):
        enter(guest, index, flags=n.H_EXACT)
    assert guest.hcall(n.H_CLEAR_HPT)[0] == n.H_SUCCESS
    assert not any(guest.partition.hash_table().save())  # type: ignore[union-attr]
    assert all(vcpu.flushes for vcpu in vcpus)


REQUEST, RESPONSE, END, BULK_AVPN = 1 << 62, 2 << 62, 3 << 62, 2 << 56


def test_bulk_remove(guest: FakeGuest) -> None:
    enter(guest, 0)
    enter(guest, 9, r=R | HPTE_R_C, flags=n.H_EXACT)
    words = (REQUEST | BULK_AVPN, AVPN, REQUEST | BULK_AVPN | 1, AVPN, REQUEST | 9, 0, END, 0)
    status, *out = guest.hcall(n.H_BULK_REMOVE, *words)
    assert status == n.H_SUCCESS
    assert out[0] == RESPONSE | BULK_AVPN
    assert out[2] == RESPONSE | BULK_AVPN | 1 << 60 | 1  # not found
    assert out[4] == RESPONSE | 9 | HPTE_R_C << 43
    assert out[6] == END


def test_bulk_remove_bad_requests(guest: FakeGuest) -> None:
    assert guest.hcall(n.H_BULK_REMOVE, RESPONSE, 0)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_BULK_REMOVE, REQUEST | 3 << 56, 0)[0] == n.H_PARAMETER
    status, first, *_ = guest.hcall(n.H_BULK_REMOVE, REQUEST | 1 << 40, 0, END)
    assert (status, first) == (n.H_PARAMETER, RESPONSE | 2 << 60 | 1 << 40)


OUTSIDE = 1 << 14  # entries of a table of 2**18 bytes


@pytest.mark.parametrize("call", [n.H_REMOVE, n.H_PROTECT, n.H_READ, n.H_CLEAR_MOD, n.H_CLEAR_REF])
@pytest.mark.parametrize("index", [OUTSIDE, n.U64, 1 << 63])
def test_index_outside_the_table(guest: FakeGuest, call: int, index: int) -> None:
    assert guest.hcall(call, 0, index, 0)[0] == n.H_PARAMETER
    assert enter(guest, index)[0] == n.H_PARAMETER


def test_storage_attributes_are_checked(guest: FakeGuest) -> None:
    assert enter(guest, r=0x42000)[0] == n.H_PARAMETER  # RAM not coherent
    assert enter(guest, r=0x42000 | 0x28)[0] == n.H_PARAMETER  # RAM cache-inhibited
    device = 0x3F0000000000
    assert enter(guest, r=device | HPTE_R_M)[0] == n.H_PARAMETER  # device cached
    assert enter(guest, r=device | 0x28)[0] == n.H_SUCCESS


def test_page_size_encodings() -> None:
    large = 1 << 2
    assert page_shift(0, 0xFF000) == 12
    assert page_shift(large, 0x1000) == page_shift(large, 0xF7000) == 16
    assert page_shift(large, 0x8000) == page_shift(large, 0x38000) == page_shift(large, 0) == 24
    assert page_shift(large, 0x3000) == 34
    assert page_shift(large, 0x5000) == 0


def test_bad_page_size_is_refused(guest: FakeGuest) -> None:
    assert enter(guest, v=V | 4, r=0x5000 | HPTE_R_M)[0] == n.H_PARAMETER


@pytest.mark.parametrize(
    ("ram", "order"), [(1 << 20, 18), (1 << 29, 22), (3 << 29, 24), (1 << 34, 27), (1 << 45, 36)]
)
def test_order(ram: int, order: int) -> None:
    assert hpt_order(ram) == order


def test_no_table_to_be_had(partition: Partition) -> None:
    partition.allocate_hpt = lambda order: None
    guest = FakeGuest(partition)
    for call in (n.H_ENTER, n.H_REMOVE, n.H_READ, n.H_PROTECT, n.H_BULK_REMOVE, n.H_CLEAR_MOD):
        assert guest.hcall(call, 0, 0, V, R)[0] == n.H_HARDWARE


NEW, RADIX, GTSE = 0x18, 4, 1


def test_register_radix(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    assert guest.hcall(n.H_REGISTER_PROC_TBL, NEW | RADIX | GTSE, 0x10000, 0, 8)[0] == n.H_SUCCESS
    assert vcpus[0].process_table == vcpus[3].process_table == (0x10000, 20, True, True)
    assert guest.hcall(n.H_REGISTER_PROC_TBL, RADIX | GTSE, 0, 0, 0)[0] == n.H_SUCCESS
    assert vcpus[0].process_table == (0x10000, 20, True, True)


def test_hash_without_a_registration(guest: FakeGuest, vcpus: list[FakeVcpu]) -> None:
    assert guest.hcall(n.H_REGISTER_PROC_TBL, RADIX, 0, 0, 0)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_REGISTER_PROC_TBL, 0, 0, 0, 0)[0] == n.H_SUCCESS
    assert vcpus[0].process_table == (0, 12, False, False)


@pytest.mark.parametrize(
    ("args", "status"),
    [
        ((0x20, 0, 0, 0), n.H_PARAMETER),
        ((NEW | 2, 0, 0, 0), n.H_PARAMETER),
        ((NEW | RADIX, 0x100, 0, 8), n.H_P2),
        ((NEW | RADIX, 1 << 60, 0, 8), n.H_P2),
        ((NEW | RADIX, 0x1000, 1, 8), n.H_P3),
        ((NEW | RADIX, 0x1000, 0, 25), n.H_P4),
        ((NEW, 1 << 38, 0, 0), n.H_P2),
        ((NEW, 0, 8, 0), n.H_P3),
    ],
)
def test_bad_registration(guest: FakeGuest, args: tuple[int, ...], status: int) -> None:
    assert guest.hcall(n.H_REGISTER_PROC_TBL, *args)[0] == status
