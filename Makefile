# Every target calls one script; each script can be run alone as well.
.DEFAULT_GOAL := help
.PHONY: help build test run fmt lint imports clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the functions for Lambda (linux/arm64; ARCH=amd64 for x86) into bin/
	@scripts/build.sh release

test: ## Lint, then run every test: units, stores, protocol, real clients
	@scripts/test.sh

run: ## Run the whole pipeline on this machine (ARGS='-data DIR -v' ...)
	@scripts/run.sh $(ARGS)

fmt: ## Format the Go code
	@gofmt -w functions infra scripts shared

lint: ## Check formatting, vet, staticcheck and imports
	@scripts/lint.sh

imports: ## Check who imports whom
	@scripts/imports.sh

clean: ## Delete what was built and fetched
	@rm -rf bin .cache scripts/clients/node_modules
