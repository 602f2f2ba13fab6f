# SPDX-License-Identifier: GPL-2.0-only
"""Measurements, each paired with a peer in the same run."""
