/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_files.h"

#include "base/file.h"
#include "config/parameter.h"
#include "table/table_source.h"

#include <unistd.h>

enum { LIST_BYTES_MAX = 64 << 20, NESTING_MAX = 5, FILES_MAX = 2000 };

/* Where "/file" is a list of entries and not just a path. */
static const char *const lists[] = {
    "authorized_flush_users",
    "authorized_mailq_users",
    "authorized_submit_users",
    "debug_peer_list",
    "fast_flush_domains",
    "local_header_rewrite_clients",
    "lmtp_connection_cache_destinations",
    "masquerade_exceptions",
    "mydestination",
    "mynetworks",
    "permit_mx_backup_networks",
    "relay_domains",
    "smtp_connection_cache_destinations",
    "smtp_sasl_mechanism_filter",
    "smtpd_authorized_verp_clients",
    "smtpd_authorized_xclient_hosts",
    "smtpd_authorized_xforward_hosts",
    "smtpd_client_event_limit_exceptions",
    "smtpd_forbid_bare_newline_exclusions",
    "smtpd_forbid_unauth_pipelining_exclusions",
    "smtpd_log_access_permit_actions",
    "smtpd_sasl_exceptions_networks",
    "smtpd_sasl_mechanism_filter",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
};

/* What the mail system writes itself, and what repeats the values of others. */
static const char *const left_out[] = {
    "address_verify_map",
    "lmtp_sasl_auth_cache_name",
    "lmtp_tls_session_cache_database",
    "postscreen_cache_map",
    "proxy_read_maps",
    "proxy_write_maps",
    "smtp_sasl_auth_cache_name",
    "smtp_tls_session_cache_database",
    "smtpd_tls_session_cache_database",
    NULL,
};

static void add_path(struct table_files *files, const char *path, const char *source, unsigned uses)
{
    for (struct table_file *each = files->first; each != NULL; each = each->next)
        if (strcmp(each->path, path) == 0) {
            each->uses |= uses;
            return;
        }
    if (files->count == FILES_MAX)
        return;
    struct table_file *file = arena_new(&files->arena, sizeof *file);
    *file =
        (struct table_file){ .next = files->first, .path = path, .source = source, .uses = uses };
    files->first = file;
    files->count++;
}

static bool is_one_of(struct str text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (str_equal(text, str_from(*words)))
            return true;
    return false;
}

/* "hash:/etc/postfix/access" */
static void add_table(struct table_files *files, struct str word, unsigned uses)
{
    static const char *const in_lmdb[] = { "hash", "btree", "lmdb", NULL };
    static const char *const in_text[] = { "texthash", "cidr", "pcre", "regexp", "sqlite", NULL };
    struct str name = word, type = str_cut(&name, ":");
    const char *path = arena_text(&files->arena, name);

    if (str_equal(type, STR("unix")))
        add_path(files, str_starts_with(name, STR("group")) ? "/etc/group" : "/etc/passwd", NULL,
                 uses);
    if (name.len == 0 || name.ptr[0] != '/')
        return;
    if (is_one_of(type, in_text))
        add_path(files, path, NULL, uses);
    else if (str_equal(type, STR("cdb")))
        add_path(files, arena_printf(&files->arena, "%s.cdb", path), path, uses);
    else if (is_one_of(type, in_lmdb)) {
        const char *made = arena_printf(&files->arena, "%s.lmdb", path);
        add_path(files, made, path, uses);
        /* In place of Berkeley DB's file the text itself is read. */
        if (access(made, F_OK) != 0)
            add_path(files, path, NULL, uses);
    }
}

/* Ahead of its place: lists include words, and words lists. */
static void add_words(struct table_files *files, struct str text, unsigned uses, int depth);

/* A list file is looked into the first time that it is met. */
static void add_list(struct table_files *files, struct str word, unsigned uses, int depth)
{
    autofree_buf struct buf text = { 0 };
    autoclear_arena struct arena scratch = { 0 };
    const char *path = arena_text(&files->arena, word);
    size_t count = files->count;
    struct table_source source = { 0 };
    struct error unused;
    struct str line;
    int number;

    add_path(files, path, NULL, uses);
    if (files->count == count || depth == NESTING_MAX ||
        !file_read(path, LIST_BYTES_MAX, &text, &unused))
        return;
    source.rest = buf_str(&text);
    while (table_source_line(&scratch, &source, &line, &number))
        add_words(files, line, uses, depth + 1);
}

/* `depth` 0: not a list, "/file" means nothing. */
static void add_words(struct table_files *files, struct str text, unsigned uses, int depth)
{
    struct str word;

    while (str_next_word(&text, ", \t\r\n{}", &word)) {
        while (word.len > 0 && word.ptr[0] == '!')
            word = str_skip(word, 1);
        while (str_starts_with(word, STR("proxy:")))
            word = str_skip(word, 6);
        if (depth > 0 && word.len > 0 && word.ptr[0] == '/')
            add_list(files, word, uses, depth);
        else if (str_find_byte(word, ':') > 0)
            add_table(files, word, uses);
    }
}

static bool is_list(struct str name)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (str_equal(name, str_from(lists[i])))
            return true;
    return false;
}

static unsigned use_of(struct str name)
{
    if (str_equal(name, STR("tls_server_sni_maps")))
        return TABLE_USE_KEYS;
    if (str_starts_with(name, STR("smtp_")) || str_starts_with(name, STR("lmtp_")))
        return TABLE_USE_CLIENT;
    return str_starts_with(name, STR("smtpd_")) ? TABLE_USE_SERVER : TABLE_USE_COMMON;
}

static void add_classes(struct table_files *files, const struct config *config)
{
    struct str rest = STR(""), name, value;

    (void)config_find(config, STR("smtpd_restriction_classes"), &rest);
    while (str_next_word(&rest, ", \t\r\n", &name))
        if (config_find(config, name, &value))
            add_words(files, value, TABLE_USE_SERVER, 0);
}

void table_files_find(struct table_files *files, const struct config *config)
{
    for (size_t i = 0; i < parameter_count; i++) {
        struct str name = parameters[i].name, value;
        if (is_one_of(name, left_out) || !config_find(config, name, &value))
            continue;
        if (parameters[i].type == PARAMETER_TEXT || parameters[i].type == PARAMETER_RAW)
            add_words(files, value, use_of(name), is_list(name));
    }
    add_classes(files, config);
    if (str_starts_with(config->bounce_template_file, STR("/")))
        add_path(files, arena_text(&files->arena, config->bounce_template_file), NULL,
                 TABLE_USE_COMMON);
    const struct master_cf *master_cf = &config->source->master_cf;
    for (size_t i = 0; i < master_cf->count; i++) {
        const struct master_service *service = &master_cf->services[i];
        for (size_t k = 0; k < service->override_count; k++) {
            const struct service_override *override = &service->overrides[k];
            if (is_one_of(override->name, left_out))
                continue;
            add_words(files, override->value, use_of(override->name), is_list(override->name));
        }
    }
}

void table_files_clear(struct table_files *files)
{
    arena_clear(&files->arena);
    *files = (struct table_files){ 0 };
}

const char *const *table_files_folders(struct table_files *files)
{
    const char **folders = arena_new_array(&files->arena, files->count + 1, sizeof *folders);
    size_t count = 0;

    for (const struct table_file *file = files->first; file != NULL; file = file->next) {
        struct str path = str_from(file->path);
        ptrdiff_t slash = str_find_last_byte(path, '/');
        if (slash <= 0)
            continue;
        const char *folder = arena_text(&files->arena, str_take(path, (size_t)slash));
        if (!is_one_of(str_from(folder), folders))
            folders[count++] = folder;
    }
    return folders;
}
