/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include "mail/utf8.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { USUAL_COLUMNS = 80, USUAL_ROWS = 24 };

struct terminal terminal_of(int fd)
{
    const char *kind = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    struct terminal terminal = { .is_terminal = isatty(fd) == 1 };
    struct winsize size = { 0 };

    if (!terminal.is_terminal)
        return terminal;
    bool has_size = ioctl(fd, TIOCGWINSZ, &size) == 0;
    terminal.columns = has_size && size.ws_col > 0 ? size.ws_col : USUAL_COLUMNS;
    terminal.rows = has_size && size.ws_row > 0 ? size.ws_row : USUAL_ROWS;
    terminal.has_colours = (no_colour == NULL || no_colour[0] == '\0') && kind != NULL &&
                           strcmp(kind, "dumb") != 0;
    return terminal;
}

void terminal_colour(const struct terminal *terminal, enum colour colour, struct buf *out)
{
    static const char *const codes[] = {
        [COLOUR_PLAIN] = "\033[0m", [COLOUR_BOLD] = "\033[1m",  [COLOUR_DIM] = "\033[2m",
        [COLOUR_GOOD] = "\033[32m", [COLOUR_CARE] = "\033[33m", [COLOUR_BAD] = "\033[31m",
    };

    if (terminal->has_colours)
        buf_append_text(out, codes[colour]);
}

/* One column for each character; wide ones are rare in addresses and replies. */
static int put_text(struct str text, int columns, struct buf *out)
{
    int used = 0;

    while (text.len > 0) {
        struct str before = text;
        int32_t character = utf8_next(&text);
        if (columns > 0 && used == columns - 1 && text.len > 0) {
            buf_append_byte(out, '.');
            return columns;
        }
        if (character >= 0 && character != '\t' && utf8_is_harmless(character))
            buf_append(out, str_take(before, before.len - text.len));
        else
            buf_append_byte(out, '?');
        used++;
    }
    return used;
}

void terminal_text(struct str text, int columns, struct buf *out)
{
    (void)put_text(text, columns, out);
}

void terminal_field(struct str text, int columns, struct buf *out)
{
    for (int used = put_text(text, columns, out); used < columns; used++)
        buf_append_byte(out, ' ');
}

void terminal_duration(int64_t duration_s, struct buf *out)
{
    enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
    long long duration = duration_s > 0 ? duration_s : 0;

    if (duration < MINUTE)
        buf_printf(out, "%llds", duration);
    else if (duration < HOUR)
        buf_printf(out, "%lldm", duration / MINUTE);
    else if (duration < DAY)
        buf_printf(out, "%lldh%02lldm", duration / HOUR, duration % HOUR / MINUTE);
    else if (duration < 100 * DAY)
        buf_printf(out, "%lldd%02lldh", duration / DAY, duration % DAY / HOUR);
    else
        buf_printf(out, "%lldd", duration / DAY);
}

void terminal_size(uint64_t bytes, struct buf *out)
{
    static const char units[] = " KMGTPE";
    int unit = 0;
    uint64_t whole = bytes, rest = 0;

    for (; whole >= 1000 && unit < 6; unit++) {
        rest = whole % 1024 * 10 / 1024;
        whole /= 1024;
    }
    if (unit == 0)
        buf_printf(out, "%llu", (unsigned long long)whole);
    else if (whole < 10)
        buf_printf(out, "%llu.%llu%c", (unsigned long long)whole, (unsigned long long)rest,
                   units[unit]);
    else
        buf_printf(out, "%llu%c", (unsigned long long)whole, units[unit]);
}

void terminal_count(uint64_t count, const char *what, struct buf *out)
{
    buf_append_u64(out, count);
    buf_printf(out, " %s%s", what, count == 1 ? "" : "s");
}
