# SPDX-License-Identifier: GPL-2.0-only
"""lpar: a virtual machine monitor for PPC64 sPAPR (pseries) guests."""

__version__ = "0.1.0"
