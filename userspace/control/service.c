/* Speaking to the service manager: see service.h. */
#define LOG_MODULE "service"
#include "control/service.h"

#include "core/attr.h"
#include "core/clock.h"
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	MESSAGE_BYTES = 512,
	END_MS = 15 * 1000, /* for the end itself, behind the time that connections have */
};

static struct {
	int fd; /* connected; -1: there is no manager */
	uint64_t watchdog_us, told_us;
} service = {.fd = -1};

/* "/path", or "@name" in the abstract namespace. */
static int connect_to(const char *name, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(name);
	int fd, r = 0;

	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(address.sun_path))
		return -EINVAL;
	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		r = -errno;
	if (r < 0)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

/* The time is for the process that is named, or for all. */
static void take_watchdog(void)
{
	const char *time = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char *end;

	service.watchdog_us = 0;
	if (time && (!pid || strtoll(pid, &end, 10) == getpid()))
		service.watchdog_us = strtoull(time, &end, 10);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

int service_init(struct err *err)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int r = name ? connect_to(name, &service.fd) : 0;

	if (r < 0)
		return err_set(err, r, "cannot reach the service manager at NOTIFY_SOCKET=%s: %s",
			name, strerror(-r));
	take_watchdog();
	unsetenv("NOTIFY_SOCKET");
	return 0;
}

void service_fini(void)
{
	if (service.fd >= 0)
		close(service.fd);
	service.fd = -1;
}

/* A manager that takes nothing for the moment is not waited for: a lost "alive" is followed by
 * others. */
__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
	char message[MESSAGE_BYTES];
	va_list arguments;
	int len;

	if (service.fd < 0)
		return;
	va_start(arguments, format);
	len = vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (len >= (int)sizeof(message))
		len = sizeof(message) - 1;
	if (send(service.fd, message, (size_t)len, MSG_NOSIGNAL) < 0)
		log_warn("the service manager was not told: %s", strerror(errno));
}

void service_ready(const char *status)
{
	tell("READY=1\nSTATUS=%s", status);
}

void service_reloading(void)
{
	tell("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_mono_us());
}

void service_reloaded(void)
{
	tell("READY=1");
}

void service_stopping(const char *status, uint64_t ms)
{
	tell("STOPPING=1\nSTATUS=%s\nEXTEND_TIMEOUT_USEC=%llu", status,
		(unsigned long long)(ms + END_MS) * 1000);
}

void service_main_pid(uint32_t pid)
{
	tell("MAINPID=%u", pid);
}

void service_alive(void)
{
	uint64_t now_us = clock_mono_us();

	if (!service.watchdog_us || now_us - service.told_us < service.watchdog_us / 4)
		return;
	service.told_us = now_us;
	tell("WATCHDOG=1");
}
