/*
 * Watching folders: see certwatch.h. A folder that is reached by two paths (through a link) has one
 * watch of the kernel and two of ours, which are told of each event. A link on the way to a file is
 * watched in its folder, and told as if the file's folder had been touched.
 */
#define LOG_MODULE "certificates"
#include "control/certwatch.h"

#include "core/hash.h"
#include "core/log.h"
#include "core/mem.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
	BUCKETS = 4096,
	EVENT_BYTES = 64 * 1024,
	TOUCHED_MAX = 50000, /* then all is looked at again: it costs less */
	LINKS_MAX = 40, /* on one path, as the kernel has it */
	FOLDER_EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE |
			IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
};

struct folder {
	struct folder *next_wd, *next_path; /* in their buckets */
	int wd;
	uint32_t generation; /* in which it was asked for last */
	char *only; /* the name of a link in the folder: nothing else counts; NULL: everything does */
	char path[]; /* of the folder; of a link: the folder that is told */
};

struct certwatch {
	int fd;
	struct folder *by_wd[BUCKETS], *by_path[BUCKETS];
	struct build_touched *touched;
	size_t n_touched, room;
	uint32_t generation;
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
			free(folder->only);
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

static bool is_text_eq(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* `wd` -1: any. */
static struct folder *find(struct certwatch *watch, const char *path, const char *only, int wd)
{
	struct folder *folder = *path_bucket(watch, path, strlen(path));

	while (folder && (strcmp(folder->path, path) != 0 || !is_text_eq(folder->only, only) ||
				 (wd >= 0 && folder->wd != wd)))
		folder = folder->next_path;
	return folder;
}

static struct folder *find_folder(struct certwatch *watch, const char *path)
{
	return find(watch, path, NULL, -1);
}

static bool is_watched(const struct certwatch *watch, int wd)
{
	const struct folder *folder = watch->by_wd[(unsigned int)wd % BUCKETS];

	while (folder && folder->wd != wd)
		folder = folder->next_wd;
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
	if (!is_watched(watch, folder->wd)) /* fails where the kernel has let go of it first */
		inotify_rm_watch(watch->fd, folder->wd);
	free(folder->only);
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

static void add_entry(struct certwatch *watch, int wd, const char *path, const char *only)
{
	size_t len = strlen(path);
	struct folder *folder = mem_alloc(sizeof(*folder) + len + 1), **bucket;

	folder->wd = wd;
	folder->generation = watch->generation;
	folder->only = only ? mem_strdup(only) : NULL;
	memcpy(folder->path, path, len + 1);
	bucket = path_bucket(watch, path, len);
	folder->next_path = *bucket;
	*bucket = folder;
	bucket = &watch->by_wd[(unsigned int)wd % BUCKETS];
	folder->next_wd = *bucket;
	*bucket = folder;
}

static void add_path(struct certwatch *watch, const char *path)
{
	struct folder *folder = find_folder(watch, path);
	int wd = inotify_add_watch(watch->fd, path, FOLDER_EVENTS);

	if (wd < 0) {
		tell_failure(watch, path, errno);
		return;
	}
	if (folder && folder->wd == wd) {
		folder->generation = watch->generation;
		return;
	}
	add_entry(watch, wd, path, NULL);
	if (folder) /* another folder has its name now */
		drop_folder(watch, folder);
}

/* What happens to `name` in `folder` is told as if it happened in `told`. */
static void add_link(
	struct certwatch *watch, const char *folder, const char *name, const char *told)
{
	int wd = inotify_add_watch(watch->fd, *folder ? folder : "/", FOLDER_EVENTS);
	struct folder *same;

	if (wd < 0) {
		tell_failure(watch, folder, errno);
		return;
	}
	same = find(watch, told, name, wd);
	if (same)
		same->generation = watch->generation;
	else
		add_entry(watch, wd, told, name);
}

/* A path, component by component, as the kernel goes it. */
struct way {
	char done[PATH_MAX], rest[PATH_MAX]; /* `done`: without links; "" is "/" */
};

/* False: there is no more. */
static bool take_component(struct way *way, char ret_name[NAME_MAX + 1])
{
	const char *at = way->rest + strspn(way->rest, "/");
	size_t len = strcspn(at, "/");

	if (!len || len > NAME_MAX)
		return false;
	memcpy(ret_name, at, len);
	ret_name[len] = '\0';
	memmove(way->rest, at + len, strlen(at + len) + 1);
	return true;
}

/* False: it is too long. */
static bool go_on(struct way *way, const char *name)
{
	size_t used = strlen(way->done);
	char *slash = strrchr(way->done, '/');

	if (!strcmp(name, "..")) {
		if (slash)
			*slash = '\0';
		return true;
	}
	return !strcmp(name, ".") || snprintf(way->done + used, sizeof(way->done) - used, "/%s",
					     name) < (int)(sizeof(way->done) - used);
}

/* What a link says comes next. 1: it is one, 0: it is none, -1: the path is too long. */
static int take_link(struct way *way, const char *name)
{
	char path[PATH_MAX + NAME_MAX + 2], target[PATH_MAX], rest[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s", way->done, name);
	len = readlink(path, target, sizeof(target) - 1);
	if (len <= 0)
		return 0;
	target[len] = '\0';
	if (snprintf(rest, sizeof(rest), "%s/%s", target, way->rest) >= (int)sizeof(rest))
		return -1;
	if (target[0] == '/')
		way->done[0] = '\0';
	memcpy(way->rest, rest, sizeof(rest));
	return 1;
}

/* Links on the way to a file or directory, and the folder in which it really is. */
static void add_links(struct certwatch *watch, const char *path, const char *told)
{
	char name[NAME_MAX + 1], before[PATH_MAX], *slash;
	struct way way = {.done = ""};
	unsigned int n = 0;
	int is_link;

	if (path[0] != '/' || strlen(path) >= sizeof(way.rest))
		return;
	snprintf(way.rest, sizeof(way.rest), "%s", path);
	while (take_component(&way, name)) {
		memcpy(before, way.done, sizeof(before));
		is_link = take_link(&way, name);
		if (is_link < 0 || (is_link && ++n > LINKS_MAX) || (!is_link && !go_on(&way, name)))
			return;
		if (is_link)
			add_link(watch, before, name, told);
	}
	slash = strrchr(way.done, '/');
	if (!n || !slash)
		return;
	*slash = '\0';
	add_link(watch, way.done, slash + 1, told);
}

void certwatch_add_folder(struct certwatch *watch, const char *directory, const char *folder)
{
	char *path = *folder ? mem_printf("%s/%s", directory, folder) : mem_strdup(directory);

	add_path(watch, path);
	free(path);
}

static char *folder_of(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash > file ? mem_strndup(file, (size_t)(slash - file)) : mem_strdup("/");
}

void certwatch_add_file(struct certwatch *watch, const char *file)
{
	char *path = folder_of(file);

	add_path(watch, path);
	add_links(watch, file, path);
	free(path);
}

void certwatch_add_directory(struct certwatch *watch, const char *directory)
{
	size_t len = strlen(directory);
	char *path, *above;

	while (len > 1 && directory[len - 1] == '/')
		len--;
	path = mem_strndup(directory, len);
	above = folder_of(path);
	add_path(watch, above);
	add_links(watch, path, path);
	free(above);
	free(path);
}

void certwatch_begin(struct certwatch *watch)
{
	watch->generation++;
}

void certwatch_end(struct certwatch *watch)
{
	struct folder *folder, *next;
	size_t i;

	for (i = 0; i < BUCKETS; i++)
		for (folder = watch->by_wd[i]; folder; folder = next) {
			next = folder->next_wd;
			if (folder->generation != watch->generation)
				drop_folder(watch, folder);
		}
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

static void tell(struct certwatch *watch, const struct folder *folder, const char *name)
{
	if (!folder->only)
		touch(watch, folder->path, name, *name && was_folder(watch, folder->path, name));
	else if (!*name || !strcmp(folder->only, name))
		touch(watch, folder->path, "", false);
}

static void note_event(struct certwatch *watch, const struct inotify_event *event)
{
	const char *name = event->len ? event->name : "";
	struct folder *folder, *next;

	bool is_all = event->mask & IN_Q_OVERFLOW || watch->n_touched >= TOUCHED_MAX;

	if (is_all)
		touch(watch, NULL, NULL, false);
	/* Its own mode and times say nothing about what is in it; and it has no name. */
	if (!*name && !(event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)))
		return;
	for (folder = watch->by_wd[(unsigned int)event->wd % BUCKETS]; folder; folder = next) {
		next = folder->next_wd;
		if (folder->wd != event->wd)
			continue;
		if (!is_all)
			tell(watch, folder, name);
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
