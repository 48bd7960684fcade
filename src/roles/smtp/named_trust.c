/* SPDX-License-Identifier: Apache-2.0 */
#include "named_trust.h"

#include "table/table_walk.h"

enum { FILES_MAX = 200 };

static void read_file(struct named_trust *trust, struct str path)
{
    struct trust_files *files = arena_new(trust->arena, sizeof *files);
    struct error error;

    if (path.len == 0 || map_find(trust->by_path, path) != NULL)
        return;
    if (map_count(trust->by_path) >= FILES_MAX)
        log_warning(trust->log, "more than %d trust anchor files; %.*s is left out", FILES_MAX,
                    STR_ARGS(path));
    else if (trust_files_read(trust->arena, path, files, &error))
        map_set(trust->by_path, arena_copy(trust->arena, path), files);
    else
        log_warning(trust->log, "%s", error.message);
}

/* Every word behind "tafile=", also in braces: { tafile = /a, /b }. */
static void hear_policy(void *argument, struct str text)
{
    static const struct str name = STR_INIT("tafile");
    struct named_trust *trust = argument;

    for (; text.len > name.len; text = str_skip(text, 1)) {
        if (!str_starts_with_fold(text, name))
            continue;
        struct str rest = str_trim(str_skip(text, name.len)), path;
        if (!str_starts_with(rest, STR("=")))
            continue;
        rest = str_skip(rest, 1);
        struct str list = str_cut(&rest, "}");
        while (str_next_word(&list, ", \t\r\n", &path) && path.ptr[0] == '/')
            read_file(trust, path);
    }
}

void named_trust_init(struct named_trust *trust, struct arena *arena, const struct log_context *log)
{
    *trust = (struct named_trust){ .arena = arena, .log = log, .by_path = map_new() };
}

void named_trust_clear(struct named_trust *trust)
{
    if (trust->by_path != NULL)
        map_free(&trust->by_path);
}

void named_trust_read(struct named_trust *trust, struct str maps)
{
    table_walk(maps, hear_policy, trust);
}

const struct trust_files *named_trust_find(const struct named_trust *trust, struct str path)
{
    return map_find(trust->by_path, path);
}
