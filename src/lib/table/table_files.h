/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files behind the tables and lists that a configuration names: FILE.lmdb of hash:FILE, the
 * text of pcre:FILE, the "/file" in mynetworks and what that names in turn. The master watches
 * them, and a role that reads them again while it is confined must be allowed to.
 */
#pragma once

#include "base/arena.h"
#include "config/config.h"

#include <sys/stat.h>

/* Who reads a file: bits. */
enum table_use {
    TABLE_USE_SERVER = 1, /* smtpd_...: receives mail */
    TABLE_USE_CLIENT = 2, /* smtp_..., lmtp_...: delivers over the network */
    TABLE_USE_KEYS = 8,   /* tls_server_sni_maps */
    TABLE_USE_COMMON = 4, /* everything else: addresses, routing, content */
};

struct table_file {
    struct table_file *next;
    const char *path;
    const char *source; /* the text that it was made from; or NULL */
    unsigned uses;
    struct stat seen; /* for whoever watches; zero at first */
};

struct table_files {
    struct arena arena;
    struct table_file *first;
    size_t count;
};

/* Also looks into the list files, for tables and files that they name. */
void table_files_find(struct table_files *files, const struct config *config);
void table_files_clear(struct table_files *files);
/* The folders that they are in, each once, ended by NULL; in the files' arena. */
const char *const *table_files_folders(struct table_files *files);
