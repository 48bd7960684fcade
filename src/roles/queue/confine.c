/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include "service/confinement.h"
#include "table/table_files.h"

static const char *const spool_folders[] = { "store", NULL };

/* No sockets of its own, no programs; the committer is a thread. A new configuration, or a table
 * that changed, makes it read its tables again. */
bool queue_confine(struct service *service, struct error *error)
{
    struct table_files files = { 0 };

    table_files_find(&files, service->config);
    bool is_confined =
        confinement_apply(service,
                          &(struct confinement){ .rights = CONFINEMENT_THREADS,
                                                 .spool_folders = spool_folders,
                                                 .readable_folders = table_files_folders(&files) },
                          error);
    table_files_clear(&files);
    return is_confined;
}
