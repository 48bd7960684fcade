/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sasl_client.h"

#include "base/base64.h"
#include "base/ensure.h"
#include "base/memory.h"
#include "net/crypto.h"

#include <string.h>
#include <sys/random.h>

enum {
    NONCE_BYTES = 18,
    ITERATIONS_MAX = 100 * 1000, /* a server must not keep us busy: some 50 ms */
    CHALLENGE_BYTES_MAX = 4096,
};

struct mechanism {
    const char *name;
    unsigned fulfils; /* enum sasl_demand bits */
    bool (*begin)(struct sasl_client *client, struct buf *response);
    bool (*respond)(struct sasl_client *client, struct str challenge, struct buf *response);
    enum crypto_digest digest; /* of those that have one */
};

struct sasl_client {
    const struct mechanism *mechanism;
    struct buf user, password;
    bool sends_authorization;
    int step;
    bool is_proved; /* SCRAM: the server's signature was right */
    struct buf nonce, first_bare;
    unsigned char server_signature[CRYPTO_DIGEST_BYTES_MAX];
};

void sasl_wipe(struct buf *buf)
{
    if (buf->ptr != NULL)
        explicit_bzero(buf->ptr, buf->capacity);
    buf_clear(buf);
}

void sasl_wipe_text(struct str text)
{
    union {
        const char *text;
        void *bytes;
    } memory = { .text = text.ptr };

    if (text.len > 0)
        explicit_bzero(memory.bytes, text.len);
}

static void wipe_and_free(struct buf *buf)
{
    sasl_wipe(buf);
    buf_free(buf);
}

bool sasl_demands_parse(struct str text, unsigned *demands, struct error *error)
{
    static const struct {
        struct str word;
        enum sasl_demand demand;
    } words[] = {
        { STR_INIT("noplaintext"), SASL_NO_PLAINTEXT },
        { STR_INIT("noactive"), SASL_NO_ACTIVE },
        { STR_INIT("nodictionary"), SASL_NO_DICTIONARY },
        { STR_INIT("noanonymous"), SASL_NO_ANONYMOUS },
        { STR_INIT("forward_secrecy"), SASL_FORWARD_SECRECY },
        { STR_INIT("mutual_auth"), SASL_MUTUAL_AUTH },
    };
    struct str word;

    *demands = 0;
    while (str_next_word(&text, ", \t\r\n", &word)) {
        size_t i = 0;
        while (i < sizeof words / sizeof words[0] && !str_equal_fold(word, words[i].word))
            i++;
        if (i == sizeof words / sizeof words[0])
            return error_set(error, "unknown SASL security option \"%.*s\"", STR_ARGS(word));
        *demands |= words[i].demand;
    }
    return true;
}

/* ---- PLAIN, LOGIN ---- */

static bool plain_begin(struct sasl_client *client, struct buf *response)
{
    if (client->sends_authorization)
        buf_append(response, buf_str(&client->user));
    buf_append_byte(response, '\0');
    buf_append(response, buf_str(&client->user));
    buf_append_byte(response, '\0');
    buf_append(response, buf_str(&client->password));
    return true;
}

/* A server that does not take the response with AUTH asks for it with an empty challenge. */
static bool plain_respond(struct sasl_client *client, struct str challenge, struct buf *response)
{
    return challenge.len == 0 && client->step == 1 && plain_begin(client, response);
}

static bool nothing_to_begin(struct sasl_client *client, struct buf *response)
{
    (void)client;
    (void)response;
    return false;
}

/* "Username:" and "Password:", whatever the words are. */
static bool login_respond(struct sasl_client *client, struct str challenge, struct buf *response)
{
    (void)challenge;
    if (client->step > 2)
        return false;
    buf_append(response, buf_str(client->step == 1 ? &client->user : &client->password));
    return true;
}

/* ---- CRAM-MD5 (RFC 2195) ---- */

static void append_hex(const unsigned char *bytes, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%02x", bytes[i]);
}

static bool cram_respond(struct sasl_client *client, struct str challenge, struct buf *response)
{
    unsigned char mac[CRYPTO_DIGEST_BYTES_MAX];

    if (client->step > 1 || challenge.len == 0 ||
        !crypto_mac(CRYPTO_MD5, buf_str(&client->password), challenge, mac))
        return false;
    buf_append(response, buf_str(&client->user));
    buf_append_byte(response, ' ');
    append_hex(mac, 16, response);
    return true;
}

/* ---- SCRAM (RFC 5802, without channel binding) ---- */

static void append_escaped(struct str name, struct buf *out)
{
    for (; name.len > 0; name = str_skip(name, 1)) {
        if (name.ptr[0] == '=' || name.ptr[0] == ',')
            buf_append_text(out, name.ptr[0] == '=' ? "=3D" : "=2C");
        else
            buf_append_byte(out, name.ptr[0]);
    }
}

/* gs2-header: no channel binding, and as whom. */
static void append_header(const struct sasl_client *client, struct buf *out)
{
    buf_append_text(out, client->sends_authorization ? "n,a=" : "n,");
    if (client->sends_authorization)
        append_escaped(buf_str(&client->user), out);
    buf_append_byte(out, ',');
}

static bool scram_begin(struct sasl_client *client, struct buf *response)
{
    unsigned char random[NONCE_BYTES];
    autofree_buf struct buf header = { 0 };

    ensure(getrandom(random, sizeof random, 0) == sizeof random);
    base64_encode(str_of((const char *)random, sizeof random), &client->nonce);
    append_header(client, &header);
    buf_append_text(&client->first_bare, "n=");
    append_escaped(buf_str(&client->user), &client->first_bare);
    buf_append_text(&client->first_bare, ",r=");
    buf_append(&client->first_bare, buf_str(&client->nonce));
    buf_append(response, buf_str(&header));
    buf_append(response, buf_str(&client->first_bare));
    return true;
}

struct server_first {
    struct str nonce;
    struct buf salt;
    int iterations;
};

/* "r=nonce,s=salt,i=4096" */
static bool parse_server_first(const struct sasl_client *client, struct str text,
                               struct server_first *first)
{
    struct str nonce = str_cut(&text, ","), salt = str_cut(&text, ","), count = str_cut(&text, ",");
    uint64_t iterations;

    if (!str_starts_with(nonce, STR("r=")) || !str_starts_with(salt, STR("s=")) ||
        !str_starts_with(count, STR("i=")) || !str_to_u64(str_skip(count, 2), &iterations) ||
        iterations == 0 || iterations > ITERATIONS_MAX)
        return false;
    first->nonce = str_skip(nonce, 2);
    first->iterations = (int)iterations;
    return first->nonce.len > client->nonce.len &&
           str_starts_with(first->nonce, buf_str(&client->nonce)) &&
           base64_decode(str_skip(salt, 2), &first->salt) && first->salt.len > 0;
}

/* The proof for the server, and what the server will have to prove. */
static bool scram_prove(struct sasl_client *client, const struct server_first *first,
                        struct str message, unsigned char *proof)
{
    enum crypto_digest digest = client->mechanism->digest;
    size_t size = crypto_digest_bytes(digest);
    unsigned char salted[CRYPTO_DIGEST_BYTES_MAX], key[CRYPTO_DIGEST_BYTES_MAX],
        stored[CRYPTO_DIGEST_BYTES_MAX];
    unsigned char signature[CRYPTO_DIGEST_BYTES_MAX];
    struct str salted_key = str_of((const char *)salted, size);
    bool is_done = crypto_stretch(digest, buf_str(&client->password), buf_str(&first->salt),
                                  first->iterations, salted) &&
                   crypto_mac(digest, salted_key, STR("Client Key"), key) &&
                   crypto_hash(digest, str_of((const char *)key, size), stored) &&
                   crypto_mac(digest, str_of((const char *)stored, size), message, signature);

    for (size_t i = 0; is_done && i < size; i++)
        proof[i] = key[i] ^ signature[i];
    is_done =
        is_done && crypto_mac(digest, salted_key, STR("Server Key"), key) &&
        crypto_mac(digest, str_of((const char *)key, size), message, client->server_signature);
    explicit_bzero(salted, sizeof salted);
    explicit_bzero(key, sizeof key);
    explicit_bzero(stored, sizeof stored);
    return is_done;
}

static bool scram_answer_first(struct sasl_client *client, struct str challenge,
                               struct buf *response)
{
    struct server_first first = { 0 };
    autofree_buf struct buf message = { 0 }, header = { 0 };
    unsigned char proof[CRYPTO_DIGEST_BYTES_MAX];
    bool is_fine = parse_server_first(client, challenge, &first);

    if (is_fine) {
        append_header(client, &header);
        buf_append_text(response, "c=");
        base64_encode(buf_str(&header), response);
        buf_printf(response, ",r=%.*s", STR_ARGS(first.nonce));
        buf_printf(&message, "%s,%.*s,", buf_text(&client->first_bare), STR_ARGS(challenge));
        buf_append(&message, buf_str(response));
        is_fine = scram_prove(client, &first, buf_str(&message), proof);
    }
    if (is_fine) {
        size_t size = crypto_digest_bytes(client->mechanism->digest);
        buf_append_text(response, ",p=");
        base64_encode(str_of((const char *)proof, size), response);
    }
    buf_free(&first.salt);
    return is_fine;
}

static bool scram_check_last(struct sasl_client *client, struct str challenge)
{
    size_t size = crypto_digest_bytes(client->mechanism->digest);
    struct str signature = str_cut(&challenge, ",");
    autofree_buf struct buf bytes = { 0 };

    client->is_proved = str_starts_with(signature, STR("v=")) &&
                        base64_decode(str_skip(signature, 2), &bytes) && bytes.len == size &&
                        crypto_is_equal(bytes.ptr, client->server_signature, size);
    return client->is_proved;
}

static bool scram_respond(struct sasl_client *client, struct str challenge, struct buf *response)
{
    if (client->step == 1)
        return scram_answer_first(client, challenge, response);
    return client->step == 2 && scram_check_last(client, challenge);
}

/* ---- all of them ---- */

/* clang-format off */
/* The best first. */
static const struct mechanism mechanisms[] = {
    { "SCRAM-SHA-256", SASL_NO_PLAINTEXT | SASL_NO_ACTIVE | SASL_NO_ANONYMOUS | SASL_MUTUAL_AUTH, scram_begin, scram_respond, CRYPTO_SHA256 },
    { "SCRAM-SHA-1", SASL_NO_PLAINTEXT | SASL_NO_ACTIVE | SASL_NO_ANONYMOUS | SASL_MUTUAL_AUTH, scram_begin, scram_respond, CRYPTO_SHA1 },
    { "CRAM-MD5", SASL_NO_PLAINTEXT | SASL_NO_ANONYMOUS, nothing_to_begin, cram_respond, CRYPTO_MD5 },
    { "PLAIN", SASL_NO_ANONYMOUS, plain_begin, plain_respond, 0 },
    { "LOGIN", SASL_NO_ANONYMOUS, nothing_to_begin, login_respond, 0 },
};
/* clang-format on */

static bool is_offered(struct str offered, const char *name)
{
    struct str word;

    while (str_next_word(&offered, ", \t", &word)) {
        if (str_equal_fold(word, str_from(name)))
            return true;
    }
    return false;
}

struct sasl_client *sasl_client_new(const struct sasl_login *login)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++) {
        const struct mechanism *mechanism = &mechanisms[i];
        if ((login->demands & ~mechanism->fulfils) != 0 ||
            !is_offered(login->mechanisms, mechanism->name))
            continue;
        struct sasl_client *client = memory_new(sizeof *client);
        client->mechanism = mechanism;
        client->sends_authorization = login->sends_authorization;
        buf_append(&client->user, login->user);
        buf_append(&client->password, login->password);
        return client;
    }
    return NULL;
}

void sasl_client_free(struct sasl_client **client)
{
    if (*client == NULL)
        return;
    wipe_and_free(&(*client)->user);
    wipe_and_free(&(*client)->password);
    buf_free(&(*client)->nonce);
    buf_free(&(*client)->first_bare);
    memory_free(*client);
    *client = NULL;
}

struct str sasl_client_user(const struct sasl_client *client)
{
    return buf_str(&client->user);
}

struct str sasl_client_password(const struct sasl_client *client)
{
    return buf_str(&client->password);
}

const char *sasl_client_mechanism(const struct sasl_client *client)
{
    return client->mechanism->name;
}

bool sasl_client_begin(struct sasl_client *client, struct buf *response)
{
    return client->mechanism->begin(client, response);
}

bool sasl_client_respond(struct sasl_client *client, struct str challenge, struct buf *response)
{
    if (challenge.len > CHALLENGE_BYTES_MAX)
        return false;
    client->step++;
    return client->mechanism->respond(client, challenge, response);
}

bool sasl_client_is_satisfied(const struct sasl_client *client)
{
    return (client->mechanism->fulfils & SASL_MUTUAL_AUTH) == 0 || client->is_proved;
}
