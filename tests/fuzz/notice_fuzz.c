/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A notice about a message that anybody may have written: a diagnostic, an address, an original
 * recipient, and its content. Each line of the notice ends in CRLF, its own headers are ours alone,
 * and nothing in the content ends its part.
 */
#include "base/ensure.h"
#include "mail/dsn.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct bounce_template template = {
    STR_INIT("us-ascii"),        STR_INIT("MAILER-DAEMON"), STR_INIT("Undelivered Mail"),
    STR_INIT("Postmaster Copy"), STR_INIT("It failed.\n"),  STR_INIT("")
};

/* As an envelope has it: one line. */
static struct str one_line(struct arena *arena, struct str text)
{
    char *copy = arena_new(arena, text.len + 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = (unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f ? '?' : text.ptr[i];
    return str_of(copy, text.len);
}

static void check_headers(struct str notice)
{
    struct header header;
    size_t count = 0;

    while (header_next(&notice, &header)) {
        count++;
        ensure(header.name.len < 40);
    }
    ensure(count >= 5 && count <= 12);
}

static void make(enum dsn_kind kind, struct arena *arena, struct str rest)
{
    autofree_buf struct buf out = { 0 };
    struct envelope envelope = { .arrival_us = 1 };
    struct recipient recipient = { .dsn_status = STR("5.1.1") };

    recipient.diagnostic = one_line(arena, str_cut(&rest, "\n"));
    recipient.address = one_line(arena, str_cut(&rest, "\n"));
    recipient.original_recipient = one_line(arena, str_cut(&rest, "\n"));
    recipient.dsn_orcpt = one_line(arena, str_cut(&rest, "\n"));
    envelope.sender = envelope.dsn_envid = recipient.address;
    struct dsn_recipient about = { .recipient = &recipient,
                                   .smtp_reply = recipient.diagnostic,
                                   .remote_mta = recipient.original_recipient };
    struct dsn dsn = { .kind = kind,
                       .template = &template,
                       .to = recipient.address,
                       .myhostname = STR("relay.example"),
                       .mail_name = STR("Postfix"),
                       .queue_id = STR("4F0C"),
                       .notification_id = STR("4F0D"),
                       .envelope = &envelope,
                       .recipients = &about,
                       .recipient_count = 1,
                       .wall_s = 1000,
                       .expires_s = 2000,
                       .returns_headers = kind != DSN_FAILURE,
                       .content = rest,
                       .content_bytes = rest.len,
                       .bounce_size_limit = 50000 };
    dsn_format(&dsn, &out);
    check_headers(buf_str(&out));
    struct str own = str_take(buf_str(&out), out.len - rest.len);
    for (size_t i = 0; i < own.len && own.len < out.len; i++)
        ensure(own.ptr[i] != '\n' || (i > 0 && own.ptr[i - 1] == '\r') ||
               str_find_byte(rest, '\n') >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    struct str rest = str_of((const char *)data, size);

    for (enum dsn_kind kind = 0; kind < DSN_KINDS; kind++)
        make(kind, &arena, rest);
    return 0;
}
