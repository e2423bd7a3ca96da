# The commands of the project; `make help` lists them. Only POSIX sh, make, and Python >= 3.11 with pip and venv are assumed.

.POSIX:
.SUFFIXES:
.PHONY: help lab test check tour train figure exercises docs clean

VENV = .venv
BIN = $(VENV)/bin
ARGS =
# Test processes that run side by side; each holds torch, so about 1.5 GB.
WORKERS = 2

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

lab: $(VENV)/.installed-lab ## open JupyterLab on the start notebook (ARGS="--no-browser --port=8901" passes arguments on)
	@if [ "$$(id -u)" = 0 ]; then root=--allow-root; else root=; fi; \
	exec $(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 $$root $(ARGS) notebooks/00_start.ipynb

test: check ## run every test: unit, oracle, conformance, crash, notebooks, browser (ARGS goes to pytest)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest \
		-n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 15 \
		--nbval-lax --nbval-current-env --nbval-cell-timeout=120 \
		$(ARGS) tests/browser tests/crash notebooks/*.ipynb tests/notebooks tests/oracle tests/conformance tests/unit

check: $(VENV)/.installed-test ## style, types, direction of imports, freshness of what is generated
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_imports.py
	$(BIN)/python tools/generate.py --check

tour: $(VENV)/.installed-lab ## execute every notebook top to bottom; HTML with figures is left in tour/
	$(BIN)/python tools/make_tour.py $(ARGS)

train: $(VENV)/.installed-lab ## train the networks that ship, again
	$(BIN)/python -m workbench.train $(ARGS)

figure: $(VENV)/.installed-test ## photograph the real lab for the README (needs Chromium)
	WORKBENCH_FIGURE=docs/images/lab.png REQUIRE_BROWSER=1 $(BIN)/python -m pytest -q tests/browser/test_lab.py -k start_notebook $(ARGS)

exercises: $(VENV)/.installed-test ## write notebooks and exercises from notebooks/source
	$(BIN)/python tools/make_notebooks.py

docs: $(VENV)/.installed-test ## write everything that is generated, and build the API reference into docs/_build
	$(BIN)/python tools/generate.py
	$(BIN)/python tools/make_api_reference.py

clean: ## remove what tests and tours leave; the environment and the data stay
	rm -rf tour docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A stamp is written only after pip has finished, so an interrupted installation is taken up again.
$(VENV)/.installed-lab: pyproject.toml constraints.txt
	@TORCH_INDEX_URL="$(TORCH_INDEX_URL)" sh tools/install.sh $(VENV) .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt
	@TORCH_INDEX_URL="$(TORCH_INDEX_URL)" sh tools/install.sh $(VENV) '.[test]'
	@touch $(VENV)/.installed-lab $@
