/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An authentication server's lines, in answer to whatever: the greeting, then a login with two
 * responses. No mechanism's name can break a line, nobody is let in without OK and a printable
 * name.
 */
#include "dovecot.h"

#include "base/ensure.h"
#include "base/file.h"
#include "loop/fiber.h"

#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In place of the master's: the server's bytes are in the socket already. */
struct endpoint {
    struct loop *loop;
    struct str bytes;
    int fd;
};

struct str endpoint_text(const struct endpoint *endpoint)
{
    return STR("unix:private/auth");
}

enum stream_outcome endpoint_connect(struct endpoint *endpoint, int64_t deadline_ms,
                                     struct stream **stream, struct error *error)
{
    int pair[2];

    ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    ensure(fd_write_all(pair[1], endpoint->bytes, "the server's end", error));
    ensure(shutdown(pair[1], SHUT_WR) == 0);
    fd_close(&endpoint->fd);
    endpoint->fd = pair[1];
    *stream = stream_new(endpoint->loop, pair[0], error);
    return *stream != NULL ? STREAM_OK : STREAM_FAILED;
}

static void log_in(struct dovecot *dovecot, struct str bytes)
{
    autoclear_arena struct arena arena = { 0 };
    struct dovecot_request request = { .service = STR("smtp"),
                                       .mechanism = STR("LOGIN"),
                                       .client_address = STR("192.0.2.1"),
                                       .has_initial = true,
                                       .initial = STR("eA==") };
    struct dovecot_exchange exchange;
    enum dovecot_step step = dovecot_start(dovecot, &arena, &request, DEADLINE_NEVER, &exchange);

    for (int i = 0; i < 2 && step == DOVECOT_CONTINUES; i++)
        step = dovecot_continue(&exchange, STR("eA=="), DEADLINE_NEVER);
    if (step == DOVECOT_ACCEPTS) {
        ensure(exchange.user.len > 0 && str_find(bytes, STR("OK\t1\t")) >= 0);
        for (size_t i = 0; i < exchange.user.len; i++)
            ensure((unsigned char)exchange.user.ptr[i] >= ' ' && exchange.user.ptr[i] != 0x7f);
    }
    ensure(step == DOVECOT_CONTINUES || exchange.stream == NULL);
    dovecot_end(&exchange);
}

static void converse(void *argument)
{
    struct endpoint *endpoint = argument;
    struct dovecot *dovecot = dovecot_new(endpoint);
    const struct mechanism *mechanisms;
    struct error error = { 0 };
    size_t count = 0;

    if (dovecot_mechanisms(dovecot, DEADLINE_NEVER, &mechanisms, &count, &error)) {
        for (size_t i = 0; i < count; i++)
            ensure(mechanisms[i].name.len > 0 && mechanisms[i].name.len <= 20);
    } else {
        ensure(error.message[0] != '\0');
    }
    log_in(dovecot, endpoint->bytes);
    dovecot_free(&dovecot);
    loop_stop(endpoint->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error;
    struct endpoint endpoint = { .bytes = str_of((const char *)data, size), .fd = -1 };

    if (size > 60000)
        return 0;
    endpoint.loop = loop_new(&error);
    ensure(endpoint.loop != NULL);
    (void)fiber_start(endpoint.loop, "login", converse, &endpoint);
    loop_run(endpoint.loop);
    fd_close(&endpoint.fd);
    loop_free(&endpoint.loop);
    return 0;
}
