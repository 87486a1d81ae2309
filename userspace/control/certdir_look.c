/*
 * One place of a directory while a version is made: see certdir_making.h. What could not be looked
 * at, or went without its key, is no reason to let go of a certificate that is good.
 */
#define LOG_MODULE "certificates"
#include "control/certdir_making.h"

#include "core/mem.h"
#include "tls/certindex.h"
#include "tls/files.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HALF_GONE "is gone, but its key is still there: remove it, too, or put a certificate back"

static bool is_same_files(const struct cert *cert, const struct found_pair *found)
{
	return cert_identity(cert) == found->identity &&
	       cert_key_identity(cert) == found->key_identity &&
	       slice_eq(cert_key_file(cert), slice_of(found->key_file));
}

static bool has_text(const struct fault *fault, const char *text)
{
	return fault && !strcmp(fault->text, text);
}

/* Errors that may be over the next time, although the files are the same. */
static bool is_passing(int error)
{
	switch (error) {
	case -EINVAL:
	case -EFBIG:
	case -EISDIR:
	case -ENAMETOOLONG:
	case -EAGAIN: /* it is being written: then it is another */
	case -EKEYEXPIRED:
		return false;
	}
	return !certdir_is_gone(error);
}

/* Nobody has to change the rights of a file, or of its folder, for that. */
static bool is_worth_a_retry(int error)
{
	return error != -EKEYREJECTED && error != -EACCES && error != -EPERM &&
	       error != -ENAMETOOLONG;
}

static struct cert *from_index(struct making *making, const struct found_pair *found)
{
	struct cert *cert;

	if (making->before || !making->spec->index)
		return NULL;
	cert = certindex_find(making->spec->index, making->source, making->spec->path,
		slice_of(found->cert_file));
	if (cert && !is_same_files(cert, found)) {
		cert_put(cert);
		return NULL;
	}
	return cert;
}

/* At the first start there is nothing that could be lost: keys are looked at later. */
static int read_pair(struct making *making, const struct found_pair *found, struct cert **ret_cert,
	struct err *err)
{
	struct cert *cert;
	int r;

	making->changes->n_read++;
	r = cert_read(making->source, found->cert_file, found->key_file, &cert, err);
	if (r < 0)
		return r;
	r = making->before || making->spec->is_thorough ? cert_check(cert, err) : 0;
	if (r == 0)
		*ret_cert = cert;
	else
		cert_put(cert);
	return r;
}

static void take_pair(
	struct making *making, const struct found_pair *found, struct cert *old, struct cert *cert)
{
	certdir_drop_fault(making, slice_of(found->cert_file));
	if (old)
		certdir_note_removed(making, old);
	certdir_note_added(making, cert);
}

/* 0: there is none now. */
static uint64_t identity_now(const struct making *making, const char *file)
{
	char *path = mem_printf("%s/%s", making->spec->path, file);
	uint64_t identity = tls_file_identity_at(path);

	free(path);
	return identity;
}

/* What was wrong is not said of the files that were found: they were away, or others were in their
 * place, while they were read, and may be back as they were. */
static bool is_of_others(const struct making *making, const struct found_pair *found, int error)
{
	return error == -EAGAIN || (certdir_is_gone(error) && found->key_identity) ||
	       identity_now(making, found->cert_file) != found->identity ||
	       identity_now(making, found->key_file) != found->key_identity;
}

/* "eu/a.key" of a certificate "eu/a.crt" that was there before: certdir_forget() speaks of it. */
static bool is_left_over(const struct making *making, const struct found_pair *found)
{
	static const char *const endings[] = {".crt", ".pem", ".cer"};
	struct slice key = slice_of(found->cert_file);
	const struct cert *old = NULL;
	char *place = mem_strdup(found->cert_file);
	size_t i;

	for (i = 0; found->is_lone_key && !old && i < array_len(endings); i++) {
		memcpy(place + key.len - 4, endings[i], 4);
		old = certdir_find(making->before, slice_of(place));
		if (old && !slice_eq(cert_key_file(old), key))
			old = NULL;
	}
	free(place);
	return old;
}

static bool is_known_fault(const struct fault *fault, const struct found_pair *found)
{
	return fault && fault->identity == found->identity &&
	       fault->key_identity == found->key_identity &&
	       (!found->fault || has_text(fault, found->fault));
}

/* It may be as it was. */
static void look_later(
	struct making *making, const struct found_pair *found, int error, const char *text)
{
	if (is_worth_a_retry(error))
		making->changes->n_later++;
	if (making->spec->is_patient &&
		!has_text(certdir_find_fault(making->before, slice_of(found->cert_file)), text))
		making->changes->n_unsettled++;
	else
		certdir_note_fault(making, found, text, true);
}

/* Whether it may be served, and in place of `old` (NULL: nobody's). */
static int check_worth(const struct making *making, const struct cert *cert, const struct cert *old,
	struct err *err)
{
	const struct certdir_spec *spec = making->spec;
	uint16_t bits = spec->bits_useful;

	if (old && cert_facts(old)->security_bits >= spec->bits_wanted)
		bits = spec->bits_wanted;
	if (cert_check_strength(cert, bits, err) < 0)
		return -EKEYREJECTED;
	return cert_check_dates(cert, old, making->now_unix_s, err);
}

static void take_or_refuse(struct making *making, const struct found_pair *found, struct cert *old)
{
	struct cert *cert = from_index(making, found);
	struct err err = {""};
	int r = cert ? 0 : found->fault ? err_set(&err, -EINVAL, "%s", found->fault) : 1;

	if (r == 1)
		r = read_pair(making, found, &cert, &err);
	if (r == 0) {
		r = check_worth(making, cert, old, &err);
		if (r < 0)
			cert_put(cert);
	}
	if (r == 0)
		take_pair(making, found, old, cert);
	else if (r == -ENOENT && !identity_now(making, found->cert_file))
		return; /* since it was found: somebody will tell */
	else if (is_passing(r))
		look_later(making, found, r, err.text);
	else if (making->spec->is_patient)
		making->changes->n_unsettled++;
	else
		certdir_note_fault(
			making, found, err.text, !found->fault && is_of_others(making, found, r));
}

void certdir_look_at(struct making *making, const struct found_pair *found)
{
	struct slice file = slice_of(found->cert_file);
	struct cert *old = certdir_find(making->before, file);
	struct fault *fault = certdir_find_fault(making->before, file);

	if (!certdir_is_first_look(making, file))
		return;
	making->n_met_pairs += old != NULL;
	making->n_met_faults += fault != NULL;
	if (found->error)
		look_later(making, found, found->error, found->fault);
	else if ((old && is_same_files(old, found)) || is_left_over(making, found))
		certdir_drop_fault(making, file);
	else if (!is_known_fault(fault, found))
		take_or_refuse(making, found, old);
}

/* The certificate's file is gone, the key's is not. */
static bool is_half_gone(const struct making *making, const struct cert *old)
{
	char *path;
	bool is_left;

	if (slice_eq(cert_key_file(old), cert_file(old)))
		return false;
	path = mem_printf(
		"%s/%.*s", making->spec->path, (int)cert_key_file(old).len, cert_key_file(old).ptr);
	is_left = tls_file_identity_at(path) != 0;
	free(path);
	return is_left;
}

static void keep_half(struct making *making, struct slice file)
{
	struct found_pair found = {.cert_file = mem_strndup(file.ptr, file.len)};

	if (making->spec->is_patient &&
		!has_text(certdir_find_fault(making->before, file), HALF_GONE))
		making->changes->n_unsettled++;
	else
		certdir_note_fault(making, &found, HALF_GONE, false);
	free(found.cert_file);
}

void certdir_forget(struct making *making, struct slice file, bool key_is_used)
{
	struct cert *old = certdir_find(making->before, file);

	if (!certdir_is_first_look(making, file))
		return;
	if (old && !key_is_used && is_half_gone(making, old)) {
		keep_half(making, file);
	} else if (old && making->spec->is_patient) {
		making->changes->n_unsettled++;
	} else {
		if (old)
			certdir_note_removed(making, old);
		certdir_drop_fault(making, file);
	}
}
