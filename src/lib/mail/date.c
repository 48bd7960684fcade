/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/date.h"

#include <time.h>

/* Names of their own: strftime's follow the locale. */
static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static struct tm local_time(int64_t wall_s)
{
    time_t seconds = (time_t)wall_s;
    struct tm parts;

    if (localtime_r(&seconds, &parts) == NULL) {
        seconds = 0;
        gmtime_r(&seconds, &parts);
    }
    return parts;
}

/* Two digits, the first one `fill` where it would be zero. */
static void put_two(struct buf *out, int value, char fill)
{
    buf_append_byte(out, value >= 10 ? (char)('0' + value / 10 % 10) : fill);
    buf_append_byte(out, (char)('0' + value % 10));
}

static void put_clock(struct buf *out, const struct tm *parts)
{
    put_two(out, parts->tm_hour, '0');
    buf_append_byte(out, ':');
    put_two(out, parts->tm_min, '0');
    buf_append_byte(out, ':');
    put_two(out, parts->tm_sec, '0');
}

void date_format_mail(int64_t wall_s, struct buf *out)
{
    struct tm parts = local_time(wall_s);
    int offset_min = (int)(parts.tm_gmtoff / 60);
    int distance_min = offset_min < 0 ? -offset_min : offset_min;

    buf_append_text(out, days[parts.tm_wday]);
    buf_append(out, STR(", "));
    put_two(out, parts.tm_mday, '0');
    buf_append_byte(out, ' ');
    buf_append_text(out, months[parts.tm_mon]);
    buf_append_byte(out, ' ');
    buf_append_u64(out, (uint64_t)(parts.tm_year + 1900));
    buf_append_byte(out, ' ');
    put_clock(out, &parts);
    buf_append_text(out, offset_min < 0 ? " -" : " +");
    put_two(out, distance_min / 60, '0');
    put_two(out, distance_min % 60, '0');
    buf_append(out, STR(" ("));
    buf_append_text(out, parts.tm_zone);
    buf_append_byte(out, ')');
}

void date_format_syslog(int64_t wall_s, struct buf *out)
{
    struct tm parts = local_time(wall_s);

    buf_append_text(out, months[parts.tm_mon]);
    buf_append_byte(out, ' ');
    put_two(out, parts.tm_mday, ' ');
    buf_append_byte(out, ' ');
    put_clock(out, &parts);
}

void date_format_mailq(int64_t wall_s, struct buf *out)
{
    struct tm parts = local_time(wall_s);

    buf_append_text(out, days[parts.tm_wday]);
    buf_append_byte(out, ' ');
    date_format_syslog(wall_s, out);
}

void date_format_compact(int64_t wall_s, struct buf *out)
{
    time_t seconds = (time_t)wall_s;
    struct tm parts = { 0 };

    gmtime_r(&seconds, &parts);
    buf_append_u64(out, (uint64_t)(parts.tm_year + 1900));
    put_two(out, parts.tm_mon + 1, '0');
    put_two(out, parts.tm_mday, '0');
    put_two(out, parts.tm_hour, '0');
    put_two(out, parts.tm_min, '0');
    put_two(out, parts.tm_sec, '0');
}
