/* Files of access logs: see access_file.h. */
#include "control/access_file.h"

#include "control/logfile.h"
#include "core/mem.h"

#include <stdlib.h>

void access_file_free(struct access_file *file)
{
	logfile_free(file->file);
	shared_fini(&file->output.shared);
	free(file->output.rings);
	free(file->path);
	free(file);
}

/* Maybe on a worker's thread, which must not wait for a disk. */
static void let_go(struct shared *shared)
{
	struct access_file *file = container_of(shared, struct access_file, output.shared);

	if (file->is_taken)
		atomic_store(&file->is_unused, true);
	else
		access_file_free(file);
}

struct access_file *access_file_new(const char *path, uint32_t n_workers)
{
	struct access_file *file = mem_zalloc(sizeof(*file));
	uint32_t i;

	shared_init(&file->output.shared, n_workers, let_go);
	file->path = mem_strdup(path);
	file->file = logfile_new("access log", n_workers);
	logfile_set_path(file->file, path);
	file->output.rings = mem_zalloc(n_workers * sizeof(struct linering *));
	for (i = 0; i < n_workers; i++)
		file->output.rings[i] = logfile_ring(file->file, i);
	return file;
}
