# make help: the targets a person types.
.PHONY: help
help:
	@printf '%s\n' \
	'make                     build sluiced and sluicectl (release: -O2 -flto, hardened)' \
	'make SAN=address,undefined   the same with sanitizers (also SAN=thread)' \
	'make run                 demo: namespaces, CA, targets, sluiced with XDP; prints what to try' \
	'make run CONFIG=my.yaml  run on this host with your own configuration' \
	'make test                everything CI runs (unit, BPF, VM, network; sanitizers)' \
	'make test ONLY=unit|bpf|vm|net  one layer;  make test K=expr  tests whose name matches' \
	'make test-vm [KERNEL=stable|backports] [ONLY=bpf|vm|net] [K=expr]   all of tests/bpf, tests/net and' \
	'                         tests/vm in a virtual machine with a kernel of Debian; takes long' \
	'make vm CMD="uname -a" [KERNEL=backports]   any command in that virtual machine' \
	'make soak                the same bodies with full counts and durations' \
	'make bench [ROWS="a b"]  side by side with nginx and haproxy; writes build/bench/latest.json' \
	'make bench-vm [KERNEL=]  the same with TLS in the kernel, in instructions; latest-vm.json' \
	'make fuzz [SECONDS=60]   fuzz every parser that sees the network' \
	'make lint                layers, formatting, static checks, sizes' \
	'make install [DESTDIR=/tmp/root] [prefix=/usr/local]   programs, manual, systemd unit, completion' \
	'make deb                 a Debian package, in build/deb;  make image   an OCI image, in build/image' \
	'make clean               remove build/'
