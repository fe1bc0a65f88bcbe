# Two commands do everything on a fresh Debian, as root: make demo, make test.
# Whatever is missing is installed by scripts/deps, by package name.

SHELL := /bin/bash
export PATH := /usr/local/go/bin:$(PATH)

BIN := bin
LINT_VERSION := v2.15.0
LINT_DIR := $(shell go env GOPATH 2>/dev/null)/bin/golangci-lint-$(LINT_VERSION)
LINT := $(LINT_DIR)/golangci-lint

.PHONY: all build build-crash demo test soak check unit lab-test bench fuzz deps lint man install clean

all: build

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $(BIN)/ ./cmd/... ./opennebula/onetest/onetestd

# For tests on real hosts alone: the same programs, which kill themselves and
# tell another time when they are asked to (assemble/meddle.go).
build-crash:
	CGO_ENABLED=0 go build -trimpath -tags crashpoint -o $(BIN)/crash/ ./cmd/...

# The main job on real parts: two hosts, a guest, a target, a daemon on SQLite.
demo: deps build
	demo/demo.sh

# Everything. The last line counts the tests; in CI a skipped one is a failure.
test: deps
	scripts/test

# The storms and every point at which something may break, for an hour or as
# long as SOAK says (30m, 8h). The seed is printed; SEED gives it again.
soak: deps
	SOAK=$${SOAK:-60m} scripts/test soak

# What needs no host: formatting, go vet, the linters.
check: lint
	@test -z "$$(gofmt -l .)" || { gofmt -l . ; echo "not gofmt'ed"; exit 1; }
	go vet ./...
	go vet -tags lab ./...
	go vet -tags crashpoint ./assemble
	$(LINT) run ./...
	shellcheck -x scripts/* demo/*.sh bench/*.sh packaging/*.sh packaging/openfiler/*.sh .ci/run \
		packaging/opennebula/onevolume-setup packaging/opennebula/libvirt/qemu packaging/opennebula/remotes/vmm/kvm/onevolume-migrate
	cd lab && shellcheck -x lab

lint: $(LINT)
$(LINT):
	GOBIN=$(LINT_DIR) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

unit:
	go test -race -gcflags=modernc.org/sqlite/lib=-race=false ./...

# Tests on real hosts alone, in a lab that is kept for the next run.
lab-test: deps
	scripts/test lab

bench: deps build
	bench/bench.sh
	bench/api.sh

# Each fuzz target for a while; make test runs their seeds.
fuzz:
	scripts/fuzz

deps:
	scripts/deps

# The manual, made of the commands.
man:
	go run ./packaging/manpages $(BIN)/man

install: build man
	packaging/install.sh "$(DESTDIR)"

clean:
	rm -rf $(BIN)
