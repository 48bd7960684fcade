/* SPDX-License-Identifier: Apache-2.0 */
/* postconf: how lines of main.cf and master.cf are shown. */
#include "postconf.h"

enum { LINE_COLUMNS = 80, INDENT_COLUMNS = 4 };
static const char blanks[] = " \t\r\n\v\f";

struct line {
    struct buf *out;
    size_t column;
    bool folds;
};

static void begin_next_line(struct line *line)
{
    buf_append_text(line->out, "\n    ");
    line->column = INDENT_COLUMNS;
}

/* Adds a word behind a blank, or on a line of its own where it does not fit any more. */
static void add_word(struct line *line, struct str word)
{
    if (line->folds && line->column + 1 + word.len > LINE_COLUMNS) {
        begin_next_line(line);
    } else {
        buf_append_byte(line->out, ' ');
        line->column++;
    }
    buf_append(line->out, word);
    line->column += word.len;
}

void postconf_lay_out_words(struct buf *out, struct str text, bool folds)
{
    struct line line = { out, out->len, folds };
    struct str word;

    while (str_next_word(&text, blanks, &word)) {
        if (out->len > 0) {
            add_word(&line, word);
            continue;
        }
        buf_append(out, word);
        line.column = word.len;
    }
}

static bool has_blank(struct str word)
{
    for (size_t i = 0; i < word.len; i++)
        if (strchr(blanks, word.ptr[i]) != NULL)
            return true;
    return word.len == 0;
}

static void append_argument(struct buf *out, struct str word)
{
    if (has_blank(word))
        buf_printf(out, "{%.*s}", STR_ARGS(word));
    else
        buf_append(out, word);
}

/* "-o name=value", also for what is written -oname=value; `next` is the first word behind it. */
static void add_override(struct line *line, const struct master_service *service, size_t *next)
{
    struct str word = service->arguments[(*next)++];
    autofree_buf struct buf text = { 0 };

    buf_append_text(&text, "-o");
    if (word.len > 2) {
        buf_append_byte(&text, ' ');
        append_argument(&text, str_skip(word, 2));
    } else if (*next < service->argument_count) {
        buf_append_byte(&text, ' ');
        append_argument(&text, service->arguments[(*next)++]);
    }
    if (line->folds) {
        begin_next_line(line);
        buf_append(line->out, buf_str(&text));
        line->column += text.len;
    } else {
        add_word(line, buf_str(&text));
    }
}

static void add_arguments(struct line *line, const struct master_service *service)
{
    bool is_option = true, had_override = false;
    size_t i = 0;

    while (i < service->argument_count) {
        struct str word = service->arguments[i];
        autofree_buf struct buf text = { 0 };
        is_option = is_option && word.len > 1 && word.ptr[0] == '-' && !str_equal(word, STR("--"));
        if (is_option && word.ptr[1] == 'o') {
            add_override(line, service, &i);
            had_override = true;
            continue;
        }
        append_argument(&text, word);
        if (had_override && line->folds) {
            begin_next_line(line);
            buf_append(line->out, buf_str(&text));
            line->column += text.len;
        } else {
            add_word(line, buf_str(&text));
        }
        had_override = false;
        i++;
    }
}

void postconf_lay_out_command(struct buf *out, const struct master_service *service)
{
    struct line line = { out, 0, false };

    buf_append(out, service->command);
    add_arguments(&line, service);
}

void postconf_lay_out_service(struct buf *out, const struct master_service *service, bool folds)
{
    static const size_t goals[] = { 11, 17, 25, 33, 41, 49, 57 };
    const struct str fields[] = {
        service->name,       str_from(service_type_name(service->type)),
        service->columns[0], service->columns[1],
        service->columns[2], service->columns[3],
        service->columns[4],
    };
    struct line line = { out, 0, folds };

    for (size_t i = 0; i < sizeof goals / sizeof *goals; i++) {
        buf_append(out, fields[i]);
        line.column += fields[i].len;
        do {
            buf_append_byte(out, ' ');
        } while (++line.column < goals[i]);
    }
    buf_append(out, service->command);
    line.column += service->command.len;
    add_arguments(&line, service);
    buf_append_byte(out, '\n');
}

static bool part_fits(struct str part, struct str name)
{
    return str_is_empty(part) || str_equal(part, STR("*")) || str_equal(part, name);
}

bool postconf_service_fits(const struct master_service *service, struct str pattern,
                           struct str *rest)
{
    struct str name = str_cut(&pattern, "/");
    struct str type = str_cut(&pattern, "/");

    *rest = pattern;
    return part_fits(name, service->name) &&
           part_fits(type, str_from(service_type_name(service->type)));
}
