# Each target sets up what it needs and is quick when nothing changed: stamps in build/stamps are newer than
# what they were made from. Options of the demo: make demo ARGS="--seconds 60 --report demo.json"

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMPS := build/stamps
WHOLE_SETS := tests/processes/test_demo.py tests/chaos
ARGS   ?=
SOURCES := $(shell find shm exchanges strategy \( -name '*.pyx' -o -name '*.pxd' -o -name '*.h' \) ! -name 'records.*')

.PHONY: help demo test check systemd-test drill soak conformance chaos stress fuzz explore sanitize bench bench-check clean setup
.DEFAULT_GOAL := help

help:
	@echo "make demo   trade against the embedded venue and compare the books   (ARGS=\"--seconds 60 --report demo.json\")"
	@echo "make test   build and run all tests                                  (ARGS=\"tests/shm -k ring\")"
	@echo "make check  format, lint, types, tests"
	@echo "make systemd-test  the paper set under a real systemd in a throwaway container (root; says what is missing)"
	@echo "make drill  the kill switch on a hundred open orders, with engines alive and dead, and how long it took"
	@echo "make soak   the full set on two cores, and whether anything of it grows      (ARGS=\"--minutes 30\")"
	@echo "make conformance  clients that others wrote trade on our simulator"
	@echo "make chaos  kill, stop and restart every process at every moment, break the wire   (ARGS=\"--exchange deribit\")"
	@echo "make stress 10^8 records through the rings under kill -9, 10^7 for flat memory   (ARGS=\"--records 1e7\")"
	@echo "make fuzz   10^7 mutated frames through the compiled scanners            (ARGS=\"--inputs 1e8 --seed 7\")"
	@echo "make explore  the property tests on examples that no run has tried      (ARGS=\"tests/strategy\")"
	@echo "make sanitize  the compiled parts and their tests under address and undefined-behaviour sanitizers"
	@echo "make bench  latency and throughput against peers, into bench/results/<host>.json and .html (ARGS=\"--only NAME\", --quick)"
	@echo "make bench-check  is any ratio worse than before, beyond noise?          (BEFORE=old.json AFTER=new.json)"
	@echo "make clean  remove everything that was built"

demo: setup
	@$(BIN)/python -m processes.cli demo $(ARGS)

# The tests that start whole sets wait most of their time, so they run beside the others; their output comes last.
test: setup
ifeq ($(ARGS),)
	@$(BIN)/python -m pytest $(WHOLE_SETS) > build/whole-sets.log 2>&1 & sets=$$!; trap "kill $$sets" INT TERM; \
	$(BIN)/python -m pytest $(WHOLE_SETS:%=--ignore=%); others=$$?; \
	wait $$sets; sets=$$?; cat build/whole-sets.log; [ $$others -eq 0 ] && [ $$sets -eq 0 ]
else
	@$(BIN)/python -m pytest $(ARGS)
endif

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory test ARGS="$(ARGS)"

# grvt-pysdk pins a websockets that must not stand beside the newer one of others, so it has an environment of its own.
$(STAMPS)/grvt-peers: $(STAMPS)/installed
	@$(PYTHON) -m venv build/grvt-peers && build/grvt-peers/bin/python -m pip install -qq --disable-pip-version-check \
		grvt-pysdk==0.2.1 eth-account "ccxt>=4.5.90" || echo "grvt-pysdk and its like did not install"
	@touch $@

# The version that the simulator was tried with; nothing it does leaves loopback.
$(STAMPS)/conformance: $(STAMPS)/installed $(STAMPS)/grvt-peers
	@echo "installing the independent clients"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check "ccxt>=4.5.90"
	@touch $@

conformance: setup $(STAMPS)/conformance
	@$(BIN)/python -m pytest tests/conformance $(ARGS)

# Long (about six minutes) and as root: boots systemd over this machine's root file system, and leaves nothing behind.
systemd-test: setup
	@CORELANE_SYSTEMD=1 $(BIN)/python -m pytest -v tests/systemd $(ARGS)

# Long (some minutes): a hundred open orders over all venues, and the kill switch; again with every engine killed first.
drill: setup
	@CORELANE_DRILL=1 $(BIN)/python -m pytest -v -s tests/drill $(ARGS)

# Half an hour: memory, open files, threads and heartbeats of every process of the full set, and a verdict.
soak: setup
	@$(BIN)/python -m tests.soak.run $(ARGS)

# Every death and wire fault at every moment of an order; goes on where it ended (build/chaos.jsonl holds what is done).
chaos: setup
	@$(BIN)/python -m tests.chaos.run $(ARGS)
	@$(BIN)/python -m tests.chaos.run --prove $(ARGS)

# Long: the 10^8 records took five minutes on two cores. Not part of `make test`, which runs a short form of both.
stress: setup
	@$(BIN)/python -m tests.shm.stress $(or $(ARGS),--records 1e8)
	@CORELANE_MEMORY_RECORDS=10000000 $(BIN)/python -m pytest -k million tests/shm
	@CORELANE_FILLS=1000000 $(BIN)/python -m pytest -k random_fills tests/strategy

# The compiled frame scanners against the declared decoders; prints its seed and where to go on.
fuzz: setup
	@$(BIN)/python -m tests.exchanges.frame_fuzz $(or $(ARGS),--inputs 1e7)

# `make test` draws the same examples each time. What is found here is printed with the line that repeats it.
explore: setup
	@CORELANE_EXAMPLES=explore $(BIN)/python -m pytest $(or $(ARGS),--ignore=tests/processes --ignore=tests/chaos)

sanitize: setup
	@$(BIN)/python -m tests.shm.sanitized $(ARGS)

# Peers and plots; a bench says which peer it leaves out where one does not install.
$(STAMPS)/peers: $(STAMPS)/installed $(STAMPS)/grvt-peers
	@echo "installing the peers that are measured beside us"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check iceoryx2 matplotlib || echo "some peers did not install"
	@$(PYTHON) -m venv build/decode-peers && for peer in "ccxt>=4.5.90 orjson" "cryptofeed>=2.4" "nautilus_trader==1.221.0"; do \
		build/decode-peers/bin/python -m pip install -qq --disable-pip-version-check --prefer-binary $$peer \
			|| echo "$$peer did not install: bench/decode_binance.py leaves it out"; done
	@touch $@

# All of them into bench/results/<host>.json and .html; one alone: .venv/bin/python bench/NAME.py
bench: setup $(STAMPS)/peers
	@$(BIN)/python bench/_all.py $(ARGS)

# Red where a ratio became worse beyond noise.
bench-check: setup
	@$(BIN)/python bench/_check.py $(BEFORE) $(AFTER)

setup: $(STAMPS)/installed

# What this machine must have; each missing thing is one line that installs it.
$(STAMPS)/tools: .ci/require-tools
	@mkdir -p $(STAMPS)
	@PYTHON="$(PYTHON)" sh .ci/require-tools
	@touch $@

$(STAMPS)/dependencies: requirements.lock $(STAMPS)/tools
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "installing locked dependencies into $(VENV)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# Incremental: an extension is compiled again when its .so is older than what it is made from.
$(STAMPS)/compiled: $(STAMPS)/dependencies pyproject.toml setup.py shm/layout.py shm/codegen.py $(SOURCES)
	@echo "compiling"
	@$(BIN)/python setup.py -q build_ext --inplace --parallel 2
	@touch $@

# Editable, so that the `corelane` command exists; everything is compiled already.
$(STAMPS)/installed: $(STAMPS)/compiled pyproject.toml
	@if [ ! -e $@ ] || [ pyproject.toml -nt $@ ]; then \
		CORELANE_COMPILED=1 $(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .; \
	fi
	@touch $@

clean:
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find shm exchanges strategy processes tests bench -name '*.so' -delete -o -name '__pycache__' -type d -prune -exec rm -rf {} + 2>/dev/null || true
	@find shm exchanges strategy -name '*.c' -delete
	@rm -f shm/records.pxd shm/records.pyi shm/records.h
