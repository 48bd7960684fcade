/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include "service/confinement.h"
#include "table/table_files.h"

#include <string.h>

static const char *const spool_folders[] = { "store", NULL };

/* The folders of its tables, and main.cf's, where a reload may add some. */
static const char *const *readable_folders(const struct service *service, struct table_files *files)
{
    const char *const *of_tables = table_files_folders(files);
    size_t count = 0;

    while (of_tables[count] != NULL)
        count++;
    const char **folders = arena_new_array(&files->arena, count + 2, sizeof *folders);
    memcpy(folders, of_tables, count * sizeof *folders);
    folders[count] = arena_text(&files->arena, service->source->folder);
    return folders;
}

/* No sockets of its own, no programs; the committer is a thread. A new configuration, or a table
 * that changed, makes it read its tables again. */
bool queue_confine(struct service *service, struct error *error)
{
    struct table_files files = { 0 };

    table_files_find(&files, service->config);
    bool is_confined = confinement_apply(
        service,
        &(struct confinement){ .rights = CONFINEMENT_THREADS,
                               .spool_folders = spool_folders,
                               .readable_folders = readable_folders(service, &files) },
        error);
    table_files_clear(&files);
    return is_confined;
}
