# `make demo` and `make test` set up everything in .venv by themselves; a second call finds it done.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
DEMO_READY := $(VENV)/.ready-demo
TEST_READY := $(VENV)/.ready-test
TEST_EXTRAS := test,train,smpl
WORKERS := 2

.PHONY: demo test clean

demo: $(DEMO_READY)
	$(PY) main.py --demo

test: $(TEST_READY)
	$(PY) -m pytest --numprocesses $(WORKERS) --dist worksteal

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "LVD Live needs Python 3.11 or newer; name one with: make PYTHON=python3.12 demo" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Python could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(DEMO_READY): pyproject.toml | $(PY)
	$(PY) -m pip install torch==2.13.0
	$(PY) -m pip install -e .
	@touch $@

$(TEST_READY): pyproject.toml | $(PY)
	$(PY) -m pip install torch==2.13.0
	$(PY) -m pip install -e ".[$(TEST_EXTRAS)]"
	@touch $@ $(DEMO_READY)

clean:
	rm -rf $(VENV) build *.egg-info
