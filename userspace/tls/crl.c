/* Tables of revoked serial numbers: see crl.h. */
#include "tls/crl.h"

#include "core/mem.h"
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* RFC 5280 4.1.2.2: 20 at most; some CAs make longer ones. */
enum { SERIAL_BYTES_MAX = 64, ENTRIES_MAX = 20 * 1000 * 1000 };

/* Length first, then sign, then bytes: any order will do. */
static int compare(const uint8_t *a, const uint8_t *b)
{
	return a[0] != b[0] ? a[0] - b[0] : memcmp(a + 1, b + 1, a[0]);
}

static int compare_entries(const void *a, const void *b, void *bytes)
{
	return compare((const uint8_t *)bytes + *(const uint32_t *)a,
		(const uint8_t *)bytes + *(const uint32_t *)b);
}

/* The sign is a byte of its own in front of the value. Returns the bytes used, 0: too long. */
static size_t put_serial(const ASN1_INTEGER *serial, uint8_t *ret_entry)
{
	int len = ASN1_STRING_length(serial);

	if (len < 0 || len > SERIAL_BYTES_MAX)
		return 0;
	ret_entry[0] = (uint8_t)(len + 1);
	ret_entry[1] = ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER;
	if (len)
		memcpy(ret_entry + 2, ASN1_STRING_get0_data(serial), (size_t)len);
	return (size_t)len + 2;
}

/* The only two critical extensions that change nothing for a list that is taken whole: its number
 * is never critical, and a distribution point may limit what it covers, not what it revokes. */
static int check_extensions(X509_CRL *crl, struct err *err)
{
	ISSUING_DIST_POINT *idp;
	int i, nid, critical;
	bool indirect;

	if (X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0)
		return err_set(err, -EINVAL, "is a delta CRL: give the complete one");
	for (i = 0; i < X509_CRL_get_ext_count(crl); i++) {
		X509_EXTENSION *extension = X509_CRL_get_ext(crl, i);

		nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
		if (X509_EXTENSION_get_critical(extension) &&
			nid != NID_issuing_distribution_point &&
			nid != NID_authority_key_identifier)
			return err_set(err, -EINVAL,
				"has a critical extension that is not understood (%s)",
				OBJ_nid2ln(nid));
	}
	idp = X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, &critical, NULL);
	if (!idp)
		return critical >= 0
			       ? err_set(err, -EINVAL, "has a malformed issuing distribution point")
			       : 0;
	indirect = idp->indirectCRL > 0;
	ISSUING_DIST_POINT_free(idp);
	return indirect ? err_set(err, -EINVAL,
				  "is an indirect CRL (of other CAs, too), which is not supported")
			: 0;
}

static int add_entry(struct crl_table *table, const X509_REVOKED *revoked, struct err *err)
{
	size_t used =
		put_serial(X509_REVOKED_get0_serialNumber(revoked), table->bytes + table->len);

	if (!used)
		return err_set(err, -EINVAL, "has a serial number of more than %d bytes",
			SERIAL_BYTES_MAX);
	table->at[table->n++] = (uint32_t)table->len;
	table->len += used;
	return 0;
}

static int fill(struct crl_table *table, STACK_OF(X509_REVOKED) * list, struct err *err)
{
	int n = sk_X509_REVOKED_num(list), i, r;
	size_t room = 0;

	if (n <= 0)
		return 0;
	if (n > ENTRIES_MAX)
		return err_set(err, -EFBIG, "has more than %d entries", ENTRIES_MAX);
	for (i = 0; i < n; i++)
		room += (size_t)ASN1_STRING_length(
				X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(list, i))) +
			2;
	table->bytes = mem_alloc(room);
	table->at = mem_alloc((size_t)n * sizeof(*table->at));
	for (i = 0; i < n; i++) {
		r = add_entry(table, sk_X509_REVOKED_value(list, i), err);
		if (r < 0)
			return r;
	}
	qsort_r(table->at, table->n, sizeof(*table->at), compare_entries, table->bytes);
	return 0;
}

int crl_table_init(struct crl_table *table, X509_CRL *crl, struct err *err)
{
	int r;

	*table = (struct crl_table){0};
	r = check_extensions(crl, err);
	if (r == 0)
		r = fill(table, X509_CRL_get_REVOKED(crl), err);
	if (r < 0)
		crl_table_fini(table);
	return r;
}

void crl_table_fini(struct crl_table *table)
{
	free(table->bytes);
	free(table->at);
	*table = (struct crl_table){0};
}

bool crl_table_has_entry(const struct crl_table *table, const uint8_t *entry)
{
	uint32_t low = 0, high = table->n, middle;
	int order;

	while (low < high) {
		middle = low + (high - low) / 2;
		order = compare(entry, crl_table_entry(table, middle));
		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

bool crl_table_has(const struct crl_table *table, const ASN1_INTEGER *serial)
{
	uint8_t wanted[SERIAL_BYTES_MAX + 2];

	return put_serial(serial, wanted) && crl_table_has_entry(table, wanted);
}
