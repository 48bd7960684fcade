/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master.cf as it stands: one struct for each service line, see master(5).
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

enum service_type { SERVICE_INET, SERVICE_UNIX, SERVICE_UNIX_DGRAM, SERVICE_FIFO, SERVICE_PASS };

struct service_override {
    struct str name, value;
};

struct master_service {
    struct str name; /* "smtp", "127.0.0.1:2525", "out_default" */
    enum service_type type;
    bool is_private, is_unprivileged, is_chrooted;
    int wakeup_s;          /* 0 = never */
    bool is_wakeup_lazy;   /* "1000?" */
    int process_limit;     /* 0 = unlimited; -1 = default_process_limit ('-') */
    struct str columns[5]; /* private, unprivileged, chroot, wakeup, maxproc as written, for
                              postconf -M */
    struct str command;    /* "smtpd", "trivial-rewrite" */
    struct str *arguments; /* everything after the command, as words ({ … } unwrapped) */
    size_t argument_count;
    struct service_override *overrides; /* from -o */
    size_t override_count;
    int verbosity; /* number of -v */
    const char *file;
    int line;
};

struct master_cf {
    struct master_service *services; /* the last line of a name and type wins; earlier are gone */
    size_t count;
    struct master_service *lines; /* every line as it stands, for postconf and for warnings */
    size_t line_count;
};

/* "inet", "unix", "unix-dgram", "fifo", "pass". */
const char *service_type_name(enum service_type type);

must_check bool master_cf_parse(struct arena *arena, const char *file, struct str text,
                                struct master_cf *master_cf, struct error *error);
/* By name and type, e.g. the transport "out_default", SERVICE_UNIX; NULL when there is none. */
const struct master_service *master_cf_find(const struct master_cf *master_cf, struct str name,
                                            enum service_type type);
/* Whether there is a service of that name, of whatever type. */
bool master_cf_has_name(const struct master_cf *master_cf, struct str name);
