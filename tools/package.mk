# What is installed, and the forms it is shipped in. Included by the Makefile inside the devroot.

# A relative DESTDIR begins at the checkout. Manual pages go by their section: NAME.8 to man8.
INSTALL_TO := $(DESTDIR)$(prefix)
DOC_TO     := $(INSTALL_TO)/share/doc/sluice
COMPLETION := $(INSTALL_TO)/share/bash-completion/completions
# What is the system's own is elsewhere in Debian's zsh.
ZSH_TO     := $(INSTALL_TO)/share/zsh/$(if $(filter /usr,$(prefix)),vendor-completions,site-functions)
UNITS      := $(wildcard deploy/systemd/*.service)
MAN_PAGES  := $(wildcard docs/man/*.[1-9])
DOC_PAGES  := README.md $(wildcard docs/*.md docs/*.yaml)

.PHONY: install install-files deb image
install: all
	@case "$(SLUICE_DEVROOT):$(abspath $(INSTALL_TO))/" in /:* | *:/tmp/* | *:$(CURDIR)/*) ;; *) \
		echo "install: $(INSTALL_TO) would be in the Debian 13 root folder, not on this host:" \
			"give a DESTDIR below /tmp or the checkout, and take it to a Debian 13 host" >&2; exit 1 ;; esac
	$(Q)$(MAKE) --no-print-directory install-files
	@echo "installed in $(INSTALL_TO): sbin/sluiced bin/sluicectl lib/systemd share/man share/doc/sluice share/bash-completion share/zsh"

# Of what is built. The unit names the programs by where they are.
install-files:
	$(Q)install -D -m 755 $(BUILD)/sluiced $(INSTALL_TO)/sbin/sluiced
	$(Q)install -D -m 755 $(BUILD)/sluicectl $(INSTALL_TO)/bin/sluicectl
	$(Q)install -D -m 644 -t $(INSTALL_TO)/lib/systemd/system $(UNITS)
	$(Q)sed -i 's|/usr/sbin/sluiced|$(prefix)/sbin/sluiced|' $(addprefix $(INSTALL_TO)/lib/systemd/system/,$(notdir $(UNITS)))
	$(Q)install -D -m 644 deploy/systemd/sluice.sysusers $(INSTALL_TO)/lib/sysusers.d/sluice.conf
	$(Q)install -D -m 644 deploy/systemd/sluice.tmpfiles $(INSTALL_TO)/lib/tmpfiles.d/sluice.conf
	$(Q)$(foreach page,$(MAN_PAGES),\
		install -D -m 644 $(page) $(INSTALL_TO)/share/man/man$(subst .,,$(suffix $(page)))/$(notdir $(page));)
	$(Q)install -D -m 644 -t $(DOC_TO) $(DOC_PAGES)
	$(Q)install -d $(COMPLETION) $(ZSH_TO)
	$(Q)$(BUILD)/sluicectl completion bash >$(COMPLETION)/sluicectl
	$(Q)$(BUILD)/sluicectl completion zsh >$(ZSH_TO)/_sluicectl

# Debian package and OCI image of what is built: build/deb, build/image.
deb: all
	$(Q)BUILD=$(BUILD) VERSION=$(VERSION) tools/deb

image: all
	$(Q)BUILD=$(BUILD) VERSION=$(VERSION) tools/image
