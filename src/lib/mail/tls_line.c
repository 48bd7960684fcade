/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/tls_line.h"

static void put_agreement(const struct tls_facts *facts, const char *between, struct buf *out)
{
    buf_append(out, facts->protocol);
    buf_append_text(out, " with cipher ");
    buf_append(out, facts->cipher);
    buf_printf(out, " (%d/%d bits)", facts->use_bits, facts->algorithm_bits);
    if (facts->details.len > 0)
        buf_append_text(out, between);
    buf_append(out, str_skip(facts->details, 1)); /* the blank in front is `between`'s */
}

void tls_line_established(const struct tls_line *line, struct buf *out)
{
    const struct tls_facts *facts = line->facts;

    buf_append_text(out, facts->is_matched        ? "Verified"
                         : facts->is_trusted      ? "Trusted"
                         : facts->has_certificate ? "Untrusted"
                                                  : "Anonymous");
    buf_append_text(out, " TLS connection established ");
    buf_append_text(out, line->is_server ? "from " : "to ");
    buf_append(out, line->peer);
    if (facts->servername.len > 0) {
        buf_append_text(out, " to ");
        buf_append(out, facts->servername);
    }
    buf_append_text(out, ": ");
    put_agreement(facts, " ", out);
}

void tls_line_unverified(const struct tls_line *line, struct buf *out)
{
    if (line->facts->verify_problem.len == 0)
        return;
    buf_append(out, line->facts->verify_whose);
    buf_append_text(out, "certificate verification failed for ");
    buf_append(out, line->peer);
    buf_append_text(out, ": ");
    buf_append(out, line->facts->verify_problem);
}

void tls_line_certificate(const struct tls_line *line, struct buf *out)
{
    const struct tls_facts *facts = line->facts;

    buf_append(out, line->peer);
    buf_append_text(out, ": subject_CN=");
    buf_append(out, facts->subject);
    buf_append_text(out, line->is_server ? ", issuer=" : ", issuer_CN=");
    buf_append(out, facts->issuer);
    buf_append_text(out, ", fingerprint=");
    buf_append(out, facts->certificate_fingerprint);
    buf_append_text(out, ", pkey_fingerprint=");
    buf_append(out, facts->key_fingerprint);
}

/* Text of a certificate in a comment of a header: parentheses would end it. */
static void put_quoted(struct str text, struct buf *out)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (strchr("()\"\\", text.ptr[i]) != NULL)
            buf_append_byte(out, '?');
        else
            buf_append_byte(out, ascii_is_print(text.ptr[i]) ? text.ptr[i] : '?');
    }
    buf_append_byte(out, '"');
}

/* One line up to the cipher, and the details in lines of their own, as Postfix folds them. */
static void put_details(struct str details, struct buf *out)
{
    ptrdiff_t client = str_find(details, STR(" client-signature"));
    struct str first = client < 0 ? details : str_take(details, (size_t)client);

    buf_append_text(out, "\r\n\t");
    buf_append(out, first);
    if (client < 0)
        return;
    buf_append_text(out, "\r\n\t");
    buf_append(out, str_skip(details, (size_t)client));
}

void tls_line_received(const struct tls_facts *facts, bool was_asked, struct buf *out)
{
    buf_append_text(out, "(using ");
    buf_append(out, facts->protocol);
    buf_append_text(out, " with cipher ");
    buf_append(out, facts->cipher);
    buf_printf(out, " (%d/%d bits)", facts->use_bits, facts->algorithm_bits);
    if (facts->details.len > 0)
        put_details(facts->details, out);
    buf_append_text(out, ")\r\n\t");
    if (facts->has_certificate) {
        buf_append_text(out, "(Client CN ");
        put_quoted(facts->subject, out);
        buf_append_text(out, ", Issuer ");
        put_quoted(facts->issuer, out);
        buf_append_text(out, facts->is_trusted ? " (verified OK))" : " (not verified))");
    } else {
        buf_append_text(out, was_asked ? "(Client did not present a certificate)"
                                       : "(No client certificate requested)");
    }
}
