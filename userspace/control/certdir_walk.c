/* Pairs below a directory: see certdir_walk.h. */
#include "control/certdir_walk.h"

#include "core/hash.h"
#include "core/mem.h"
#include "core/slice.h"
#include "tls/files.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PATH_BYTES = 4096,
	FOLDERS_MAX = 250000, /* links to each other are paths without end; so is "/" */
	PAIRS_MAX = 1000000,
};

/* By preference: the first that is there is the certificate of its stem. */
enum file_kind { FILE_CRT, FILE_PEM, FILE_CER, FILE_KEY, FILE_OTHER };

static const char *const endings[] = {".crt", ".pem", ".cer", ".key"};

/* The files of one name in a folder. */
struct stem {
	const char *name;
	uint16_t len;
	uint8_t kinds, links; /* bits by enum file_kind */
	bool is_certbot;
};

struct folder {
	const char *path; /* below the directory; "" for itself */
	int fd;
	const struct folder *above;
	dev_t device;
	ino_t inode;
	uint32_t depth;
	struct stem *stems;
	uint32_t n_stems, room;
	uint32_t *table; /* number of a stem + 1 */
	uint32_t mask;
	char **below; /* names of folders */
	uint32_t n_below;
	bool has_fullchain, has_privkey, has_tls_crt;
};

struct walk {
	const char *directory;
	bool deep;
	certdir_folder *seen;
	void *arg;
	struct found_pairs *found;
	uint32_t n_folders;
};

bool certdir_is_gone(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -ELOOP;
}

/* --- names */
static enum file_kind kind_of(const char *name, size_t *ret_stem_len)
{
	size_t len = strlen(name);
	enum file_kind kind;

	*ret_stem_len = len > 4 ? len - 4 : 0;
	for (kind = FILE_CRT; len > 4 && kind < FILE_OTHER; kind++)
		if (!strcmp(name + len - 4, endings[kind]))
			return kind;
	return FILE_OTHER;
}

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
	size_t i;

	for (i = 0; i < n && strcmp(name, names[i]) != 0; i++)
		;
	return i < n;
}

/* Names whose meaning depends on others in the folder. */
static const char *const special[] = {
	"fullchain.pem", "privkey.pem", "cert.pem", "chain.pem", "ca.crt", "tls.crt"};

static bool is_special(const char *name)
{
	return is_one_of(name, special, array_len(special));
}

static bool is_passed_over(const struct folder *folder, const char *name)
{
	static const char *const certbot[] = {"cert.pem", "chain.pem", "privkey.pem"};

	if (folder->has_fullchain && folder->has_privkey)
		return is_one_of(name, certbot, array_len(certbot));
	return folder->has_tls_crt && !strcmp(name, "ca.crt");
}

/* --- one folder */
static uint32_t *stem_slot(const struct folder *folder, const char *name, size_t len)
{
	static const struct hash_key key = {1, 2}; /* whoever writes here has better targets */
	uint32_t at = (uint32_t)hash_bytes(&key, name, len) & folder->mask;
	const struct stem *stem;

	for (; folder->table[at]; at = (at + 1) & folder->mask) {
		stem = &folder->stems[folder->table[at] - 1];
		if (stem->len == len && !memcmp(stem->name, name, len))
			break;
	}
	return &folder->table[at];
}

static void grow(struct folder *folder)
{
	uint32_t i;

	folder->room = folder->room ? 2 * folder->room : 16;
	folder->stems = mem_realloc(folder->stems, folder->room * sizeof(*folder->stems));
	free(folder->table);
	folder->mask = 2 * folder->room - 1;
	folder->table = mem_zalloc(2 * folder->room * sizeof(*folder->table));
	for (i = 0; i < folder->n_stems; i++)
		*stem_slot(folder, folder->stems[i].name, folder->stems[i].len) = i + 1;
}

static void note_file(struct walk *walk, struct folder *folder, const char *name, bool is_link)
{
	size_t len;
	enum file_kind kind = kind_of(name, &len);
	uint32_t *slot;

	if (kind == FILE_OTHER)
		return;
	if (folder->n_stems == folder->room)
		grow(folder);
	slot = stem_slot(folder, name, len);
	if (!*slot) {
		folder->stems[folder->n_stems++] =
			(struct stem){found_pairs_text(walk->found, "", name, len, ""),
				(uint16_t)len, 0, 0, false};
		*slot = folder->n_stems;
	}
	folder->stems[*slot - 1].kinds |= (uint8_t)(1u << kind);
	folder->stems[*slot - 1].links |= (uint8_t)(is_link << kind);
	folder->has_fullchain |= !strcmp(name, "fullchain.pem");
	folder->has_privkey |= !strcmp(name, "privkey.pem");
	folder->has_tls_crt |= !strcmp(name, "tls.crt");
}

static void note_folder(struct folder *folder, const char *name)
{
	folder->below = mem_realloc(folder->below, (folder->n_below + 1) * sizeof(char *));
	folder->below[folder->n_below++] = mem_strdup(name);
}

/* What a link leads to, maybe a folder, cannot be looked at. Files are looked at again. */
static void note_unknown(
	struct walk *walk, const struct folder *folder, const char *name, int error)
{
	size_t len;

	if (kind_of(name, &len) == FILE_OTHER)
		found_pairs_unseen(walk->found,
			found_pairs_text(walk->found, folder->path, name, strlen(name), ""), error);
}

static void note_entry(struct walk *walk, struct folder *folder, const struct dirent *entry)
{
	struct stat about;
	bool is_link = entry->d_type == DT_LNK;
	unsigned char type = entry->d_type;

	if (entry->d_name[0] == '.')
		return;
	if (type == DT_LNK || type == DT_UNKNOWN) {
		if (fstatat(folder->fd, entry->d_name, &about, 0) == 0)
			type = S_ISDIR(about.st_mode) ? DT_DIR : DT_REG;
		else if (!certdir_is_gone(-errno))
			note_unknown(walk, folder, entry->d_name, -errno);
	}
	if (type == DT_DIR)
		note_folder(folder, entry->d_name);
	else
		note_file(walk, folder, entry->d_name, is_link);
}

/* Identity 0: it is not there (any more). -errno: who knows. */
static int identity_in(const struct folder *folder, const char *file, uint64_t *ret_identity)
{
	const char *name = strrchr(file, '/');
	struct stat about;

	*ret_identity = 0;
	if (fstatat(folder->fd, name ? name + 1 : file, &about, 0) == 0)
		*ret_identity = tls_file_identity(&about);
	else if (!certdir_is_gone(-errno))
		return -errno;
	return 0;
}

static void look_at_files(struct walk *walk, const struct folder *folder, struct found_pair *pair)
{
	int r = identity_in(folder, pair->cert_file, &pair->identity);

	pair->key_identity = pair->identity;
	if (r == 0 && pair->key_file != pair->cert_file)
		r = identity_in(folder, pair->key_file, &pair->key_identity);
	pair->error = r;
	if (r < 0)
		pair->fault = found_pairs_reason(walk->found, "cannot be looked at", r);
}

static const char *fault_of(const struct stem *stem, enum file_kind cert, uint64_t identity)
{
	if (cert == FILE_KEY)
		return "there is no certificate for this key: a file of the same name that ends in "
		       ".crt, .pem or .cer";
	if (!identity && stem->links & 1u << cert)
		return "is a link to a file that is not there";
	return NULL;
}

/* Certificate and key of a stem. A file that has just gone is no pair. */
static void add_stem(struct walk *walk, const struct folder *folder, const struct stem *stem)
{
	enum file_kind cert = FILE_CRT;
	struct found_pair pair = {0};

	while (!(stem->kinds & 1u << cert))
		cert++;
	pair.cert_file =
		found_pairs_text(walk->found, folder->path, stem->name, stem->len, endings[cert]);
	if (stem->is_certbot)
		pair.key_file = found_pairs_text(walk->found, folder->path, "privkey", 7, ".pem");
	else if (cert != FILE_KEY && stem->kinds & 1u << FILE_KEY)
		pair.key_file =
			found_pairs_text(walk->found, folder->path, stem->name, stem->len, ".key");
	else
		pair.key_file = pair.cert_file;
	look_at_files(walk, folder, &pair);
	if (!pair.fault)
		pair.fault = fault_of(stem, cert, pair.identity);
	pair.is_lone_key = cert == FILE_KEY;
	if (pair.identity || pair.fault)
		*found_pairs_add(walk->found) = pair;
}

static void pass_over(const struct folder *folder, struct stem *stem)
{
	char name[PATH_BYTES];
	enum file_kind kind;

	for (kind = FILE_CRT; kind < FILE_OTHER; kind++) {
		snprintf(name, sizeof(name), "%.*s%s", (int)stem->len, stem->name, endings[kind]);
		if (is_passed_over(folder, name))
			stem->kinds &= (uint8_t)~(1u << kind);
	}
}

static void add_stems(struct walk *walk, struct folder *folder)
{
	bool is_certbot = folder->has_fullchain && folder->has_privkey;
	struct stem *stem;
	uint32_t i;

	for (i = 0; i < folder->n_stems; i++) {
		stem = &folder->stems[i];
		if (is_certbot || folder->has_tls_crt)
			pass_over(folder, stem);
		stem->is_certbot = is_certbot && stem->len == 9 &&
				   !memcmp(stem->name, "fullchain", 9) &&
				   stem->kinds == 1u << FILE_PEM;
		if (stem->kinds)
			add_stem(walk, folder, stem);
	}
}

static void folder_fini(struct folder *folder)
{
	uint32_t i;

	if (folder->fd >= 0)
		close(folder->fd);
	for (i = 0; i < folder->n_below; i++)
		free(folder->below[i]);
	free(folder->below);
	free(folder->stems);
	free(folder->table);
}

static int folder_open(struct folder *folder, int above_fd, const char *name)
{
	struct stat about;

	folder->fd = openat(above_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	if (folder->fd < 0 || fstat(folder->fd, &about) < 0)
		return -errno;
	folder->device = about.st_dev;
	folder->inode = about.st_ino;
	return 0;
}

static int read_folder(struct walk *walk, struct folder *folder)
{
	int fd = fcntl(folder->fd, F_DUPFD_CLOEXEC, 0);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	int r = -errno;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (errno = 0, (entry = readdir(dir)))
		note_entry(walk, folder, entry);
	r = -errno;
	closedir(dir);
	return r;
}

static int walk_folder(struct walk *walk, struct folder *folder);

static bool is_loop(const struct folder *folder)
{
	const struct folder *above;

	for (above = folder->above; above; above = above->above)
		if (above->device == folder->device && above->inode == folder->inode)
			return true;
	return false;
}

static int walk_folder(struct walk *walk, struct folder *folder);

/* False: the walk ends here. */
static bool may_enter(struct walk *walk, const struct folder *folder)
{
	if (is_loop(folder))
		found_pairs_fault(walk->found, folder->path, "leads back to a folder above it");
	else if (folder->depth > CERTDIR_DEPTH_MAX)
		found_pairs_fault(walk->found, folder->path, "lies too deep: at most 8 folders");
	else
		return true;
	return false;
}

static void walk_below(struct walk *walk, const struct folder *folder, const char *name)
{
	char *path = found_pairs_text(walk->found, folder->path, name, strlen(name), "");
	struct folder below = {.path = path, .fd = -1, .above = folder, .depth = folder->depth + 1};
	int r = folder_open(&below, folder->fd, name);

	if (r == 0 && may_enter(walk, &below))
		r = walk_folder(walk, &below);
	if (r < 0 && !certdir_is_gone(r))
		found_pairs_unseen(walk->found, path, r);
	folder_fini(&below);
}

static bool is_too_much(struct walk *walk)
{
	if (walk->n_folders++ < FOLDERS_MAX && walk->found->n < PAIRS_MAX)
		return false;
	if (!walk->found->is_cut)
		found_pairs_fault(walk->found, CERTDIR_ROOT_PLACE,
			"more than 250000 folders, or 1000000 files, are below it: only the first "
			"ones are looked at");
	walk->found->is_cut = true;
	return true;
}

static int walk_folder(struct walk *walk, struct folder *folder)
{
	uint32_t i;
	int r;

	if (is_too_much(walk))
		return 0;
	if (walk->seen)
		walk->seen(walk->arg, folder->path);
	r = read_folder(walk, folder);
	if (r < 0) /* a part of it would be other pairs than the whole */
		return r;
	add_stems(walk, folder);
	for (i = 0; walk->deep && i < folder->n_below && !walk->found->is_cut; i++)
		walk_below(walk, folder, folder->below[i]);
	return 0;
}

/* From the directory down to the folder, which comes last: loops and depth count from the top. */
struct descent {
	struct folder folders[CERTDIR_DEPTH_MAX + 2];
	uint32_t n;
};

static int descend(struct walk *walk, struct descent *descent, const char *folder_path)
{
	struct folder *folder = &descent->folders[0], *above;
	const char *name = folder_path, *end = folder_path;
	size_t len;
	int r;

	*folder = (struct folder){.path = "", .fd = -1};
	descent->n = 1;
	r = folder_open(folder, AT_FDCWD, walk->directory);
	while (r == 0 && *end && descent->n < CERTDIR_DEPTH_MAX + 2) {
		end = strchrnul(name, '/');
		len = (size_t)(end - name);
		above = folder;
		folder = &descent->folders[descent->n++];
		*folder = (struct folder){.fd = -1, .above = above, .depth = above->depth + 1};
		folder->path = found_pairs_text(
			walk->found, "", folder_path, (size_t)(end - folder_path), "");
		r = folder_open(
			folder, above->fd, found_pairs_text(walk->found, "", name, len, ""));
		name = end + 1;
	}
	return r;
}

static void descent_fini(struct descent *descent)
{
	while (descent->n)
		folder_fini(&descent->folders[--descent->n]);
}

int certdir_walk(const char *directory, const char *folder_path, bool deep, certdir_folder *seen,
	void *arg, struct found_pairs *found)
{
	struct walk walk = {directory, deep, seen, arg, found, 0};
	struct descent descent;
	struct folder *last;
	int r = descend(&walk, &descent, folder_path);

	last = &descent.folders[descent.n - 1];
	if (r == 0 && may_enter(&walk, last))
		r = walk_folder(&walk, last);
	if (r == 0) {
		found->root_device = descent.folders[0].device;
		found->root_inode = descent.folders[0].inode;
	}
	descent_fini(&descent);
	return r;
}

/* --- one name */
enum certdir_touch certdir_touch_of(const char *name)
{
	size_t len;

	if (!strcmp(name, "..data")) /* Kubernetes has exchanged everything behind it */
		return TOUCH_ALL;
	if (name[0] == '.')
		return TOUCH_NOTHING;
	if (is_special(name))
		return TOUCH_SPECIAL;
	return kind_of(name, &len) == FILE_OTHER ? TOUCH_BELOW : TOUCH_STEM;
}

static int list_kinds(const struct folder *folder, struct stem *stem)
{
	char file[PATH_BYTES];
	enum file_kind kind;
	struct stat about;

	for (kind = FILE_CRT; kind < FILE_OTHER; kind++) {
		snprintf(file, sizeof(file), "%.*s%s", (int)stem->len, stem->name, endings[kind]);
		if (fstatat(folder->fd, file, &about, AT_SYMLINK_NOFOLLOW) < 0) {
			if (!certdir_is_gone(-errno))
				return -errno;
			continue;
		}
		if (S_ISDIR(about.st_mode))
			continue;
		stem->kinds |= (uint8_t)(1u << kind);
		stem->links |= (uint8_t)(S_ISLNK(about.st_mode) << kind);
	}
	return 0;
}

int certdir_find_stem(
	const char *directory, const char *folder_path, const char *name, struct found_pairs *found)
{
	struct walk walk = {.directory = directory, .found = found};
	struct stem stem = {.name = name};
	struct descent descent;
	struct folder *last;
	size_t len;
	int r;

	kind_of(name, &len);
	stem.len = (uint16_t)len;
	r = descend(&walk, &descent, folder_path);
	last = &descent.folders[descent.n - 1];
	if (r == 0 && may_enter(&walk, last))
		r = list_kinds(last, &stem);
	if (r == 0 && stem.kinds)
		add_stem(&walk, last, &stem);
	descent_fini(&descent);
	return r;
}

void certdir_places_of(const char *folder, const char *name,
	void (*place)(void *arg, const char *place), void *arg)
{
	char path[2 * PATH_BYTES];
	enum file_kind kind;
	size_t len;

	if (kind_of(name, &len) == FILE_OTHER)
		return;
	for (kind = FILE_CRT; kind < FILE_OTHER; kind++) {
		snprintf(path, sizeof(path), "%s%s%.*s%s", folder, *folder ? "/" : "", (int)len,
			name, endings[kind]);
		place(arg, path);
	}
}

void certdir_special_places(
	const char *folder, void (*place)(void *arg, const char *place), void *arg)
{
	size_t i;

	for (i = 0; i < array_len(special); i++)
		certdir_places_of(folder, special[i], place, arg);
}
