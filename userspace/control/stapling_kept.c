/* OCSP responses on disk, over restarts: see stapling_parts.h. */
#define LOG_MODULE "ocsp"
#include "control/stapling_parts.h"

#include "control/disk.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEX_BYTES = 2 * CERT_FINGERPRINT_BYTES + 1 };

static const char folder_name[] = "ocsp";

static void hex_of(const uint8_t *fingerprint, char *ret_hex)
{
	size_t i;

	for (i = 0; i < CERT_FINGERPRINT_BYTES; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", fingerprint[i]);
}

static int open_folder(
	const struct stapling_entries *entries, bool make, struct disk *ret_disk, struct err *err)
{
	struct disk parent;
	char *path;
	int r = disk_open(&parent, entries->state_dir, make, &disk_kernel_calls, err);

	*ret_disk = (struct disk){.fd = -1};
	disk_close(&parent);
	if (r < 0)
		return r;
	path = mem_printf("%s/%s", entries->state_dir, folder_name);
	r = disk_open(ret_disk, path, make, &disk_kernel_calls, err);
	free(path);
	return r;
}

/* That it is revoked, too: what said that it is good may be in date for days. */
void stapling_keep(struct stapling_entries *entries, const struct stapling_entry *entry,
	const uint8_t *der, size_t der_len)
{
	char hex[HEX_BYTES];
	struct disk disk;
	struct err err;
	int r = open_folder(entries, true, &disk, &err);

	hex_of(entry->fingerprint, hex);
	if (r == 0) {
		r = disk_write(&disk, hex, der, der_len, &err);
		if (r < 0)
			disk_remove(&disk, hex);
	}
	disk_close(&disk);
	if (r < 0 && !entries->has_failed)
		log_warn("OCSP responses are fetched anew after a restart: %s", err.text);
	entries->has_failed = r < 0;
}

void stapling_read_kept(struct stapling_entries *entries, struct stapling_entry *entry)
{
	char hex[HEX_BYTES], *bytes = NULL;
	struct disk disk;
	struct err err;
	size_t len = 0;
	int r = open_folder(entries, false, &disk, &err);

	hex_of(entry->fingerprint, hex);
	if (r == 0)
		r = disk_read(&disk, hex, STAPLE_BYTES_MAX, &bytes, &len, &err);
	disk_close(&disk);
	if (r < 0)
		return;
	r = stapling_take(entries, entry, (const uint8_t *)bytes, len);
	if (r < 0 && r != -EKEYREVOKED)
		entry->error[0] = '\0'; /* another one is fetched */
	free(bytes);
}

struct cleaning {
	const struct stapling_entries *entries;
	struct disk *disk;
};

static void remove_unknown(void *arg, const char *name)
{
	struct cleaning *cleaning = arg;
	uint8_t fingerprint[CERT_FINGERPRINT_BYTES];
	unsigned int byte;
	size_t i;

	if (strlen(name) != HEX_BYTES - 1)
		return;
	for (i = 0; i < CERT_FINGERPRINT_BYTES; i++) {
		if (sscanf(name + 2 * i, "%2x", &byte) != 1)
			return;
		fingerprint[i] = (uint8_t)byte;
	}
	if (!stapling_find(cleaning->entries, fingerprint))
		disk_remove(cleaning->disk, name);
}

/* At the start and now and then: of certificates that are no more. */
void stapling_clean(struct stapling_entries *entries)
{
	struct disk disk;
	struct err err;
	struct cleaning cleaning = {entries, &disk};
	int r = open_folder(entries, false, &disk, &err);

	if (r == 0)
		r = disk_list(&disk, remove_unknown, &cleaning, &err);
	if (r < 0 && r != -ENOENT)
		log_warn("old OCSP responses stay: %s", err.text);
	disk_close(&disk);
	entries->is_cleaned = true;
}
