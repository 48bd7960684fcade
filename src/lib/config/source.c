/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "base/file.h"
#include "config/check.h"

/* No honest main.cf comes near; a device or a log file by mistake does. */
static const size_t file_limit_bytes = 16 << 20;

static bool read_text(struct config_source *source, const char *name, struct str *text,
                      const char **path, struct error *error)
{
    autofree_buf struct buf contents = { 0 };

    *path = arena_printf(&source->arena, "%.*s/%s", STR_ARGS(source->folder), name);
    if (!file_read(*path, file_limit_bytes, &contents, error))
        return false;
    *text = arena_copy(&source->arena, buf_str(&contents));
    return true;
}

static bool parse_both(struct config_source *source, const char *main_path, const char *master_path,
                       struct error *error)
{
    return main_cf_parse(&source->arena, main_path, source->main_text, &source->main_cf, error) &&
           master_cf_parse(&source->arena, master_path, source->master_text, &source->master_cf,
                           error);
}

bool config_source_read(const char *folder, void (*warning)(void *argument, const char *text),
                        void *argument, struct config_source *source, struct error *error)
{
    const char *main_path, *master_path;

    *source = (struct config_source){ 0 };
    source->folder = arena_copy(&source->arena, str_from(folder));
    machine_read(&source->arena, &source->machine);
    bool is_read = read_text(source, "main.cf", &source->main_text, &main_path, error) &&
                   read_text(source, "master.cf", &source->master_text, &master_path, error) &&
                   parse_both(source, main_path, master_path, error);
    if (!is_read) {
        config_source_free(source);
        return false;
    }
    if (warning != NULL)
        config_check_names(source, warning, argument);
    return true;
}

bool config_source_parse(const char *folder, struct str main_text, struct str master_text,
                         struct config_source *source, struct error *error)
{
    struct arena *arena = &source->arena;

    *source = (struct config_source){ 0 };
    source->folder = arena_copy(arena, str_from(folder));
    source->main_text = arena_copy(arena, main_text);
    source->master_text = arena_copy(arena, master_text);
    machine_read(arena, &source->machine);
    if (parse_both(source, arena_printf(arena, "%s/main.cf", folder),
                   arena_printf(arena, "%s/master.cf", folder), error))
        return true;
    config_source_free(source);
    return false;
}

void config_source_free(struct config_source *source)
{
    arena_clear(&source->arena);
    *source = (struct config_source){ 0 };
}

static void append_part(struct buf *out, struct str part)
{
    uint64_t len = part.len;

    buf_append(out, str_of((const char *)&len, sizeof len));
    buf_append(out, part);
}

static bool take_part(struct str *rest, struct str *part)
{
    uint64_t len;

    if (rest->len < sizeof len)
        return false;
    memcpy(&len, rest->ptr, sizeof len);
    *rest = str_skip(*rest, sizeof len);
    if (len > rest->len)
        return false;
    *part = str_take(*rest, len);
    *rest = str_skip(*rest, len);
    return true;
}

void config_source_save(const struct config_source *source, struct buf *out)
{
    autofree_buf struct buf machine = { 0 };

    machine_save(&source->machine, &machine);
    append_part(out, source->folder);
    append_part(out, buf_str(&machine));
    append_part(out, source->main_text);
    append_part(out, source->master_text);
}

bool config_source_load(struct str bytes, struct config_source *source, struct error *error)
{
    struct str parts[4];

    *source = (struct config_source){ 0 };
    for (size_t i = 0; i < 4; i++) {
        if (!take_part(&bytes, &parts[i])) {
            config_source_free(source);
            return error_set(error, "the copy of the configuration is cut short");
        }
        parts[i] = arena_copy(&source->arena, parts[i]);
    }
    source->folder = parts[0];
    source->main_text = parts[2];
    source->master_text = parts[3];
    const char *main_path = arena_printf(&source->arena, "%.*s/main.cf", STR_ARGS(parts[0]));
    const char *master_path = arena_printf(&source->arena, "%.*s/master.cf", STR_ARGS(parts[0]));
    bool is_loaded = machine_load(&source->arena, parts[1], &source->machine)
                         ? parse_both(source, main_path, master_path, error)
                         : error_set(error, "the copy of the configuration is damaged");
    if (!is_loaded)
        config_source_free(source);
    return is_loaded;
}
