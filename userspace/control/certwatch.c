/*
 * Watching folders: see certwatch.h. A folder that is reached by two paths (through a link) has one
 * watch of the kernel and two of ours, which are told of each event.
 */
#define LOG_MODULE "certificates"
#include "control/certwatch.h"

#include "core/hash.h"
#include "core/log.h"
#include "core/mem.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
	BUCKETS = 4096,
	EVENT_BYTES = 64 * 1024,
	TOUCHED_MAX = 50000, /* then all is looked at again: it costs less */
	FOLDER_EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE |
			IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
};

struct folder {
	struct folder *next_wd, *next_path; /* in their buckets */
	int wd;
	char path[];
};

struct certwatch {
	int fd;
	struct folder *by_wd[BUCKETS], *by_path[BUCKETS];
	struct build_touched *touched;
	size_t n_touched, room;
	bool has_failed; /* and it was told */
};

int certwatch_new(struct certwatch **ret_watch, struct err *err)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct certwatch *watch;

	if (fd < 0)
		return err_set(err, -errno, "cannot watch files: %s", strerror(errno));
	watch = mem_zalloc(sizeof(*watch));
	watch->fd = fd;
	*ret_watch = watch;
	return 0;
}

void certwatch_free(struct certwatch *watch)
{
	struct folder *folder;
	size_t i;

	if (!watch)
		return;
	certwatch_forget(watch);
	for (i = 0; i < BUCKETS; i++)
		while ((folder = watch->by_wd[i])) {
			watch->by_wd[i] = folder->next_wd;
			free(folder);
		}
	close(watch->fd);
	free(watch);
}

int certwatch_fd(const struct certwatch *watch)
{
	return watch->fd;
}

/* --- folders */
static struct folder **path_bucket(struct certwatch *watch, const char *path, size_t len)
{
	static const struct hash_key key = {7, 8};

	return &watch->by_path[hash_bytes(&key, path, len) % BUCKETS];
}

static struct folder *find_folder(struct certwatch *watch, const char *path)
{
	struct folder *folder = *path_bucket(watch, path, strlen(path));

	while (folder && strcmp(folder->path, path) != 0)
		folder = folder->next_path;
	return folder;
}

static void drop_folder(struct certwatch *watch, struct folder *folder)
{
	struct folder **link = path_bucket(watch, folder->path, strlen(folder->path));

	while (*link != folder)
		link = &(*link)->next_path;
	*link = folder->next_path;
	link = &watch->by_wd[(unsigned int)folder->wd % BUCKETS];
	while (*link != folder)
		link = &(*link)->next_wd;
	*link = folder->next_wd;
	free(folder);
}

static void tell_failure(struct certwatch *watch, const char *path, int error)
{
	if (watch->has_failed || error == ENOENT || error == ENOTDIR)
		return;
	watch->has_failed = true;
	log_warn("cannot watch %s%s: %s%s: what changes in folders like this is seen at the next "
		 "reload only",
		path, error == ENOSPC ? " and others" : "", strerror(error),
		error == ENOSPC ? " (raise the sysctl fs.inotify.max_user_watches)" : "");
}

static void add_path(struct certwatch *watch, const char *path)
{
	struct folder *folder = find_folder(watch, path), **bucket;
	int wd = inotify_add_watch(watch->fd, path, FOLDER_EVENTS);
	size_t len = strlen(path);

	if (wd < 0) {
		tell_failure(watch, path, errno);
		return;
	}
	if (folder && folder->wd == wd)
		return;
	if (folder) /* another folder has its name now */
		drop_folder(watch, folder);
	folder = mem_alloc(sizeof(*folder) + len + 1);
	folder->wd = wd;
	memcpy(folder->path, path, len + 1);
	bucket = path_bucket(watch, path, len);
	folder->next_path = *bucket;
	*bucket = folder;
	bucket = &watch->by_wd[(unsigned int)wd % BUCKETS];
	folder->next_wd = *bucket;
	*bucket = folder;
}

void certwatch_add_folder(struct certwatch *watch, const char *directory, const char *folder)
{
	char *path = *folder ? mem_printf("%s/%s", directory, folder) : mem_strdup(directory);

	add_path(watch, path);
	free(path);
}

void certwatch_add_file(struct certwatch *watch, const char *file)
{
	const char *slash = strrchr(file, '/');
	char *path = slash > file ? mem_strndup(file, (size_t)(slash - file)) : mem_strdup("/");

	add_path(watch, path);
	free(path);
}

/* --- events */
static void touch(struct certwatch *watch, const char *folder, const char *name, bool was_folder)
{
	const struct build_touched *last =
		watch->touched && watch->n_touched ? &watch->touched[watch->n_touched - 1] : NULL;

	if (last && (!last->folder ||
			    (folder && !strcmp(last->folder, folder) && !strcmp(last->name, name))))
		return;
	if (!watch->touched || watch->n_touched == watch->room) {
		watch->room = watch->room ? 2 * watch->room : 16;
		watch->touched = mem_realloc(watch->touched, watch->room * sizeof(*watch->touched));
	}
	watch->touched[watch->n_touched++] = (struct build_touched){
		folder ? mem_strdup(folder) : NULL, folder ? mem_strdup(name) : NULL, was_folder};
}

void certwatch_touch_all(struct certwatch *watch)
{
	touch(watch, NULL, NULL, false);
}

void certwatch_forget(struct certwatch *watch)
{
	size_t i;

	for (i = 0; i < watch->n_touched; i++) {
		free((char *)watch->touched[i].folder);
		free((char *)watch->touched[i].name);
	}
	free(watch->touched);
	watch->touched = NULL;
	watch->n_touched = watch->room = 0;
}

static bool was_folder(struct certwatch *watch, const char *folder, const char *name)
{
	char *path = mem_printf("%s/%s", folder, name);
	bool is_known = find_folder(watch, path);

	free(path);
	return is_known;
}

static void note_event(struct certwatch *watch, const struct inotify_event *event)
{
	const char *name = event->len ? event->name : "";
	struct folder *folder, *next;

	if (event->mask & IN_Q_OVERFLOW || watch->n_touched >= TOUCHED_MAX) {
		touch(watch, NULL, NULL, false);
		return;
	}
	/* Its own mode and times say nothing about what is in it; and it has no name. */
	if (!*name && !(event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)))
		return;
	for (folder = watch->by_wd[(unsigned int)event->wd % BUCKETS]; folder; folder = next) {
		next = folder->next_wd;
		if (folder->wd != event->wd)
			continue;
		touch(watch, folder->path, name, *name && was_folder(watch, folder->path, name));
		if (event->mask & IN_IGNORED)
			drop_folder(watch, folder);
	}
}

static void read_events(struct certwatch *watch)
{
	_Alignas(struct inotify_event) char bytes[EVENT_BYTES];
	const struct inotify_event *event;
	ssize_t got;
	char *at;

	while ((got = read(watch->fd, bytes, sizeof(bytes))) > 0)
		for (at = bytes; at < bytes + got; at += sizeof(*event) + event->len) {
			event = (const struct inotify_event *)at;
			note_event(watch, event);
		}
}

size_t certwatch_look(struct certwatch *watch, struct build_touched **ret_touched)
{
	size_t bytes;

	read_events(watch);
	bytes = watch->n_touched * sizeof(**ret_touched);
	*ret_touched = mem_alloc(bytes);
	if (bytes)
		memcpy(*ret_touched, watch->touched, bytes);
	return watch->n_touched;
}
