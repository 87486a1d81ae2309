/*
 * Preloaded in tests: from two seconds after their start on, and for two of every three seconds, the threads
 * that are named sluice-w… get no memory every so many times, by chance: SLUICE_TEST_MEMORY says how many.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALM_S = 2, SHORT_S = 2, ROUND_S = 3 };

typedef int set_name(pthread_t thread, const char *name);

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t align, size_t size);

static __thread uint64_t state; /* 0: a thread that gets all it asks for */
static __thread time_t began_s;
static __thread unsigned int one_of;

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec;
}

int pthread_setname_np(pthread_t thread, const char *name)
{
	set_name *real = (set_name *)dlsym(RTLD_NEXT, "pthread_setname_np");
	const char *text = getenv("SLUICE_TEST_MEMORY");

	if (text && pthread_equal(thread, pthread_self()) && !strncmp(name, "sluice-w", 8)) {
		one_of = (unsigned int)strtoul(text, NULL, 10);
		began_s = now_s();
		state = one_of ? (uint64_t)thread | 1 : 0;
	}
	return real(thread, name);
}

static int is_short(void)
{
	time_t passed_s;

	if (!state)
		return 0;
	passed_s = now_s() - began_s;
	if (passed_s < CALM_S || (passed_s - CALM_S) % ROUND_S >= SHORT_S)
		return 0;
	state ^= state << 13; /* xorshift */
	state ^= state >> 7;
	state ^= state << 17;
	if (state % one_of)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return is_short() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return is_short() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	return is_short() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return is_short() ? NULL : __libc_memalign(align, size);
}

int posix_memalign(void **ret, size_t align, size_t size)
{
	*ret = is_short() ? NULL : __libc_memalign(align, size);
	return *ret ? 0 : ENOMEM;
}
