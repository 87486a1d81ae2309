/* IP addresses with ports and prefixes of the configuration: see config_scalar.h. */
#include "control/config_scalar.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>

static uint32_t ip_bits(uint16_t family)
{
	return family == AF_INET ? 32 : 128;
}

static bool is_v4_mapped(const uint8_t *ip)
{
	static const uint8_t begin[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(ip, begin, sizeof(begin)) == 0;
}

/* `what` is the whole value, for messages. */
static int ip_read(
	struct slice text, uint16_t family, struct slice what, uint8_t *ret_ip, struct err *err)
{
	char buf[INET6_ADDRSTRLEN], quoted[QUOTED_BYTES], v4[INET_ADDRSTRLEN];

	if (text.len >= sizeof(buf) || memchr(text.ptr, '\0', text.len))
		return err_set(err, -EINVAL, "%s is not an IP address", scalar_quote(what, quoted));
	memcpy(buf, text.ptr, text.len);
	buf[text.len] = '\0';
	if (inet_pton(family, buf, ret_ip) != 1)
		return err_set(err, -EINVAL, "%s: \"%s\" is not an %s address",
			scalar_quote(what, quoted), buf, family == AF_INET ? "IPv4" : "IPv6");
	if (family == AF_INET6 && is_v4_mapped(ret_ip))
		return err_set(err, -EINVAL, "%s is an IPv4 address in IPv6 form (write %s)",
			scalar_quote(what, quoted),
			inet_ntop(AF_INET, ret_ip + 12, v4, sizeof(v4)));
	return 0;
}

/* Digits only, at most `max`; -EINVAL otherwise. */
static int small_number(struct slice text, uint32_t max, uint16_t *ret_number)
{
	uint32_t number = 0;

	if (text.len == 0 || text.len > 5)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return -EINVAL;
		number = number * 10 + (uint32_t)(text.ptr[i] - '0');
	}
	if (number > max)
		return -EINVAL;
	*ret_number = (uint16_t)number;
	return 0;
}

/* "a.b.c.d:port" or "[v6]:port" into its halves. */
static int address_split(struct slice text, struct slice *ret_ip, struct slice *ret_port)
{
	const char *colon = text.len ? memrchr(text.ptr, ':', text.len) : NULL;
	const char *end = text.ptr + text.len;
	size_t ip_len;

	if (!colon)
		return -EINVAL;
	ip_len = (size_t)(colon - text.ptr);
	*ret_port = (struct slice){colon + 1, (size_t)(end - colon - 1)};
	*ret_ip = (struct slice){text.ptr, ip_len};
	if (text.ptr[0] != '[')
		return memchr(text.ptr, ':', ip_len) ? -EINVAL : 0;
	if (ip_len < 2 || colon[-1] != ']')
		return -EINVAL;
	*ret_ip = (struct slice){text.ptr + 1, ip_len - 2};
	return 0;
}

int address_read(struct slice text, struct config_address *ret_address, struct err *err)
{
	struct config_address address = {0};
	char quoted[QUOTED_BYTES];
	struct slice ip, port;
	int r;

	if (address_split(text, &ip, &port) < 0)
		return err_set(err, -EINVAL,
			"%s is not an address with a port (write 192.0.2.1:80 or \"[2001:db8::1]:80\")",
			scalar_quote(text, quoted));
	if (small_number(port, 65535, &address.port) < 0 || address.port == 0)
		return err_set(err, -EINVAL, "%s: the port must be between 1 and 65535",
			scalar_quote(text, quoted));
	address.family = text.ptr[0] == '[' ? AF_INET6 : AF_INET;
	r = ip_read(ip, address.family, text, address.ip, err);
	if (r == 0)
		*ret_address = address;
	return r;
}

/* --- names */

enum { HOST_BYTES_MAX = 253, LABEL_BYTES_MAX = 63 };

static bool is_label(struct slice label)
{
	size_t i;

	if (label.len < 1 || label.len > LABEL_BYTES_MAX || label.ptr[0] == '-' ||
		label.ptr[label.len - 1] == '-')
		return false;
	for (i = 0; i < label.len; i++)
		if (!isalnum((unsigned char)label.ptr[i]) && label.ptr[i] != '-' &&
			label.ptr[i] != '_')
			return false;
	return true;
}

static bool is_number_like(struct slice text)
{
	size_t i;

	for (i = 0; i < text.len; i++)
		if (!isdigit((unsigned char)text.ptr[i]) && text.ptr[i] != '.')
			return false;
	return true;
}

/* A host name: labels of letters, digits, - and _ , with a dot behind it if it is whole. The last label is
 * no number: 10.0.0.300 is a mistyped address. */
static bool is_host(struct slice text)
{
	struct slice rest = text, label = {"", 0};
	const char *dot;

	if (rest.len && rest.ptr[rest.len - 1] == '.')
		rest.len--;
	if (rest.len > HOST_BYTES_MAX)
		return false;
	for (;;) {
		dot = rest.len ? memchr(rest.ptr, '.', rest.len) : NULL;
		label = (struct slice){rest.ptr, dot ? (size_t)(dot - rest.ptr) : rest.len};
		if (!is_label(label))
			return false;
		if (!dot)
			break;
		rest = (struct slice){dot + 1, rest.len - label.len - 1};
	}
	return !is_number_like(label);
}

/* Letter case does not matter in names: "APP:80" is the same target as "app:80". */
static char *copy_host(struct config_store *store, struct slice host)
{
	char *copy = config_store_strndup(store, host.ptr, host.len);
	char *c;

	for (c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

int config_endpoint_read(struct slice text, struct config_store *store,
	struct config_endpoint *ret_endpoint, struct err *err)
{
	struct config_endpoint endpoint = {0};
	char quoted[QUOTED_BYTES];
	struct slice host, port;
	int r;

	if (address_split(text, &host, &port) < 0)
		return err_set(err, -EINVAL,
			"%s is not an address or a name with a port (write 192.0.2.1:80, "
			"\"[2001:db8::1]:80\" or app.example.com:80)",
			scalar_quote(text, quoted));
	if (text.ptr[0] != '[' && is_host(host)) {
		if (small_number(port, 65535, &endpoint.address.port) < 0 || !endpoint.address.port)
			return err_set(err, -EINVAL, "%s: the port must be between 1 and 65535",
				scalar_quote(text, quoted));
		endpoint.host = copy_host(store, host);
	} else if (text.ptr[0] != '[' && !is_number_like(host)) {
		return err_set(err, -EINVAL,
			"%s is neither an IP address nor a host name, with a port",
			scalar_quote(text, quoted));
	} else {
		r = address_read(text, &endpoint.address, err);
		if (r < 0)
			return r;
	}
	*ret_endpoint = endpoint;
	return 0;
}

const char *address_text(const struct config_address *address, char *buf, size_t len)
{
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(address->family, address->ip, ip, sizeof(ip));
	snprintf(buf, len, address->family == AF_INET ? "%s:%u" : "[%s]:%u", ip, address->port);
	return buf;
}

/* Clears what is behind the prefix: true if something was there. */
static bool clear_host_bits(struct config_prefix *prefix)
{
	uint32_t bytes = ip_bits(prefix->family) / 8;
	bool found = false;

	for (uint32_t i = 0; i < bytes; i++) {
		uint32_t kept = prefix->len_bits <= 8 * i ? 0 : prefix->len_bits - 8 * i;
		uint8_t mask = kept >= 8 ? 0xff : (uint8_t)(0xff00 >> kept);

		found |= prefix->ip[i] & ~mask;
		prefix->ip[i] &= mask;
	}
	return found;
}

int config_address_read_prefix(struct slice text, struct config_prefix *ret_prefix, struct err *err)
{
	const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
	struct slice ip = {text.ptr, slash ? (size_t)(slash - text.ptr) : text.len};
	char quoted[QUOTED_BYTES], buf[ADDRESS_TEXT_BYTES];
	struct config_prefix prefix = {0};
	uint32_t bits;
	int r;

	prefix.family = ip.len && memchr(ip.ptr, ':', ip.len) ? AF_INET6 : AF_INET;
	r = ip_read(ip, prefix.family, text, prefix.ip, err);
	if (r < 0)
		return r;
	bits = ip_bits(prefix.family);
	prefix.len_bits = (uint16_t)bits;
	if (slash && small_number((struct slice){slash + 1, text.len - ip.len - 1}, bits,
			     &prefix.len_bits) < 0)
		return err_set(err, -EINVAL, "%s: the prefix length must be between 0 and %u",
			scalar_quote(text, quoted), bits);
	if (clear_host_bits(&prefix))
		return err_set(err, -EINVAL, "%s has bits set behind the prefix (write %s)",
			scalar_quote(text, quoted),
			config_address_prefix_text(&prefix, buf, sizeof(buf)));
	*ret_prefix = prefix;
	return 0;
}

const char *config_address_prefix_text(const struct config_prefix *prefix, char *buf, size_t len)
{
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(prefix->family, prefix->ip, ip, sizeof(ip));
	snprintf(buf, len, "%s/%u", ip, prefix->len_bits);
	return buf;
}
