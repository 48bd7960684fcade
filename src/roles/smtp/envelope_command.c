/* SPDX-License-Identifier: Apache-2.0 */
#include "envelope_command.h"

#include "mail/address.h"
#include "mail/xtext.h"

/* smtp_quote_rfc821_envelope = no: as it is, for servers that know no quotes. What would end the
 * line or the address stays quoted. */
static bool is_bare_possible(struct str address)
{
    for (size_t i = 0; i < address.len; i++)
        if ((unsigned char)address.ptr[i] < 0x20 || address.ptr[i] == 0x7f || address.ptr[i] == '>')
            return false;
    return true;
}

static void append_address(const struct session *session, struct str address, struct buf *out)
{
    if (session->transport->config->smtp_quote_rfc821_envelope || !is_bare_possible(address)) {
        address_format_angle(address, out);
        return;
    }
    buf_append_byte(out, '<');
    buf_append(out, address);
    buf_append_byte(out, '>');
}

void envelope_command_mail(const struct session *session, struct buf *out)
{
    const struct envelope *envelope = &session->delivery->job.envelope;
    uint32_t features = session->offer.features;

    buf_append_text(out, "MAIL FROM:");
    append_address(session, session->delivery->sent_sender, out);
    if ((features & FEATURE_SIZE) != 0) {
        buf_append_text(out, " SIZE=");
        buf_append_u64(out, envelope->size_bytes);
    }
    if ((features & FEATURE_8BITMIME) != 0 && (envelope->flags & ENVELOPE_8BITMIME) != 0)
        buf_append_text(out, " BODY=8BITMIME");
    if ((features & FEATURE_SMTPUTF8) != 0 && (envelope->flags & ENVELOPE_SMTPUTF8) != 0)
        buf_append_text(out, " SMTPUTF8");
    if (session->is_authenticated && session->transport->config->smtp_send_dummy_mail_auth)
        buf_append_text(out, " AUTH=<>");
    if ((features & FEATURE_DSN) != 0) {
        if (envelope->dsn_envid.len > 0) {
            buf_append_text(out, " ENVID=");
            xtext_normalise(envelope->dsn_envid, out);
        }
        if ((envelope->flags & ENVELOPE_RET_FULL) != 0)
            buf_append_text(out, " RET=FULL");
        else if ((envelope->flags & ENVELOPE_RET_HEADERS) != 0)
            buf_append_text(out, " RET=HDRS");
    }
    buf_append_text(out, "\r\n");
}

static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] >= 0x80)
            return false;
    return true;
}

static bool is_smtputf8(const struct session *session)
{
    return (session->offer.features & FEATURE_SMTPUTF8) != 0 &&
           (session->delivery->job.envelope.flags & ENVELOPE_SMTPUTF8) != 0;
}

static void append_notify(uint8_t notify, struct buf *out)
{
    static const struct {
        uint8_t bit;
        const char *word;
    } words[] = { { DSN_NOTIFY_NEVER, "NEVER" },
                  { DSN_NOTIFY_SUCCESS, "SUCCESS" },
                  { DSN_NOTIFY_FAILURE, "FAILURE" },
                  { DSN_NOTIFY_DELAY, "DELAY" } };
    const char *separator = " NOTIFY=";

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if ((notify & words[i].bit) == 0)
            continue;
        buf_append_text(out, separator);
        buf_append_text(out, words[i].word);
        separator = ",";
    }
}

static void append_orcpt_address(struct str orcpt, struct buf *out)
{
    struct str address = orcpt, type = str_cut(&address, ";");

    buf_append(out, type);
    buf_append_byte(out, ';');
    if (str_equal_fold(type, STR("utf-8")))
        buf_append(out, address);
    else
        xtext_normalise(address, out);
}

/* ORCPT= goes on as it came; where the sender gave none it begins here. */
static void append_orcpt(const struct session *session, const struct recipient *recipient,
                         struct buf *out)
{
    struct str original =
        recipient->original_recipient.len > 0 ? recipient->original_recipient : recipient->address;
    autofree_buf struct buf external = { 0 };

    if (recipient->dsn_orcpt.len > 0) {
        if (!is_ascii(recipient->dsn_orcpt) && !is_smtputf8(session))
            return; /* RFC 6533 has no place for it there */
        buf_append_text(out, " ORCPT=");
        append_orcpt_address(recipient->dsn_orcpt, out);
        return;
    }
    address_format(original, &external);
    if (is_ascii(original)) {
        buf_append_text(out, " ORCPT=rfc822;");
        xtext_encode(buf_str(&external), out);
    } else if (is_smtputf8(session)) {
        buf_append_text(out, " ORCPT=utf-8;");
        unitext_encode(buf_str(&external), out);
    }
}

void envelope_command_rcpt(const struct session *session, size_t index, struct buf *out)
{
    const struct delivery *delivery = session->delivery;
    const struct recipient *recipient = &delivery->job.envelope.recipients[index];

    buf_append_text(out, "RCPT TO:");
    append_address(session, delivery->attempts[index].sent_address, out);
    if ((session->offer.features & FEATURE_DSN) != 0) {
        append_orcpt(session, recipient, out);
        append_notify(recipient->dsn_notify, out);
    }
    buf_append_text(out, "\r\n");
}

static void append_attribute(const char *name, struct str value, struct buf *out)
{
    buf_append_byte(out, ' ');
    buf_append_text(out, name);
    buf_append_byte(out, '=');
    if (value.len > 0)
        xtext_encode(value, out);
    else
        buf_append_text(out, "[UNAVAILABLE]");
}

bool envelope_command_xforward(const struct session *session, enum xforward_part part,
                               struct buf *out)
{
    const struct envelope *envelope = &session->delivery->job.envelope;
    bool is_local = (envelope->flags & ENVELOPE_LOCAL) != 0;
    const struct {
        uint32_t feature;
        enum xforward_part part;
        const char *name;
        struct str value;
    } attributes[] = {
        { FEATURE_XFORWARD_NAME, XFORWARD_CLIENT, "NAME", envelope->client_name },
        { FEATURE_XFORWARD_ADDR, XFORWARD_CLIENT, "ADDR", envelope->client_address },
        { FEATURE_XFORWARD_PROTO, XFORWARD_PROTOCOL, "PROTO", envelope->protocol },
        { FEATURE_XFORWARD_HELO, XFORWARD_PROTOCOL, "HELO", envelope->helo_name },
        { FEATURE_XFORWARD_IDENT, XFORWARD_PROTOCOL, "IDENT",
          str_from(session->delivery->job.queue_id.text) },
        { FEATURE_XFORWARD_SOURCE, XFORWARD_PROTOCOL, "SOURCE",
          is_local ? STR("LOCAL") : STR("REMOTE") },
    };
    size_t before = out->len;

    buf_append_text(out, "XFORWARD");
    size_t bare = out->len;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (attributes[i].part == part && (session->offer.features & attributes[i].feature) != 0)
            append_attribute(attributes[i].name, attributes[i].value, out);
    }
    if (out->len == bare) {
        buf_truncate(out, before);
        return false;
    }
    buf_append_text(out, "\r\n");
    return true;
}
