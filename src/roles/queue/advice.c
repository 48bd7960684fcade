/* SPDX-License-Identifier: Apache-2.0 */
#include "advice.h"

#include "queue.h"

enum { CLOG_SHARE = 5 }; /* more than this part of the active messages is much for one */

static const struct log_context *speaker_of(const struct queue *queue)
{
    return &queue->settings->speakers[SPEAKER_QMGR];
}

/* ---- destinations that fall behind ---- */

static bool has_rivals(const struct destination *destination)
{
    const struct transport *transport = destination->transport;

    return transport->busy > destination->concurrency.busy || !lanes_are_empty(&transport->ready) ||
           !list_is_empty(&transport->held);
}

static void warn_of_dead_time(const struct log_context *qmgr, const struct transport *transport)
{
    log_warning(qmgr, "you may need to reduce %.*s connect and helo timeouts",
                STR_ARGS(transport->name));
    log_warning(qmgr, "so that Waypost quickly skips unavailable hosts");
    log_warning(qmgr, "you may need to increase the main.cf minimal_backoff_time and "
                      "maximal_backoff_time");
    log_warning(qmgr, "so that Waypost wastes less time on undeliverable mail");
    log_warning(qmgr, "you may need to increase the master.cf %.*s process limit",
                STR_ARGS(transport->name));
}

static void warn_of_clogging(const struct destination *destination, size_t count, size_t total)
{
    const struct queue *queue = destination->queue;
    const struct log_context *qmgr = speaker_of(queue);
    const struct transport *transport = destination->transport;
    size_t limit = transport->settings.concurrency.limit;
    double share = (double)count / (double)total;

    log_warning(qmgr, "mail for %.*s is using up %zu of %zu active queue entries",
                STR_ARGS(destination->nexthop), count, total);
    if (share < 0.9)
        log_warning(qmgr, "this may slow down other mail deliveries");
    if (limit > 0 && destination->concurrency.busy >= limit)
        log_warning(qmgr,
                    "you may need to increase the main.cf %.*s_destination_concurrency_limit "
                    "from %zu",
                    STR_ARGS(transport->name), limit);
    else if ((double)destination->concurrency.window >
             (double)queue->settings->active_limit * share)
        log_warning(qmgr, "you may need to increase the main.cf qmgr_message_active_limit from %zu",
                    queue->settings->active_limit);
    else if (has_rivals(destination))
        log_warning(qmgr, "you may need a separate master.cf transport for %.*s",
                    STR_ARGS(destination->nexthop));
    else
        warn_of_dead_time(qmgr, transport);
    log_warning(qmgr, "please avoid flushing the whole queue when you have");
    log_warning(qmgr, "lots of deferred mail, that is bad for performance");
    log_warning(qmgr, "to turn off these warnings specify: qmgr_clog_warn_time = 0");
}

/* Messages that are kept back (parking.h) would be active in Postfix, and count here. */
void advise_of_clogging(struct destination *destination)
{
    struct queue *queue = destination->queue;
    const struct config *config = queue->settings->config;
    size_t count =
        destination->waiting_count + destination->concurrency.busy + destination->parking.count;
    int64_t now_ms = loop_now_ms(queue->loop);

    if (count <= queue->settings->active_limit / CLOG_SHARE || now_ms < destination->clog_warn_ms ||
        config->qmgr_clog_warn_time <= 0 || !config->helpful_warnings)
        return;
    destination->clog_warn_ms = now_ms + config->qmgr_clog_warn_time * 1000;
    size_t total = active_count(queue) + map_count(queue->scheduler.parked);
    warn_of_clogging(destination, count, total > count ? total : count);
}

/* ---- feedback ---- */

static void log_rule(const struct transport *transport, const char *suffix,
                     const struct feedback *feedback)
{
    const struct queue *queue = transport->queue;
    size_t window = transport->settings.concurrency.initial;
    autoclear_arena struct arena scratch = { 0 };
    struct str general = STR(""), own = STR("");
    const char *name = arena_printf(&scratch, "default_%s", suffix);

    (void)config_find(queue->settings->config, str_from(name), &general);
    name = arena_printf(&scratch, "%.*s_%s", STR_ARGS(transport->name), suffix);
    bool is_own =
        config_find(queue->settings->config, str_from(name), &own) && !str_equal(own, general);

    log_info(speaker_of(queue), "%.*s: %.*s_%s feedback type %d value at %zu: %g",
             STR_ARGS(transport->name), STR_ARGS(is_own ? transport->name : STR("default")), suffix,
             (int)feedback->divisor, window, feedback_value(feedback, window));
}

void advise_of_feedback_rules(const struct transport *transport)
{
    const struct concurrency_limits *limits = &transport->settings.concurrency;

    if (!transport->queue->settings->config->destination_concurrency_feedback_debug)
        return;
    log_rule(transport, "destination_concurrency_positive_feedback", &limits->positive);
    log_rule(transport, "destination_concurrency_negative_feedback", &limits->negative);
}

void advise_of_feedback(const struct destination *destination, bool is_good)
{
    const struct queue *queue = destination->queue;
    const struct concurrency *concurrency = &destination->concurrency;
    const char *verb = is_good ? "unthrottle" : "throttle";

    if (!queue->settings->config->destination_concurrency_feedback_debug)
        return;
    if (concurrency->last_feedback > 0)
        log_info(speaker_of(queue), "qmgr_queue_%s: feedback %g", verb, concurrency->last_feedback);
    log_info(
        speaker_of(queue),
        "qmgr_queue_%s: queue %.*s: limit %zu window %zu success %g failure %g fail_cohorts %g",
        verb, STR_ARGS(destination->nexthop), destination->transport->settings.concurrency.limit,
        concurrency->window, concurrency->success, concurrency->failure,
        concurrency->failed_cohorts);
}
