# SPDX-License-Identifier: Apache-2.0
#
#   make            build into build/
#   make demo       a private instance relays three messages, and shows how
#   make test       every test; also installs what they need (Debian packages)
#   make run        an instance in the foreground on 127.0.0.1:2525
#   make deps       install what building and testing need
#   make lint       layers, style, names in the documentation
#   make check      the unit tests alone
#   make crash-states  STATES states after a loss of power (100,000: minutes)
#   make power-cuts    ROUNDS power cuts under a running relay (1,000: half an hour)
#   make sanitize   the unit tests under ASan+UBSan and TSan
#   make fuzz T=…   one fuzz target for SECONDS seconds
#   make fuzz-all   every fuzz target for SECONDS seconds, and what their corpora cover
#   make bench      the store; Waypost beside Postfix, Exim and OpenSMTPD; tables
#   make install DESTDIR=…
#   make deb        Debian's package, in build-deb/

BUILD ?= build
SECONDS ?= 60
STATES ?= 100000
ROUNDS ?= 1000
PYTHON := /usr/bin/python3
ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja: | build-deps
	@meson setup $(BUILD) --werror

# Each asks dpkg first, so that a machine that has everything is not touched.
build-deps:
	@scripts/install-dependencies build

deps:
	@scripts/install-dependencies build test

check: all
	@meson test -C $(BUILD) --suite unit --print-errorlogs

test:
	@scripts/install-dependencies build test
	@$(MAKE) --no-print-directory all
	@scripts/run-tests $(BUILD)

crash-states: all
	@WAYPOST_CRASH_STATES=$(STATES) $(BUILD)/tests/unit/test-store-power_loss

power-cuts: all
	@$(ROOT) scripts/in-own-network env WAYPOST_BUILD=$(abspath $(BUILD)) \
		$(PYTHON) tests/crash/power_cut.py --rounds $(ROUNDS)

sanitize:
	@scripts/run-sanitizers

demo:
	@scripts/install-dependencies build demo
	@$(MAKE) --no-print-directory all
	@$(ROOT) $(PYTHON) scripts/demo $(BUILD)

run: all
	@$(PYTHON) scripts/run-instance $(BUILD)

lint: all
	@scripts/lint

fuzz:
	@scripts/fuzz $(T) $(SECONDS)

fuzz-all:
	@scripts/install-dependencies build fuzz
	@scripts/fuzz all $(SECONDS)

bench: all
	@scripts/install-dependencies bench
	@$(BUILD)/bench/bench-store
	@$(ROOT) scripts/in-own-network $(PYTHON) bench/run $(BUILD) --seconds 5
	@$(PYTHON) bench/tables $(BUILD)

install: all
	@DESTDIR="$(DESTDIR)" meson install -C $(BUILD) --no-rebuild

deb:
	@scripts/install-dependencies build package
	@scripts/make-deb build-deb

clean:
	@rm -rf $(BUILD) build-*

.PHONY: all build-deps deps check test crash-states power-cuts sanitize demo run lint fuzz fuzz-all \
	bench install deb clean
