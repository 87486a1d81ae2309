/* Messages between two daemons: see upgrade_wire.h. */
#include "control/upgrade_wire.h"

#include "net/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct head {
	uint32_t magic;
	uint32_t kind;
};

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * UPGRADE_FDS)];
};

static void attach(struct msghdr *message, union control *control, const int *fds, uint32_t n_fds)
{
	struct cmsghdr *item;

	memset(control, 0, sizeof(*control));
	message->msg_control = control->bytes;
	message->msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
	item = CMSG_FIRSTHDR(message);
	item->cmsg_level = SOL_SOCKET;
	item->cmsg_type = SCM_RIGHTS;
	item->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
	memcpy(CMSG_DATA(item), fds, sizeof(int) * n_fds);
}

int upgrade_send(int fd, enum upgrade_kind kind, const void *body, size_t len, const int *fds,
	uint32_t n_fds)
{
	struct head head = {UPGRADE_MAGIC, kind};
	struct iovec parts[] = {{&head, sizeof(head)}, {(void *)body, len}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1 + (len > 0)};
	union control control;

	if (len > UPGRADE_BODY_BYTES || n_fds > UPGRADE_FDS)
		return -EMSGSIZE;
	if (n_fds)
		attach(&message, &control, fds, n_fds);
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void take_fds(struct msghdr *header, struct upgrade_message *message)
{
	struct cmsghdr *item;
	size_t n;

	for (item = CMSG_FIRSTHDR(header); item; item = CMSG_NXTHDR(header, item)) {
		if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS)
			continue;
		n = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (n > UPGRADE_FDS - message->n_fds)
			n = UPGRADE_FDS - message->n_fds;
		memcpy(message->fds + message->n_fds, CMSG_DATA(item), n * sizeof(int));
		message->n_fds += (uint32_t)n;
	}
}

int upgrade_recv(int fd, struct upgrade_message *ret_message)
{
	union control control;
	struct head head = {0};
	struct iovec parts[] = {
		{&head, sizeof(head)}, {ret_message->body, sizeof(ret_message->body)}};
	struct msghdr header = {.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	ssize_t len;

	ret_message->kind = ret_message->len = ret_message->n_fds = 0;
	/* That we were not heard to the end is told once, before what the other side said at its end. */
	do
		len = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
	while (len < 0 && (errno == EINTR || errno == ECONNRESET));
	if (len < 0)
		return -errno;
	take_fds(&header, ret_message);
	if (len == 0)
		return 0;
	if (len < (ssize_t)sizeof(head) || head.magic != UPGRADE_MAGIC ||
		header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -EBADMSG;
	ret_message->kind = head.kind;
	ret_message->len = (uint32_t)len - (uint32_t)sizeof(head);
	return 1;
}

void upgrade_message_end(struct upgrade_message *message)
{
	uint32_t i;

	for (i = 0; i < message->n_fds; i++)
		if (message->fds[i] >= 0)
			close(message->fds[i]);
	message->n_fds = 0;
	explicit_bzero(message->body, message->len); /* keys, maybe */
	message->len = 0;
}

void upgrade_body(const struct upgrade_message *message, void *ret_body, size_t len)
{
	size_t n = message->len < len ? message->len : len;

	memcpy(ret_body, message->body, n);
	memset((char *)ret_body + n, 0, len - n);
}

void upgrade_text_end(char *text, size_t bytes)
{
	text[bytes - 1] = '\0';
	for (; *text; text++)
		if ((unsigned char)*text < ' ')
			*text = ' ';
}

int upgrade_socket(const char *path, int flags, struct sockaddr_un *ret_address)
{
	int fd, r = socket_unix_addr(path, ret_address);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
	return fd < 0 ? -errno : fd;
}

int upgrade_connect(const char *path)
{
	struct sockaddr_un address;
	int fd = upgrade_socket(path, 0, &address), r;

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int upgrade_check_peer(int fd, struct ucred *ret_peer)
{
	socklen_t len = sizeof(*ret_peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_peer, &len) < 0)
		return -errno;
	return ret_peer->uid == geteuid() || ret_peer->uid == 0 ? 0 : -EPERM;
}
