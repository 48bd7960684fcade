/* SPDX-License-Identifier: Apache-2.0 */
#include "failed_logins.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/ensure.h"
#include "delivery.h"
#include "net/crypto.h"
#include "net/sasl_client.h"
#include "service/login_cache.h"
#include "worker.h"

#include <sys/random.h>

enum { ASK_MS = 5000, SALT_BYTES = 16, ITERATIONS = 4096 };

static struct str key_of(const struct session *session, struct str user)
{
    return str_from(arena_printf(&session->delivery->job.arena, "%.*s;%.*s",
                                 STR_ARGS(session->host), STR_ARGS(user)));
}

/* Appends the digest in base64. */
static bool digest_password(struct str password, struct str salt, struct buf *out)
{
    unsigned char digest[CRYPTO_DIGEST_BYTES_MAX];
    bool is_done = crypto_stretch(CRYPTO_SHA256, password, salt, ITERATIONS, digest);

    if (is_done)
        base64_encode(str_of((const char *)digest, crypto_digest_bytes(CRYPTO_SHA256)), out);
    explicit_bzero(digest, sizeof digest);
    return is_done;
}

/* "salt;digest;dsn;reply" */
static bool parse_value(struct str text, struct str password, struct failed_login *found)
{
    struct str salt_text = str_cut(&text, ";"), kept = str_cut(&text, ";");
    autofree_buf struct buf salt = { 0 }, digest = { 0 };

    found->dsn = str_cut(&text, ";");
    found->reply = text;
    return base64_decode(salt_text, &salt) && salt.len == SALT_BYTES &&
           digest_password(password, buf_str(&salt), &digest) && digest.len == kept.len &&
           crypto_is_equal(digest.ptr, kept.ptr, kept.len) && found->dsn.len >= 5 &&
           found->reply.len > 0;
}

struct failed_login failed_login_find(const struct session *session, struct str user,
                                      struct str password)
{
    const struct transport *transport = session->transport;
    struct login_cache *cache = session->delivery->worker->login_cache;
    struct login_cache_entry entry;
    struct failed_login found;

    if (transport->login_cache_map.len == 0)
        return (struct failed_login){ .reply = STR("") };
    struct str key = key_of(session, user);
    if (!login_cache_find(cache, transport->login_cache_map, key,
                          loop_now_ms(session->loop) + ASK_MS, &session->delivery->job.arena,
                          &entry))
        return (struct failed_login){ .reply = STR("") };
    if (parse_value(entry.value, password, &found) &&
        entry.stored_s + transport->config->smtp_sasl_auth_cache_time >= clock_wall_ms() / 1000)
        return found;
    login_cache_put(cache, transport->login_cache_map, key, STR(""));
    return (struct failed_login){ .reply = STR("") };
}

void failed_login_keep(const struct session *session)
{
    const struct transport *transport = session->transport;
    autofree_buf struct buf value = { 0 }, reply = { 0 };
    unsigned char random[SALT_BYTES];
    struct str salt = str_of((const char *)random, sizeof random);

    if (transport->login_cache_map.len == 0 || session->reply.code != 535)
        return;
    ensure(getrandom(random, sizeof random, 0) == sizeof random);
    base64_encode(salt, &value);
    buf_append_byte(&value, ';');
    if (!digest_password(sasl_client_password(session->login), salt, &value))
        return;
    reply_format(&session->reply, &reply);
    buf_printf(&value, ";%.*s;%s", STR_ARGS(reply_status(&session->reply)), buf_text(&reply));
    login_cache_put(session->delivery->worker->login_cache, transport->login_cache_map,
                    key_of(session, sasl_client_user(session->login)), buf_str(&value));
}
