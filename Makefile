# make demo          a CA and three verified host certificates in ./demo; needs python3, make and openssl
# make test          every check and test, in about five minutes on two cores; installs the Debian packages that it
#                    needs, or says which
# make test-hosts    hosts that are interrupted, thirty hosts at once, and the role on real Ansible: slow
# make test-crash    kill -9, a power cut, a full disk and a failing call at every step: slow
# make test-pyz      the guide, typed with dbca-openssl.pyz
# make test-clients  drivers of databases in six languages; installs their Debian packages, and two of npm
# make test-mysql    the database tests on MySQL instead of MariaDB
# make test-galera   a Galera cluster of two nodes; needs galera-4, rsync and stunnel4
# make matrix        the tests on five versions of OpenSSL, three of MariaDB and one of MySQL, from Debian's releases,
#                    unpacked into .matrix_cache; ONLY=openssl-3.5 or ONLY="mariadb mysql" chooses among them
# make bench         times and memory, compared with the raw openssl, easy-rsa and certtool in the same run; WRITE=1 puts
#                    them into docs/costs.md
# make manual        writes the manual page and the data for completion anew, after a change of a verb or an option
# make pyz           dist/dbca-openssl.pyz: the tool in one file, which any Python 3.11 or newer runs
# make deb           dist/dbca-openssl.deb: the same as a Debian package; needs dpkg-deb
# make pictures      takes the README's pictures anew, from a real session; needs tmux, unshare and chromium
# make clean         removes .venv, ./demo and what builds and checks leave; not the caches of matrix, bench, galera and clients

.POSIX:
PYTHON = python3
BIN = .venv/bin
PYTEST = sh tests/tools/as_root $(BIN)/pytest -q

.PHONY: demo test test-hosts test-crash test-pyz test-clients test-mysql test-galera matrix bench manual pyz deb \
	pictures lint ready clean

demo: .venv/installed
	@rm -rf demo && sh tests/tools/demo.sh $(BIN)/dbca-openssl demo

test: ready
	@$(MAKE) manual lint
	$(PYTEST)

test-hosts: ready
	@$(BIN)/pip --disable-pip-version-check install --quiet --editable '.[test,hosts]'
	$(PYTEST) -m slow tests/host tests/database/test_all_hosts.py tests/database/test_story.py \
		tests/database/test_settings.py tests/database/test_throwaway.py

test-crash: ready
	$(PYTEST) -m "slow or not slow" tests/promises/crash tests/promises/test_kill_sample.py \
		tests/promises/test_full_disk_sample.py tests/promises/test_concurrency.py \
		tests/host/test_rotate_interrupted.py

test-pyz: ready manual
	$(PYTEST) -m "slow or not slow" tests/test_one_file.py

test-clients: ready
	@sh tests/tools/prerequisites clients $(PYTHON)
	@$(BIN)/pip --disable-pip-version-check install --quiet --editable '.[test,clients]'
	@[ -d .clients_cache/node_modules ] || npm install --silent --no-audit --prefix .clients_cache mariadb@3 mysql2@3
	$(PYTEST) -m slow tests/database/test_drivers.py

test-mysql: ready
	$(BIN)/python tests/matrix/run.py mysql

test-galera: ready
	sh tests/database/unpack-galera .galera_cache
	DBCA_TEST_GALERA=.galera_cache $(PYTEST) -m slow tests/database/test_galera.py

matrix: ready
	$(BIN)/python tests/matrix/run.py $(ONLY)

bench: .venv/test
	$(BIN)/python tests/benchmarks $(WRITE:1=--write)

manual: .venv/installed
	PYTHONPATH=docs $(BIN)/python -m manual.page

pyz deb: manual
	@mkdir -p dist
	PYTHONPATH=docs $(BIN)/python -m packages.$@ dist/dbca-openssl.$@

pictures: .venv/test
	mkdir -p .pictures
	unshare --map-root-user --mount --uts $(BIN)/python tests/tools/pictures.py .pictures

lint: .venv/test
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	$(BIN)/mypy

# All programs and packages that the tests need; stops where some are missing and may not be installed from here.
ready:
	@sh tests/tools/prerequisites test $(PYTHON)
	@$(MAKE) .venv/test

.venv/bin/python:
	@sh tests/tools/prerequisites demo $(PYTHON)
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/installed: .venv/bin/python pyproject.toml
	@$(BIN)/pip --disable-pip-version-check install --quiet --editable .
	@touch $@

.venv/test: .venv/bin/python pyproject.toml
	@$(BIN)/pip --disable-pip-version-check install --quiet --editable '.[test]'
	@touch $@ .venv/installed

clean:
	rm -rf .venv demo dist build dbca_openssl/cli/grammar.json dbca_openssl/share/man .mypy_cache .pytest_cache .ruff_cache
