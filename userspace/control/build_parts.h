/* What the files of build share; nobody else includes it. See build.h. */
#ifndef SLUICE_CONTROL_BUILD_PARTS_H
#define SLUICE_CONTROL_BUILD_PARTS_H

#include "control/build.h"
#include "control/certdir.h"

struct build_doors;
struct tls_client_auth_spec;
struct tls_headers;

/* How the certificates of one entry differ from those of the generation before. */
struct building_certs {
	struct certdir_changes changes;
	uint16_t bits_useful, bits_wanted; /* the least and the most that a listener needs */
	const struct config_listener *strictest; /* one that needs the most; NULL: unused */
	bool is_known; /* else it did not have the entry, or another one */
};

struct building {
	const struct build_env *env;
	const struct build *before; /* NULL: the first */
	struct build *build;        /* under way */
	struct config_errors *errors;
	struct build_how how;
	bool is_trial; /* build_try(): it is looked at as hard as can be */
	bool is_patient; /* of a renewal: what does not fit together is waited for */
	struct build_renewal *renewal;
	uint64_t closed_by_ms; /* clock_mono_ms(): no address is waited for any more; 0: none was */
	bool is_renewal; /* of certificates only: what is to be said of the rest was said */
	struct build_doors *doors; /* while listeners are built; NULL for a renewal */
	struct building_certs *certs; /* as config->certificates */
};

/* Each fills its part of the build as far as it can and adds an error for what it cannot. */
void build_certs(struct building *building);
/* What the listeners ask of them; build_certs() does it itself. */
void build_certs_init(struct building *building);
/* Whether one of the configuration's pairs may be what it is now, and replace `old` (NULL: none). */
int build_check_pair(const struct building *building, uint32_t index, const struct cert *cert,
	const struct cert *old, struct err *err) must_check;
void build_certs_end(struct building *building);
/* Where a pair is: the same file twice for PKCS#12. */
static inline const char *build_cert_path(const struct config_certificate *wanted)
{
	return wanted->pkcs12_path ? wanted->pkcs12_path : wanted->cert_path;
}

static inline const char *build_key_path(const struct config_certificate *wanted)
{
	return wanted->pkcs12_path ? wanted->pkcs12_path : wanted->key_path;
}

/* One pair of files. `may_be_away`: as in struct cert_spec. */
int build_load_cert(const struct config_certificate *wanted, bool may_be_away,
	struct cert **ret_cert, struct err *err) must_check;
/* Its files are those that it was made of; of a key in a token: the file with the PIN. */
bool build_is_same_cert(const struct cert *cert, const struct config_certificate *wanted);
void build_certs_free(struct build *build);
/* The store of a listener: that of the generation before, a changed one, or another. */
int build_store(struct building *building, const struct config_listener *wanted,
	struct certstore **ret_store, struct err *err) must_check;
void build_trusts(struct building *building);
void build_groups(struct building *building);
void build_listeners_tls(struct building *building);
void build_listeners(struct building *building);
/* Of a generation that differs in certificates only: the same, or another where they did change. */
void build_renew_groups(struct building *building);
void build_renew_listener(struct building *building, const struct config_listener *wanted,
	const struct built_listener *old, struct built_listener *ret_listener);
/* The protocols a TLS listener offers by ALPN; static, or the configuration's. */
void build_alpn(const struct config_listener *wanted, const char *const **ret_names, size_t *ret_n);
void build_policy(struct building *building, const struct config_listener *wanted,
	struct built_listener *listener);
void build_cookie_secret(struct building *building);
void build_lists(struct building *building);
/* The policies of listeners that have one, after their TLS contexts. */
void build_gates(struct building *building);
/* The target group of each route; the caller's to free(), the groups are not counted. */
struct target_group **build_route_groups(
	const struct build *build, const struct config_listener *wanted);
void build_gate_listeners(struct build *build);

/* build_terms.c: whom it lets in now, against before. */
void build_terms(const struct building *building, const struct config_listener *wanted,
	const struct built_listener *listener, struct listener_terms *ret_terms);

/* build_trust.c */
void build_trusts_free(struct build *build);
/* Those of the generation before, where no file was touched; the configuration is the same. */
void build_trusts_renew(struct building *building, const struct build_touched *touched, size_t n);
bool build_trusts_have_changed(const struct building *building);
/* build_renew.c: a name of its folder was touched; which one is not asked: through links ("..data") any
 * may lead to it, and a look costs two microseconds. */
bool build_is_file_touched(const struct build_touched *touched, size_t n, const char *file);
/* An error after which a file becomes good without anybody touching it: descriptors or memory are
 * used up, a disk or a server is away, its time has not come. */
bool build_is_passing(int error);
void build_client_auth(const struct build *build, const struct config_listener *wanted,
	struct tls_client_auth_spec *ret_spec);
bool build_is_same_client_auth(const struct build *before, const struct config_listener *was,
	const struct build *build, const struct config_listener *wanted);
/* build_tickets.c */
void build_tickets(struct building *building);
/* Where the file was touched; else those of the generation before. */
void build_tickets_renew(struct building *building, const struct build_touched *touched, size_t n);
bool build_tickets_have_changed(const struct building *building);
void build_tickets_free(struct build *build);
/* Whether what listeners tell their clients about tickets is the same. */
bool build_is_same_tickets(const struct build *before, const struct build *build);
/* build_headers.c: which listeners lead to the same targets, and what they tell them. */
struct build_doors *build_doors_new(const struct config *config);
void build_doors_free(struct build_doors *doors);
/* A listener of protocol tcp or tls that leads to targets which are told something: it cannot remove
 * what clients send under these names. False: there is nothing to say. */
bool build_doors_warning(const struct build_doors *doors, const struct config *config,
	const struct config_listener *wanted, struct err *ret_text);
/* The names are the configuration's; `removed` is the caller's to free. */
void build_tls_headers(const struct config *config, const struct build_doors *doors,
	const struct config_listener *wanted, struct tls_headers *ret_headers);
/* build_log.c: may the files of logs be written? Makes those of access logs (build_access.h). */
void build_log(struct building *building);

/* build_group_tls.c: terms of connections to targets. Fills `tls`, `ca_file`. */
void build_group_tls(struct building *building, const struct config_target_group *wanted,
	struct built_group *group);
/* NULL: refused. */
struct tls_client *build_check_tls(struct building *building,
	const struct config_target_group *wanted, const char *server_name);
bool build_check_has_same_tls(const struct building *building, const struct built_group *old,
	const struct config_target_group *wanted, const struct built_group *group);
/* A file was touched and `group->tls` made of it; else `ca_file`, `ca_fault` say what is known. */
bool build_group_tls_renewed(struct building *building, const struct config_target_group *wanted,
	const struct built_group *old, struct built_group *group);

void build_group_fini(struct built_group *group);
void build_listener_fini(struct built_listener *listener);

/* Zeros if the file cannot be looked at. */
void file_identity_read(const char *path, struct file_identity *ret_identity);
bool file_identity_eq(const struct file_identity *a, const struct file_identity *b);
bool build_text_eq(const char *a, const char *b); /* NULL equals NULL */
char *build_text_copy(const char *text); /* NULL stays NULL */

/* The same object of the generation before, or NULL. */
const struct built_group *build_before_group(const struct building *building, const char *name);
const struct built_listener *build_before_listener(
	const struct building *building, const char *name);

#endif
