# SPDX-License-Identifier: Apache-2.0
# The two commands of the README are `make conformance` and `make test`. `make help` lists the rest.

SHELL      := /bin/bash
.SHELLFLAGS := -euo pipefail -c

BUILD    := build
BIN      := $(BUILD)/bin
REPORT   := $(BUILD)/report

# Guests need root only for KVM; everything else runs as any user. FUZZ is a budget for each fuzz target.
FUZZ     ?= 20000x
RUNFLAGS ?=

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

.PHONY: conformance
conformance: setup build ## boot the lab and judge mainline RNBD on both sides; reports in build/report
	$(BIN)/ibnbd-conformance run --report $(REPORT)/conformance $(RUNFLAGS)

.PHONY: test
test: setup lint kmod unit fuzz-short smoke ## unit tests, static checks, and a smoke run of the lab at the end

.PHONY: setup
setup: ## install the Debian packages that are missing
	@ci/setup

.PHONY: build
build: ## build the programs into build/bin
	go build -o $(BIN)/ ./conformance/cmd/... ./reference/cmd/...

# The modules are built for the newest Debian kernel whose headers are installed, which need not be the one that runs here, in a copy, so
# that nothing lies beside the sources.
KDIR = $(lastword $(sort $(wildcard /usr/src/linux-headers-*-amd64)))

.PHONY: kmod
kmod: setup ## build the kernel modules into build/kmod, every warning of W=1 and of sparse an error
	@[ -n "$(KDIR)" ] || { echo "no headers of a Debian kernel in /usr/src: run ci/setup" >&2; exit 1; }
	mkdir -p $(BUILD)/kmod
	cp -r kmod/. $(BUILD)/kmod/
	rm -f $(BUILD)/kmod/*.go # they belong to the package kmod, not to another there
	$(MAKE) -j$(shell nproc) -C $(BUILD)/kmod KDIR=$(KDIR) W=e1 C=1 CF=-Wsparse-error CONFIG_DEBUG_INFO_BTF_MODULES= modules

FLAVOUR ?= debug

.PHONY: kernel
kernel: setup ## build the guests' kernel FLAVOUR=debug from Debian's source, with sanitizers and lockdep: run --kernel debug
	@ci/kernel $(FLAVOUR) $(BUILD)

.PHONY: deb
deb: setup ## build the Debian packages ibnbd and ibnbd-dkms into build/deb
	rm -rf $(BUILD)/deb
	@ci/deb $(BUILD)/deb

.PHONY: deb-test
deb-test: deb ## install and remove them in an overlay of this machine's root; needs root and apt
	@ci/deb-test $(BUILD)/deb

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, ginkgolinter, shellcheck
	@ci/lint

# Not under the race detector: the passive judges, which do one thing after the other; and what runs hundreds of times, and needs ten times
# the processor's time there, what other packages run under it: the mutants, and whole runs that are compared. The mutants wait for most
# of their time, and have to wait longer where a busy machine is late, so that nothing else runs beside them.
MUTANTS := conformance/ibnbd/mutants conformance/srp/mutants
PLAIN   := conformance conformance/ibnbd/judge conformance/srp/judge
raced    = $$(go list ./... | grep -vE '/ibnbd/($(subst $() ,|,$(MUTANTS) $(PLAIN)))$$')
# Both ways: they count allocations, and run most of their random schedules, without it.
BOTH    := reference/ibnbd reference/srp

# Some packages wait most of the time for timers of the protocols, so that one package more than there are processors runs at a time.
# Vet is left out because ci/lint does it for every file. (Ginkgo refuses -parallel: a package whose tests wait sets it in TestMain.)
UNITFLAGS := -timeout 15m -vet=off -p $(shell expr $$(nproc) + 1)

.PHONY: unit
unit: ## unit tests, under the race detector where anything is concurrent
	go test $(UNITFLAGS) $(addprefix ./,$(MUTANTS))
	go test $(UNITFLAGS) $(addprefix ./,$(PLAIN) $(BOTH))
	go test $(UNITFLAGS) -race $(raced)
	go test $(UNITFLAGS) -race -tags verbs ./reference/rdma/verbs/...
	GOEXPERIMENT=cgocheck2 go test $(UNITFLAGS) -tags verbs ./reference/rdma/verbs/...

.PHONY: fuzz-short
fuzz-short: ## run each fuzz target on 20,000 inputs, those that play a whole peer on 5,000
	@ci/fuzz $(FUZZ)

.PHONY: fuzz
fuzz: ## run each fuzz target for five minutes
	@ci/fuzz 5m

.PHONY: smoke
smoke: build ## boot the lab and run the specs labelled smoke
	$(BIN)/ibnbd-conformance run --smoke --report $(REPORT)/smoke

.PHONY: conformance-srp
conformance-srp: setup build ## judge mainline Linux's SRP in the lab: LIO with ib_srpt, and ib_srp
	$(BIN)/ibnbd-conformance run --protocol srp --report $(REPORT)/srp $(RUNFLAGS)

.PHONY: mutants
mutants: setup build ## try broken implementations: print which spec catches which; reports in build/report/mutants
	$(BIN)/ibnbd-conformance mutants --lab --report $(REPORT)/mutants

# All pairs are judged, also behind one that fails.
.PHONY: matrix
matrix: setup build ## judge all pairs of implementations, keys refreshed and kept; takes 18 times as long
	@failed=; all=$$($(BIN)/ibnbd-conformance list --implementations); \
	for target in $$all; do for initiator in $$all; do for keys in refreshed kept; do \
		echo "== target $$target, initiator $$initiator, keys $$keys"; \
		$(BIN)/ibnbd-conformance run --target $$target --initiator $$initiator $$([ $$keys = kept ] && echo --static-keys || true) \
			--report $(REPORT)/matrix/$$target-$$initiator-$$keys $(RUNFLAGS) || failed="$$failed $$target-$$initiator-$$keys"; \
	done; done; done; \
	[ -z "$$failed" ] || { echo "broken:$$failed"; exit 1; }

.PHONY: lab
lab: setup ## tests on real guests: of the lab, of the RDMA providers against soft-RoCE, of what ends a run, of a vendor
	go test -tags lab -p 1 -timeout 40m ./vm/... ./conformance/interop/... ./conformance/ibnbd/interop ./conformance/ibnbd/subject ./conformance/cmd/... ./ci

.PHONY: bench
bench: ## benchmarks, those of the lab included
	go test -run '^$$' -bench . ./...
	go test -tags lab -run '^$$' -bench . -benchtime 1x -timeout 60m -p 1 ./vm/... ./conformance/ibnbd/judge ./conformance/ibnbd/subject

.PHONY: docs
docs: ## render the documents that come from data: docs/standard.md and docs/findings.md
	@mkdir -p $(BUILD)
	go run ./conformance/cmd/ibnbd-conformance standard > $(BUILD)/standard.md && mv $(BUILD)/standard.md docs/standard.md
	go test ./conformance/verdict/findings -update

.PHONY: clean
clean: ## remove what was built, the cache of guest images included
	rm -rf $(BUILD)
