/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Challenges of a hostile server, a line each, for the mechanism that the first byte chooses. "%"
 * stands for the client's nonce. No login is proved without the server's signature.
 */
#include "base/ensure.h"
#include "net/sasl_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expand(struct str line, struct str nonce, struct buf *out)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] == '%')
            buf_append(out, nonce);
        else
            buf_append_byte(out, line.ptr[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1",
                                         "SCRAM-SHA-256" };
    autofree_buf struct buf first = { 0 };

    if (size == 0)
        return 0;
    struct sasl_login login = { .mechanisms = str_from(names[data[0] % 5]),
                                .user = STR("us,er="),
                                .password = STR("secret") };
    struct sasl_client *client = sasl_client_new(&login);
    struct str rest = str_of((const char *)data + 1, size - 1);
    bool is_fine = true;

    ensure(client != NULL);
    (void)sasl_client_begin(client, &first);
    ptrdiff_t at = str_find(buf_str(&first), STR(",r="));
    struct str nonce = at >= 0 ? str_skip(buf_str(&first), (size_t)at + 3) : STR("");
    while (is_fine && rest.len > 0) {
        autofree_buf struct buf challenge = { 0 }, response = { 0 };
        expand(str_cut(&rest, "\n"), nonce, &challenge);
        /* Not the arithmetic of many rounds. */
        is_fine = str_find(buf_str(&challenge), STR(",i=1")) < 0 || challenge.len < 200;
        is_fine = is_fine && sasl_client_respond(client, buf_str(&challenge), &response);
    }
    ensure(data[0] % 5 < 3 || !sasl_client_is_satisfied(client));
    sasl_client_free(&client);
    return 0;
}
