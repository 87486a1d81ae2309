/*
 * Attaches a program that gives every packet one verdict to an interface, natively, until standard
 * input ends:  xdp_hold INTERFACE pass|drop
 * "drop" is the base that the cost of a flood is measured against, and the end of answers that go
 * to nobody; "pass" is what the peer of a veth needs to receive what is sent with XDP_TX. Prints a
 * line when the program is attached.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int attach(const char *interface, int verdict)
{
	struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = verdict},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, load, .prog_flags = BPF_F_XDP_HAS_FRAGS);
	LIBBPF_OPTS(bpf_link_create_opts, link, .flags = XDP_FLAGS_DRV_MODE);
	int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "xdp_hold", "GPL", insns, 2, &load);

	if (program < 0)
		return program;
	return bpf_link_create(program, (int)if_nametoindex(interface), BPF_XDP, &link);
}

int main(int argc, char **argv)
{
	char byte;
	int verdict = argc == 3 && strcmp(argv[2], "pass") == 0 ? XDP_PASS : XDP_DROP;

	if (argc != 3 || (verdict == XDP_DROP && strcmp(argv[2], "drop") != 0)) {
		fprintf(stderr, "usage: xdp_hold INTERFACE pass|drop\n");
		return 2;
	}
	if (attach(argv[1], verdict) < 0) {
		fprintf(stderr, "xdp_hold: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	printf("attached\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
