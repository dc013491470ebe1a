# `make` alone says what there is to do. Every target works on a fresh clone: what it needs is installed into .venv first.
.DEFAULT_GOAL := help
.PHONY: help run demo example test prove matrix soak bench bench-scale check lock clean

BROKERS = redis-server rabbitmq-server
BROWSER = chromium

# An environment made for another folder (a copied or moved clone) would run that folder's code.
$(shell grep -qsF '$(CURDIR)/.venv' .venv/bin/activate || rm -f .venv/.made .venv/.run .venv/.dev)

help: ## say what there is to do
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \t\2/p' Makefile | expand -t 20

run: .venv/.run ## start the service on 127.0.0.1:8000, its data in ./data; Ctrl-C stops it
	@[ -n "$$MISSEDBEAT_DATA" ] || grep -qs '^MISSEDBEAT_DATA=' .env || export MISSEDBEAT_DATA=./data; \
	exec .venv/bin/missedbeat-server serve

demo: .venv/.run ## watch a job fall silent, the alert arrive, and the job return
	@exec .venv/bin/missedbeat-server demo

example: .venv/.dev ## watch a Celery application by the service that `make run` started; examples/celery
	@sh scripts/debian.sh redis-server
	@exec .venv/bin/python examples/celery/run.py

test: .venv/.dev ## run the tests, a few minutes at most; ARGS="-k name" chooses
	@sh scripts/debian.sh $(BROKERS) $(BROWSER)
	@.venv/bin/python -m pytest -n 3 --dist worksteal -m "not prove" --durations=10 $(ARGS)

prove: .venv/.dev ## run the longer loops: kill -9, every time zone, other people's clients; ARGS as above
	@sh scripts/debian.sh $(BROKERS) $(BROWSER) borg:borgbackup curl wget wrk
	@.venv/bin/python scripts/clients.py
	@.venv/bin/python -m pytest -n 2 --dist worksteal -m prove --timeout=300 $(ARGS)

matrix: .venv/.dev ## play every Celery from 5.3 on, broker and pool against one table, 20 min; ARGS="5.3 redis threads" some of it
	@sh scripts/debian.sh $(BROKERS)
	@.venv/bin/python scripts/celeries.py
	@.venv/bin/python -m tests.sdk.matrix $(ARGS)

soak: .venv/.dev ## break everything at random for MINUTES=60, and look that nothing is lost and nothing grows
	@.venv/bin/python -m tests.faults.soak $(or $(MINUTES),60)

bench: .venv/.dev ## measure every goal of speed beside its rivals, ten minutes at most; ARGS="pings lists" some of them
	@sh scripts/debian.sh redis-server wrk
	@.venv/bin/python -m bench $(ARGS)

bench-scale: .venv/.dev ## pings, sweeps and lists on large tables beside small ones; MONITORS=1000000 CHECK_INS=50000000
	@sh scripts/debian.sh wrk
	@.venv/bin/python -m bench.scale

check: .venv/.dev ## lint, format, types, floors, the rules of the house, known vulnerabilities
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python -m pytest tests/test_house.py
	.venv/bin/python scripts/audit.py

lock: .venv/.dev ## renew constraints.txt and both hashed locks of the image
	@sh scripts/lock.sh

clean: ## remove what can be made again; ./data stays
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find app migrations scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@sh scripts/venv.sh && touch $@

.venv/.run: pyproject.toml constraints.txt | .venv/.made
	@.venv/bin/python scripts/install.py embedded && touch $@

.venv/.dev: pyproject.toml sdk/pyproject.toml constraints.txt | .venv/.made
	@.venv/bin/python scripts/install.py dev ./sdk && touch .venv/.run $@
