# Everything is reached from here; `make` alone lists the targets.

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 30s
# Google's library has gRPC in it, which is not used and would add 13 MB.
TAGS     := disable_grpc_modules
IMAGE    ?= sluice:$(VERSION)
BUILDER  ?= docker build

# Programs that the end-to-end tests start. command:package for Debian, and pinned ones: of Go in .tools/bin, of npm in
# .tools/node_modules.
DEBIAN := gcc:gcc curl:curl lftp:lftp python3:python3 wget:wget buildah:buildah crun:crun systemd-analyze:systemd \
	unshare:util-linux update-ca-certificates:ca-certificates node:nodejs npm:npm \
	javac:default-jdk-headless /usr/share/java/commons-net.jar:libcommons-net-java php:php-cli ruby:ruby perl:perl \
	/usr/share/perl5/IO/Socket/SSL.pm:libio-socket-ssl-perl duplicity:duplicity rclone:rclone \
	nmap:nmap sslscan:sslscan testssl:testssl.sh openssl:openssl
GOTOOLS := \
	github.com/fsouza/fake-gcs-server@v1.56.1 \
	github.com/versity/versitygw/cmd/versitygw@v1.8.0 \
	helm.sh/helm/v4/cmd/helm@v4.3.1
NPMTOOLS := azurite@3.37.0 basic-ftp@6.2.6
# Servers that ours is compared with, and libraries of theirs. They exclude each other as installed packages, so they are only unpacked.
FTPSERVERS := proftpd-core proftpd-mod-crypto vsftpd pure-ftpd pure-ftpd-common \
	libhashkit2 libhiredis0.14 libmemcached11 libmemcachedutil2 libpcre2-posix3 libsasl2-2 libsodium23 libwrap0
RCLONE := github.com/rclone/rclone@v1.76.0
LINTER := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

stamp = $(patsubst %,.tools/%,$(notdir $(1)))
found = $(sort $(dir $(shell grep -rlE --include='*_test.go' '$(1)' --exclude-dir='.?*' .)))

help: ## list the targets
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

build: ## build the static program bin/sluice
	CGO_ENABLED=0 go build -tags $(TAGS) -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/sluice ./cmd/sluice

test: vet unit e2e ## every test; installs what is missing (what continuous integration runs)

vet:
	go vet -tags e2e ./...

# Under -race rawio makes other system calls; the second line tests the real ones.
unit: ## the tests that need nothing but Go
	go test -race ./...
	go test ./backend/link/rawio

# They wait more than they compute, so that more of them run at once than there are cores.
e2e: tools ## the tests that start real servers and clients
	go test -tags e2e -run '^TestE2E' -count=1 -parallel 3 -timeout 30m $(call found,^//go:build .*e2e)

lint: $(call stamp,$(LINTER)) ## golangci-lint with .golangci.yml
	.tools/bin/golangci-lint run ./...

fuzz: ## every fuzz target for FUZZTIME (30s)
	@set -e; for dir in $(call found,^func Fuzz); do \
		for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir*_test.go); do \
			echo "$$dir $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$dir; \
		done; \
	done

bench: build .tools/ftpservers $(call stamp,$(RCLONE)) ## measure beside other servers and write deploy/bench; as root on Debian, an hour or more; BENCH has flags
	go run ./cmd/sluice/internal/bench -out deploy/bench $(BENCH)

microbench: ## every Go benchmark
	go test -run '^$$' -bench . -benchmem $(call found,^func Benchmark)

rootfs: build
	rm -rf dist/rootfs
	mkdir -p dist/rootfs/usr/bin dist/rootfs/etc/sluice dist/rootfs/etc/ssl/certs dist/rootfs/var/lib/sluice
	cp bin/sluice dist/rootfs/usr/bin/
	cp /etc/ssl/certs/ca-certificates.crt dist/rootfs/etc/ssl/certs/
	echo 'sluice:x:65532:65532::/var/lib/sluice:/sbin/nologin' >dist/rootfs/etc/passwd

image: rootfs ## the container image; BUILDER='buildah bud' works too
	$(BUILDER) -f deploy/Dockerfile --build-arg FILES=prebuilt -t $(IMAGE) .

clean: ## remove what was built; the tools stay
	rm -rf bin dist

tools: debian $(call stamp,$(GOTOOLS) $(NPMTOOLS)) .tools/ftpservers ## install the programs that the tests start

debian:
	@missing=; for t in $(DEBIAN); do command -v $${t%:*} >/dev/null || [ -e $${t%:*} ] || missing="$$missing $${t#*:}"; done; \
	[ -z "$$missing" ] && exit; \
	[ $$(id -u) = 0 ] || { echo "missing programs; run: sudo apt-get install -y --no-install-recommends$$missing" >&2; exit 1; }; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing

# .tools/NAME@VERSION stands for that version of NAME.
$(call stamp,$(NPMTOOLS)):
	npm install --prefix .tools --no-audit --no-fund --loglevel error $(@F)
	@rm -f .tools/$(firstword $(subst @, ,$(@F)))@* && touch $@

.tools/ftpservers: | debian
	rm -rf $@.new && mkdir -p $@.new
	cd $@.new && download='apt-get download -qq -o APT::Sandbox::User=root $(FTPSERVERS)' && \
	{ $$download || { apt-get update -qq && $$download; }; } && for p in *.deb; do dpkg -x $$p . && rm $$p; done
	mv $@.new $@

.tools/%:
	GOBIN=$(CURDIR)/.tools/bin go install $(filter %/$*,$(GOTOOLS) $(LINTER) $(RCLONE))
	@rm -f .tools/$(firstword $(subst @, ,$*))@* && touch $@

.PHONY: help build test vet unit e2e lint fuzz bench microbench image rootfs clean tools debian
