# make demo   a certificate authority and three verified host certificates in ./demo
# make test   every check and test, in less than five minutes on two cores
# make manual   the manual page and the words for completion again, once a verb or an option has changed
# make test-hosts   thirty hosts at once, and the playbook on real Ansible: slow
# make bench  what it costs, against the raw openssl and easy-rsa; on an idle machine
# make test-crash   kill -9, a power cut, a full disk and a fault at every step: slow
# make test-galera   a Galera cluster of two nodes; needs galera-4, rsync and stunnel4
# make pictures   the README's pictures, from a real session; needs tmux, unshare and chromium
# make test-mysql   the database tests on MySQL instead of MariaDB
# make matrix   the tests on five versions of OpenSSL, three of MariaDB and one of MySQL, from Debian's releases, unpacked
#               into .matrix_cache; with ONLY=openssl-3.5 or ONLY="mariadb mysql" on these

.POSIX:
PYTHON = python3
BIN = .venv/bin

.PHONY: demo test manual test-hosts test-crash test-galera test-mysql matrix bench pictures lint clean

demo: .venv/installed
	@rm -rf demo && sh tests/tools/demo.sh $(BIN)/dbca-openssl demo

test: .venv/test lint
	$(BIN)/pytest -q

manual: .venv/installed
	$(BIN)/python -m dbca_openssl.cli.manual

test-hosts: .venv/test
	$(BIN)/pytest -q -m slow tests/host

test-crash: .venv/test
	$(BIN)/pytest -q -m "slow or not slow" tests/promises/crash tests/promises/test_kill_sample.py tests/promises/test_full_disk_sample.py tests/promises/test_concurrency.py

test-galera: .venv/test
	sh tests/database/unpack-galera .galera_cache
	DBCA_TEST_GALERA=.galera_cache $(BIN)/pytest -q -m slow tests/database

test-mysql: .venv/test
	$(BIN)/python tests/matrix/run.py mysql

matrix: .venv/test
	$(BIN)/python tests/matrix/run.py $(ONLY)

pictures: .venv/test
	mkdir -p .pictures
	unshare --map-root-user --mount --uts $(BIN)/python tests/tools/pictures.py .pictures

bench: .venv/test
	$(BIN)/python tests/benchmarks

lint: .venv/test
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(BIN)/mypy

.venv/bin/python:
	@command -v openssl >/dev/null || { echo 'openssl is missing: apt install openssl' >&2; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo 'python3 is missing: apt install python3 python3-venv' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; make PYTHON=/path/to/python3 names another one' >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ rm -rf .venv; echo 'the venv of python3 is missing: apt install python3-venv' >&2; exit 1; }

.venv/installed: .venv/bin/python pyproject.toml
	@$(BIN)/pip --disable-pip-version-check install --quiet --editable .
	@touch $@

.venv/test: .venv/bin/python pyproject.toml
	@$(BIN)/pip --disable-pip-version-check install --quiet --editable '.[test]'
	@touch $@ .venv/installed

clean:
	rm -rf .venv demo dist build .mypy_cache .pytest_cache .ruff_cache
