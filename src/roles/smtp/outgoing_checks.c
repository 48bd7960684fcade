/* SPDX-License-Identifier: Apache-2.0 */
#include "outgoing_checks.h"

#include "delivery.h"
#include "mail/header.h"

/* The headers, each without its last line end; `*body` is what is behind them. */
static void scan_headers(struct content_scan *scan, struct str content, struct buf *out,
                         struct str *body)
{
    struct header header;
    struct str rest = content;

    *body = rest;
    while (header_next(&rest, &header)) {
        struct str whole = str_take(*body, body->len - rest.len);
        *body = rest;
        if (str_ends_with(whole, STR("\r\n")))
            whole = str_take(whole, whole.len - 2);
        if (!content_scan_header(scan, &whole, out))
            continue;
        buf_append(out, whole);
        buf_append_text(out, "\r\n");
    }
}

/* The empty line between headers and body belongs to neither. */
static struct str scan_body(struct content_scan *scan, struct delivery *delivery, struct str body)
{
    autofree_buf struct buf out = { 0 };

    if (str_starts_with(body, STR("\r\n"))) {
        buf_append_text(&out, "\r\n");
        body = str_skip(body, 2);
    }
    content_scan_body(scan, body, &out);
    content_scan_end(scan, &out);
    return arena_copy(&delivery->job.arena, buf_str(&out));
}

bool outgoing_checks_apply(const struct content_checks *checks, struct delivery *delivery)
{
    struct message_actions unused = { 0 };
    const struct content_scan_subject subject = {
        .arena = &delivery->job.arena,
        .actions = &unused,
        .envelope = &delivery->job.envelope,
        .queue_id = str_from(delivery->job.queue_id.text),
    };
    struct content_scan *scan = content_scan_new(checks, &subject);
    autofree_buf struct buf headers = { 0 };
    struct str body;

    scan_headers(scan, delivery->sent_content, &headers, &body);
    if (content_checks_want_body(checks))
        body = scan_body(scan, delivery, body);
    delivery->sent_headers = arena_copy(&delivery->job.arena, buf_str(&headers));
    delivery->sent_content = body;
    bool is_fine = content_scan_refusal(scan) == NULL;
    content_scan_free(&scan);
    return is_fine;
}
