.DEFAULT_GOAL := help
.PHONY: help setup demo test check format generate bench

READY := .venv/.complete

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1: \2/p' Makefile | awk -F': ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv from uv.lock (needs Python >= 3.11 only)

$(READY): pyproject.toml uv.lock tools/setup.sh
	@tools/setup.sh
