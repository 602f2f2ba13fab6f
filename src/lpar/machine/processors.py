# SPDX-License-Identifier: GPL-2.0-only
"""The CPU model that the device tree describes: the named one, corrected by what the accelerator knows."""

from __future__ import annotations

from dataclasses import replace

from lpar.accel.protocol import Facts, PageSizes
from lpar.papr.cpu_models import MODELS, CpuModel, PageEncoding, SegmentPageSize, SmmuInfo


def model_of(facts: Facts) -> CpuModel:
    """The model that ``facts`` name, with their numbers in place of its own."""
    model = MODELS[facts.cpu]
    return replace(
        model,
        pvr=model.pvr if facts.pvr is None else facts.pvr,
        timebase_hz=facts.timebase_hz or model.timebase_hz,
        dec_bits=facts.dec_bits or model.dec_bits,
        smmu=model.smmu if facts.page_sizes is None else _smmu(facts, facts.page_sizes, model),
    )


def _smmu(facts: Facts, sizes: PageSizes, model: CpuModel) -> SmmuInfo:
    segments = tuple(
        SegmentPageSize(shift, slb_enc, tuple(PageEncoding(*encoding) for encoding in encodings))
        for shift, slb_enc, encodings in sizes
    )
    return SmmuInfo(facts.slb_size or model.smmu.slb_size, facts.segments_1t, segments)
