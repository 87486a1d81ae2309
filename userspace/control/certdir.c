/* Directories of certificates as objects: see certdir.h. */
#include "control/certdir_parts.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash_cert(const struct hash_key *key, const struct certmap_item *item)
{
	struct slice file = cert_file(item->value);

	return hash_bytes(key, file.ptr, file.len);
}

static void get_cert(const struct certmap_item *item)
{
	cert_get(item->value);
}

static void put_cert(const struct certmap_item *item)
{
	cert_put(item->value);
}

static uint64_t hash_fault(const struct hash_key *key, const struct certmap_item *item)
{
	const struct fault *fault = item->value;

	return hash_bytes(key, fault->file, strlen(fault->file));
}

static void get_fault(const struct certmap_item *item)
{
	struct fault *fault = item->value;

	atomic_fetch_add_explicit(&fault->refs, 1, memory_order_relaxed);
}

void certdir_fault_put(struct fault *fault)
{
	if (atomic_fetch_sub_explicit(&fault->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(fault->text);
	free(fault);
}

static void put_fault(const struct certmap_item *item)
{
	certdir_fault_put(item->value);
}

const struct certmap_ops certdir_pair_ops = {hash_cert, get_cert, put_cert};
const struct certmap_ops certdir_fault_ops = {hash_fault, get_fault, put_fault};

struct cert *certdir_find(const struct certdir *dir, struct slice file)
{
	const struct certmap_item *items;
	uint64_t hash;
	uint32_t i, n;

	if (!dir)
		return NULL;
	hash = hash_bytes(certmap_key(dir->pairs), file.ptr, file.len);
	items = certmap_find(dir->pairs, hash, &n);
	for (i = 0; i < n; i++)
		if (items[i].tag == certmap_tag(hash) && slice_eq(cert_file(items[i].value), file))
			return items[i].value;
	return NULL;
}

struct fault *certdir_find_fault(const struct certdir *dir, struct slice file)
{
	const struct certmap_item *items;
	struct fault *fault;
	uint64_t hash;
	uint32_t i, n;

	if (!dir || !certmap_len(dir->faults))
		return NULL;
	hash = hash_bytes(certmap_key(dir->faults), file.ptr, file.len);
	items = certmap_find(dir->faults, hash, &n);
	for (i = 0; i < n; i++) {
		fault = items[i].value;
		if (items[i].tag == certmap_tag(hash) && slice_eq(slice_of(fault->file), file))
			return fault;
	}
	return NULL;
}

struct certdir *certdir_get(struct certdir *dir)
{
	atomic_fetch_add_explicit(&dir->refs, 1, memory_order_relaxed);
	return dir;
}

void certdir_put(struct certdir *dir)
{
	if (!dir || atomic_fetch_sub_explicit(&dir->refs, 1, memory_order_acq_rel) != 1)
		return;
	certmap_put(dir->pairs);
	certmap_put(dir->faults);
	cert_source_put(dir->source);
	free(dir);
}

size_t certdir_len(const struct certdir *dir)
{
	return certmap_len(dir->pairs);
}

size_t certdir_faults(const struct certdir *dir)
{
	return certmap_len(dir->faults);
}

void *certdir_next_value(const struct certmap *map, struct certdir_cursor *cursor)
{
	const struct certmap_item *items;
	size_t segment = cursor->segment;
	uint32_t n;

	while ((items = certmap_next(map, &segment, &n))) {
		if (cursor->at < n)
			return items[cursor->at++].value;
		*cursor = (struct certdir_cursor){segment, 0};
	}
	return NULL;
}

struct cert *certdir_next(const struct certdir *dir, struct certdir_cursor *cursor)
{
	return certdir_next_value(dir->pairs, cursor);
}

bool certdir_next_fault(
	const struct certdir *dir, struct certdir_cursor *cursor, struct certdir_fault *ret_fault)
{
	const struct fault *fault = certdir_next_value(dir->faults, cursor);

	if (!fault)
		return false;
	*ret_fault = (struct certdir_fault){
		fault->file, fault->text, certdir_find(dir, slice_of(fault->file)) != NULL};
	return true;
}
