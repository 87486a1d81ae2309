/* Raw clients of the admin API: the second half of admin_case.h, which includes it. */
#ifndef SLUICE_TESTS_ADMIN_CLIENT_H
#define SLUICE_TESTS_ADMIN_CLIENT_H

static inline int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval deadline = {.tv_sec = DEADLINE_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, server.path);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads until the text holds `wanted`, or to the end if that is NULL. */
static inline const char *hear(int fd, const char *wanted)
{
	size_t len = 0, size = 4096;

	reply_text = mem_realloc(reply_text, size);
	reply_text[0] = '\0';
	while (!wanted || !strstr(reply_text, wanted)) {
		ssize_t n = recv(fd, reply_text + len, size - 1 - len, 0);

		if (n < 0 && errno != ECONNRESET)
			fail_msg("recv: %s after: %.500s", strerror(errno), reply_text);
		if (n <= 0) {
			if (wanted)
				fail_msg("no \"%s\" in: %.500s", wanted, reply_text);
			break;
		}
		len += (size_t)n;
		reply_text[len] = '\0';
		if (len == size - 1) {
			size *= 2;
			reply_text = mem_realloc(reply_text, size);
		}
	}
	return reply_text;
}

static inline void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %.800s", part, text);
}

static inline void assert_begins(const char *text, const char *part)
{
	if (strncmp(text, part, strlen(part)) != 0)
		fail_msg("does not begin with \"%s\": %.800s", part, text);
}

#define GET(path)       "GET " path " HTTP/1.1\r\nHost: sluice\r\n\r\n"
#define GET_CLOSE(path) "GET " path " HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n\r\n"
#define POST_CLOSE(path)                                                                           \
	"POST " path " HTTP/1.1\r\nHost: sluice\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

static inline const char *ask(const char *request)
{
	int fd = dial();
	const char *reply;

	say(fd, request);
	reply = hear(fd, NULL);
	close(fd);
	return reply;
}

static inline uint32_t count_of(const char *text, const char *part)
{
	const char *end = text + strlen(text);
	uint32_t n = 0;

	for (;; text++, n++) {
		text = memmem(text, (size_t)(end - text), part, strlen(part));
		if (!text)
			return n;
	}
}

#endif
