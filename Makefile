# SPDX-License-Identifier: GPL-2.0-only
# Each target does its own set-up on a fresh Debian 12 (scripts/setup).
BIN := .venv/bin
PYTEST ?= $(BIN)/python -m pytest

.PHONY: help boot test test-arm64 test-debian test-kvm bench soak fuzz-isa testfloat selfchecks fuzz-devices power-cuts lint setup clean

help:
	@echo "make boot    fetch Debian's installer for ppc64el and boot it to a shell"
	@echo "make test    lint, types and all tests"
	@echo "make test-kvm  lpar on real KVM, in an emulated POWER9 host (about 8 minutes)"
	@echo "make test-arm64  lpar on arm64, emulated by qemu-aarch64 (root; 20 minutes the first time); ARM64TESTS=tests/cpu chooses"
	@echo "make test-debian  set a whole Debian up, and work in it: ten minutes"
	@echo "make bench   lpar beside qemu-system-ppc64; ROWS=sieve,real ROUNDS=3 choose"
	@echo "make fuzz-isa  random instructions on every tier and QEMU; N=1000000 SEED=7 BIG=1 choose"
	@echo "make testfloat  TestFloat level 1 on the engine: half an hour; ONLY=f128 chooses"
	@echo "make fuzz-devices  ten minutes of hostile guests on every device and the PCI bridge; FUZZ_SECONDS=60 chooses"
	@echo "make power-cuts    kill -9 under a write load, 50 times; CUTS=5 chooses"
	@echo "make selfchecks  Debian's python3, openssl, perl, sqlite3, busybox check themselves in a guest"
	@echo "make soak    ten minutes of mixed load in a guest of two CPUs; MINUTES=1 chooses"
	@echo "make lint    ruff, mypy and the layer contract"
	@echo "make setup   the Python environment and the tools that the tests use"
	@echo "make clean   remove caches of the tools (not the guests')"

boot:
	@scripts/setup
	@$(BIN)/lpar boot debian

test: lint
	$(PYTEST) $(PYTESTFLAGS)

test-kvm:
	@scripts/setup test
	$(BIN)/python -m tests.kvm.rig $(KVMFLAGS)

ARM64TESTS := tests/cpu/test_relocate.py tests/cpu/test_arena.py tests/cpu/test_exits.py tests/cpu/test_radix.py \
	tests/cpu/test_interrupts.py tests/cpu/test_crossing.py \
	tests/cpu/test_known_pages.py::test_own_invalidation_ends_what_is_known tests/baremetal

test-arm64:
	@scripts/setup test
	@PYTHONPATH=src $(BIN)/python -m lpar boot debian --dry-run -q
	scripts/arm64 python3 -m pytest -q -p no:cacheprovider $(ARM64TESTS) $(PYTESTFLAGS)
	echo 'uname -a; poweroff -f' | scripts/arm64 python3 -m lpar boot debian -c 2 -q

bench:
	@scripts/setup test
	$(BIN)/python -m benchmarks $(if $(ROWS),--rows '$(ROWS)') $(if $(ROUNDS),--rounds $(ROUNDS)) $(BENCHFLAGS)

test-debian:
	@scripts/setup test
	LPAR_TEST_DEBIAN=1 LPAR_FILE_OPERATIONS=600 $(PYTEST) tests/debian tests/guest/test_files.py $(PYTESTFLAGS)

fuzz-isa:
	@scripts/setup test
	@scripts/judge system
	PYTHONPATH=src:. $(BIN)/python -m tests.isa.fuzz $(if $(N),-n $(N)) $(if $(SEED),--seed $(SEED)) $(if $(BIG),--big --tiers interpreter) $(FUZZFLAGS)

testfloat:
	@scripts/setup test
	PYTHONPATH=src:. $(BIN)/python -m tests.isa.testfloat $(if $(ONLY),--only $(ONLY))

FUZZ_SECONDS ?= 600
CUTS ?= 50
HOSTILE := tests/virtio/test_hostile.py tests/papr/test_hostile_pci.py tests/backend/test_ninep_hostile.py \
	tests/backend/test_networks.py

fuzz-devices:
	@scripts/setup test
	@end=$$(($$(date +%s) + $(FUZZ_SECONDS))); while [ $$(date +%s) -lt $$end ]; do \
		LPAR_FUZZ_EXAMPLES=500 $(PYTEST) -q $(HOSTILE) || exit 1; done

power-cuts:
	@scripts/setup test
	LPAR_POWER_CUTS=$(CUTS) $(PYTEST) -q tests/guest/test_disks.py -k power_cut

selfchecks:
	@scripts/setup test
	PYTHONPATH=src:. $(BIN)/python -m tests.isa.selfchecks $(SELFFLAGS)

soak:
	@scripts/setup test
	$(BIN)/python -m benchmarks.soak $(if $(MINUTES),--minutes $(MINUTES))

lint:
	@scripts/setup test
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

setup:
	@scripts/setup test

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests benchmarks -name __pycache__ -type d -exec rm -rf {} +
