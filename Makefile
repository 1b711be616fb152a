# `make` lists what there is to do. Everything works on Debian and Ubuntu with
# Go and nothing else, as root or not; other systems need PostgreSQL installed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build demo gateway test test-race test-matrix sweep sweep-all soak bench bench-go lint fmt deps clean

TIMEOUT ?= 60m
# The packages whose tests take longest begin first, and one more at once than
# there are processors: they wait for servers more than they compute.
PACKAGES ?= ./internal/sweep ./internal/manager ./internal/crashtest ./internal/soak ./internal/logical ./...
AT_ONCE ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TOOLS := go tool -modfile=.ci/tools.mod

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

build: ## build bin/envdb
	@mkdir -p bin
	go build -ldflags '-X main.version=$(VERSION)' -o bin/envdb ./cmd/envdb

demo: build $(if $(findstring --s3,$(ARGS)),gateway) ## see production backed up and mirrored, on two throwaway clusters
	@.ci/deps server
	$(if $(findstring --s3,$(ARGS)),ENVDB_VERSITYGW=$$(.ci/versitygw/build) )bin/envdb demo $(ARGS)

test: deps ## run every test on real PostgreSQL; a skipped test is a failure
	@.ci/test -p $(AT_ONCE) -timeout $(TIMEOUT) $(PACKAGES)

test-race: deps ## the same, with the race detector (needs a C compiler)
	@.ci/test -race -timeout 30m $(PACKAGES)

test-matrix: deps ## the engine's tests on PostgreSQL 15 and 17, and from each to each
	@.ci/matrix $(MAJORS)

SOAK ?= 10m
soak: deps ## run two daemons on a ladder of seconds, with faults and kills; SOAK=1h for longer
	@ENVDB_SOAK=$(SOAK) .ci/test -count=1 -timeout 0 -run TestSoak -v ./internal/soak/

sweep-all: deps ## kill, interrupt and starve envdb at every moment, not only at a sample: hours
	@ENVDB_SWEEP=all .ci/test -count=1 -parallel 8 -timeout 0 ./internal/crashtest/ ./internal/sweep/

sweep: deps ## fail and kill every operation step by step, as make test does, and print the counts
	@.ci/test -count=1 -timeout 30m ./internal/sweep/

bench: ## measure envdb beside pg_dump, pg_restore and pgcopydb, and write docs/benchmarks.md
	@.ci/deps server pgbouncer pgcopydb
	go run ./internal/bench -report docs/benchmarks.md $(ARGS)

bench-go: ## run the Go benchmarks; BASE=COMMIT compares them with those of a commit
	@.ci/bench-go $(BASE)

lint: ## gofmt, go vet, staticcheck, and a tidy go.mod
	@test -z "$$(gofmt -l .)" || { echo "not formatted; run: make fmt"; gofmt -l .; exit 1; }
	go vet ./...
	$(TOOLS) staticcheck ./...
	go mod tidy -diff

fmt: ## format the code
	gofmt -w .

deps: gateway ## install what the demo and the tests need: PostgreSQL and PgBouncer
	@.ci/deps

gateway: ## build versitygw, the S3 server of the demo and the tests, once
	@.ci/versitygw/build >/dev/null

clean: ## remove what was built
	rm -rf bin
