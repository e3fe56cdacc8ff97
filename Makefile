# Everything happens in a virtual environment of the project; python3, pip and make are all that is needed.
PYTHON ?= python3
VENV ?= .venv
PICTURE ?= demo.png
IN_VENV = $(VENV)/bin/python

.PHONY: demo test coverage lowest newest sanitize lint docs wheel viewer clean

# make demo [FILE=scan.nxs [DATASET=/entry/data]]: open a file (one is made where none is given), reduce it with dask,
# save a picture.
demo: $(VENV)/.plot
	$(IN_VENV) examples/demo.py $(if $(FILE),"$(FILE)") $(if $(DATASET),--dataset "$(DATASET)") --picture $(PICTURE)

# MODULES: the ones of tests/ that are run, test_times.py by its name times; all where there are none.
TESTS = $(IN_VENV) -m pytest -n auto -q
test: $(VENV)/.test
	$(TESTS) $(MODULES:%=tests/test_%.py)

# The same, and which lines and branches of the package they run; too few of them are an error. It takes half as much
# CPU time again, and more.
coverage: $(VENV)/.test
	$(TESTS) --cov --cov-report=term

# The core of the tests with the lowest versions that pyproject.toml allows, in an environment of their own.
CORE = data_rules opening lazy links metadata target
lowest: $(VENV)-lowest/.core
	$(VENV)-lowest/bin/python -m pytest -n auto -q $(CORE:%=tests/test_%.py)

$(VENV)-lowest/.core: pyproject.toml .ci/lowest.py
	$(PYTHON) -m venv $(VENV)-lowest
	$(PYTHON) .ci/lowest.py > $(VENV)-lowest/versions.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check -r $(VENV)-lowest/versions.txt \
		hypothesis 'pytest>=9' pytest-xdist
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# The tests of what differs with the versions of Python and NumPy, with the newest Python that is found here, in an
# environment of its own.
NEWEST = accepted conversion edges exchange format_types metadata reductions resources threads times uncertainties
newest:
	@python="$$($(PYTHON) .ci/newest.py)"; \
	if test -z "$$python"; then echo "make newest: there is no Python 3.13 or 3.12, with which it could be tried"; \
	else $(MAKE) test VENV=$(VENV)-newest PYTHON="$$python" MODULES="$(NEWEST)"; fi

# The compiled modules, built with sanitizers and driven by their fuzz tests.
sanitize: $(VENV)/.test
	$(IN_VENV) .ci/sanitize.py

lint: $(VENV)/.test $(VENV)/.lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Every warning is an error, a name that leads nowhere too; the pages are in docs/_build/html.
docs: $(VENV)/.docs
	MPLBACKEND=Agg $(IN_VENV) -m sphinx -W --keep-going -n -q -b html docs docs/_build/html

# Source distribution and wheel in dist/, which is then tried in an environment of its own, away from here.
wheel: $(VENV)/.wheel
	$(IN_VENV) .ci/wheel.py dist

# The pages of the viewer, built from the versions that the lock file names; they come with the package as they are here.
viewer:
	cd viewer && npm ci && npm run build

# Install the extra of that name.
$(VENV)/.%: pyproject.toml
	test -x $(IN_VENV) || $(PYTHON) -m venv $(VENV)
	$(IN_VENV) -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@

# Which builds the compiled modules anew.
$(VENV)/.test: $(shell find nexus_xr -name '*.c')

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-newest demo.nxs demo.png build dist docs/_build docs/_gallery docs/gallery/*.nxs docs/gallery/*.nc docs/gallery/*.zarr docs/gallery/*.h5
