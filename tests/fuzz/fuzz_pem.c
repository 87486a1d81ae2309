/*
 * Files of certificates and keys: the input is one PEM file that holds both, or, cut at a zero byte,
 * two files. Whatever is in them is a certificate that can be described, or an error with a reason.
 */
#include "fuzz_cert.h"
#include "tls/cert.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(int fd, const uint8_t *bytes, size_t len)
{
	must(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, len, 0) == (ssize_t)len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char paths[2][32];
	static int fds[2];
	struct cert_spec spec = {.name = "fuzz", .cert_path = paths[0], .key_path = paths[1]};
	const uint8_t *zero = memchr(data, 0, size);
	size_t first = zero ? (size_t)(zero - data) : size;
	struct cert_description texts;
	struct cert *cert;
	struct err err = {""};
	int i;

	for (i = 0; i < 2 && !*paths[i]; i++) {
		fds[i] = memfd_create("fuzz", MFD_CLOEXEC);
		must(fds[i] >= 0);
		snprintf(paths[i], sizeof(paths[i]), "/proc/self/fd/%d", fds[i]);
	}
	fill(fds[0], data, first);
	fill(fds[1], zero ? zero + 1 : data, zero ? size - first - 1 : size);
	if (cert_load(&spec, &cert, &err) < 0) {
		must(*err.text);
		return 0;
	}
	cert_describe(cert, &texts);
	cert_description_fini(&texts);
	cert_put(cert);
	return 0;
}
