# A thin front: each target is one script of tools/. What it installs, and what to run after which
# change: CONTRIBUTING.md.
.PHONY: help chat build test bench fuzz golden model lanes format

help:
	@echo "make chat     build the command and chat with the shipped model (ARGS='--context NAME')"
	@echo "              MODEL=smollm2: with SmolLM2-135M-Instruct, fetched once (98 MB, Apache-2.0)"
	@echo "make test     release build with the trainer, unit and end-to-end tests"
	@echo "make build    the command only: build/bin/gyrator"
	@echo "make bench    measure this machine and a Llama-3.2-1B-shaped model"
	@echo "make lanes    address, undefined-behaviour and thread sanitizers, clang, short fuzzing"
	@echo "make fuzz     every fuzz target for FUZZ_SECONDS (300)"
	@echo "make golden   remake the golden files"
	@echo "make model    remake the shipped model (an hour and more)"
	@echo "make format   clang-format over all sources"

BUILD = build
chat: build
	@$(if $(MODEL),model=$$(tools/fetch.sh $(MODEL)) &&) \
	  $(BUILD)/bin/gyrator chat $(if $(MODEL),-m "$$model") $(ARGS)

build:
	@tools/setup.sh core
	@tools/build.sh command

test:
	@tools/setup.sh core test train
	@tools/fetch.sh smollm2 >/dev/null || true  # tests/run.sh says at the end what it means
	@tools/build.sh tests
	@tools/build.sh clients
	@tests/run.sh build

bench:
	@tools/setup.sh core test
	@tools/build.sh bench
	@tools/bench.sh

lanes:
	@tools/setup.sh core test lanes
	@tools/lanes.sh

fuzz:
	@tools/setup.sh core test lanes
	@tools/fuzz.sh

golden:
	@tools/setup.sh core golden
	@tools/golden.sh

model:
	@tools/setup.sh core test train
	@tools/build.sh trainer
	@tools/model.sh

format:
	@tools/setup.sh format
	@tools/format.sh
