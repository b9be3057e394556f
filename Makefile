# Every target calls one script; each script can be run alone as well. With PRODUCT=FOLDER,
# build, run, doctor, deploy, diff, destroy and tools are of the product in that folder.
SECONDS ?= 60
.DEFAULT_GOAL := help
.PHONY: help new bench build test test-web test-infra test-deploy site doctor deploy diff destroy chaos fuzz scan run tools fmt lint imports clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the pages, and the functions for Lambda (linux/arm64; ARCH=amd64 for x86) into bin/
	@scripts/build.sh release

test: ## Lint, then run every test: units, stores, protocol, real clients
	@scripts/test.sh

test-web: ## Test the pages and the site in Chromium, against the local cloud
	@scripts/testweb.sh

site: ## Build the documents as a site with search, into .cache/site
	@scripts/site.sh

test-infra: ## Check the infrastructure's template: assertions, cfn-lint
	@scripts/testinfra.sh

test-deploy: ## Deploy to an emulator of AWS, use, change and destroy
	@scripts/testdeploy.sh

doctor: ## Say what is in the way of a deployment (ARGS='-c env=prod' ...)
	@scripts/doctor.sh $(ARGS)

deploy: ## Deploy to AWS (ARGS='-c env=prod' ...)
	@scripts/deploy.sh deploy $(ARGS)

diff: ## Show what a deployment would change
	@scripts/deploy.sh diff $(ARGS)

destroy: ## Remove the deployment from AWS
	@scripts/deploy.sh destroy $(ARGS)

bench: ## Measure, in five minutes at most (ARGS='sender -count 5' for one command)
	@scripts/bench.sh $(ARGS)

chaos: ## Break everything at random for a quarter of an hour, and check that nothing is lost
	@scripts/chaos.sh

scan: ## Look for secrets in the history and for known vulnerabilities
	@scripts/scan.sh

fuzz: ## Run every fuzz target for a while (SECONDS=60)
	@scripts/fuzz.sh $(SECONDS)

run: ## Run the whole pipeline on this machine (APP=NAME; ARGS='--data DIR -v' ...)
	@scripts/run.sh $(if $(APP),--app $(APP)) $(ARGS)

new: ## Make a product (NAME=games; DIR=../games for a repository of its own)
	@scripts/new.sh $(NAME) $(DIR)

tools: ## Install subwire, the operator's tool, where go install puts programs
	@scripts/build.sh tools

fmt: ## Format the Go code
	@gofmt -w functions infra scripts shared

lint: ## Check formatting, vet, staticcheck and imports
	@scripts/lint.sh

imports: ## Check who imports whom
	@scripts/imports.sh

clean: ## Delete what was built and fetched
	@rm -rf bin .cache scripts/clients/node_modules scripts/clients/types/node_modules shared/js/node_modules scripts/web/node_modules scripts/bench/peers/node_modules scripts/site/node_modules scripts/site/pages
	@cd functions/graphql/web && rm -rf node_modules .test dist/assets dist/*.gz
