/* Capabilities of threads: see confine.h. The filters of calls are made in confine_filter.c. */
#include "core/confine.h"

#include "core/confine_filter.h"

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (UINT64_C(1) << (capability))

/* Attaching programs, TUN device and routes (NET_ADMIN), loading programs (BPF, PERFMON), AF_XDP
 * sockets (NET_RAW) whose frames are locked in memory (IPC_LOCK), low ports: when interfaces come
 * back, and on a reload, too. */
#define SLUICED                                                                                    \
	(BIT(CAP_BPF) | BIT(CAP_NET_ADMIN) | BIT(CAP_PERFMON) | BIT(CAP_NET_RAW) |                 \
		BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_IPC_LOCK))
/* libxdp finds the programs of a dispatcher by their numbers, which takes this. */
#define DISPATCHER BIT(CAP_SYS_ADMIN)

/* What of the process's own they keep. Without entry: nothing. */
static const uint64_t confine_roles[CONFINE_ROLES] = {
	[CONFINE_CONTROL] = SLUICED | DISPATCHER,
	[CONFINE_WATCHDOG] = SLUICED,
	[CONFINE_LOADER] = BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_BPF),
};

static const char *const names[] = {
	[CAP_CHOWN] = "chown",
	[CAP_DAC_OVERRIDE] = "dac_override",
	[CAP_DAC_READ_SEARCH] = "dac_read_search",
	[CAP_FOWNER] = "fowner",
	[CAP_FSETID] = "fsetid",
	[CAP_KILL] = "kill",
	[CAP_SETGID] = "setgid",
	[CAP_SETUID] = "setuid",
	[CAP_SETPCAP] = "setpcap",
	[CAP_LINUX_IMMUTABLE] = "linux_immutable",
	[CAP_NET_BIND_SERVICE] = "net_bind_service",
	[CAP_NET_BROADCAST] = "net_broadcast",
	[CAP_NET_ADMIN] = "net_admin",
	[CAP_NET_RAW] = "net_raw",
	[CAP_IPC_LOCK] = "ipc_lock",
	[CAP_IPC_OWNER] = "ipc_owner",
	[CAP_SYS_MODULE] = "sys_module",
	[CAP_SYS_RAWIO] = "sys_rawio",
	[CAP_SYS_CHROOT] = "sys_chroot",
	[CAP_SYS_PTRACE] = "sys_ptrace",
	[CAP_SYS_PACCT] = "sys_pacct",
	[CAP_SYS_ADMIN] = "sys_admin",
	[CAP_SYS_BOOT] = "sys_boot",
	[CAP_SYS_NICE] = "sys_nice",
	[CAP_SYS_RESOURCE] = "sys_resource",
	[CAP_SYS_TIME] = "sys_time",
	[CAP_SYS_TTY_CONFIG] = "sys_tty_config",
	[CAP_MKNOD] = "mknod",
	[CAP_LEASE] = "lease",
	[CAP_AUDIT_WRITE] = "audit_write",
	[CAP_AUDIT_CONTROL] = "audit_control",
	[CAP_SETFCAP] = "setfcap",
	[CAP_MAC_OVERRIDE] = "mac_override",
	[CAP_MAC_ADMIN] = "mac_admin",
	[CAP_SYSLOG] = "syslog",
	[CAP_WAKE_ALARM] = "wake_alarm",
	[CAP_BLOCK_SUSPEND] = "block_suspend",
	[CAP_AUDIT_READ] = "audit_read",
	[CAP_PERFMON] = "perfmon",
	[CAP_BPF] = "bpf",
	[CAP_CHECKPOINT_RESTORE] = "checkpoint_restore",
};

/* Set by the first thread before there are others. */
static bool is_confined;

struct capabilities {
	uint64_t effective, permitted, inheritable;
};

static void capabilities_get(struct capabilities *ret_capabilities)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct low_high[2] = {};

	if (syscall(SYS_capget, &header, low_high) < 0)
		abort(); /* of oneself, by a version that the kernel has */
	*ret_capabilities = (struct capabilities){
		.effective = low_high[0].effective | (uint64_t)low_high[1].effective << 32,
		.permitted = low_high[0].permitted | (uint64_t)low_high[1].permitted << 32,
		.inheritable = low_high[0].inheritable | (uint64_t)low_high[1].inheritable << 32,
	};
}

static int capabilities_set(const struct capabilities *wanted)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct low_high[2] = {
		{(uint32_t)wanted->effective, (uint32_t)wanted->permitted,
			(uint32_t)wanted->inheritable},
		{(uint32_t)(wanted->effective >> 32), (uint32_t)(wanted->permitted >> 32),
			(uint32_t)(wanted->inheritable >> 32)},
	};

	return syscall(SYS_capset, &header, low_high) < 0 ? -errno : 0;
}

/* Of this thread; ambient ones go with the inheritable. */
static int capabilities_keep(uint64_t kept)
{
	struct capabilities now;

	capabilities_get(&now);
	now.effective &= kept;
	now.permitted &= kept;
	now.inheritable &= kept;
	return capabilities_set(&now);
}

/* Where that is ours to do: else whoever started us has done it, or has not wanted it. */
static void bounding_keep(uint64_t kept)
{
	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		if (!(kept & BIT(i)))
			prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
}

int confine_process(bool joins_dispatcher, struct err *err)
{
	uint64_t kept = SLUICED | (joins_dispatcher ? DISPATCHER : 0);
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, -errno, "no_new_privs: %s", strerror(errno));
	bounding_keep(kept);
	r = capabilities_keep(kept);
	if (r < 0)
		return err_set(err, r, "capabilities cannot be given up: %s", strerror(-r));
	is_confined = true;
	return 0;
}

int confine_calls(enum confine_calls calls, bool has_libraries, struct err *err)
{
	confine_filter_choose(calls, has_libraries);
	return confine_filter_install(CONFINE_CONTROL, err);
}

void confine_thread(enum confine_role role)
{
	struct err err;

	if (!is_confined)
		return;
	/* Commands are run by threads that have less than a process that is started anew needs. */
	if (role != CONFINE_CONTROL)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (capabilities_keep(confine_roles[role]) < 0 || confine_filter_install(role, &err) < 0)
		abort();
}

struct run {
	enum confine_role role;
	void (*run)(void *arg);
	void *arg;
};

static void *run_main(void *arg)
{
	const struct run *run = arg;

	confine_thread(run->role);
	run->run(run->arg);
	return NULL;
}

int confine_run(enum confine_role role, void (*run)(void *arg), void *arg)
{
	struct run all = {role, run, arg};
	pthread_t thread;
	int r = -pthread_create(&thread, NULL, run_main, &all);

	if (r == 0)
		pthread_join(thread, NULL);
	return r;
}

static const char *names_of(uint64_t set, char text[static CONFINE_TEXT_BYTES])
{
	size_t len = 0;

	for (size_t i = 0; i < array_len(names) && len < CONFINE_TEXT_BYTES; i++)
		if (set & BIT(i))
			len += (size_t)snprintf(text + len, CONFINE_TEXT_BYTES - len, "%s%s",
				len ? " " : "", names[i] ? names[i] : "?");
	if (!len)
		snprintf(text, CONFINE_TEXT_BYTES, "none");
	return text;
}

const char *confine_missing(char text[static CONFINE_TEXT_BYTES])
{
	struct capabilities now;

	capabilities_get(&now);
	return names_of(SLUICED & ~now.effective, text);
}

const char *confine_held(char text[static CONFINE_TEXT_BYTES])
{
	struct capabilities now;

	capabilities_get(&now);
	return names_of(now.effective, text);
}
