/*
 * Watches the folders of certificates, bundles of CAs and CRLs with inotify. Folders are added while they are looked
 * through, before their files are, so that nothing that happens meanwhile is missed; what has
 * happened is collected until somebody has dealt with it. All on the loader thread, but for the descriptor,
 * on which the control thread may wait.
 */
#ifndef SLUICE_CONTROL_CERTWATCH_H
#define SLUICE_CONTROL_CERTWATCH_H

#include "control/build.h"
#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>

struct certwatch;

int certwatch_new(struct certwatch **ret_watch, struct err *err) must_check;
/* NULL is ignored. */
void certwatch_free(struct certwatch *watch);
/* Becomes readable when something happens. */
int certwatch_fd(const struct certwatch *watch);

/* A folder below a directory ("": itself). That it cannot be watched goes to the log, once. */
void certwatch_add_folder(struct certwatch *watch, const char *directory, const char *folder);
/* The folder in which the file is, and every link on the way to it. */
void certwatch_add_file(struct certwatch *watch, const char *path);
/* The directory's own place: it may be replaced as a whole, or be reached through links. */
void certwatch_add_directory(struct certwatch *watch, const char *directory);
/* Watches that are asked for from here on are those of another configuration ... */
void certwatch_begin(struct certwatch *watch);
/* ... which is in force: the others end. */
void certwatch_end(struct certwatch *watch);

/* As if anything might have been touched; that alone makes nothing readable. */
void certwatch_touch_all(struct certwatch *watch);
/* What was touched since certwatch_forget(), the same maybe more than once; the list is the caller's
 * to free(), its texts live until certwatch_forget(). */
size_t certwatch_look(struct certwatch *watch, struct build_touched **ret_touched);
void certwatch_forget(struct certwatch *watch);

#endif
