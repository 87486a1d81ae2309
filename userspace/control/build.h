/*
 * A generation: everything that one configuration says, as objects of the rooms. build_new() makes it
 * aside, taking over from the generation before whatever is the same (sockets, targets with their health
 * and pools, statistics, certificates whose files are unchanged, TLS contexts), and touches nothing in
 * use. Made by the loader thread, put in force by the control thread, a snapshot for workers (listeners).
 */
#ifndef SLUICE_CONTROL_BUILD_H
#define SLUICE_CONTROL_BUILD_H

#include "control/build_admin.h"
#include "control/build_renew.h"
#include "control/config.h"
#include "control/lists.h"
#include "dataplane/dp_gate.h"
#include "gate/gate.h"
#include "proxy/health.h"
#include "proxy/listener.h"
#include <sys/stat.h>

struct access_file;
struct cert;
struct certdir;
struct certindex;
struct certstore;
struct certwatch;
struct ids;
struct resolver;
struct tls_client;
struct tls_server;
struct tls_ticket_keys;
struct tls_tickets;
struct tls_trust;
struct upgrade_taken;

/* Tells whether a file is another than it was. */
struct file_identity {
	struct timespec mtime;
	ino_t inode;
	off_t size;
};

struct built_cert {
	struct cert *cert; /* one pair */
	struct certdir *dir; /* or a directory of pairs */
	uint16_t bits_wanted; /* of security, by the strictest of the listeners that have it */
	char *fault; /* why `cert` is not what its files are now; NULL: it is */
};

/* The files as they were when they were read. */
struct built_trust {
	struct tls_trust *trust;
	uint64_t ca_identity, *crl_identities;
	char *fault; /* why `trust` is not what its files are now; NULL: it is */
};

/* Keys of session tickets from a file. */
struct built_tickets {
	struct tls_ticket_keys *keys; /* counted; NULL: there is no file, they are this node's */
	uint64_t identity;
	char *fault;
};

struct built_group {
	struct target_group *group;
	struct tls_client *tls; /* of the group; NULL: plain */
	struct file_identity ca_file;
	char *ca_fault; /* why `tls` is not what its files are now; NULL: it is */
	struct check_spec *check;
	struct target **targets; /* in the order of the configuration; counted */
	uint32_t n_targets;
	uint32_t n_left_out; /* of those that names stand for: there were no more rows */
};

struct built_listener {
	struct listener *listener;
	struct tls_server *tls;
	struct certstore *certs; /* NULL: no TLS */
	struct listener_socket **sockets; /* counted */
	uint32_t n_sockets;
	struct gate_policy
		*policy; /* counted; NULL: nothing is asked of its clients' first bytes */
	uint8_t limits_generation;
};

struct build {
	struct listener **listeners; /* what workers read: begins the structure they see */
	uint32_t n_listeners;
	uint64_t generation;
	struct gate_listener *gate_listeners; /* for workers' gates */
	uint32_t n_gate_listeners;
	struct lists_config *lists; /* taken over when the build is put in force */
	bool has_cookie_secret;
	struct dp_cookie_secret cookie_secret;
	int64_t loaded_unix_s;
	uint64_t names_version; /* resolver_version(): what the names of targets stand for */
	struct config *config;
	struct built_cert *certs;        /* as config->certificates */
	bool is_incomplete; /* some files could not be looked at: look again some time */
	bool has_other_dirs; /* directories of certificates: than the generation before, or the index */
	bool has_other_groups; /* a renewal: than the generation before */
	struct access_file **access_files; /* one for each path; counted */
	uint32_t n_access_files;
	struct built_trust *trusts; /* as config->trust_stores */
	struct built_tickets tickets;
	struct built_admin admin;
	struct built_group *groups; /* as config->target_groups */
	struct built_listener *built; /* as config->listeners */
};

/* What the one who asked for a change has said of it, over the configuration. Zeroed: nothing. */
struct build_how {
	bool has_existing;
	enum config_existing existing; /* for listeners[].tls.existing, this once */
	bool is_dry_run; /* nothing comes of it: what is found goes to no log */
};

/* What outlives generations. */
struct build_env {
	uint32_t n_workers;
	struct tls_tickets *tickets;
	struct ids *target_ids, *socket_ids, *listener_ids; /* rows of the packet plane */
	const struct certindex *cert_index; /* for the first generation; NULL: none */
	struct certwatch *cert_watch; /* told which folders have certificates; NULL: nobody is */
	struct resolver *resolver; /* NULL: names of targets stand for nothing */
	struct upgrade_taken *taken; /* what another process gives; NULL: there is none */
	const struct list *departing; /* departing.h; NULL: there are none */
};

/* Takes over `config` (also when it fails: then it is freed). `before` and `how` may be NULL. 0, or
 * -EINVAL with the reasons in `errors`. */
int build_new(const struct build_env *env, const struct build *before, struct config *config,
	const struct build_how *how, struct build **ret_build,
	struct config_errors *errors) must_check;
/* Opens every file that `config` (which stays the caller's) names and makes all it can without
 * binding a socket: what `sluiced --check` promises. 0, or -EINVAL with the reasons. */
int build_try(const struct config *config, struct config_errors *errors) must_check;

/* Lets go of its certificates; any thread, nobody else uses it; then of all the rest (NULL is ignored). */
void build_drop_certs(struct build *build);
void build_free(struct build *build);
/* Frees the rows of listeners and sockets (with `targets`, of targets, too, but for departing ones) that are
 * in `build` but not in `other` (NULL: none is). */
void build_release_ids(const struct build *build, const struct build *other,
	const struct build_env *env, bool targets);
union addr build_addr(const struct config_address *address);
/* First flights of its connections go to the gate. */
bool build_is_gated(const struct config_listener *wanted);
bool build_has_target(const struct build *build, const struct target *target);

#endif
