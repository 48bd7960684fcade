/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include "service/capabilities.h"

#include <sys/resource.h>
#include <unistd.h>

/* To become a user, to end what runs as one, to read tables that root alone does not own, and to
 * make a mailbox in a spool folder that only root writes to. */
static const unsigned kept[] = { CAP_SETUID,          CAP_SETGID, CAP_KILL,
                                 CAP_DAC_READ_SEARCH, CAP_CHOWN,  CAP_SYS_CHROOT };
static const unsigned bounding[] = { CAP_DAC_OVERRIDE, CAP_FOWNER,
                                     CAP_FSETID }; /* mail filters of old */

bool local_confine_as(struct service *service, bool changes_roots, struct error *error)
{
    const struct rlimit none = { 0, 0 };
    const struct capabilities capabilities = {
        .kept = kept,
        .kept_count = sizeof kept / sizeof kept[0] - (changes_roots ? 0 : 1),
        .bounding = bounding,
        .bounding_count = sizeof bounding / sizeof bounding[0],
    };

    setrlimit(RLIMIT_CORE, &none);
    if (geteuid() != 0) {
        log_info(&service->log_context, "without root, mail is delivered to this user alone");
        return true;
    }
    return capabilities_keep(&capabilities, error);
}
