/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a role gives up once it has opened what it needs: the superuser, the file system, new
 * privileges, other programs, and the system calls that it has no use for. After
 * confinement_apply a role that was taken over by a peer can do what its descriptors allow, and
 * little more.
 *
 * In this order: user and groups of mail_owner, an empty root directory, no_new_privs, not
 * dumpable, resource limits, Landlock (as much of it as the kernel knows; less is logged), and a
 * seccomp filter. Builds with sanitizers leave out the last two, which sanitizers cannot bear.
 */
#pragma once

#include "service/service.h"

enum confinement_right {
    CONFINEMENT_INET = 1,    /* new sockets to the network: smtp, resolver */
    CONFINEMENT_LOCAL = 2,   /* new Unix sockets: log, to a logger that came back */
    CONFINEMENT_THREADS = 4, /* new threads: queue, resolver */
};

struct confinement {
    unsigned rights; /* enum confinement_right bits */
    /* Folders below queue_directory that it may read and write, ended by NULL; NULL = none. With
     * folders, or with CONFINEMENT_LOCAL, the root directory stays the system's. */
    const char *const *spool_folders;
    /* With spool_folders: other folders, by their absolute names, that it may read only. */
    const char *const *readable_folders; /* or files */
    /* mail_owner's supplementary groups stay: what an operator lets it read by them. */
    bool keeps_groups;
};

/* Without root everything but the user and the root directory. */
must_check bool confinement_apply(struct service *service, const struct confinement *confinement,
                                  struct error *error);
