# SPDX-License-Identifier: GPL-2.0-only
"""The architected state of one hardware thread, as data.

Each entry is ``name: (width in bits, count)``; count 0 means a scalar.  The oracle keeps it in
Python lists, the engine lays it out in memory (``lpar.cpu.layout``).  The engine
holds narrow ones in words.

Condition and status bits are kept apart because instructions set them apart:
``cr[n]`` is CR field n as LT=8 GT=4 EQ=2 SO=1; ``so ov ca ov32 ca32`` are XER's bits and
``xer_low`` the rest (string count, bits 57:63).  ``vsr[n]`` is a vector-scalar register with
element 0 most significant; FPR n is its upper half (``cpu.fpr[n]``), VR n is ``vsr[32 + n]``
(``cpu.vr[n]``).
"""

from __future__ import annotations

#: special purpose registers that are plain storage here: name -> SPR number(s) are in spr.py
_SPR_NAMES = """
srr0 srr1 hsrr0 hsrr1 sprg0 sprg1 sprg2 sprg3 dar cfar tar ctrl dscr amr iamr uamor amor ciabr dawr0 dawrx0
dawr1 dawrx1 dawr ppr vrsave pidr lpidr ptcr lpcr hfscr fscr bescr ebbhr ebbrr mmcr0 mmcr1 mmcr2 mmcr3 mmcra
siar sdar sier sier2 sier3 pmc1 pmc2 pmc3 pmc4 pmc5 pmc6 tfhar tfiar texasr tidr psscr wort acop pspb ic vtb
purr spurr hid0 hmer hmeer pir pvr tir dpdes dhdes hashkeyr hashpkeyr asdr dsisr hdar hdsisr heir hrmor rmor
pcr lmrr lmser tscr ttr rwmr trace uspr0 sdr1 mmcrc mmcrh
"""
SPRS64 = _SPR_NAMES.split()

FIELDS: dict[str, tuple[int, int]] = {
    "gpr": (64, 32),
    "vsr": (128, 64),
    "lr": (64, 0),
    "ctr": (64, 0),
    "cr": (8, 8),
    "so": (1, 0),
    "ov": (1, 0),
    "ca": (1, 0),
    "ov32": (1, 0),
    "ca32": (1, 0),
    "xer_low": (32, 0),
    "fpscr": (64, 0),
    "vscr": (32, 0),
    "msr": (64, 0),
    **dict.fromkeys(SPRS64, (64, 0)),
}
