# Walgate's commands. A bare `make` lists them; each does its own set-up.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# Rust that rustup has just installed is not on PATH yet, nor is Homebrew's Java; macOS has a
# placeholder called java that would be found first. As in deploy/setup.sh.
JAVA_DIRS := /opt/homebrew/opt/openjdk/bin:/usr/local/opt/openjdk/bin
export PATH := $(JAVA_DIRS):$(PATH):$(HOME)/.cargo/bin:/opt/homebrew/bin

# `make … LOCKED=--locked` refuses a Cargo.lock that is out of date, as continuous integration does.
LOCKED ?=
# `make demo SECONDS=20` ends by itself; `make demo ARGS=--kafka` adds a Kafka.
SECONDS ?=
ARGS ?=
# Seconds for each fuzz target of `make fuzz`.
T ?= 60
# Seconds for each in `make test`: enough to run the corpus and some thousands of inputs more.
SMOKE ?= 3
# Most tests wait for servers rather than compute: more of them at once than there are cores.
RUST_TEST_THREADS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
export RUST_TEST_THREADS
# `make test TEST=name` runs the tests whose name contains it.
TEST ?=

SETUP := deploy/setup.sh
DIST := target/package
WEB := crates/walgate-sink-websocket/web
CARGO_TEST := cargo test $(LOCKED) --workspace --no-fail-fast

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what building, the tests, the demo and the benchmark need
	@$(SETUP) build postgres npm kafka client clients deploy browser

.PHONY: demo
demo: ## Watch real changes flow (SECONDS=20 to end by itself, ARGS=--kafka for a real Kafka)
	@$(SETUP) build postgres $(if $(findstring kafka,$(ARGS)),kafka)
	cargo run $(LOCKED) --release -p walgate -- demo $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

.PHONY: test
test: ## Run every test but the long matrix (TEST=name for some of them)
	@$(SETUP) build npm kafka clients deploy browser
	$(CARGO_TEST) $(TEST)
	@$(MAKE) --no-print-directory fuzz-smoke

.PHONY: test-all
test-all: ## Run every test with the long matrix (500 kills, large transactions)
	@$(SETUP) build npm kafka clients deploy browser
	WALGATE_TEST_LONG=1 $(CARGO_TEST) $(TEST)
	@$(MAKE) --no-print-directory fuzz-smoke
	@deploy/validate.sh --partly

.PHONY: lint
lint: ## Check format, lints, documentation and licences
	@$(SETUP) build
	cargo fmt --all --check
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(LOCKED) --workspace --no-deps
	@if cargo deny --version >/dev/null 2>&1; then \
	    cargo deny check licenses bans sources; \
	else \
	    echo "lint: cargo-deny is not installed, licences not checked (cargo install cargo-deny)"; \
	fi

.PHONY: fmt
fmt: ## Format the code
	@$(SETUP) build
	cargo fmt --all

.PHONY: web
web: ## Build the page and the client library from their sources
	@$(SETUP) npm
	cd $(WEB) && npm ci --ignore-scripts --no-audit --no-fund && npm run build

.PHONY: screenshot
screenshot: ## Take the picture of the page that the README shows
	@$(SETUP) build npm browser
	cargo build $(LOCKED) -p walgate
	cargo test $(LOCKED) -p walgate-tests --test suite page::the_picture
	cp target/tmp/screenshot.png $(WEB)/screenshot.png

.PHONY: bench
bench: ## Measure against pg_recvlogical (ARGS="--rounds 1" to be quick)
	@$(SETUP) build postgres kafka client
	cargo build $(LOCKED) --release -p walgate -p walgate-bench
	cargo run $(LOCKED) --release -p walgate-bench -- $(ARGS)

.PHONY: bench-peers
bench-peers: ## Measure against Debezium, go-pq-cdc and pg-logical-replication too
	@$(SETUP) build postgres kafka client peers
	cargo build $(LOCKED) --release -p walgate -p walgate-bench
	cargo run $(LOCKED) --release -p walgate-bench -- --peer debezium --peer debezium-connect --peer go-pq-cdc --peer node $(ARGS)

.PHONY: bench-all
bench-all: ## Measure everything that bench/RESULTS.md shows, in hours (ARGS=--list for the parts)
	@$(SETUP) build postgres npm kafka client peers valgrind
	cargo build $(LOCKED) --release -p walgate -p walgate-bench
	cargo run $(LOCKED) --release -p walgate-bench -- all $(ARGS)

.PHONY: bench-instructions
bench-instructions: ## Count the instructions of decoding and encoding a row (needs valgrind)
	@$(SETUP) build valgrind
	@bench/instructions.sh

.PHONY: bench-results
bench-results: ## Make bench/RESULTS.md from the figures in bench/results
	cargo run $(LOCKED) --release -p walgate-bench -- results

.PHONY: fuzz
fuzz: ## Fuzz each decoder for a minute (T=seconds)
	@$(SETUP) build
	tests/fuzz/run.sh $(T)

.PHONY: fuzz-smoke
fuzz-smoke: ## Fuzz each decoder for a moment, as `make test` does
	@if [ -x tests/fuzz/run.sh ]; then tests/fuzz/run.sh $(SMOKE); fi

.PHONY: validate
validate: ## Validate deploy/ with helm, terraform, shellcheck, hadolint (ARGS=--partly: those that are there)
	@deploy/validate.sh $(ARGS)

.PHONY: docs
docs: ## Build the crates' documentation
	@$(SETUP) build
	cargo doc $(LOCKED) --workspace --no-deps
	@echo "docs: target/doc/walgate/index.html"

.PHONY: package
package: ## Build a release archive with completions and man pages
	@$(SETUP) build
	cargo build $(LOCKED) --release -p walgate
	deploy/package.sh target/release/walgate $(DIST)
