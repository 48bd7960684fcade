/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An SMTP load generator: one thread, any number of sessions. Its end is a line of JSON, also at
 * SIGUSR1 on the way. See usage() for the options.
 */
#include "load_client.h"
#include "program.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/memory.h"

enum { EVENTS = 256, CONNECTING_MAX = 100 };
static const int64_t PAUSE_US = 50000, FAREWELL_US = 2000000, NEVER_US = INT64_MAX;

static _Noreturn void usage(void)
{
    fputs("usage: bench-load [options] ADDRESS PORT\n"
          "  --sessions N        at once (1)\n"
          "  --messages N        altogether (1000)\n"
          "  --size SIZES        bytes of content: N, \"realistic\", or NxWEIGHT,NxWEIGHT,... "
          "(4096)\n"
          "  --recipients N      of each message (1)\n"
          "  --domains N         that recipients are spread over, d0 to dN-1 (1)\n"
          "  --per-connection N  messages; 1 = a new connection for each (0: all)\n"
          "  --no-pipelining     also where the server offers it\n"
          "  --starttls          and the server must offer it\n"
          "  --rate R            messages in a second, whether or not there are answers: latency\n"
          "                      counts from the moment a message was due\n"
          "  --idle N            further connections that say EHLO and stay\n"
          "  --stay              keep them until SIGTERM, beyond the last message\n"
          "  --seconds S         begin no message after that (0: no limit)\n"
          "  --patience S        then wait so long for answers (30)\n"
          "  --ids FILE          gets a line for each copy that was accepted\n",
          stderr);
    exit(64);
}

static uint32_t parse_count(const char *text, uint32_t max)
{
    uint64_t value;

    if (!str_to_u64(str_from(text), &value) || value > max)
        usage();
    return (uint32_t)value;
}

static double parse_number(const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0 && value < 1e9))
        usage();
    return value;
}

enum { OPTION_RATE = 'R', OPTION_SECONDS = 'S', OPTION_PATIENCE = 'W' };

static void parse_option(struct load_options *options, int letter)
{
    switch (letter) {
    case 's':
        options->sessions = parse_count(optarg, 100000);
        break;
    case 'm':
        options->messages = parse_count(optarg, UINT32_MAX - 1);
        break;
    case 'r':
        options->recipients = parse_count(optarg, MARK_RECIPIENTS_MAX);
        break;
    case 'd':
        options->domains = parse_count(optarg, 1000000);
        break;
    case 'c':
        options->per_connection = parse_count(optarg, UINT32_MAX);
        break;
    case 'i':
        options->idle = parse_count(optarg, 1000000);
        break;
    case OPTION_RATE:
        options->rate = parse_number(optarg);
        break;
    case OPTION_SECONDS:
        options->seconds = parse_number(optarg);
        break;
    case OPTION_PATIENCE:
        options->patience_seconds = parse_number(optarg);
        break;
    case 'P':
        options->may_pipeline = false;
        break;
    case 't':
        options->is_tls = true;
        break;
    case 'y':
        options->must_stay = true;
        break;
    case 'f':
        options->ids_file = optarg;
        break;
    default:
        usage();
    }
}

/* `sizes` is left to content_init. */
static void parse_options(int argc, char **argv, struct load_options *options, const char **sizes)
{
    static const struct option names[] = {
        { "sessions", required_argument, NULL, 's' },
        { "messages", required_argument, NULL, 'm' },
        { "size", required_argument, NULL, 'z' },
        { "recipients", required_argument, NULL, 'r' },
        { "domains", required_argument, NULL, 'd' },
        { "per-connection", required_argument, NULL, 'c' },
        { "no-pipelining", no_argument, NULL, 'P' },
        { "starttls", no_argument, NULL, 't' },
        { "rate", required_argument, NULL, OPTION_RATE },
        { "idle", required_argument, NULL, 'i' },
        { "stay", no_argument, NULL, 'y' },
        { "seconds", required_argument, NULL, OPTION_SECONDS },
        { "patience", required_argument, NULL, OPTION_PATIENCE },
        { "ids", required_argument, NULL, 'f' },
        { NULL, 0, NULL, 0 },
    };
    int letter;

    *options = (struct load_options){ .sessions = 1,
                                      .messages = 1000,
                                      .recipients = 1,
                                      .domains = 1,
                                      .patience_seconds = 30,
                                      .may_pipeline = true };
    *sizes = "4096";
    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (letter == 'z')
            *sizes = optarg;
        else
            parse_option(options, letter);
    }
    if (argc - optind != 2 || options->sessions == 0 || options->recipients == 0 ||
        options->domains == 0)
        usage();
    options->server.sin_family = AF_INET;
    options->server.sin_port = htons((uint16_t)parse_count(argv[optind + 1], UINT16_MAX));
    if (inet_pton(AF_INET, argv[optind], &options->server.sin_addr) != 1)
        usage();
}

/* Lists: the free ones are taken from the front and put there, the pausing ones wait in line. */

static struct client *list_take(struct client_list *list)
{
    struct client *client = list->first;

    if (client != NULL && (list->first = client->next) == NULL)
        list->last = NULL;
    return client;
}

static void list_put_first(struct client_list *list, struct client *client)
{
    client->next = list->first;
    list->first = client;
    if (list->last == NULL)
        list->last = client;
}

static void list_put_last(struct client_list *list, struct client *client)
{
    client->next = NULL;
    if (list->last != NULL)
        list->last->next = client;
    else
        list->first = client;
    list->last = client;
}

/* When the next message may begin; NEVER_US when there is none. */
static int64_t next_due_us(const struct load *load)
{
    if (load->is_over || load->begun == load->options.messages)
        return NEVER_US;
    if (load->options.rate <= 0)
        return 0;
    return load->start_us + (int64_t)((double)load->begun * 1e6 / load->options.rate);
}

static void deal(struct load *load, struct client *client, int64_t due_us, int64_t now_us)
{
    struct mark mark = { .run = load->run, .number = load->begun++ };

    mark.due_us = due_us > 0 ? due_us : now_us;
    load->busy++;
    client_send(client, &mark);
}

void load_free(struct load *load, struct client *client)
{
    int64_t due_us = next_due_us(load);
    int64_t now_us = due_us < NEVER_US ? clock_monotonic_us() : 0;

    if (due_us < NEVER_US && due_us <= now_us)
        deal(load, client, due_us, now_us);
    else
        list_put_first(&load->free, client);
}

void load_pause(struct load *load, struct client *client)
{
    client->resume_us = clock_monotonic_us() + PAUSE_US;
    list_put_last(&load->pausing, client);
}

bool load_may_go_on(const struct load *load, uint32_t sent)
{
    return load->options.per_connection == 0 || sent < load->options.per_connection;
}

static void write_ids(struct load *load, const struct client *client)
{
    char line[MARK_COPY_LEN];

    for (uint32_t i = 0; i < load->options.recipients; i++) {
        if (!client->accepted[i])
            continue;
        mark_format_copy(mark_copy(&client->mark, i), line);
        fwrite(line, sizeof line, 1, load->ids);
    }
}

void load_message_ended(struct load *load, struct client *client, enum outcome outcome)
{
    load->busy--;
    load->end_us = clock_monotonic_us();
    switch (outcome) {
    case OUTCOME_REFUSED:
        load->refused++;
        break;
    case OUTCOME_UNANSWERED:
        load->unanswered++;
        break;
    case OUTCOME_ACCEPTED:
        load->accepted++;
        load->recipients_accepted += client->accepted_count;
        histogram_add(&load->latency, load->end_us - client->mark.due_us);
        if (load->ids != NULL)
            write_ids(load, client);
        break;
    }
}

static void print_report(const struct load *load)
{
    uint64_t sent = load->accepted + load->refused + load->unanswered;
    double wall_s = (double)(load->end_us - load->start_us) * 1e-6;

    printf("{\"tool\": \"bench-load\", \"run\": \"%04x\", \"begun\": %" PRIu32
           ", \"sent\": %" PRIu64 ", \"accepted\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"unanswered\": %" PRIu64 ", \"unsent\": %" PRIu64 ", ",
           load->run, load->begun, sent, load->accepted, load->refused, load->unanswered,
           load->begun - sent);
    printf("\"recipients_accepted\": %" PRIu64 ", \"recipients_refused\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"connections\": %" PRIu64 ", \"connect_failures\": %" PRIu64
           ", \"lost_connections\": %" PRIu64 ", ",
           load->recipients_accepted, load->recipients_refused, load->bytes, load->connections,
           load->connect_failures, load->lost_connections);
    printf("\"idle_open\": %" PRIu32 ", \"idle_lost\": %" PRIu32 ", \"start_us\": %" PRId64
           ", \"end_us\": %" PRId64 ", \"wall_s\": %.6f, \"messages_per_s\": %.1f, "
           "\"cpu_us_per_message\": %.2f, ",
           load->idle_open, load->idle_lost, load->start_us, load->end_us, wall_s,
           wall_s > 0 ? (double)load->accepted / wall_s : 0.0,
           sent > 0 ? program_cpu_us() / (double)sent : 0.0);
    printf("\"latency_us\": ");
    histogram_print(&load->latency, stdout);
    printf(", \"connect_latency_us\": ");
    histogram_print(&load->connect_latency, stdout);
    printf("}\n");
    fflush(stdout);
    if (load->ids != NULL && fflush(load->ids) != 0)
        die_errno(load->options.ids_file);
}

static int open_signals(int epoll_fd)
{
    struct epoll_event event = { .events = EPOLLIN };
    int fd = program_open();

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        die_errno("epoll_ctl");
    return fd;
}

static void report(void *load)
{
    print_report(load);
}

/* At the end: no further messages, and no patience. */
static void take_signals(struct load *load, int signal_fd)
{
    if (program_take_signals(signal_fd, report, load))
        return;
    load->is_over = load->is_stopped = true;
    load->options.seconds = load->options.patience_seconds = 1e-6;
}

/* Waits for events, at most until then, and works them off. */
static void run_once(struct load *load, int signal_fd, int64_t until_us)
{
    struct epoll_event events[EVENTS];
    int64_t wait_us = until_us == NEVER_US ? 3600000000 : until_us - clock_monotonic_us();
    struct timespec timeout = { 0 };

    if (wait_us > 0)
        timeout = (struct timespec){ wait_us / 1000000, wait_us % 1000000 * 1000 };
    int count = epoll_pwait2(load->epoll_fd, events, EVENTS, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == NULL)
            take_signals(load, signal_fd);
        else
            client_ready(events[i].data.ptr);
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Begins what is due; returns when the next thing will be. */
static int64_t begin_due(struct load *load, int64_t now_us)
{
    int64_t due_us;

    while (load->free.first != NULL && (due_us = next_due_us(load)) <= now_us)
        deal(load, list_take(&load->free), due_us, now_us);
    while (load->pausing.first != NULL && load->pausing.first->resume_us <= now_us)
        client_resume(list_take(&load->pausing));
    int64_t next_us = load->free.first != NULL ? next_due_us(load) : NEVER_US;
    return load->pausing.first != NULL ? earlier(next_us, load->pausing.first->resume_us) : next_us;
}

/* When the load ends, answered or not; NEVER_US without a limit. */
static int64_t limit_us(const struct load *load, double seconds)
{
    return load->options.seconds > 0 ? load->start_us + (int64_t)(seconds * 1e6) : NEVER_US;
}

static bool is_finished(const struct load *load)
{
    return load->busy == 0 && (load->is_over || load->begun == load->options.messages);
}

static void run_load(struct load *load, int signal_fd)
{
    load->start_us = load->end_us = clock_monotonic_us();
    while (!is_finished(load)) {
        const struct load_options *options = &load->options;
        int64_t now_us = clock_monotonic_us();
        int64_t last_us = limit_us(load, options->seconds + options->patience_seconds);
        load->is_over = load->is_over || now_us >= limit_us(load, options->seconds);
        if (now_us >= last_us)
            break;
        int64_t until_us = earlier(begin_due(load, now_us), last_us);
        if (!load->is_over)
            until_us = earlier(until_us, limit_us(load, options->seconds));
        if (!is_finished(load))
            run_once(load, signal_fd, until_us);
    }
}

/* The connections that only stay, a portion at a time, as no listener's backlog is endless. */
static void open_idle(struct load *load, struct client *idle, int signal_fd)
{
    uint32_t begun = 0;
    int64_t last_us = clock_monotonic_us() + (int64_t)(load->options.patience_seconds * 1e6);

    while (begun < load->options.idle || load->idle_connecting > 0) {
        for (; begun < load->options.idle && load->idle_connecting < CONNECTING_MAX; begun++)
            client_stay(&idle[begun]);
        if (clock_monotonic_us() >= last_us || load->is_over)
            break;
        if (load->idle_connecting > 0)
            run_once(load, signal_fd, last_us);
    }
}

static void say_farewell(struct load *load, struct client *clients, int signal_fd)
{
    int64_t last_us = clock_monotonic_us() + FAREWELL_US;
    uint32_t open = 1;

    load->is_over = true;
    for (struct client *client; (client = list_take(&load->free)) != NULL;)
        client_quit(client);
    while (open > 0 && clock_monotonic_us() < last_us) {
        open = 0;
        for (uint32_t i = 0; i < load->options.sessions; i++)
            open += clients[i].phase == PHASE_QUIT;
        if (open > 0)
            run_once(load, signal_fd, last_us);
    }
}

static void set_up(struct load *load, const char *sizes)
{
    struct error error;

    if (!content_init(&load->content, str_from(sizes), &error))
        die("--size", &error);
    if (load->options.is_tls && (load->tls = tls_context_new(NULL, NULL, &error)) == NULL)
        die("TLS", &error);
    if (load->options.ids_file != NULL && (load->ids = fopen(load->options.ids_file, "we")) == NULL)
        die_errno(load->options.ids_file);
    while (load->run == 0)
        if (getrandom(&load->run, sizeof load->run, 0) != sizeof load->run)
            die_errno("getrandom");
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
}

static struct client *clients_new(struct load *load, uint32_t count)
{
    struct client *clients = memory_new_array(count + 1, sizeof *clients);

    for (uint32_t i = 0; i < count; i++)
        client_init(&clients[i], load);
    return clients;
}

static void clients_free(struct client *clients, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        client_clear(&clients[i]);
    memory_free(clients);
}

int main(int argc, char **argv)
{
    static struct load load;
    const char *sizes;

    parse_options(argc, argv, &load.options, &sizes);
    set_up(&load, sizes);
    struct client *clients = clients_new(&load, load.options.sessions);
    struct client *idle = clients_new(&load, load.options.idle);
    int signal_fd = open_signals(load.epoll_fd);
    open_idle(&load, idle, signal_fd);
    for (uint32_t i = load.options.sessions; i > 0; i--)
        list_put_first(&load.free, &clients[i - 1]);
    run_load(&load, signal_fd);
    while (load.options.must_stay && !load.is_stopped)
        run_once(&load, signal_fd, NEVER_US);
    say_farewell(&load, clients, signal_fd);
    print_report(&load);
    clients_free(clients, load.options.sessions);
    clients_free(idle, load.options.idle);
    content_clear(&load.content);
    tls_context_free(&load.tls);
    if (load.ids != NULL && fclose(load.ids) != 0)
        die_errno(load.options.ids_file);
    return 0;
}
