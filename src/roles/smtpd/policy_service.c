/* SPDX-License-Identifier: Apache-2.0 */
#include "policy_service.h"

#include "base/clock.h"
#include "base/memory.h"
#include "refusal.h"
#include "restrictions_inside.h"
#include "service/endpoint.h"

#include <sys/socket.h>
#include <unistd.h>

enum {
    IDLE_MAX = 8, /* open connections that wait for the next question */
    REPLY_BYTES_MAX = 64 * 1024,
    LINE_BYTES_MAX = 16 * 1024,
};

/* An open connection that nobody uses just now. */
struct idle {
    struct stream *stream;
    int64_t opened_ms;
    int64_t used_ms;
    unsigned request_count;
};

struct policy_service {
    struct list link;
    struct policy_services *owner;
    struct str text;   /* as it was written, the key */
    struct str server; /* "inet:127.0.0.1:9998" */
    struct endpoint *endpoint;
    struct str default_action;
    struct str context;
    int64_t timeout_ms, max_idle_ms, max_ttl_ms, retry_delay_ms;
    unsigned try_limit, request_limit;
    struct idle idle[IDLE_MAX];
    size_t idle_count;
};

struct policy_services {
    struct service *service;
    const struct config *config;
    struct list all;
    struct timer expiry;
    struct arena arena;
};

/* ---- naming them ---- */

struct policy_services *policy_services_new(struct service *service, const struct config *config)
{
    struct policy_services *services = memory_new(sizeof *services);

    services->service = service;
    services->config = config;
    list_init(&services->all);
    return services;
}

void policy_services_free(struct policy_services **services)
{
    if (*services == NULL)
        return;
    if ((*services)->service != NULL)
        timer_clear((*services)->service->loop, &(*services)->expiry);
    list_each (link, &(*services)->all) {
        struct policy_service *service = list_entry(link, struct policy_service, link);
        while (service->idle_count > 0)
            stream_free(&service->idle[--service->idle_count].stream);
    }
    arena_clear(&(*services)->arena);
    memory_free(*services);
    *services = NULL;
}

struct policy_service *policy_services_find(const struct policy_services *services, struct str text)
{
    list_each (link, &services->all) {
        struct policy_service *service = list_entry(link, struct policy_service, link);
        if (str_equal(service->text, text))
            return service;
    }
    return NULL;
}

/* "30s", "2m", "1h", "1d", "1w", or a number of seconds. */
static bool parse_time(struct str text, int64_t *ms)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
    int64_t factor = 1;
    uint64_t number;

    for (size_t i = 0; text.len > 0 && i < sizeof units / sizeof units[0]; i++) {
        if (text.ptr[text.len - 1] == units[i].unit) {
            factor = units[i].seconds;
            text = str_take(text, text.len - 1);
            break;
        }
    }
    if (!str_to_u64(text, &number) || number > 1000000)
        return false;
    *ms = (int64_t)number * factor * 1000;
    return true;
}

static bool parse_count(struct str text, unsigned *count)
{
    uint64_t number;

    if (!str_to_u64(text, &number) || number > 1000000)
        return false;
    *count = (unsigned)number;
    return true;
}

static bool set_option(struct policy_service *service, struct str name, struct str value,
                       struct error *error)
{
    const struct {
        const char *name;
        int64_t *ms;
    } times[] = {
        { "timeout", &service->timeout_ms },
        { "max_idle", &service->max_idle_ms },
        { "max_ttl", &service->max_ttl_ms },
        { "retry_delay", &service->retry_delay_ms },
    };

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (str_equal(name, str_from(times[i].name)))
            return parse_time(value, times[i].ms) ||
                   error_set(error, "policy service %.*s: bad time \"%.*s\"",
                             STR_ARGS(service->server), STR_ARGS(value));
    }
    if (str_equal(name, STR("try_limit")) && parse_count(value, &service->try_limit))
        return true;
    if (str_equal(name, STR("request_limit")) && parse_count(value, &service->request_limit))
        return true;
    if (str_equal(name, STR("default_action"))) {
        service->default_action = value;
        return true;
    }
    if (str_equal(name, STR("policy_context"))) {
        service->context = value;
        return true;
    }
    return error_set(error, "policy service %.*s: bad option \"%.*s\"", STR_ARGS(service->server),
                     STR_ARGS(name));
}

/* The next of "a, b=c, { d = e f }": commas and blanks separate, braces keep together. */
static bool next_option(struct str *rest, struct str *option)
{
    size_t len = 0;

    while (rest->len > 0 && (ascii_is_space(rest->ptr[0]) || rest->ptr[0] == ','))
        *rest = str_skip(*rest, 1);
    if (rest->len == 0)
        return false;
    if (rest->ptr[0] == '{') {
        ptrdiff_t end = str_find_byte(*rest, '}');
        len = end < 0 ? rest->len : (size_t)end + 1;
        *option = str_trim(str_of(rest->ptr + 1, len - (end < 0 ? 1 : 2)));
    } else {
        while (len < rest->len && !ascii_is_space(rest->ptr[len]) && rest->ptr[len] != ',')
            len++;
        *option = str_take(*rest, len);
    }
    *rest = str_skip(*rest, len);
    return true;
}

static bool parse_service(struct policy_service *service, struct error *error)
{
    struct str rest = service->text;
    struct str option;

    service->server = service->text;
    if (service->text.ptr[0] != '{')
        return true;
    rest = str_trim(str_of(rest.ptr + 1, rest.len - 2));
    if (service->text.ptr[service->text.len - 1] != '}' || !next_option(&rest, &service->server))
        return error_set(error, "policy service syntax error: %.*s", STR_ARGS(service->text));
    while (next_option(&rest, &option)) {
        ptrdiff_t equals = str_find_byte(option, '=');
        if (equals < 1)
            return error_set(error, "policy service %.*s: \"%.*s\" is no name=value",
                             STR_ARGS(service->server), STR_ARGS(option));
        if (!set_option(service, str_trim(str_take(option, (size_t)equals)),
                        str_trim(str_skip(option, (size_t)equals + 1)), error))
            return false;
    }
    return true;
}

struct policy_service *policy_services_open(struct policy_services *services, struct str text,
                                            struct error *error)
{
    const struct config *config = services->config;
    struct policy_service *known = policy_services_find(services, text);

    if (known != NULL)
        return known;
    struct policy_service *service = arena_new(&services->arena, sizeof *service);
    *service = (struct policy_service){
        .owner = services,
        .text = arena_copy(&services->arena, text),
        .default_action = config->smtpd_policy_service_default_action,
        .context = config->smtpd_policy_service_policy_context,
        .timeout_ms = config->smtpd_policy_service_timeout * 1000,
        .max_idle_ms = config->smtpd_policy_service_max_idle * 1000,
        .max_ttl_ms = config->smtpd_policy_service_max_ttl * 1000,
        .retry_delay_ms = config->smtpd_policy_service_retry_delay * 1000,
        .try_limit = (unsigned)config->smtpd_policy_service_try_limit,
        .request_limit = (unsigned)config->smtpd_policy_service_request_limit,
    };
    if (!parse_service(service, error))
        return NULL;
    if (services->service == NULL) {
        error_set(error, "policy service %.*s: cannot be asked from here",
                  STR_ARGS(service->server));
        return NULL;
    }
    service->endpoint = endpoint_new(services->service, service->server, error);
    if (service->endpoint == NULL)
        return NULL;
    list_append(&services->all, &service->link);
    return service;
}

struct str policy_service_name(struct policy_service *service)
{
    return service->server;
}

/* ---- connections ---- */

static void drop_idle(struct policy_service *service, size_t index)
{
    stream_free(&service->idle[index].stream);
    service->idle[index] = service->idle[--service->idle_count];
}

/* Closes what has been idle for too long, and looks again when the next one could be. */
static void expire(struct timer *timer)
{
    struct policy_services *services = list_entry(timer, struct policy_services, expiry);
    struct loop *loop = services->service->loop;
    int64_t now_ms = loop_now_ms(loop);
    int64_t next_ms = INT64_MAX;

    list_each (link, &services->all) {
        struct policy_service *service = list_entry(link, struct policy_service, link);
        for (size_t i = service->idle_count; i-- > 0;) {
            int64_t end_ms = service->idle[i].used_ms + service->max_idle_ms;
            if (end_ms <= now_ms)
                drop_idle(service, i);
            else if (end_ms < next_ms)
                next_ms = end_ms;
        }
    }
    if (next_ms != INT64_MAX)
        timer_set(loop, &services->expiry, next_ms, expire);
}

/* Nothing may come from a server that was not asked. */
static bool is_quiet(struct stream *stream)
{
    char byte;

    return str_is_empty(stream_pending(stream)) &&
           recv(stream_fd(stream), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

static bool take_idle(struct policy_service *service, struct idle *connection)
{
    int64_t now_ms = loop_now_ms(service->owner->service->loop);

    while (service->idle_count > 0) {
        *connection = service->idle[service->idle_count - 1];
        if (now_ms - connection->opened_ms < service->max_ttl_ms &&
            now_ms - connection->used_ms < service->max_idle_ms && is_quiet(connection->stream)) {
            service->idle_count--;
            return true;
        }
        drop_idle(service, service->idle_count - 1);
    }
    return false;
}

static void keep(struct policy_service *service, struct idle *connection)
{
    struct loop *loop = service->owner->service->loop;

    connection->used_ms = loop_now_ms(loop);
    if (service->idle_count == IDLE_MAX ||
        (service->request_limit > 0 && connection->request_count >= service->request_limit) ||
        service->max_idle_ms <= 0) {
        stream_free(&connection->stream);
        return;
    }
    stream_shrink(connection->stream);
    service->idle[service->idle_count++] = *connection;
    timer_set(loop, &service->owner->expiry, connection->used_ms + service->max_idle_ms, expire);
}

/* ---- the question ---- */

static void put(struct buf *out, const char *name, struct str value)
{
    buf_append_text(out, name);
    buf_append_byte(out, '=');
    /* A line end would be another attribute. */
    for (size_t i = 0; i < value.len; i++)
        buf_append_byte(
            out, (unsigned char)value.ptr[i] < 0x20 || value.ptr[i] == 0x7f ? '?' : value.ptr[i]);
    buf_append_byte(out, '\n');
}

static void put_number(struct buf *out, const char *name, uint64_t value)
{
    buf_printf(out, "%s=%llu\n", name, (unsigned long long)value);
}

/* The same for all questions about one message, or before it about the connection. */
static void put_instance(struct buf *out, const struct check *check)
{
    const struct session *session = &check->conversation->session;
    int64_t begin_us =
        check_has_sender(check) ? session->transaction.envelope.arrival_us : session->connected_us;

    buf_printf(out, "instance=%x.%llx.%llx.%x\n", (unsigned)getpid(),
               (unsigned long long)(begin_us / 1000000), (unsigned long long)(begin_us % 1000000),
               (unsigned)session->number);
}

static struct str only_recipient(const struct check *check)
{
    const struct envelope *envelope = &check->conversation->session.transaction.envelope;

    if (check->has_recipient)
        return check->recipient_as_sent;
    return (check->list == LIST_DATA || check->list == LIST_END_OF_DATA) &&
                   envelope->recipient_count == 1
               ? envelope->recipients[0].address
               : STR("");
}

static void put_peers(struct buf *out, const struct check *check)
{
    const struct conversation *conversation = check->conversation;
    const struct session *session = &conversation->session;
    struct sockaddr_storage own = { 0 };
    socklen_t len = sizeof own;
    struct net_address address = { 0 };
    autofree_buf struct buf text = { 0 };

    put(out, "client_address", session->client_address);
    put(out, "client_name", session->client_name);
    put(out, "client_port", session->client_port);
    put(out, "reverse_client_name", session->reverse_name);
    if (getsockname(stream_fd(conversation->stream), (struct sockaddr *)&own, &len) == 0)
        net_address_from_sockaddr((struct sockaddr *)&own, len, &address);
    net_address_format(&address, &text);
    put(out, "server_address", buf_str(&text));
    put_number(out, "server_port", net_address_port(&address));
}

/* The names of a certificate count where somebody vouches for it. */
static void put_encryption(struct buf *out, const struct tls_facts *tls)
{
    static const struct tls_facts none;
    const struct tls_facts *facts = tls != NULL ? tls : &none;

    put(out, "ccert_subject", facts->is_trusted ? facts->subject : STR(""));
    put(out, "ccert_issuer", facts->is_trusted ? facts->issuer : STR(""));
    put(out, "ccert_fingerprint", facts->certificate_fingerprint);
    put(out, "ccert_pubkey_fingerprint", facts->key_fingerprint);
    put(out, "encryption_protocol", facts->protocol);
    put(out, "encryption_cipher", facts->cipher);
    put_number(out, "encryption_keysize", (uint64_t)facts->use_bits);
}

static void put_request(struct buf *out, const struct check *check, struct policy_service *service)
{
    const struct session *session = &check->conversation->session;
    const struct transaction *transaction = &session->transaction;
    bool has_content = check->list == LIST_DATA || check->list == LIST_END_OF_DATA;

    put(out, "request", STR("smtpd_access_policy"));
    put(out, "protocol_state", str_from(check->where));
    put(out, "protocol_name", session_protocol(session));
    put_peers(out, check);
    put(out, "helo_name", session->helo_name);
    put(out, "sender", check_has_sender(check) ? check_sender(check) : STR(""));
    put(out, "recipient", only_recipient(check));
    put_number(out, "recipient_count", has_content ? transaction->envelope.recipient_count : 0);
    put(out, "queue_id", conversation_queue_id(check->conversation));
    put_instance(out, check);
    put_number(out, "size",
               check->list == LIST_END_OF_DATA ? transaction->content_bytes
                                               : transaction->announced_bytes);
    put(out, "etrn_domain", check->etrn_domain);
    put(out, "stress", check_config(check)->stress);
    put(out, "sasl_method", session->sasl_method);
    put(out, "sasl_username", session->sasl_username);
    put(out, "sasl_sender", transaction->sasl_sender);
    put_encryption(out, session->tls);
    put(out, "policy_context", service->context);
    buf_append_byte(out, '\n');
}

/* ---- the answer ---- */

bool policy_reply_parse(struct str reply, struct str *action)
{
    bool has_action = false;

    while (!str_is_empty(reply)) {
        struct str line = str_cut(&reply, "\n");
        ptrdiff_t equals = str_find_byte(line, '=');
        if (equals < 1)
            return false;
        if (!str_equal(str_take(line, (size_t)equals), STR("action")))
            continue;
        if (has_action)
            return false;
        *action = str_trim(str_skip(line, (size_t)equals + 1));
        has_action = true;
    }
    return has_action;
}

static bool read_reply(struct stream *stream, int64_t deadline_ms, struct buf *reply,
                       struct error *error)
{
    struct str line;

    buf_init(reply, REPLY_BYTES_MAX);
    for (;;) {
        enum stream_outcome outcome =
            stream_read_line(stream, LINE_BYTES_MAX, deadline_ms, &line, NULL);
        if (outcome != STREAM_OK)
            return error_set(error, "%s", stream_outcome_text(outcome));
        if (str_is_empty(line))
            return !reply->is_overflowed || error_set(error, "a reply without end");
        buf_append(reply, line);
        buf_append_byte(reply, '\n');
        if (reply->is_overflowed)
            return error_set(error, "a reply without end");
    }
}

static bool exchange(struct policy_service *service, struct idle *connection, struct str request,
                     struct buf *reply, struct error *error)
{
    int64_t deadline_ms = loop_now_ms(service->owner->service->loop) + service->timeout_ms;

    connection->request_count++;
    enum stream_outcome outcome = stream_write(connection->stream, request, deadline_ms);
    if (outcome != STREAM_OK)
        return error_set(error, "%s", stream_outcome_text(outcome));
    return read_reply(connection->stream, deadline_ms, reply, error);
}

static bool connect_to(struct policy_service *service, struct idle *connection, struct error *error)
{
    int64_t now_ms = loop_now_ms(service->owner->service->loop);

    *connection = (struct idle){ .opened_ms = now_ms };
    return endpoint_connect(service->endpoint, now_ms + service->timeout_ms, &connection->stream,
                            error) == STREAM_OK;
}

/* One try: over an open connection while there are some, and over a new one. */
static bool try_once(struct policy_service *service, struct str request, struct buf *reply,
                     struct error *error)
{
    struct idle connection;

    if (take_idle(service, &connection)) {
        if (exchange(service, &connection, request, reply, error)) {
            keep(service, &connection);
            return true;
        }
        /* It may have ended while nobody looked: that is no failure of the server. */
        stream_free(&connection.stream);
        buf_free(reply);
    }
    if (!connect_to(service, &connection, error))
        return false;
    if (exchange(service, &connection, request, reply, error)) {
        keep(service, &connection);
        return true;
    }
    stream_free(&connection.stream);
    buf_free(reply);
    return false;
}

struct str policy_service_ask(struct check *check, struct policy_service *service)
{
    const struct log_context *log = &check->conversation->policy->log;
    struct loop *loop = check->conversation->server->loop;
    autofree_buf struct buf request = { 0 };
    autofree_buf struct buf reply = { 0 };
    struct error error;
    struct str action;

    put_request(&request, check, service);
    for (unsigned tries = 1;; tries++) {
        if (try_once(service, buf_str(&request), &reply, &error)) {
            if (policy_reply_parse(buf_str(&reply), &action))
                return arena_copy(check->scratch, action);
            error_set(&error, "a malformed reply");
        }
        if (tries > 1 || service->try_limit <= 1)
            log_warning(log, "problem talking to server %.*s: %s", STR_ARGS(service->server),
                        error.message);
        if (tries >= service->try_limit ||
            fiber_sleep(loop, service->retry_delay_ms) == WAKE_CANCELLED)
            break;
        buf_free(&reply);
    }
    return service->default_action;
}
