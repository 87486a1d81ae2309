/* Whole reads and writes: see file.h. */
#include "core/file.h"

#include <errno.h>
#include <unistd.h>

int file_read(int fd, void *bytes, size_t size, size_t *ret_len)
{
	ssize_t got;

	*ret_len = 0;
	while (*ret_len < size) {
		got = read(fd, (char *)bytes + *ret_len, size - *ret_len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		*ret_len += (size_t)got;
	}
	return 0;
}

int file_read_exactly(int fd, void *bytes, size_t size)
{
	size_t len;
	int r = file_read(fd, bytes, size, &len);

	return r == 0 && len < size ? -EBADMSG : r;
}

int file_write(int fd, const void *bytes, size_t len)
{
	size_t done = 0;
	ssize_t put;

	while (done < len) {
		put = write(fd, (const char *)bytes + done, len - done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		done += (size_t)put;
	}
	return 0;
}
