# Each target sets itself up in .venv; what follows are the plain lines, for those who have their own environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: study test lint floor clean

study: $(VENV)/installed
	$(BIN)/unrecur study chorales

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist worksteal

floor: $(VENV)/installed-dev
	$(BIN)/pip install -q -c constraints.txt '.[bench]'
	$(BIN)/python benchmarks/floor.py

clean:
	rm -rf $(VENV)

$(BIN)/pip:
	$(PYTHON) tools/make_venv.py $(VENV)

# Either set-up replaces the other in the same environment, so each forgets that the other was there.
$(VENV)/installed: $(BIN)/pip constraints.txt pyproject.toml $(shell find src -type f -not -name '*.pyc')
	rm -f $(VENV)/installed*
	$(BIN)/pip install -c constraints.txt .
	touch $@

$(VENV)/installed-dev: $(BIN)/pip constraints.txt pyproject.toml
	rm -f $(VENV)/installed*
	$(BIN)/pip install -c constraints.txt -e '.[dev]'
	# It asks for TensorFlow, and runs on keras with torch as well.
	$(BIN)/pip install --no-deps keras-tcn==3.5.7
	touch $@
