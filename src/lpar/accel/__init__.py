# SPDX-License-Identifier: GPL-2.0-only
"""Accelerators: the Vcpu/Exit protocol and what implements it."""
