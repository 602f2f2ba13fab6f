# SPDX-License-Identifier: GPL-2.0-only
"""Numbers of the sPAPR interface: hypercalls, return codes, flags.

Sources: PAPR (LoPAR 2.9) chapter 14 "Hypervisor Call Functions" and chapter 7 "Run-Time
Abstraction Services"; Linux arch/powerpc/include/asm/hvcall.h; Power ISA 3.0B Book III.
Bits are written as plain shifts: PAPR bit *n* is ``1 << (63 - n)``.
"""

from __future__ import annotations

U64 = (1 << 64) - 1

# Return codes of hypercalls (r3, signed)
H_SUCCESS = 0
H_BUSY = 1
H_CLOSED = 2
H_CONTINUE = 18
H_HARDWARE = -1
H_FUNCTION = -2
H_PARAMETER = -4
H_BAD_MODE = -5
H_PTEG_FULL = -6
H_NOT_FOUND = -7
H_RESOURCE = -16
H_P2 = -55
H_P3 = -56
H_P4 = -57
H_UNSUPPORTED_FLAG = -256

RETURN_NAMES = {
    value: name for name, value in list(globals().items()) if name.startswith("H_") and isinstance(value, int)
}

# Hypercall numbers
H_REMOVE = 0x04
H_ENTER = 0x08
H_READ = 0x0C
H_CLEAR_MOD = 0x10
H_CLEAR_REF = 0x14
H_PROTECT = 0x18
H_GET_TCE = 0x1C
H_PUT_TCE = 0x20
H_SET_SPRG0 = 0x24
H_SET_DABR = 0x28
H_PAGE_INIT = 0x2C
H_LOGICAL_CI_LOAD = 0x3C
H_LOGICAL_CI_STORE = 0x40
H_LOGICAL_CACHE_LOAD = 0x44
H_LOGICAL_CACHE_STORE = 0x48
H_LOGICAL_ICBI = 0x4C
H_LOGICAL_DCBF = 0x50
H_GET_TERM_CHAR = 0x54
H_PUT_TERM_CHAR = 0x58
H_EOI = 0x64
H_CPPR = 0x68
H_IPI = 0x6C
H_IPOLL = 0x70
H_XIRR = 0x74
H_REGISTER_VPA = 0xDC
H_CEDE = 0xE0
H_CONFER = 0xE4
H_PROD = 0xE8
H_GET_PPP = 0xEC
H_PURR = 0xF4
H_VIO_SIGNAL = 0x104
H_BULK_REMOVE = 0x124
H_STUFF_TCE = 0x138
H_PUT_TCE_INDIRECT = 0x13C
H_SET_XDABR = 0x134
H_GET_CPU_CHARACTERISTICS = 0x1C8
H_JOIN = 0x298
H_HOME_NODE_ASSOCIATIVITY = 0x2EC
H_XIRR_X = 0x2FC
H_RANDOM = 0x300
H_SET_MODE = 0x31C
H_CLEAR_HPT = 0x358
H_REGISTER_PROC_TBL = 0x37C
H_SIGNAL_SYS_RESET = 0x380
KVMPPC_H_RTAS = 0xF000

# Page table calls: flags (PAPR 14.5.4.1)
H_EXACT = 1 << 39
H_READ_4 = 1 << 37
H_AVPN = 1 << 31
H_ANDCOND = 1 << 30
H_ICACHE_INVALIDATE = 1 << 23
H_ICACHE_SYNCHRONIZE = 1 << 22
H_ZERO_PAGE = 1 << 15
H_COPY_PAGE = 1 << 14

# H_SET_MODE resources
SET_MODE_CIABR = 1
SET_MODE_DAWR0 = 2
SET_MODE_ADDR_TRANS = 3
SET_MODE_ENDIAN = 4
SET_MODE_DAWR1 = 5

# MSR (Power ISA Book III 3.2.1)
MSR_SF = 1 << 63
MSR_HV = 1 << 60
MSR_EE = 1 << 15
MSR_PR = 1 << 14
MSR_ME = 1 << 12
MSR_RI = 1 << 1
MSR_LE = 1 << 0

# LPCR (Power ISA Book III 2.2)
LPCR_AIL_SHIFT = 23
LPCR_AIL = 3 << LPCR_AIL_SHIFT
LPCR_ILE = 1 << 25
LPCR_UPRT = 1 << 22
LPCR_HR = 1 << 20
LPCR_GTSE = 1 << 10

# Status words of RTAS calls (PAPR 7.2.8)
RTAS_SUCCESS = 0
RTAS_NO_ERRORS_FOUND = 1
RTAS_HW_ERROR = -1
RTAS_BUSY = -2
RTAS_PARAM_ERROR = -3
RTAS_NOT_AUTHORIZED = -9002
RTAS_SYSPARM_PARAM_ERROR = -9999

RTAS_TOKEN_BASE = 0x2000
RTAS_RAW_DISPLAY_CHARACTER = 0xA  #: what early boot code without a device tree uses

# CPU states of query-cpu-stopped-state
CPU_STOPPED = 0
CPU_STOPPING = 1
CPU_RUNNING = 2

IRQ_BASE = 0x1000  #: first number of the interrupt sources; below are only IPIs
IRQ_IPI = 2  #: XISR of an inter-processor interrupt
PRIORITY_MASKED = 0xFF

VTY_BASE = 0x30000000  #: unit address of the first virtual terminal
