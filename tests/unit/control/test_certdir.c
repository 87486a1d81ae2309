/* Directories of certificates: which files are pairs, what is wrong with others, and what another
 * version takes over. */
#include "../tls/pki.h"
#include "control/certdir.h"
#include "tls/certindex.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct pki pki;
static char root[128]; /* the directory under test; the PKI's own is beside it */
static struct certdir_changes changes;
static struct certdir *dir;

static int group_setup(void **state)
{
	char file[16];
	int i;

	pki_init(&pki);
	for (i = 0; i < 6; i++) {
		snprintf(file, sizeof(file), "p%d", i);
		pki_issue(&pki, &(struct pki_request){
					.file = file, .sans = "DNS:a.test", .append = "ca.crt"});
	}
	return 0;
}

static int group_teardown(void **state)
{
	pki_fini(&pki);
	return 0;
}

static void sh(const char *format, ...) printf_like(1, 2);

/* A command; $P is the folder with p0.crt, p0.key and so on, the current one is the directory. */
static void sh(const char *format, ...)
{
	char command[1024], text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	snprintf(text, sizeof(text), "cd %s && P=%s && { %s; }", root, pki.dir, command);
	assert_int_equal(system(text), 0);
}

static int setup(void **state)
{
	snprintf(root, sizeof(root), "%s/root", pki.dir);
	assert_int_equal(mkdir(root, 0700), 0);
	return 0;
}

static int teardown(void **state)
{
	certdir_changes_fini(&changes);
	certdir_put(dir);
	dir = NULL;
	sh("chmod -R u+rwx . && rm -rf %s", root);
	return 0;
}

static struct certdir_spec spec(void)
{
	return (struct certdir_spec){.name = "shop", .path = root};
}

static void scan(void)
{
	struct certdir_spec wanted = spec();
	struct certdir *before = dir;
	struct err err = {""};

	certdir_changes_fini(&changes);
	assert_int_equal(certdir_scan(&wanted, before, &dir, &changes, &err), 0);
	certdir_put(before);
}

static void update(const char *folder, const char *name, bool is_patient)
{
	struct certdir_touched touched[] = {{folder, name, false}, {folder, name, false}};
	struct certdir_spec wanted = spec();
	struct certdir *before = dir;

	wanted.is_patient = is_patient;
	certdir_changes_fini(&changes);
	dir = certdir_update(&wanted, before, touched, 2, &changes);
	certdir_put(before);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "shop/a shop/b", sorted. */
static void expect_names(const char *wanted)
{
	struct certdir_cursor cursor = {0};
	char *list[64], name[CERT_NAME_BYTES], text[4096] = "";
	const struct cert *cert;
	size_t n = 0, i;

	while ((cert = certdir_next(dir, &cursor)))
		list[n++] = strdup(cert_name(cert, name));
	qsort(list, n, sizeof(list[0]), compare_texts);
	for (i = 0; i < n; i++) {
		strcat(text, i ? " " : "");
		strcat(text, list[i]);
		free(list[i]);
	}
	assert_string_equal(text, wanted);
	assert_int_equal(certdir_len(dir), n);
}

/* The fault of a file contains the text; NULL: it has none. */
static void expect_fault(const char *file, const char *text)
{
	struct certdir_cursor cursor = {0};
	struct certdir_fault fault;
	bool is_found = false;

	while (certdir_next_fault(dir, &cursor, &fault)) {
		if (strcmp(fault.file, file) != 0)
			continue;
		is_found = true;
		if (!text || !strstr(fault.text, text))
			fail_msg("%s: %s", file, fault.text);
	}
	if (text && !is_found)
		fail_msg("%s has no fault", file);
}

static void test_which_files_are_pairs(void **state)
{
	sh("cp $P/p0.crt a.crt; cp $P/p0.key a.key");
	sh("cp $P/p1.crt b.pem; cp $P/p1.key b.key; cp $P/p1.crt c.cer; cp $P/p1.key c.key");
	sh("cat $P/p2.crt $P/p2.key >one.pem; cat $P/p2.key $P/p2.crt >two.pem");
	sh("mkdir -p eu/shop && cp $P/p3.crt eu/shop/tls.crt && cp $P/p3.key eu/shop/tls.key"
	   " && cp $P/ca.crt eu/shop/ca.crt");
	sh("mkdir -p live/x && cp $P/p4.crt live/x/fullchain.pem && cp $P/p4.key live/x/privkey.pem"
	   " && cp $P/p4.crt live/x/cert.pem && cp $P/ca.crt live/x/chain.pem");
	sh("mkdir -p k8s/..2026 && cp $P/p5.crt k8s/..2026/tls.crt && cp $P/p5.key k8s/..2026/tls.key"
	   " && cd k8s && ln -s ..2026 ..data && ln -s ..data/tls.crt && ln -s ..data/tls.key");
	sh("echo notes >README; echo >.hidden.crt; mkdir .git && cp $P/p0.crt .git/a.crt");
	scan();
	expect_names(
		"shop/a shop/b shop/c shop/eu/shop/tls shop/k8s/tls shop/live/x/fullchain shop/one "
		"shop/two");
	assert_int_equal(certdir_faults(dir), 0);
	assert_int_equal(changes.n_added, 8);
	/* nothing has changed: the same object */
	struct certdir *before = certdir_get(dir);

	scan();
	assert_ptr_equal(dir, before);
	assert_int_equal(changes.n_read, 0);
	certdir_put(before);
}

static void test_faults(void **state)
{
	sh("cp $P/p0.crt good.crt; cp $P/p0.key good.key");
	sh("head -c 200 $P/p1.crt >cut.crt; cp $P/p1.key cut.key");
	sh("cp $P/p1.crt cutkey.crt; head -c 120 $P/p1.key >cutkey.key");
	sh("cp $P/p1.crt alone.crt; cp $P/p1.key lonely.key; : >empty.pem");
	sh("openssl x509 -in $P/p1.crt -outform DER -out der.crt; cp $P/p1.key der.key");
	sh("cp $P/p1.key swapped.crt; cp $P/p1.crt swapped.key");
	sh("truncate -s 10M large.crt; cp $P/p1.key large.key; mkfifo fifo.crt; cp $P/p1.key fifo.key");
	sh("ln -s self.crt self.crt; ln -s nowhere dangling.crt; cp $P/p1.key dangling.key");
	sh("mkdir loop && ln -s .. loop/up; mkdir -p d1/d2/d3/d4/d5/d6/d7/d8/d9");
	scan();
	expect_names("shop/good");
	expect_fault("good.crt", NULL);
	expect_fault("cut.crt", "certificate 1 in");
	expect_fault("cutkey.crt", "is damaged");
	expect_fault("alone.crt", "holds no private key");
	expect_fault("lonely.key", "there is no certificate for this key");
	expect_fault("empty.pem", "holds no certificate");
	expect_fault("der.crt", "is in DER, not in PEM");
	expect_fault("swapped.crt", "holds no certificate");
	expect_fault("large.crt", "File too large");
	expect_fault("fifo.crt", "no regular file");
	expect_fault("self.crt", "is a link to a file that is not there");
	expect_fault("dangling.crt", "is a link to a file that is not there");
	expect_fault("loop/up", "leads back to a folder above it");
	expect_fault("d1/d2/d3/d4/d5/d6/d7/d8/d9", "lies too deep");
	/* none is read again as long as it is the same */
	scan();
	assert_int_equal(changes.n_read, 0);
	assert_int_equal(changes.n_faults, 0);
	/* mended */
	sh("cp $P/p1.crt cut.crt; rm lonely.key");
	scan();
	expect_names("shop/cut shop/good");
	expect_fault("cut.crt", NULL);
	expect_fault("lonely.key", NULL);
}

static const struct cert *find(const char *name)
{
	struct certdir_cursor cursor = {0};
	char text[CERT_NAME_BYTES];
	const struct cert *cert;

	while ((cert = certdir_next(dir, &cursor)))
		if (!strcmp(cert_name(cert, text), name))
			return cert;
	return NULL;
}

/* A replaced pair that does not fit together: patience first, then a fault; the last good one stays
 * until its files are good or gone. */
static void test_last_good_one_stays(void **state)
{
	const struct cert *good;

	sh("cp $P/p0.crt a.crt; cp $P/p0.key a.key; cp $P/p1.crt b.crt; cp $P/p1.key b.key");
	scan();
	good = find("shop/a");
	sh("cp $P/p2.crt a.new && mv a.new a.crt");
	update("", "a.crt", true);
	assert_int_equal(changes.n_unsettled, 1);
	assert_int_equal(certdir_faults(dir), 0);
	assert_ptr_equal(find("shop/a"), good);
	update("", "a.crt", false);
	assert_int_equal(changes.n_faults, 1);
	expect_fault("a.crt", "does not belong to the certificate");
	assert_ptr_equal(find("shop/a"), good);
	update("", "a.crt", false);
	assert_int_equal(changes.n_faults, 0); /* said once */
	sh("cp $P/p2.key a.key");
	update("", "a.key", true);
	assert_int_equal(changes.n_added, 1);
	assert_int_equal(changes.n_removed, 1);
	assert_int_equal(cert_state(find("shop/a")), CERT_GOOD);
	expect_fault("a.crt", NULL);
	/* a fault, then the old files again, then gone */
	sh("cp a.crt keep; echo x >a.crt");
	update("", "a.crt", false);
	expect_fault("a.crt", "holds no certificate");
	sh("rm a.crt a.key");
	update("", "a.key", false);
	expect_names("shop/b");
	expect_fault("a.crt", NULL);
}

static void test_touched(void **state)
{
	char away[160];

	sh("mkdir x y && for i in 0 1; do cp $P/p$i.crt x/p$i.crt; cp $P/p$i.key x/p$i.key; done");
	scan();
	expect_names("shop/x/p0 shop/x/p1");
	/* only what was touched is looked at */
	sh("cp $P/p2.crt new.crt; cp $P/p2.key new.key; cp $P/p3.crt y/n.crt; cp $P/p3.key y/n.key");
	update("y", "n.key", false);
	expect_names("shop/x/p0 shop/x/p1 shop/y/n");
	update("", "new.crt", false);
	expect_names("shop/new shop/x/p0 shop/x/p1 shop/y/n");
	/* folders come and go */
	sh("mkdir -p z/deep && cp $P/p4.crt z/deep/d.crt && cp $P/p4.key z/deep/d.key && rm -r x");
	update("", "z", false);
	update("", "x", false); /* nobody knew it as a folder: nothing */
	expect_names("shop/new shop/x/p0 shop/x/p1 shop/y/n shop/z/deep/d");
	update("x", "", false);
	expect_names("shop/new shop/y/n shop/z/deep/d");
	/* Kubernetes exchanges what is behind a link */
	sh("mkdir k && cd k && mkdir ..1 ..2 && cp $P/p0.crt ..1/tls.crt && cp $P/p0.key ..1/tls.key &&"
	   " cp $P/p1.crt ..2/tls.crt && cp $P/p1.key ..2/tls.key && ln -s ..1 ..data &&"
	   " ln -s ..data/tls.crt tls.crt && ln -s ..data/tls.key tls.key");
	update("", "k", false);
	const struct cert *first = find("shop/k/tls");

	assert_non_null(first);
	sh("cd k && ln -s ..2 ..tmp && mv -T ..tmp ..data");
	update("k", "..data", false);
	assert_int_equal(changes.n_added, 1);
	assert_ptr_not_equal(find("shop/k/tls"), first);
	/* the directory itself is unmounted, say: all stays */
	sh("mv %s %s-away", root, root);
	struct certdir_spec wanted = spec();
	struct certdir *none;
	struct err err;

	certdir_changes_fini(&changes);
	assert_int_equal(certdir_scan(&wanted, dir, &none, &changes, &err), -ENOENT);
	update("", "", false);
	assert_int_equal(certdir_len(dir), 4);
	snprintf(away, sizeof(away), "%s-away", root);
	assert_int_equal(rename(away, root), 0);
}

/* From the index, what is as it was then; anything else is read. */
static void test_index(void **state)
{
	struct certdir_spec wanted = spec();
	struct certindex_writer *writer;
	struct certdir_cursor cursor = {0};
	struct certindex *index;
	const struct cert *cert;
	char path[256];
	struct err err = {""};

	sh("for i in 0 1 2; do cp $P/p$i.crt p$i.crt; cp $P/p$i.key p$i.key; done");
	scan();
	snprintf(path, sizeof(path), "%s/index", pki.dir);
	assert_int_equal(certindex_writer_new(path, &writer, &err), 0);
	certindex_writer_directory(writer, root);
	while ((cert = certdir_next(dir, &cursor)))
		certindex_writer_add(writer, cert);
	assert_int_equal(certindex_writer_end(writer, &err), 0);
	sh("cp $P/p3.crt p1.crt; cp $P/p3.key p1.key; rm p2.*; cp $P/p4.crt n.crt; cp $P/p4.key n.key");
	certdir_put(dir);
	certdir_changes_fini(&changes);
	assert_int_equal(certindex_open(path, &index, &err), 0);
	wanted.index = index;
	assert_int_equal(certdir_scan(&wanted, NULL, &dir, &changes, &err), 0);
	certindex_free(index);
	assert_int_equal(changes.n_read, 2);
	expect_names("shop/n shop/p0 shop/p1");
	cursor = (struct certdir_cursor){0};
	while ((cert = certdir_next(dir, &cursor)))
		assert_int_equal(cert_check((struct cert *)cert, &err), 0);
}

static void limit_files(rlim_t n)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* The lowest number that is free. */
static rlim_t next_fd(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	return (rlim_t)fd;
}

/* That there are no descriptors left says nothing about certificates: all stay, and what could not be
 * looked at is looked at again, also where its files are the same. */
static void test_no_descriptors(void **state)
{
	sh("cp $P/p0.crt a.crt; cp $P/p0.key a.key; mkdir eu && cp $P/p1.crt eu/b.crt &&"
	   " cp $P/p1.key eu/b.key");
	scan();
	/* none for the directory */
	limit_files(next_fd());
	update("", "a.crt", true);
	assert_int_equal(changes.n_unsettled, 1);
	assert_int_equal(changes.n_removed, 0);
	update("", "a.crt", false);
	limit_files(1024);
	assert_int_equal(changes.n_removed, 0);
	assert_true(changes.n_later);
	expect_names("shop/a shop/eu/b");
	expect_fault(".", "Too many open files");
	update("", "a.crt", false);
	expect_fault(".", NULL);
	/* none for the folder below it, in a look at all: the directory, and the list of it */
	limit_files(next_fd() + 1);
	update("", "", false);
	limit_files(1024);
	assert_int_equal(changes.n_removed, 0);
	expect_names("shop/a shop/eu/b");
	scan();
	assert_int_equal(certdir_faults(dir), 0);
	limit_files(next_fd() + 2);
	scan();
	limit_files(1024);
	assert_int_equal(changes.n_removed, 0);
	expect_names("shop/a shop/eu/b");
	expect_fault("eu", "Too many open files");
	scan();
	assert_int_equal(certdir_faults(dir), 0);
}

/* What may not be read keeps what was good, and is tried again although its files are the same. */
static void test_no_rights(void **state)
{
	if (geteuid() != 0)
		skip();
	sh("chmod 755 $P . && cp $P/p0.crt a.crt && cp $P/p0.key a.key && mkdir eu &&"
	   " cp $P/p1.crt eu/b.crt && cp $P/p1.key eu/b.key && chmod 644 a.key eu/b.key");
	scan();
	sh("cp $P/p2.crt a.crt; cp $P/p2.key a.key; chmod 600 a.key; chmod 700 eu");
	assert_int_equal(seteuid(65534), 0);
	update("", "a.crt", true);
	assert_int_equal(changes.n_unsettled, 1);
	scan();
	assert_int_equal(seteuid(0), 0);
	expect_names("shop/a shop/eu/b");
	expect_fault("a.crt", "Permission denied");
	expect_fault("eu", "Permission denied");
	assert_int_equal(changes.n_removed, 0);
	update("", "a.crt", false);
	assert_int_equal(changes.n_added, 1);
	expect_fault("a.crt", NULL);
	scan();
	assert_int_equal(certdir_faults(dir), 0);
	assert_int_equal(certdir_len(dir), 2);
}

/* Deleted and written again: between the two nothing leaves service; nor when only the key is left. */
static void test_patience_with_deletions(void **state)
{
	sh("for i in 0 1 2; do cp $P/p$i.crt p$i.crt; cp $P/p$i.key p$i.key; done");
	scan();
	sh("rm p0.crt p0.key p1.crt; mv p2.crt p2.pem");
	update("", "p0.crt", true);
	assert_int_equal(changes.n_unsettled, 1);
	update("", "p1.crt", true);
	assert_int_equal(changes.n_unsettled, 1);
	update("", "p2.crt", true);
	assert_int_equal(changes.n_unsettled, 1); /* by its new name it is there already */
	expect_names("shop/p0 shop/p1 shop/p2 shop/p2");
	assert_int_equal(certdir_faults(dir), 0);
	/* the same look when patience is over */
	update("", "p0.key", false);
	update("", "p1.key", false);
	update("", "p2.pem", false);
	expect_names("shop/p1 shop/p2");
	assert_int_equal(certdir_faults(dir), 1);
	expect_fault("p1.crt", "its key is still there");
	scan();
	assert_int_equal(changes.n_faults, 0); /* said once */
	expect_names("shop/p1 shop/p2");
	sh("rm p1.key");
	update("", "p1.key", false);
	expect_names("shop/p2");
	assert_int_equal(certdir_faults(dir), 0);
	/* a key that never had a certificate is a fault of its own */
	sh("cp $P/p3.key n.key");
	update("", "n.key", false);
	expect_fault("n.key", "no certificate for this key");
}

/* An empty mount point in place of the directory. */
static void test_empty_in_its_place(void **state)
{
	sh("cp $P/p0.crt a.crt; cp $P/p0.key a.key");
	scan();
	sh("mv %s %s-away && mkdir %s", root, root, root);
	update("", "", false);
	expect_names("shop/a");
	expect_fault(".", "is it not mounted?");
	scan();
	expect_names("shop/a");
	sh("cp $P/p1.crt b.crt; cp $P/p1.key b.key");
	update("", "b.crt", false);
	scan();
	expect_names("shop/b");
	assert_int_equal(certdir_faults(dir), 0);
	/* emptied by somebody who means it */
	sh("rm *; rm -r %s-away", root);
	scan();
	expect_names("");
	/* nothing to read at all */
	sh("cp $P/p1.crt b.crt; cp $P/p1.key b.key");
	scan();
	sh("mv %s %s-away", root, root);
	update("", "b.crt", false);
	update("", "", false);
	expect_names("shop/b");
	expect_fault(".", "No such file or directory");
	assert_true(changes.n_later);
	char away[160];

	snprintf(away, sizeof(away), "%s-away", root);
	assert_int_equal(rename(away, root), 0);
	update("", "", false);
	assert_int_equal(certdir_faults(dir), 0);
}

/* Files that come, go and change while they are looked at: whatever is seen, the pair that nobody
 * touches stays, nothing that is found does not belong together, and in the end all is as it is. */
struct vandal {
	char dir[128], spare[128];
	atomic_bool is_over;
};

static void move(const struct vandal *vandal, const char *from, const char *to, const char *name)
{
	char a[192], b[192];

	snprintf(a, sizeof(a), "%s/%s", from, name);
	snprintf(b, sizeof(b), "%s/%s", to, name);
	(void)!rename(a, b);
}

static void *vandalise(void *arg)
{
	static const char *const names[] = {"v.crt", "v.key", "sub", "w.pem", "link.crt"};
	struct vandal *vandal = arg;
	unsigned int i, n;

	for (n = 0; !atomic_load(&vandal->is_over); n++)
		for (i = 0; i < array_len(names); i++)
			if ((n >> i) & 1)
				move(vandal, vandal->dir, vandal->spare, names[i]);
			else
				move(vandal, vandal->spare, vandal->dir, names[i]);
	for (i = 0; i < array_len(names); i++)
		move(vandal, vandal->spare, vandal->dir, names[i]);
	return NULL;
}

/* `first`: which of them is looked at how. */
static void look_while_vandalised(struct vandal *vandal, int first)
{
	struct certdir_cursor cursor;
	struct cert *cert;
	struct err err;
	pthread_t thread;
	int i;

	atomic_store(&vandal->is_over, false);
	assert_int_equal(pthread_create(&thread, NULL, vandalise, vandal), 0);
	for (i = first; i < first + 15; i++) {
		if (i % 3)
			update(i % 2 ? "sub" : "", i % 2 ? "s.crt" : "v.crt", i % 4 == 0);
		else
			scan();
		assert_non_null(find("shop/still"));
		cursor = (struct certdir_cursor){0};
		while ((cert = certdir_next(dir, &cursor)))
			assert_int_equal(cert_check(cert, &err), 0);
	}
	atomic_store(&vandal->is_over, true);
	pthread_join(thread, NULL);
}

static void test_vanishing_while_read(void **state)
{
	struct vandal vandal;
	int round;

	sh("mkdir sub; cp $P/p0.crt still.crt; cp $P/p0.key still.key; cp $P/p1.crt v.crt;"
	   " cp $P/p1.key v.key; cp $P/p2.crt sub/s.crt; cp $P/p2.key sub/s.key; echo x >w.pem;"
	   " ln -s nowhere link.crt; mkdir $P/spare");
	snprintf(vandal.dir, sizeof(vandal.dir), "%s", root);
	snprintf(vandal.spare, sizeof(vandal.spare), "%s/spare", pki.dir);
	scan();
	for (round = 0; round < 50; round++) {
		look_while_vandalised(&vandal, round);
		scan();
		expect_names("shop/still shop/sub/s shop/v");
		assert_int_equal(certdir_faults(dir), 2);
	}
	sh("rm -r $P/spare");
}

/* What may not replace a good one, although its key fits. */
static void test_no_worse_replacement(void **state)
{
	struct pki_request request = {.sans = "DNS:a.test"};
	struct certdir_spec wanted = spec();
	struct certdir *before;
	const struct cert *good;
	struct err err;

	request.file = "old";
	request.from_s = -9 * PKI_DAY_S;
	request.to_s = -PKI_DAY_S;
	pki_issue(&pki, &request);
	request.file = "early";
	request.from_s = 2;
	request.to_s = PKI_DAY_S;
	pki_issue(&pki, &request);
	pki_issue(&pki, &(struct pki_request){.file = "weak", .hash = "SHA1"});
	sh("cp $P/p0.crt a.crt; cp $P/p0.key a.key; cp $P/p0.crt b.crt; cp $P/p0.key b.key");
	scan();
	good = find("shop/a");
	sh("cp $P/old.crt a.crt; cp $P/old.key a.key; cp $P/early.crt b.crt; cp $P/early.key b.key");
	update("", "a.crt", true);
	assert_int_equal(changes.n_unsettled, 1);
	update("", "a.crt", false);
	expect_fault("a.crt", "expired on ");
	assert_ptr_equal(find("shop/a"), good);
	assert_int_equal(changes.n_later, 0);
	update("", "b.crt", false);
	expect_fault("b.crt", "is not valid before ");
	assert_int_equal(changes.n_later, 1); /* it becomes good by itself */
	sleep(3);
	update("", "b.crt", false);
	expect_fault("b.crt", NULL);
	assert_int_equal(changes.n_added, 1);
	/* where there is nothing to lose it is served */
	sh("cp $P/old.crt c.crt; cp $P/old.key c.key");
	update("", "c.crt", false);
	assert_non_null(find("shop/c"));
	/* too weak for one listener of several: it may be new, but does not replace; for all: a fault */
	sh("cp $P/weak.crt a.crt; cp $P/weak.key a.key; cp $P/weak.crt w.crt; cp $P/weak.key w.key");
	wanted.bits_wanted = 112;
	before = dir;
	certdir_changes_fini(&changes);
	assert_int_equal(certdir_scan(&wanted, before, &dir, &changes, &err), 0);
	certdir_put(before);
	expect_fault("a.crt", "the signature on certificate 1 in ");
	assert_ptr_equal(find("shop/a"), good);
	assert_non_null(find("shop/w"));
	certdir_put(dir);
	wanted.bits_useful = 112;
	certdir_changes_fini(&changes);
	assert_int_equal(certdir_scan(&wanted, NULL, &dir, &changes, &err), 0);
	expect_fault("w.crt", "the signature on certificate 1 in ");
	expect_names("shop/b shop/c");
	/* another policy, the same files */
	scan();
	expect_names("shop/a shop/b shop/c shop/w");
	assert_int_equal(certdir_faults(dir), 0);
}

/* Many folders at once, and those that look like something else. */
static void test_folders_at_run_time(void **state)
{
	static struct certdir_touched touched[80];
	char names[80][16];
	struct certdir_spec wanted = spec();
	struct certdir *before;
	size_t i;

	sh("for i in $(seq 40); do mkdir f$i; cp $P/p0.crt f$i/fullchain.pem;"
	   " cp $P/p0.key f$i/privkey.pem; done");
	scan();
	assert_int_equal(certdir_len(dir), 40);
	sh("for i in $(seq 40); do cp $P/p1.crt f$i/fullchain.pem; cp $P/p1.key f$i/privkey.pem; done");
	for (i = 0; i < 80; i++) {
		snprintf(names[i], sizeof(names[i]), "f%zu", i / 2 + 1);
		touched[i] = (struct certdir_touched){
			names[i], i & 1 ? "privkey.pem" : "fullchain.pem", false};
	}
	before = dir;
	certdir_changes_fini(&changes);
	dir = certdir_update(&wanted, before, touched, 80, &changes);
	certdir_put(before);
	assert_int_equal(changes.n_read, 40);
	assert_int_equal(changes.n_removed, 40);
	assert_int_equal(changes.n_added, 40);
	sh("rm -r f*");
	for (i = 0; i < 80; i++)
		touched[i] = (struct certdir_touched){"", names[i], true};
	before = dir;
	certdir_changes_fini(&changes);
	dir = certdir_update(&wanted, before, touched, 80, &changes);
	certdir_put(before);
	expect_names("");
	/* certbot's half: what the names in the folder mean has changed */
	sh("mkdir x.pem && cp $P/p0.crt x.pem/cert.pem && cat $P/p0.key >>x.pem/cert.pem");
	update("", "x.pem", false);
	expect_names("shop/x.pem/cert");
	sh("cp $P/p1.crt x.pem/fullchain.pem; cp $P/p1.key x.pem/privkey.pem");
	update("x.pem", "privkey.pem", false);
	expect_names("shop/x.pem/fullchain");
	sh("ln -s .. x.pem/up");
	update("x.pem", "up", false);
	expect_names("shop/x.pem/fullchain");
	expect_fault("x.pem/up", "leads back to a folder above it");
	/* ..data of Kubernetes with keys of paths */
	sh("mkdir -p k/..1/eu k/..2/eu && cp $P/p0.crt k/..1/eu/a.crt && cp $P/p0.key k/..1/eu/a.key"
	   " && cp $P/p1.crt k/..2/eu/a.crt && cp $P/p1.key k/..2/eu/a.key && cd k &&"
	   " ln -s ..1 ..data && ln -s ..data/eu eu");
	update("", "k", false);
	expect_names("shop/k/eu/a shop/x.pem/fullchain");
	sh("cd k && ln -s ..2 ..tmp && mv -T ..tmp ..data");
	update("k", "..data", false);
	assert_int_equal(changes.n_added, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_which_files_are_pairs),
		CASE(test_faults),
		CASE(test_last_good_one_stays),
		CASE(test_touched),
		CASE(test_index),
		CASE(test_no_descriptors),
		CASE(test_no_rights),
		CASE(test_patience_with_deletions),
		CASE(test_empty_in_its_place),
		CASE(test_folders_at_run_time),
		CASE(test_no_worse_replacement),
		CASE(test_vanishing_while_read),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
