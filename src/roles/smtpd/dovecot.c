/* SPDX-License-Identifier: Apache-2.0 */
#include "dovecot.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <sys/random.h>

enum {
    LINE_BYTES_MAX = 16 * 1024,
    HANDSHAKE_LINES_MAX = 200,
    MECHANISMS_MAX = 32,
    MECHANISMS_AGE_MS = 60 * 1000,
};

/* One server's greeting. */
struct offer {
    struct arena arena; /* of the names */
    struct mechanism mechanisms[MECHANISMS_MAX];
    size_t count;
};

struct dovecot {
    struct endpoint *endpoint;
    struct offer offer;
    int64_t asked_ms; /* 0 = never */
};

struct dovecot *dovecot_new(struct endpoint *endpoint)
{
    struct dovecot *dovecot = memory_new(sizeof *dovecot);

    dovecot->endpoint = endpoint;
    return dovecot;
}

void dovecot_free(struct dovecot **dovecot)
{
    if (*dovecot == NULL)
        return;
    arena_clear(&(*dovecot)->offer.arena);
    memory_free(*dovecot);
    *dovecot = NULL;
}

/* ---- the handshake ---- */

/* The next field of a line; they are separated by single tabs and may be empty. */
static struct str next_field(struct str *line)
{
    ptrdiff_t tab = str_find_byte(*line, '\t');
    struct str field = tab < 0 ? *line : str_take(*line, (size_t)tab);

    *line = str_skip(*line, field.len + 1);
    return field;
}

static unsigned property(struct str name)
{
    static const struct {
        const char *name;
        enum mechanism_property property;
    } properties[] = {
        { "plaintext", MECHANISM_PLAINTEXT }, { "dictionary", MECHANISM_DICTIONARY },
        { "active", MECHANISM_ACTIVE },       { "anonymous", MECHANISM_ANONYMOUS },
        { "mutual-auth", MECHANISM_MUTUAL },  { "forward-secrecy", MECHANISM_FORWARD_SECRECY },
    };

    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
        if (str_equal(name, str_from(properties[i].name)))
            return properties[i].property;
    return 0;
}

/* A name goes to clients in the reply to EHLO: nothing but what RFC 4422 allows in one. */
static bool is_mechanism_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '-' && name.ptr[i] != '_')
            return false;
    return name.len > 0 && name.len <= 20;
}

static void learn_mechanism(struct offer *offer, struct str line)
{
    struct mechanism mechanism = { .name = next_field(&line) };
    bool is_private = false;

    while (!str_is_empty(line)) {
        struct str field = next_field(&line);
        mechanism.properties |= property(field);
        is_private = is_private || str_equal(field, STR("private"));
    }
    if (is_private || !is_mechanism_name(mechanism.name) || offer->count == MECHANISMS_MAX)
        return;
    mechanism.name = arena_copy(&offer->arena, mechanism.name);
    offer->mechanisms[offer->count++] = mechanism;
}

static bool introduce(struct stream *stream, int64_t deadline_ms)
{
    char text[64];
    uint32_t number = 0;

    /* The server wants a process id that no other connection has. */
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return false;
    int len = snprintf(text, sizeof text, "VERSION\t1\t1\nCPID\t%u\n", number);
    return stream_write(stream, str_of(text, (size_t)len), deadline_ms) == STREAM_OK;
}

static bool read_line(struct stream *stream, int64_t deadline_ms, struct str *line,
                      struct error *error)
{
    enum stream_outcome outcome = stream_read_line(stream, LINE_BYTES_MAX, deadline_ms, line, NULL);

    return outcome == STREAM_OK || error_set(error, "%s", stream_outcome_text(outcome));
}

static bool shake_hands(struct stream *stream, struct offer *offer, int64_t deadline_ms,
                        struct error *error)
{
    struct str line;

    if (!introduce(stream, deadline_ms))
        return error_set(error, "cannot write to the authentication server");
    for (int i = 0; i < HANDSHAKE_LINES_MAX; i++) {
        if (!read_line(stream, deadline_ms, &line, error))
            return false;
        struct str word = next_field(&line);
        if (str_equal(word, STR("VERSION")) && !str_equal(next_field(&line), STR("1")))
            return error_set(error, "the authentication server speaks another protocol version");
        if (str_equal(word, STR("MECH")))
            learn_mechanism(offer, line);
        if (str_equal(word, STR("DONE")))
            return true;
    }
    return error_set(error, "the authentication server does not come to an end of its greeting");
}

/* Several fibers may be at it: the offer changes at once, not while it is read. */
static struct stream *open_stream(struct dovecot *dovecot, int64_t deadline_ms, struct error *error)
{
    struct stream *stream = NULL;
    struct str name = endpoint_text(dovecot->endpoint);
    struct offer offer = { 0 };

    if (endpoint_connect(dovecot->endpoint, deadline_ms, &stream, error) == STREAM_OK &&
        shake_hands(stream, &offer, deadline_ms, error)) {
        arena_clear(&dovecot->offer.arena);
        dovecot->offer = offer;
        dovecot->asked_ms = clock_monotonic_ms();
        return stream;
    }
    arena_clear(&offer.arena);
    stream_free(&stream);
    error_context(error, "connect to the authentication server %.*s", STR_ARGS(name));
    return NULL;
}

bool dovecot_mechanisms(struct dovecot *dovecot, int64_t deadline_ms,
                        const struct mechanism **mechanisms, size_t *count, struct error *error)
{
    bool is_known =
        dovecot->asked_ms > 0 && clock_monotonic_ms() - dovecot->asked_ms < MECHANISMS_AGE_MS;

    if (!is_known) {
        struct stream *stream = open_stream(dovecot, deadline_ms, error);
        if (stream == NULL)
            return false;
        stream_free(&stream);
    }
    *mechanisms = dovecot->offer.mechanisms;
    *count = dovecot->offer.count;
    return true;
}

/* ---- an exchange ---- */

static enum dovecot_step fail(struct dovecot_exchange *exchange, const char *text)
{
    dovecot_end(exchange);
    exchange->text = arena_copy(exchange->arena, str_from(text));
    return DOVECOT_FAILS;
}

/* "user=x", "reason=y", "temp", … behind an OK or FAIL. */
static bool find_parameter(struct str line, struct str name, struct str *value)
{
    while (!str_is_empty(line)) {
        struct str field = next_field(&line);
        if (!str_starts_with(field, name))
            continue;
        *value = str_skip(field, name.len);
        return true;
    }
    return false;
}

/* It goes into log lines and headers. */
static bool is_user_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < ' ' || name.ptr[i] == 0x7f)
            return false;
    return name.len > 0;
}

static enum dovecot_step accepted(struct dovecot_exchange *exchange, struct str line)
{
    struct str user;

    if (!find_parameter(line, STR("user="), &user) || !is_user_name(user))
        return fail(exchange, "the authentication server names no user");
    exchange->user = exchange->text = arena_copy(exchange->arena, user);
    dovecot_end(exchange);
    return DOVECOT_ACCEPTS;
}

static enum dovecot_step refused(struct dovecot_exchange *exchange, struct str line)
{
    struct str value;

    if (find_parameter(line, STR("user="), &value))
        exchange->user = arena_copy(exchange->arena, value);
    exchange->text =
        find_parameter(line, STR("reason="), &value) ? arena_copy(exchange->arena, value) : STR("");
    bool is_temporary = find_parameter(line, STR("temp"), &value);
    dovecot_end(exchange);
    return is_temporary ? DOVECOT_FAILS : DOVECOT_REFUSES;
}

static enum dovecot_step read_step(struct dovecot_exchange *exchange, int64_t deadline_ms)
{
    struct error error;
    struct str line;

    for (int i = 0; i < HANDSHAKE_LINES_MAX; i++) {
        if (!read_line(exchange->stream, deadline_ms, &line, &error))
            return fail(exchange, "Connection lost to authentication server");
        struct str word = next_field(&line);
        uint64_t id = 0;
        if (!str_to_u64(next_field(&line), &id) || id != exchange->id)
            continue; /* the server may say more than it is asked */
        if (str_equal(word, STR("CONT"))) {
            exchange->text = arena_copy(exchange->arena, next_field(&line));
            return DOVECOT_CONTINUES;
        }
        if (str_equal(word, STR("OK")))
            return accepted(exchange, line);
        if (str_equal(word, STR("FAIL")))
            return refused(exchange, line);
    }
    return fail(exchange, "the authentication server does not answer the question");
}

static enum dovecot_step say(struct dovecot_exchange *exchange, const char *text,
                             int64_t deadline_ms)
{
    if (stream_write(exchange->stream, str_from(text), deadline_ms) != STREAM_OK)
        return fail(exchange, "Connection lost to authentication server");
    return read_step(exchange, deadline_ms);
}

/* What the client sent goes between tabs: base64 has none. */
static bool is_base64(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && strchr("+/=", text.ptr[i]) == NULL)
            return false;
    return true;
}

enum dovecot_step dovecot_start(struct dovecot *dovecot, struct arena *arena,
                                const struct dovecot_request *request, int64_t deadline_ms,
                                struct dovecot_exchange *exchange)
{
    struct error error;

    *exchange = (struct dovecot_exchange){ .arena = arena, .id = 1 };
    exchange->stream = open_stream(dovecot, deadline_ms, &error);
    if (exchange->stream == NULL)
        return fail(exchange, error.message);
    if (!is_mechanism_name(request->mechanism) || !is_base64(request->initial))
        return fail(exchange, "malformed request");
    /* "resp" is the last one and ends the line (Dovecot's protocol description). */
    const char *text =
        arena_printf(arena, "AUTH\t%u\t%.*s\tservice=%.*s%s\trip=%.*s\tnologin%s%.*s\n",
                     exchange->id, STR_ARGS(request->mechanism), STR_ARGS(request->service),
                     request->is_secured ? "\tsecured" : "", STR_ARGS(request->client_address),
                     request->has_initial ? "\tresp=" : "", STR_ARGS(request->initial));
    return say(exchange, text, deadline_ms);
}

enum dovecot_step dovecot_continue(struct dovecot_exchange *exchange, struct str response,
                                   int64_t deadline_ms)
{
    if (!is_base64(response)) {
        dovecot_end(exchange);
        exchange->text = STR("Invalid base64 data in continued response");
        return DOVECOT_REFUSES;
    }
    return say(exchange,
               arena_printf(exchange->arena, "CONT\t%u\t%.*s\n", exchange->id, STR_ARGS(response)),
               deadline_ms);
}

void dovecot_end(struct dovecot_exchange *exchange)
{
    stream_free(&exchange->stream);
}
