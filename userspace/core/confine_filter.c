/*
 * Filters of calls: see confine_filter.h and confine_calls.def. All threads are refused what none ever
 * does; threads that start nothing also what starts something; workers, which read what strangers
 * send, everything but what they are known to do. The first is a list of what is refused, so that a newer
 * sluiced that is started from here inherits nothing it could trip over.
 *
 * A refused call fails with EPERM: a mistake in the table costs a feature, not the service. The kernel
 * keeps the verdicts on calls that are judged by their number alone: allowed ones cost nothing.
 */
#include "core/confine_filter.h"

#include "core/mem.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

/* Calls that newer machines never had, or older headers do not name. */
enum { NONE = -1 };
#ifndef SYS_epoll_wait
#define SYS_epoll_wait NONE
#endif
#ifndef SYS_fork
#define SYS_fork NONE
#endif
#ifndef SYS_ioperm
#define SYS_ioperm NONE
#endif
#ifndef SYS_iopl
#define SYS_iopl NONE
#endif
#ifndef SYS_pause
#define SYS_pause NONE
#endif
#ifndef SYS_poll
#define SYS_poll NONE
#endif
#ifndef SYS_time
#define SYS_time NONE
#endif
#ifndef SYS_vfork
#define SYS_vfork NONE
#endif

static const int never[] = {
#define NEVER(name) SYS_##name,
#define START(name)
#define WORKER(name)
#include "core/confine_calls.def"
#undef NEVER
#undef START
#undef WORKER
};

static const int starting[] = {
#define NEVER(name)
#define START(name) SYS_##name,
#define WORKER(name)
#include "core/confine_calls.def"
#undef NEVER
#undef START
#undef WORKER
};

static const int workers[] = {
#define NEVER(name)
#define START(name)
#define WORKER(name) SYS_##name,
#include "core/confine_calls.def"
};

enum {
	/* Two for each call, and what stands around them. */
	FILTER_MAX = 2 * (array_len(never) + array_len(starting) + array_len(workers)) + 32,
	/* Other numbers of the same machine (x32) begin here. */
	OTHER_ABI_FROM = 0x40000000,
};

static enum confine_calls chosen = CONFINE_CALLS_OFF;
static bool workers_have_libraries;

struct filter {
	struct sock_filter code[FILTER_MAX];
	unsigned short len;
};

static void add(struct filter *filter, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	if (filter->len == FILTER_MAX)
		abort();
	filter->code[filter->len++] = (struct sock_filter){code, yes, no, k};
}

static void load(struct filter *filter, size_t offset)
{
	add(filter, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void judge(struct filter *filter, uint32_t action)
{
	add(filter, BPF_RET | BPF_K, action, 0, 0);
}

static uint32_t refusal(void)
{
	return chosen == CONFINE_CALLS_LOG ? SECCOMP_RET_LOG : SECCOMP_RET_ERRNO | EPERM;
}

/* What is made by numbers of another machine has no place in any of the lists. */
static void begin(struct filter *filter)
{
#ifdef ARCH
	load(filter, offsetof(struct seccomp_data, arch));
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	judge(filter, SECCOMP_RET_ERRNO | ENOSYS);
#endif
	load(filter, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	add(filter, BPF_JMP | BPF_JGE | BPF_K, OTHER_ABI_FROM, 0, 1);
	judge(filter, SECCOMP_RET_ERRNO | ENOSYS);
#endif
}

static void list(struct filter *filter, const int *calls, size_t n, uint32_t action)
{
	for (size_t i = 0; i < n; i++) {
		if (calls[i] == NONE)
			continue;
		add(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1);
		judge(filter, action);
	}
}

/* The low half of an argument, and the number of the call again: all ours fit into 32 bits. */
static void load_argument(struct filter *filter, unsigned int number)
{
	load(filter, offsetof(struct seccomp_data, args) + number * sizeof(uint64_t));
}

/* Memory that can be executed is made by what loads libraries, and compiles expressions. */
static void no_executable(struct filter *filter, int call)
{
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 4);
	load_argument(filter, 2);
	add(filter, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1);
	judge(filter, refusal());
	judge(filter, SECCOMP_RET_ALLOW);
}

/* With one of two values as first argument. */
static void only(struct filter *filter, int call, uint32_t one, uint32_t other)
{
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 5);
	load_argument(filter, 0);
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, one, 1, 0);
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1);
	judge(filter, SECCOMP_RET_ALLOW);
	judge(filter, refusal());
}

static void write_filter(struct filter *filter, enum confine_role role)
{
	begin(filter);
	switch (role) {
	case CONFINE_CONTROL: /* the first thread: all others have it from there */
		list(filter, never, array_len(never), refusal());
		judge(filter, SECCOMP_RET_ALLOW);
		break;
	case CONFINE_LOG:
	case CONFINE_NAMES:
		list(filter, starting, array_len(starting), refusal());
		judge(filter, SECCOMP_RET_ALLOW);
		break;
	case CONFINE_WORKER:
		list(filter, workers, array_len(workers), SECCOMP_RET_ALLOW);
		no_executable(filter, SYS_mmap);
		no_executable(filter, SYS_mprotect);
		only(filter, SYS_socket, AF_INET, AF_INET6); /* to clients and targets */
		only(filter, SYS_prctl, PR_GET_NAME, PR_SET_NAME);
		judge(filter, refusal());
		break;
	default:
		judge(filter, SECCOMP_RET_ALLOW);
	}
}

bool confine_can_filter(const char **ret_why)
{
#ifdef HAS_SANITIZER
	*ret_why = "this build has a sanitizer, which does as it likes";
	return false;
#elif !defined(ARCH)
	*ret_why = "the calls of this machine are not known";
	return false;
#else
	uint32_t action = SECCOMP_RET_ERRNO;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
		return true;
	*ret_why = "this kernel has no seccomp filters, or whoever started sluiced forbids them";
	return false;
#endif
}

void confine_filter_choose(enum confine_calls calls, bool has_libraries)
{
	const char *why;

	workers_have_libraries = has_libraries;

	chosen = confine_can_filter(&why) ? calls : CONFINE_CALLS_OFF;
}

static bool has_filter(enum confine_role role)
{
	return chosen != CONFINE_CALLS_OFF && role != CONFINE_WATCHDOG && role != CONFINE_LOADER &&
	       role != CONFINE_TOKEN && !(role == CONFINE_WORKER && workers_have_libraries);
}

int confine_filter_install(enum confine_role role, struct err *err)
{
	struct filter *filter;
	struct sock_fprog program;
	int r = 0;

	if (!has_filter(role))
		return 0;
	filter = mem_zalloc(sizeof(*filter));
	write_filter(filter, role);
	program = (struct sock_fprog){filter->len, filter->code};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &program) < 0)
		r = err_set(err, -errno, "calls cannot be filtered: %s", strerror(errno));
	free(filter);
	return r;
}
