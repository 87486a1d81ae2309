/*
 * A PKCS#11 module for tests: SoftHSM, but calls do not come back as long as a file with their name lies
 * in the folder SLUICE_TEST_TOKEN: "open" (a session, a search), "login", "sign". One that hangs makes the
 * file "NAME-hangs" there; each login adds a line to the file "logins". Built as a library of its own,
 * loaded by OpenSSL's provider.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

typedef unsigned long rv; /* CK_RV, and all other numbers of PKCS#11 */

enum { OPEN_SESSION = 12, LOGIN = 18, FIND = 26, SIGN = 43, SIGN_FINAL = 45, FUNCTIONS = 68 };
enum { GENERAL_ERROR = 5 };

/* CK_FUNCTION_LIST, version 2 */
struct functions {
	unsigned char version[2];
	void (*at[FUNCTIONS])(void);
};

typedef rv open_session(rv slot, rv flags, void *arg, void *notify, rv *ret_session);
typedef rv find(rv session, void *attributes, rv n);
typedef rv login(rv session, rv type, unsigned char *pin, rv len);
typedef rv sign(rv session, unsigned char *data, rv len, unsigned char *signature, rv *ret_len);
typedef rv sign_final(rv session, unsigned char *signature, rv *ret_len);
typedef rv get_functions(struct functions **ret_functions);

static struct functions theirs, ours;

static const char *path_of(const char *name, char *buf, size_t size)
{
	const char *folder = getenv("SLUICE_TEST_TOKEN");

	snprintf(buf, size, "%s/%s", folder ? folder : "", name);
	return buf;
}

static void stall(const char *name)
{
	char path[512], mark[64];
	FILE *file;

	if (access(path_of(name, path, sizeof(path)), F_OK) < 0)
		return;
	snprintf(mark, sizeof(mark), "%s-hangs", name);
	file = fopen(path_of(mark, path, sizeof(path)), "w");
	if (file)
		fclose(file);
	while (access(path_of(name, path, sizeof(path)), F_OK) == 0)
		usleep(10000);
}

static rv our_open_session(rv slot, rv flags, void *arg, void *notify, rv *ret_session)
{
	stall("open");
	return ((open_session *)theirs.at[OPEN_SESSION])(slot, flags, arg, notify, ret_session);
}

static rv our_find(rv session, void *attributes, rv n)
{
	stall("open");
	return ((find *)theirs.at[FIND])(session, attributes, n);
}

static rv our_login(rv session, rv type, unsigned char *pin, rv len)
{
	char path[512];
	FILE *file = fopen(path_of("logins", path, sizeof(path)), "a");

	if (file) {
		fputs("login\n", file);
		fclose(file);
	}
	stall("login");
	return ((login *)theirs.at[LOGIN])(session, type, pin, len);
}

static rv our_sign(rv session, unsigned char *data, rv len, unsigned char *signature, rv *ret_len)
{
	stall("sign");
	return ((sign *)theirs.at[SIGN])(session, data, len, signature, ret_len);
}

static rv our_sign_final(rv session, unsigned char *signature, rv *ret_len)
{
	stall("sign");
	return ((sign_final *)theirs.at[SIGN_FINAL])(session, signature, ret_len);
}

rv C_GetFunctionList(struct functions **ret_functions);
rv C_GetFunctionList(struct functions **ret_functions)
{
	void *library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
	void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
	struct functions *list;

	if (!symbol || ((get_functions *)symbol)(&list))
		return GENERAL_ERROR;
	theirs = ours = *list;
	ours.at[OPEN_SESSION] = (void (*)(void))our_open_session;
	ours.at[FIND] = (void (*)(void))our_find;
	ours.at[LOGIN] = (void (*)(void))our_login;
	ours.at[SIGN] = (void (*)(void))our_sign;
	ours.at[SIGN_FINAL] = (void (*)(void))our_sign_final;
	*ret_functions = &ours;
	return 0;
}
