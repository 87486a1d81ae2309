/* docs/policies.md and sluice-policies(7): see policy_doc.h. They say what the rows say, whatever the
 * OpenSSL of this build can. */
#include "control/policy_doc.h"

#include "tls/policy.h"

#include <stdlib.h>
#include <string.h>

static const char *const list_titles[TLS_POLICY_LISTS] = {"Ciphers of TLS 1.2 and older",
	"Cipher suites of TLS 1.3", "Groups", "Signature algorithms"};

static struct tls_policy policy_of(const struct tls_policy_row *row)
{
	struct tls_policy policy;

	if (!tls_policy_find(slice_of(row->name), &policy))
		abort();
	return policy;
}

static void put_versions(const struct tls_policy *policy, FILE *out)
{
	uint16_t version;

	for (version = policy->version_min; version <= policy->version_max; version++)
		fprintf(out, "%s%s", version == policy->version_min ? "" : ", ",
			tls_policy_version_text(version));
}

static bool has_group(const struct tls_policy *policy, const char *part)
{
	size_t i;

	for (i = 0; i < policy->count[TLS_POLICY_GROUPS]; i++)
		if (strstr(tls_policy_at(policy, TLS_POLICY_GROUPS, i)->name, part))
			return true;
	return false;
}

static bool has_forward_secrecy(const struct tls_policy *policy)
{
	size_t i;

	for (i = 0; i < policy->count[TLS_POLICY_CIPHERS]; i++)
		if (tls_policy_at(policy, TLS_POLICY_CIPHERS, i)->signer == TLS_SIGNER_TRANSPORT)
			return false;
	return true;
}

/* --- Markdown */
static void put_names(const char *names, const char *separators, FILE *out)
{
	bool first = true;
	size_t len;

	for (; *names; names += len + (names[len] != '\0')) {
		len = strcspn(names, separators);
		fprintf(out, "%s`%.*s`", first ? "" : " ", (int)len, names);
		if (names[len] == '/')
			fputs(", and if the client has none of these:", out);
		first = false;
	}
}

static void put_markdown_row(const struct tls_policy_row *row, FILE *out)
{
	struct tls_policy policy = policy_of(row);

	fprintf(out, "| `%s` | ", row->name);
	put_versions(&policy, out);
	fprintf(out, " | %s | %s | %s | ", has_forward_secrecy(&policy) ? "yes" : "no",
		has_group(&policy, "MLKEM") ? "yes" : "no", policy.wants_fips ? "yes" : "no");
	put_names(row->aliases, " ", out);
	fputs(" |\n", out);
}

static void put_markdown_policy(const struct tls_policy_row *row, FILE *out)
{
	struct tls_policy policy = policy_of(row);
	enum tls_policy_list list;

	fprintf(out, "\n### %s\n\n- TLS ", row->name);
	put_versions(&policy, out);
	fputs("\n", out);
	for (list = 0; list < TLS_POLICY_LISTS; list++) {
		if (!policy.count[list])
			continue;
		fprintf(out, "- %s: ", list_titles[list]);
		put_names(row->lists[list], ":/", out);
		fputs("\n", out);
	}
	fprintf(out, "- Source: %s\n", row->source);
}

void policy_doc_write_markdown(FILE *out)
{
	size_t i;

	fputs("# Security policies\n\n"
	      "Made from `userspace/tls/policies.def` by `tools/gen-man`: change that.\n\n"
	      "A security policy says which versions, ciphers, key exchange groups and signature "
	      "algorithms of TLS may be used. `listeners[].tls.policy` names the one towards "
	      "clients, `target_groups[].tls.policy` the one towards targets; both are `default` if "
	      "nothing is said. Policies of your own are `security_policies`, see "
	      "sluice.yaml(5).\n\n"
	      "Names that begin with `ELBSecurityPolicy-` may be written without that. Ciphers, "
	      "suites and signature algorithms are in order of preference. Of the groups the first "
	      "one is taken for which the client has sent a key share, else the first one that it "
	      "has.\n\n"
	      "`sluicectl policies show NAME` prints a policy as it is in force: what the OpenSSL on "
	      "that host lacks (3DES, usually, and a FIPS module) is not offered, and said so there, "
	      "in the log and by `sluiced --check`. A FIPS policy restricts the algorithms to those "
	      "that are approved; without the module it is not a validated implementation.\n\n"
	      "Connections under TLS 1.0 and 1.1, and those whose cipher is no AES-GCM or "
	      "ChaCha20-Poly1305, cost more memory and time: OpenSSL keeps their records.\n\n"
	      "Own policies never change: another list is another row, with another date; `default` "
	      "moves on. The lists of the others are from the documents that `Source` names. The "
	      "guides of Elastic Load Balancing and of Alibaba Cloud list no signature algorithms "
	      "and no groups (but for the post-quantum ones): there these are sluice's. "
	      "`ELBSecurityPolicy-TLS13-1-2-Ext0-RFC9151-FIPS-2023-07` is left out: no list of its "
	      "ciphers was found.\n\n"
	      "| Policy | TLS | forward secrecy only | post-quantum | FIPS | also called |\n"
	      "|---|---|---|---|---|---|\n",
		out);
	for (i = 0; i < tls_policy_n_rows; i++)
		put_markdown_row(&tls_policy_rows[i], out);
	fputs("\n## What they hold\n", out);
	for (i = 0; i < tls_policy_n_rows; i++)
		put_markdown_policy(&tls_policy_rows[i], out);
}

/* --- mdoc */
static void put_man_names(const char *names, const char *separators, FILE *out)
{
	size_t len;

	for (; *names; names += len + (names[len] != '\0')) {
		len = strcspn(names, separators);
		fprintf(out, ".Li %.*s\n", (int)len, names);
		if (names[len] == '/')
			fputs("and if the client has none of these:\n", out);
	}
}

static void put_man_policy(const struct tls_policy_row *row, FILE *out)
{
	struct tls_policy policy = policy_of(row);
	enum tls_policy_list list;

	fprintf(out, ".It Ic %s\n", row->name);
	if (*row->aliases) {
		fputs(".Em Also called :\n", out);
		put_man_names(row->aliases, " ", out);
		fputs(".br\n", out);
	}
	fputs("TLS ", out);
	put_versions(&policy, out);
	fputs(".\n", out);
	for (list = 0; list < TLS_POLICY_LISTS; list++) {
		if (!policy.count[list])
			continue;
		fprintf(out, ".br\n.Em %s :\n", list_titles[list]);
		put_man_names(row->lists[list], ":/", out);
	}
}

void policy_doc_write_man(FILE *out)
{
	size_t i;

	fputs(".\\\" Made from userspace/tls/policies.def by tools/gen-man: change that.\n"
	      ".Dd November 22, 2026\n"
	      ".Dt SLUICE-POLICIES 7\n"
	      ".Os\n"
	      ".Sh NAME\n"
	      ".Nm sluice-policies\n"
	      ".Nd security policies of sluice\n"
	      ".Sh DESCRIPTION\n"
	      "A security policy says which versions, ciphers, key exchange groups and signature\n"
	      "algorithms of TLS may be used.\n"
	      "Listeners and target groups name one with\n"
	      ".Ic tls.policy\n"
	      "in\n"
	      ".Xr sluice.yaml 5 ,\n"
	      "where policies of your own can be made, too.\n"
	      ".Ql sluicectl policies\n"
	      "lists them with what the OpenSSL of this host lacks of each.\n"
	      ".Pp\n"
	      "Names that begin with\n"
	      ".Li ELBSecurityPolicy-\n"
	      "may be written without that.\n"
	      "Lists are in order of preference.\n"
	      "Of the groups the first one is taken for which the client has sent a key share, else\n"
	      "the first one that it has.\n"
	      ".Pp\n"
	      "A policy with FIPS in its name restricts the algorithms to those that are approved.\n"
	      "Without a validated module in OpenSSL it is not a validated implementation.\n"
	      ".Sh POLICIES\n"
	      ".Bl -tag -width Ds\n",
		out);
	for (i = 0; i < tls_policy_n_rows; i++)
		put_man_policy(&tls_policy_rows[i], out);
	fputs(".El\n"
	      ".Sh SEE ALSO\n"
	      ".Xr sluicectl 1 ,\n"
	      ".Xr sluice.yaml 5 ,\n"
	      ".Xr sluiced 8\n",
		out);
}
