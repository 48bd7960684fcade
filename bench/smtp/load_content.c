/* SPDX-License-Identifier: Apache-2.0 */
#include "load_content.h"
#include "base/buf.h"
#include "base/memory.h"

#include <time.h>

/* Notifications, plain letters, newsletters with HTML, pictures: 16 KB in the mean, as half of
 * all mail is small and what is large has most of the bytes. */
static const char realistic[] = "1500x20,3000x24,6000x21,12000x15,25000x10,60000x6,150000x4";

enum { LINE_LEN = 78 };

static bool parse_share(struct str text, struct size_share *share)
{
    struct str bytes = str_cut(&text, "x");
    uint64_t size, weight = 1;

    if (!str_to_u64(bytes, &size) || size > CONTENT_MAX_BYTES ||
        (!str_is_empty(text) && (!str_to_u64(text, &weight) || weight == 0 || weight > 10000)))
        return false;
    *share = (struct size_share){ .bytes = size, .weight = (unsigned)weight };
    return true;
}

static bool parse_sizes(struct content *content, struct str sizes, struct error *error)
{
    if (str_equal(sizes, STR("realistic")))
        sizes = str_from(realistic);
    for (struct str word; str_next_word(&sizes, ",", &word);) {
        if (content->size_count == sizeof content->sizes / sizeof *content->sizes)
            return error_set(error, "too many sizes");
        struct size_share *share = &content->sizes[content->size_count++];
        if (!parse_share(word, share))
            return error_set(error, "a size is BYTES or BYTESxWEIGHT, not %.*s", STR_ARGS(word));
        content->total_weight += share->weight;
        if (share->bytes > content->filling_len)
            content->filling_len = share->bytes;
    }
    return content->size_count > 0 || error_set(error, "no size is given");
}

static void make_head(struct content *content)
{
    struct buf head = { 0 };
    char date[64];
    struct tm now;
    time_t seconds = time(NULL);

    gmtime_r(&seconds, &now);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &now);
    buf_printf(&head,
               "From: Bench <load@" MARK_DOMAIN ">\r\nTo: Sink <u0@d0." MARK_DOMAIN ">\r\n"
               "Subject: A message of bench-load\r\nDate: %s\r\nMessage-ID: <",
               date);
    content->message_id_at = head.len;
    buf_printf(&head, "%*s@" MARK_DOMAIN ">\r\n" MARK_HEADER, MARK_ID_LEN, "");
    content->mark_at = head.len;
    buf_printf(&head, "%*s %*s\r\n\r\n", MARK_ID_LEN, "", MARK_TIME_LEN, "");
    memcpy(content->head, buf_text(&head), head.len);
    content->head_len = head.len;
    buf_free(&head);
}

bool content_init(struct content *content, struct str sizes, struct error *error)
{
    *content = (struct content){ 0 };
    if (!parse_sizes(content, sizes, error))
        return false;
    make_head(content);
    content->filling = memory_new(content->filling_len + LINE_LEN);
    for (size_t i = 0; i < content->filling_len; i++) {
        size_t column = (content->filling_len - 1 - i) % LINE_LEN; /* ends with a whole line */
        content->filling[i] = column == 0   ? '\n'
                              : column == 1 ? '\r'
                                            : (char)('a' + (i * 7 + i / LINE_LEN) % 26);
    }
    return true;
}

void content_clear(struct content *content)
{
    memory_free(content->filling);
    *content = (struct content){ 0 };
}

void content_frame_init(const struct content *content, struct content_frame *frame)
{
    memcpy(frame->head, content->head, content->head_len);
    memcpy(frame->end, MARK_LAST_LINE, sizeof MARK_LAST_LINE - 1);
    memcpy(frame->end + MARK_END_LEN - 2, "\r\n.\r\n", 5);
}

static size_t size_of(const struct content *content, uint32_t number)
{
    /* Spreads neighbours; the weights come out right over a few thousand messages. */
    uint64_t dice = ((uint64_t)number * 0x9e3779b97f4a7c15u >> 32) % content->total_weight;

    for (size_t i = 0; i < content->size_count; i++) {
        if (dice < content->sizes[i].weight)
            return content->sizes[i].bytes;
        dice -= content->sizes[i].weight;
    }
    return content->sizes[0].bytes;
}

void content_compose(const struct content *content, const struct mark *mark,
                     struct content_frame *frame, struct str parts[3])
{
    size_t size = size_of(content, mark->number);
    size_t around = content->head_len + MARK_END_LEN;
    size_t filling = size > around ? size - around : 0;

    mark_format_id(mark, frame->head + content->message_id_at);
    mark_format_id(mark, frame->head + content->mark_at);
    mark_format_time(mark, frame->head + content->mark_at + MARK_ID_LEN + 1);
    mark_format_id(mark, frame->end + sizeof MARK_LAST_LINE - 1);
    /* The end of the shared lines; never only the second half of a line's end. */
    const char *start = content->filling + content->filling_len - filling;
    if (filling > 0 && *start == '\n') {
        start++;
        filling--;
    }
    parts[0] = str_of(frame->head, content->head_len);
    parts[1] = str_of(start, filling);
    parts[2] = str_of(frame->end, sizeof frame->end);
}
