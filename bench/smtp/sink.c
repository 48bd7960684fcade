/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mail server that keeps nothing and counts: the end of a benchmark. It prints a line of JSON at
 * SIGUSR1 and at its end (SIGTERM, SIGINT).
 *
 *   bench-sink [options] ADDRESS PORT
 *
 *   --cert FILE --key FILE   offers STARTTLS
 *   --no-pipelining          does not offer PIPELINING
 *   --delay STAGE=MS         answers that much later, at one stage: banner, mail, rcpt, end
 *   --refuse STAGE=CODE:N    each Nth answer at a stage is a refusal with that code
 *   --ids FILE               what bench-load says was accepted (its --ids): the JSON tells what of
 *                            it is missing
 */
#include "base/clock.h"
#include "program.h"
#include "sink_session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 4096, ACCEPTS = 64, MISSING_SHOWN = 10 };

struct options {
    const char *certificate_file, *key_file, *ids_file;
    const char *address;
    uint16_t port;
};

static struct sink sink = { .has_pipelining = true };
/* Their addresses tell epoll's events apart. */
static int listener_fd, signal_fd;

/* Compares with the generator's file. */
static void print_missing(const char *ids_file)
{
    FILE *file = fopen(ids_file, "r");
    char line[MARK_COPY_LEN + 1], shown[MISSING_SHOWN][MARK_COPY_LEN + 1];
    uint64_t expected = 0, missing = 0, copy;

    if (file == NULL)
        die_errno(ids_file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (!mark_parse_copy(str_from(line), &copy))
            continue; /* its last line may be on its way */
        expected++;
        if (copy_set_has(&sink.copies, copy))
            continue;
        if (missing < MISSING_SHOWN)
            memcpy(shown[missing], line, sizeof line);
        missing++;
    }
    fclose(file);
    printf(", \"expected\": %" PRIu64 ", \"missing\": %" PRIu64 ", \"unexpected\": %" PRIu64
           ", \"missing_copies\": [",
           expected, missing, sink.copies.count - (expected - missing));
    for (size_t i = 0; i < missing && i < MISSING_SHOWN; i++)
        printf("%s\"%.*s\"", i > 0 ? ", " : "", MARK_COPY_LEN - 1, shown[i]);
    printf("]");
}

static void print_report(const struct options *options)
{
    printf("{\"tool\": \"bench-sink\", \"messages\": %" PRIu64 ", \"copies\": %zu, "
           "\"duplicates\": %" PRIu64 ", \"foreign\": %" PRIu64 ", \"damaged\": %" PRIu64
           ", \"refused\": %" PRIu64 ", \"bytes\": %" PRIu64 ", ",
           sink.messages, sink.copies.count, sink.duplicates, sink.foreign, sink.damaged,
           sink.refused, sink.bytes);
    printf("\"connections\": %" PRIu64 ", \"open_connections\": %" PRIu64
           ", \"most_connections\": %" PRIu64 ", \"tls_connections\": %" PRIu64
           ", \"first_us\": %" PRId64 ", \"last_us\": %" PRId64 ", \"cpu_us_per_message\": %.2f, ",
           sink.connections, sink.open_connections, sink.most_connections, sink.tls_connections,
           sink.first_us, sink.last_us,
           sink.messages > 0 ? program_cpu_us() / (double)sink.messages : 0.0);
    printf("\"latency_us\": ");
    histogram_print(&sink.latency, stdout);
    if (options->ids_file != NULL)
        print_missing(options->ids_file);
    printf("}\n");
    fflush(stdout);
}

static const char *const stage_names[] = { "banner", "mail", "rcpt", "end" };

/* The stage that an option names, which it cuts off. */
static enum stage parse_stage(struct str *option)
{
    struct str name = str_cut(option, "=");

    for (size_t i = 0; i < STAGE_COUNT; i++)
        if (str_equal(name, str_from(stage_names[i])))
            return (enum stage)i;
    die("a stage is banner, mail, rcpt or end", NULL);
    return STAGE_COUNT;
}

static void parse_delay(struct str option)
{
    enum stage stage = parse_stage(&option);
    uint64_t delay_ms;

    for (size_t i = 0; i < STAGE_COUNT; i++)
        if (sink.delays_us[i] != 0)
            die("there is one --delay", NULL);
    if (!str_to_u64(option, &delay_ms) || delay_ms > 3600000)
        die("--delay STAGE=MILLISECONDS", NULL);
    sink.delays_us[stage] = (int64_t)delay_ms * 1000;
}

static void parse_refusal(struct str option)
{
    enum stage stage = parse_stage(&option);
    struct str code = str_cut(&option, ":");
    uint64_t number, every;

    if (!str_to_u64(code, &number) || number < 400 || number > 599 || !str_to_u64(option, &every) ||
        every == 0 || every > UINT32_MAX)
        die("--refuse STAGE=CODE:EVERY, with a code from 400 to 599", NULL);
    sink.refusals[stage].every = (unsigned)every;
    buf_clear(&sink.refusals[stage].text);
    buf_printf(&sink.refusals[stage].text, "%.*s refused on purpose\r\n", STR_ARGS(code));
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: bench-sink [--cert FILE --key FILE] [--no-pipelining] "
                    "[--delay STAGE=MS]\n    [--refuse STAGE=CODE:N] [--ids FILE] ADDRESS PORT\n");
    exit(64);
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        { "cert", required_argument, NULL, 'c' },
        { "key", required_argument, NULL, 'k' },
        { "delay", required_argument, NULL, 'd' },
        { "refuse", required_argument, NULL, 'r' },
        { "no-pipelining", no_argument, NULL, 'P' },
        { "ids", required_argument, NULL, 'i' },
        { NULL, 0, NULL, 0 },
    };
    struct options options = { 0 };
    uint64_t port;
    int letter;

    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (letter == 'c')
            options.certificate_file = optarg;
        else if (letter == 'k')
            options.key_file = optarg;
        else if (letter == 'd')
            parse_delay(str_from(optarg));
        else if (letter == 'r')
            parse_refusal(str_from(optarg));
        else if (letter == 'P')
            sink.has_pipelining = false;
        else if (letter == 'i')
            options.ids_file = optarg;
        else
            usage();
    }
    if (argc - optind != 2 || !str_to_u64(str_from(argv[optind + 1]), &port) || port > UINT16_MAX ||
        (options.certificate_file == NULL) != (options.key_file == NULL))
        usage();
    options.address = argv[optind];
    options.port = (uint16_t)port;
    return options;
}

static int listen_at(const struct options *options)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(options->port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    if (inet_pton(AF_INET, options->address, &address.sin_addr) != 1)
        die("the address is not one of IPv4", NULL);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, BACKLOG) < 0)
        die_errno("listen");
    return fd;
}

static void watch(int *fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = fd };

    if (*fd < 0 || epoll_ctl(sink.epoll_fd, EPOLL_CTL_ADD, *fd, &event) < 0)
        die_errno("epoll_ctl");
}

static void set_up(const struct options *options)
{
    struct error error;

    signal_fd = program_open();
    if (options->certificate_file != NULL) {
        sink.tls = tls_context_new(options->certificate_file, options->key_file, &error);
        if (sink.tls == NULL)
            die("TLS", &error);
    }
    sink.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    listener_fd = listen_at(options);
    watch(&signal_fd);
    watch(&listener_fd);
}

/* Some at a time, so that those who are there already get their turn. */
static void accept_some(void)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            die_errno("accept");
        if (fd < 0)
            return;
        session_new(&sink, fd);
    }
}

static void report(void *options)
{
    print_report(options);
}

static int milliseconds_to_wait(void)
{
    if (sink.delayed.first == NULL)
        return -1;
    int64_t wait_us = sink.delayed.first->resume_us - clock_monotonic_us();
    return wait_us > 0 ? (int)((wait_us + 999) / 1000) : 0;
}

static void resume_delayed(void)
{
    while (sink.delayed.first != NULL && sink.delayed.first->resume_us <= clock_monotonic_us()) {
        struct session *session = sink.delayed.first;
        sink.delayed.first = session->next;
        if (sink.delayed.first == NULL)
            sink.delayed.last = NULL;
        session_resume(session);
    }
}

int main(int argc, char **argv)
{
    struct options options = parse_options(argc, argv);
    struct epoll_event events[EVENTS];
    bool goes_on = true;

    set_up(&options);
    while (goes_on) {
        int count = epoll_wait(sink.epoll_fd, events, EVENTS, milliseconds_to_wait());
        for (int i = 0; i < count; i++) {
            void *owner = events[i].data.ptr;
            if (owner == &listener_fd)
                accept_some();
            else if (owner == &signal_fd)
                goes_on = program_take_signals(signal_fd, report, &options);
            else
                session_ready(owner);
        }
        resume_delayed();
    }
    print_report(&options);
    copy_set_free(&sink.copies);
    tls_context_free(&sink.tls);
    return 0;
}
