/* SPDX-License-Identifier: Apache-2.0 */
#include "postconf_file.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t file_limit_bytes = 16 << 20;

bool file_lines_read(struct arena *arena, const char *path, struct file_lines *lines,
                     struct error *error)
{
    autofree_buf struct buf contents = { 0 };
    size_t count = 1;

    *lines = (struct file_lines){ 0 };
    if (!file_read(path, file_limit_bytes, &contents, error))
        return false;
    if (contents.len > 0 && !str_ends_with(buf_str(&contents), STR("\n")))
        buf_append_byte(&contents, '\n');
    struct str rest = arena_copy(arena, buf_str(&contents));
    for (size_t i = 0; i < rest.len; i++)
        count += rest.ptr[i] == '\n';
    lines->items = arena_new_array(arena, count, sizeof *lines->items);
    while (!str_is_empty(rest)) {
        struct file_line *line = &lines->items[lines->count++];
        line->physical = str_take(rest, (size_t)str_find_byte(rest, '\n') + 1);
        rest = str_skip(rest, line->physical.len);
        struct str visible = str_trim(line->physical);
        if (str_is_empty(visible) || visible.ptr[0] == '#')
            line->logical = -1;
        else if (ascii_is_space(line->physical.ptr[0]) && lines->logical_count > 0)
            line->logical = lines->logical_count - 1;
        else
            line->logical = lines->logical_count++;
    }
    return true;
}

void file_lines_join(const struct file_lines *lines, int logical, struct buf *text)
{
    buf_clear(text);
    for (size_t i = 0; i < lines->count; i++)
        if (lines->items[i].logical == logical)
            buf_append(text, str_take(lines->items[i].physical, lines->items[i].physical.len - 1));
}

static bool write_draft(int fd, const char *draft, const struct stat *status, struct str text,
                        struct error *error)
{
    if (fchown(fd, status->st_uid, status->st_gid) < 0)
        return error_errno(error, "give %s to the owner of the old file", draft);
    if (fchmod(fd, status->st_mode & 07777) < 0)
        return error_errno(error, "change the mode of %s", draft);
    return fd_write_all(fd, text, draft, error) && fd_sync(fd, draft, error);
}

bool file_lines_write(const char *path, struct str text, struct error *error)
{
    char *target = realpath(path, NULL);
    struct stat status;

    if (target == NULL || stat(target, &status) < 0) {
        free(target);
        return error_errno(error, "find %s", path);
    }
    autofree_buf struct buf draft_name = { 0 };
    buf_printf(&draft_name, "%s.XXXXXX", target);
    char *draft = draft_name.ptr;
    autoclose int fd = mkostemp(draft, O_CLOEXEC);
    bool is_written = fd >= 0 ? write_draft(fd, draft, &status, text, error) &&
                                    rename_durably(draft, target, error)
                              : error_errno(error, "create %s", draft);
    if (fd >= 0 && !is_written)
        unlink(draft);
    free(target);
    return is_written;
}
