/*
 * The daemon: everything there is one of, owned by the control thread. Other files of this room
 * read it for views; only daemon*.c and apply.c change it.
 */
#ifndef SLUICE_CONTROL_DAEMON_H
#define SLUICE_CONTROL_DAEMON_H

#include "control/admin.h"
#include "control/build.h"
#include "control/connections.h"
#include "control/gates.h"
#include "control/leaving.h"
#include "control/loader.h"
#include "control/object_store.h"
#include "control/overview.h"
#include "control/overload.h"
#include "control/tallies.h"
#include "control/trust_upkeep.h"
#include "control/views_counts.h"
#include "control/watch.h"
#include "control/worker.h"
#include "control/worker_watch.h"
#include "core/snapshot.h"
#include "dataplane/dataplane.h"
#include "proxy/health.h"
#include "tls/certcache.h"

struct cert_upkeep;
struct events;
struct expiry;
struct http_client;
struct logs;
struct reload;
struct renewal;
struct resolver;
struct stapling;
struct upgrade;
struct upgrade_taken;
struct watchdog;

struct last_reload {
	int64_t at_unix_s; /* 0: none yet */
	bool refused;
	char error[512]; /* the first line; "": none. If not refused: what is not in force */
};

struct daemon {
	const char *config_path;
	struct iothread io; /* the control thread's: health checks run here */
	struct tls_thread *tls;
	struct loader *loader, *log_writer;
	struct dataplane *dataplane;
	struct admin *admin, *admin_remote,
		*admin_metrics; /* the last two: NULL, where there are none */
	struct health *health;
	struct build_env env;
	struct build *build; /* in force */
	struct snapshot_root root;
	struct proxy_node node;
	struct gate_node gate_node;
	struct gate_counts gate_before; /* what the gates of processes before this one counted */
	struct certcache_counts cert_cache_before; /* and their caches */
	struct gates *gates;
	struct lists *lists;
	struct worker *workers; /* env.n_workers */
	struct list departing;  /* struct departing; as it is while a generation is made */
	struct object_store objects; /* made through the admin API */
	struct reload *reload;  /* under way, NULL: none */
	struct list waiting_reloads; /* struct reload, that the API asked for */
	uint32_t n_waiting_reloads;
	size_t waiting_bytes; /* of the requests of all of them, and of the one under way */
	struct renewal *renewal;
	struct cert_upkeep *cert_upkeep;
	struct trust_upkeep trust_upkeep;
	struct logs *logs;
	struct http_client *http; /* asks other servers */
	struct resolver *resolver; /* of the names of targets */
	struct expiry *expiry;
	struct stapling *stapling;
	struct upgrade *upgrade; /* NULL: at the start and at the end */
	struct upgrade_taken *taken; /* from the process before; NULL: there was none */
	struct last_reload last_reload;
	struct counts counts; /* of listeners that are no more, for totals */
	struct watch_hub *watch; /* who watches drops */
	struct connections_hub *connections; /* who lists them */
	struct tallies tallies; /* what is counted, over the last seconds */
	struct overview overview;
	struct events *events; /* who listens for it */
	uint64_t listen_overflows_before; /* this start: the kernel counts on and on */
	struct watch signals;
	struct watchdog *watchdog;
	struct timer second; /* what happens about once a second */
	struct timer outliers; /* outliers.h */
	struct {
		struct timer timer;
		uint64_t until_ms; /* of the present step, loop_now_ms() */
		uint32_t timeout_ms;
		enum leaving_state state;
		bool has_signal; /* one came */
		bool is_handed_over; /* another process serves */
		uint32_t n_shut; /* times that the sockets were */
	} leaving;
	struct worker_watch worker_watch;
	struct overload overload;
	int64_t started_unix_s;
	uint64_t tickets_rotated_ms, cookies_rotated_ms, certs_swept_ms;
	bool wants_to_take_over; /* from a daemon that runs, if there is one */
	bool stopping; /* LEAVING_STOPPING, or later */
	int exit_status;
};

/* A new secret for SYN cookies signs from now on; the one before is believed for some minutes. */
void daemon_rotate_cookies(struct daemon *daemon);

/* Runs until a signal ends it. Returns the exit status. `config` is taken over. `takes_over`: from a daemon
 * that runs, if there is one. */
int daemon_run(const char *config_path, struct config *config, bool takes_over);
/* The last of the process: returns `status`, unless a thread is in a token's library. */
int daemon_end(int status);

#endif
