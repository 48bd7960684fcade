/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/received.h"

#include "mail/address.h"
#include "mail/date.h"

/* Text from outside: what could end or fold the header becomes '?'. */
static void put_printable(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        buf_append_byte(
            out, (unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f ? '?' : text.ptr[i]);
}

static void put_local(const struct received *received, struct buf *out)
{
    buf_append(out, STR("Received: by "));
    buf_append(out, received->myhostname);
    buf_append(out, STR(" ("));
    buf_append(out, received->mail_name);
    if (!received->is_internal) {
        buf_append(out, STR(", from userid "));
        buf_append_u64(out, received->uid);
    }
    buf_append(out, STR(")\r\n\tid "));
    buf_append(out, received->queue_id);
    buf_append(out, STR("; "));
}

static void put_client(const struct received *received, struct buf *out)
{
    bool is_ipv6 = str_find_byte(received->client_address, ':') >= 0;

    buf_append(out, STR("Received: from "));
    put_printable(out, received->helo_name.len > 0 ? received->helo_name : received->client_name);
    buf_append(out, STR(" ("));
    put_printable(out, received->client_name);
    buf_append(out, is_ipv6 ? STR(" [IPv6:") : STR(" ["));
    put_printable(out, received->client_address);
    buf_append(out, STR("])\r\n\t"));
    if (received->tls_comment.len > 0) {
        buf_append(out, received->tls_comment);
        buf_append(out, STR("\r\n\t"));
    }
    if (received->sasl_username.len > 0) {
        buf_append(out, STR("(Authenticated sender: "));
        put_printable(out, received->sasl_username);
        buf_append(out, STR(")\r\n\t"));
    }
    buf_append(out, STR("by "));
    buf_append(out, received->myhostname);
    buf_append(out, STR(" ("));
    buf_append(out, received->mail_name);
    buf_append(out, STR(") with "));
    buf_append(out, received->protocol);
    buf_append(out, STR(" id "));
    buf_append(out, received->queue_id);
    if (received->recipient.len > 0) {
        buf_append(out, STR("\r\n\tfor "));
        address_format_angle(received->recipient, out);
        buf_append(out, STR("; "));
    } else {
        buf_append(out, STR(";\r\n\t"));
    }
}

void received_format(const struct received *received, struct buf *out)
{
    if (received->is_local || received->is_internal)
        put_local(received, out);
    else
        put_client(received, out);
    date_format_mail(received->wall_s, out);
    buf_append(out, STR("\r\n"));
}
