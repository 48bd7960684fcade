/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/cleanup.h"

#include "base/ensure.h"
#include "base/map.h"
#include "base/memory.h"
#include "mail/address.h"
#include "mail/address_list.h"
#include "mail/alias_expansion.h"
#include "mail/local_domain.h"
#include "mail/log_line.h"
#include "mail/masquerade.h"

enum {
    CANONICAL_NESTING_MAX = 1000,
    RECIPIENTS_BYTES_MAX = 3 * 1024 * 1024, /* an envelope fits a channel's frame */
    RECIPIENT_BYTES = 64,                   /* beside its texts */
};

/* What canonical_classes and masquerade_classes name. */
enum address_class_bit {
    CLASS_ENVELOPE_SENDER = 1,
    CLASS_ENVELOPE_RECIPIENT = 2,
    CLASS_HEADER_SENDER = 4,
    CLASS_HEADER_RECIPIENT = 8,
};

/* canonical_maps and its two siblings: one address for another, in some places. */
struct canonical {
    struct table_list *tables;
    unsigned classes;
};

struct cleanup {
    const struct config *config;
    struct log_context log;
    struct local_domains *local;
    struct address_map_rules rules;
    struct rewrite_rules remote_rules; /* remote_header_rewrite_domain */
    struct canonical sender_canonical, recipient_canonical, canonical;
    struct masquerade masquerade;
    unsigned masquerade_classes;
    struct table_list *sender_bcc, *recipient_bcc;
    struct table_list *virtual_aliases;
    struct alias_expansion aliases;
    bool propagates_canonical;
    struct content_checks *checks; /* NULL: none */
    bool maps_addresses;           /* any of canonical, masquerade: without, addresses stay */
};

/* One message while it is worked on. */
struct run {
    const struct cleanup *cleanup;
    struct cleanup_message *message;
    struct envelope given; /* as it came */
    struct map *seen;      /* recipients that are in the envelope already */
    bool is_copy;          /* the recipient at hand was not asked for */
    size_t recipients_bytes;
    struct str body; /* what follows the headers in the content at hand */
};

/* ---- making it ---- */

static void warn(void *argument, const char *text)
{
    const struct cleanup *cleanup = argument;

    log_warning(&cleanup->log, "%s", text);
}

static bool parse_classes(const char *parameter, struct str text, unsigned *classes,
                          struct error *error)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {
        { "envelope_sender", CLASS_ENVELOPE_SENDER },
        { "envelope_recipient", CLASS_ENVELOPE_RECIPIENT },
        { "header_sender", CLASS_HEADER_SENDER },
        { "header_recipient", CLASS_HEADER_RECIPIENT },
    };
    struct str word;

    *classes = 0;
    while (str_next_word(&text, ", \t\r\n", &word)) {
        size_t i = 0;
        while (i < 4 && !str_equal_fold(word, str_from(names[i].name)))
            i++;
        if (i == 4)
            return error_set(error, "parameter %s: unknown address class \"%.*s\"", parameter,
                             STR_ARGS(word));
        *classes |= names[i].bit;
    }
    return true;
}

static struct table_list *open_tables(struct cleanup *cleanup, struct str name, struct str text,
                                      struct table_list *old)
{
    struct table_options options = { .warning = warn, .argument = cleanup };

    return table_list_new(name, text, &options, old);
}

static bool set_classes(struct cleanup *cleanup, struct error *error)
{
    const struct config *config = cleanup->config;

    return parse_classes("sender_canonical_classes", config->sender_canonical_classes,
                         &cleanup->sender_canonical.classes, error) &&
           parse_classes("recipient_canonical_classes", config->recipient_canonical_classes,
                         &cleanup->recipient_canonical.classes, error) &&
           parse_classes("canonical_classes", config->canonical_classes,
                         &cleanup->canonical.classes, error) &&
           parse_classes("masquerade_classes", config->masquerade_classes,
                         &cleanup->masquerade_classes, error);
}

/* `old` lends what cannot be opened again. */
static void open_all_tables(struct cleanup *cleanup, struct cleanup *old)
{
    const struct config *config = cleanup->config;
    const struct {
        struct str name, text;
        struct table_list **list, *old;
    } rows[] = {
#define ROW(parameter, member)                                                                     \
    { STR(#parameter), config->parameter, &cleanup->member, old != NULL ? old->member : NULL }
        ROW(sender_canonical_maps, sender_canonical.tables),
        ROW(recipient_canonical_maps, recipient_canonical.tables),
        ROW(canonical_maps, canonical.tables),
        ROW(sender_bcc_maps, sender_bcc),
        ROW(recipient_bcc_maps, recipient_bcc),
        ROW(virtual_alias_maps, virtual_aliases),
#undef ROW
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        *rows[i].list = open_tables(cleanup, rows[i].name, rows[i].text, rows[i].old);
}

static size_t limit_of(int64_t value)
{
    return value > 0 ? (size_t)value : 1;
}

static void set_aliases(struct cleanup *cleanup)
{
    const struct config *config = cleanup->config;

    cleanup->aliases = (struct alias_expansion){
        .rules = &cleanup->rules,
        .tables = cleanup->virtual_aliases,
        .propagates_extension =
            str_list_has(config->propagate_unmatched_extensions, STR("virtual")),
        .limits = { .addresses = limit_of(config->virtual_alias_expansion_limit),
                    .nesting = limit_of(config->virtual_alias_recursion_limit),
                    .address_bytes = limit_of(config->virtual_alias_address_length_limit) },
    };
}

unsigned cleanup_external_parts(const struct config *config)
{
    unsigned parts = CLEANUP_EXTERNAL;

    if (str_list_has(config->receive_override_options, STR("no_address_mappings")))
        parts &= ~(unsigned)(CLEANUP_MAPS | CLEANUP_BCC);
    if (str_list_has(config->receive_override_options, STR("no_header_body_checks")))
        parts &= ~(unsigned)CLEANUP_CHECKS;
    return parts;
}

static enum match_outcome is_local(const void *argument, struct str domain, struct error *error)
{
    return local_domains_find_origin(argument, domain, error);
}

struct cleanup *cleanup_new(const struct cleanup_options *options, struct error *error)
{
    struct cleanup *cleanup = memory_new(sizeof *cleanup);
    const struct config *config = options->config;
    struct match_list_options hearer = { .warning = warn, .argument = cleanup };

    cleanup->config = config;
    cleanup->log = options->log;
    cleanup->masquerade =
        (struct masquerade){ config->masquerade_domains, config->masquerade_exceptions };
    cleanup->propagates_canonical =
        str_list_has(config->propagate_unmatched_extensions, STR("canonical"));
    if (!str_equal_fold(config->header_from_format, STR("standard")) &&
        !str_equal_fold(config->header_from_format, STR("obsolete")))
        log_warning(&cleanup->log,
                    "invalid setting: header_from_format = %.*s; it is standard or obsolete, and "
                    "counts as standard",
                    STR_ARGS(config->header_from_format));
    open_all_tables(cleanup, options->old);
    cleanup->checks = content_checks_new(config, &cleanup->log,
                                         options->old != NULL ? options->old->checks : NULL);
    cleanup->local = local_domains_new(config, options->own, &hearer, error);
    if (cleanup->local == NULL || !set_classes(cleanup, error)) {
        cleanup_free(&cleanup);
        return NULL;
    }
    cleanup->rules = (struct address_map_rules){
        .rewrite = rewrite_rules_from(config),
        .extensions = { config->recipient_delimiter, !config->owner_request_special },
        .is_local = is_local,
        .argument = cleanup->local,
    };
    cleanup->remote_rules = cleanup->rules.rewrite;
    cleanup->remote_rules.myorigin = cleanup->remote_rules.mydomain =
        str_trim(config->remote_header_rewrite_domain);
    set_aliases(cleanup);
    cleanup->maps_addresses = !table_list_is_empty(cleanup->sender_canonical.tables) ||
                              !table_list_is_empty(cleanup->recipient_canonical.tables) ||
                              !table_list_is_empty(cleanup->canonical.tables) ||
                              str_trim(config->masquerade_domains).len > 0;
    return cleanup;
}

void cleanup_free(struct cleanup **cleanup)
{
    struct cleanup *gone = *cleanup;

    if (gone == NULL)
        return;
    table_list_free(&gone->sender_canonical.tables);
    table_list_free(&gone->recipient_canonical.tables);
    table_list_free(&gone->canonical.tables);
    table_list_free(&gone->sender_bcc);
    table_list_free(&gone->recipient_bcc);
    table_list_free(&gone->virtual_aliases);
    content_checks_free(&gone->checks);
    local_domains_free(&gone->local);
    memory_free(gone);
    *cleanup = NULL;
}

/* ---- refusing ---- */

/* A table cannot answer, or never ends: mail is not queued half done. */
static bool refuse_for_now(struct run *run, const struct error *error)
{
    log_warning(&run->cleanup->log, "%.*s: %s -- message not accepted, try again later",
                STR_ARGS(run->message->queue_id), error->message);
    run->message->reply_code = 451;
    run->message->reply_enhanced = "4.3.0";
    run->message->reply_text = STR("Error: queue file write error");
    return false;
}

static bool refuse_expansion(struct run *run, const struct error *error)
{
    refuse_for_now(run, error);
    run->message->reply_enhanced = "4.6.0";
    run->message->reply_text = STR("Alias expansion error");
    return false;
}

static bool refuse_look_up(struct run *run, struct str table, struct str address,
                           const struct error *why)
{
    struct error error = { 0 };

    log_warning(&run->cleanup->log, "%s", why->message);
    error_set(&error, "%.*s map lookup problem for %.*s", STR_ARGS(table),
              STR_ARGS(str_take(address, 300)));
    return refuse_for_now(run, &error);
}

/* ---- one address for another ---- */

static bool apply_canonical(struct run *run, const struct canonical *canonical, unsigned where,
                            struct str *address)
{
    const struct cleanup *cleanup = run->cleanup;
    struct address_results results;
    struct error error = { 0 };

    if (!(canonical->classes & where) || table_list_is_empty(canonical->tables))
        return true;
    for (int nesting = 0; nesting < CANONICAL_NESTING_MAX; nesting++) {
        switch (address_map_apply(&cleanup->rules, canonical->tables, *address,
                                  cleanup->propagates_canonical, run->message->arena, &results,
                                  &error)) {
        case LOOKUP_ABSENT:
            return true;
        case LOOKUP_FAILED:
            return refuse_look_up(run, table_list_name(canonical->tables), *address, &error);
        case LOOKUP_FOUND:
            break;
        }
        if (results.count > 1)
            log_warning(&cleanup->log, "%.*s: multi-valued %.*s entry for %.*s",
                        STR_ARGS(run->message->queue_id),
                        STR_ARGS(table_list_name(canonical->tables)), STR_ARGS(*address));
        bool is_settled = str_equal_fold(*address, results.addresses[0]);
        *address = results.addresses[0];
        if (is_settled)
            return true;
    }
    /* Postfix says this, and goes on with the address. */
    log_warning(&cleanup->log,
                "%.*s: unreasonable %.*s map nesting for %.*s -- message not accepted, try again "
                "later",
                STR_ARGS(run->message->queue_id), STR_ARGS(table_list_name(canonical->tables)),
                STR_ARGS(str_take(*address, 300)));
    return true;
}

/* canonical(5) and masquerading for an address at `where`, one of the class bits. */
static bool map_address(struct run *run, unsigned where, struct str *address)
{
    const struct cleanup *cleanup = run->cleanup;
    bool is_sender = (where & (CLASS_ENVELOPE_SENDER | CLASS_HEADER_SENDER)) != 0;
    const struct canonical *own =
        is_sender ? &cleanup->sender_canonical : &cleanup->recipient_canonical;

    if (!(run->message->parts & CLEANUP_MAPS) || !cleanup->maps_addresses || address->len == 0)
        return true;
    if (!apply_canonical(run, own, where, address) ||
        !apply_canonical(run, &cleanup->canonical, where, address))
        return false;
    if (cleanup->masquerade_classes & where)
        *address = masquerade_address(&cleanup->masquerade, run->message->arena, *address);
    return true;
}

/* ---- the envelope ---- */

/* Postfix tells recipients apart by what they were before, too. */
static bool is_new_recipient(struct run *run, const struct recipient *recipient)
{
    autofree_buf struct buf key = { 0 };
    autoclear_arena struct arena scratch = { 0 };

    buf_append(&key, address_fold(&scratch, recipient->address));
    if (run->cleanup->config->enable_original_recipient) {
        buf_append_byte(&key, '\n');
        buf_append(&key, address_fold(&scratch, recipient->original_recipient));
        buf_printf(&key, "\n%d %d ", run->is_copy, recipient->dsn_notify);
        buf_append(&key, recipient->dsn_orcpt);
    }
    return map_set(run->seen, buf_str(&key), run) == NULL;
}

static bool refuse_size(struct run *run)
{
    log_warning(&run->cleanup->log,
                "%.*s: its recipients become more than %d bytes of addresses -- message not "
                "accepted",
                STR_ARGS(run->message->queue_id), RECIPIENTS_BYTES_MAX);
    run->message->reply_code = 452;
    run->message->reply_enhanced = "4.5.3";
    run->message->reply_text = STR("Error: too many recipients");
    return false;
}

static bool put_recipient(struct run *run, const struct recipient *asked, struct str address)
{
    struct recipient recipient = *asked;

    recipient.original_recipient =
        asked->original_recipient.len > 0 ? asked->original_recipient : asked->address;
    recipient.address = address;
    if (!is_new_recipient(run, &recipient))
        return true;
    if (str_equal(recipient.original_recipient, address))
        recipient.original_recipient = STR("");
    run->recipients_bytes +=
        RECIPIENT_BYTES + address.len + recipient.original_recipient.len + recipient.dsn_orcpt.len;
    if (run->recipients_bytes > RECIPIENTS_BYTES_MAX)
        return refuse_size(run);
    envelope_add_recipient(run->message->arena, run->message->envelope, &recipient);
    return true;
}

static bool is_expansion(const struct address_results *results, struct str address)
{
    return results->count != 1 || !str_equal(results->addresses[0], address);
}

/* The sender asked to hear of success: it is told of the alias, and no more of its members
 * (RFC 3461 5.2.7). */
static void put_expanded(struct run *run, const struct recipient *asked, struct str address)
{
    struct recipient expanded = *asked;

    expanded.address = address;
    if (str_equal(expanded.original_recipient, address))
        expanded.original_recipient = STR("");
    expanded.state = RECIPIENT_UNREPORTED;
    expanded.dsn_action = DSN_ACTION_EXPANDED;
    expanded.dsn_status = STR("2.0.0");
    expanded.diagnostic = STR("alias expanded");
    run->recipients_bytes += RECIPIENT_BYTES + address.len + expanded.dsn_orcpt.len;
    envelope_add_recipient(run->message->arena, run->message->envelope, &expanded);
}

static bool expand_recipient(struct run *run, const struct recipient *asked, struct str address)
{
    struct address_results results;
    struct error error = { 0 };

    if (!(run->message->parts & CLEANUP_MAPS) || table_list_is_empty(run->cleanup->virtual_aliases))
        return put_recipient(run, asked, address);
    switch (alias_expand(&run->cleanup->aliases, address, run->message->arena, &results, &error)) {
    case ALIAS_DONE:
        break;
    case ALIAS_FAILED:
        return refuse_look_up(run, STR("virtual_alias_maps"), address, &error);
    case ALIAS_UNBOUNDED:
        return refuse_expansion(run, &error);
    }
    struct recipient member = *asked;
    if ((asked->dsn_notify & DSN_NOTIFY_SUCCESS) != 0 && is_expansion(&results, address)) {
        put_expanded(run, asked, address);
        member.dsn_notify = envelope_notify_without_success(asked->dsn_notify);
    }
    for (size_t i = 0; i < results.count; i++)
        if (!put_recipient(run, &member, results.addresses[i]))
            return false;
    return true;
}

/* A copy to an address of the configuration; its recipient is mapped as any other. */
static bool add_bcc(struct run *run, struct str text)
{
    struct recipient recipient = { .dsn_orcpt = STR("") };
    struct arena *arena = run->message->arena;
    struct address_list list;
    size_t at = 0;

    address_list_parse(arena, text, &list);
    const struct list_item *item = address_list_next(&list, &at);
    if (item == NULL)
        return true;
    struct str address = rewrite_address(arena, &run->cleanup->rules.rewrite, item->address);
    recipient.address = address;
    run->is_copy = true;
    bool is_good = map_address(run, CLASS_ENVELOPE_RECIPIENT, &address) &&
                   expand_recipient(run, &recipient, address);
    run->is_copy = false;
    return is_good;
}

static bool add_bcc_of(struct run *run, struct table_list *tables, struct str address)
{
    struct address_match match;
    struct error error = { 0 };

    if (!(run->message->parts & CLEANUP_BCC) || address.len == 0)
        return true;
    switch (address_map_find(&run->cleanup->rules, tables, address, ADDRESS_KEYS_USUAL,
                             run->message->arena, &match, &error)) {
    case LOOKUP_ABSENT:
        return true;
    case LOOKUP_FAILED:
        return refuse_look_up(run, table_list_name(tables), address, &error);
    case LOOKUP_FOUND:
        return add_bcc(run, match.value);
    }
    unreachable();
}

static bool map_sender(struct run *run)
{
    struct envelope *envelope = run->message->envelope;

    return map_address(run, CLASS_ENVELOPE_SENDER, &envelope->sender) &&
           add_bcc_of(run, run->cleanup->sender_bcc, envelope->sender);
}

static bool map_recipients(struct run *run)
{
    for (size_t i = 0; i < run->given.recipient_count; i++) {
        const struct recipient *asked = &run->given.recipients[i];
        struct str address = asked->address;
        if (!map_address(run, CLASS_ENVELOPE_RECIPIENT, &address) ||
            !expand_recipient(run, asked, address) ||
            !add_bcc_of(run, run->cleanup->recipient_bcc, address))
            return false;
    }
    return true;
}

/* The recipients move aside and come back as what they become. */
static bool map_envelope(struct run *run)
{
    struct envelope *envelope = run->message->envelope;

    run->given = *envelope;
    envelope->recipients = NULL;
    envelope->recipient_count = envelope->recipient_capacity = 0;
    return map_sender(run) && map_recipients(run);
}

/* ---- headers ---- */

static bool map_header_address(void *argument, bool is_sender, struct str *address)
{
    struct run *run = argument;

    return map_address(run, is_sender ? CLASS_HEADER_SENDER : CLASS_HEADER_RECIPIENT, address);
}

static bool check_header(void *argument, struct str *whole, struct buf *out)
{
    struct run *run = argument;

    return content_scan_header(run->message->scan, whole, out);
}

/* The one that logs name, as Postfix's do. */
static struct str last_recipient(const struct envelope *envelope)
{
    return envelope->recipient_count > 0
               ? envelope->recipients[envelope->recipient_count - 1].address
               : STR("");
}

static void begin_scan(struct run *run)
{
    struct cleanup_message *message = run->message;
    const struct content_scan_subject subject = {
        .arena = message->arena,
        .actions = message->actions,
        .envelope = message->envelope,
        .recipient = last_recipient(&run->given),
        .queue_id = message->queue_id,
    };

    if (run->cleanup->checks != NULL && message->actions != NULL &&
        (message->parts & CLEANUP_CHECKS) != 0)
        message->scan = content_scan_new(run->cleanup->checks, &subject);
}

/* Whether the checks leave the message be. */
static bool is_acceptable(struct cleanup_message *message)
{
    const struct content_refusal *refusal =
        message->scan != NULL ? content_scan_refusal(message->scan) : NULL;

    if (refusal == NULL)
        return true;
    message->reply_code = refusal->code;
    message->reply_enhanced = arena_text(message->arena, str_from(refusal->enhanced));
    message->reply_text = refusal->text;
    return false;
}

static void log_message_id(const struct run *run)
{
    autofree_buf struct buf line = { 0 };

    log_line_message_id(run->message->queue_id, run->message->message_id, &line);
    log_write_text(&run->cleanup->log, SEVERITY_INFO, buf_str(&line));
}

static bool map_headers(struct run *run, struct str content, struct buf *out)
{
    const struct config *config = run->cleanup->config;
    struct cleanup_message *message = run->message;
    bool is_local = message->origin == HEADERS_LOCAL;
    bool is_rewritten = is_local || run->cleanup->remote_rules.myorigin.len > 0;
    struct header_rewriter rewriter = {
        .rules = is_local ? &run->cleanup->rules.rewrite : &run->cleanup->remote_rules,
        .map = map_header_address,
        .argument = run,
    };
    bool is_8bit = false;
    struct header_completion completion = {
        .myhostname = config->myhostname,
        .queue_id = message->queue_id,
        .sender = message->envelope->sender,
        .full_name = message->full_name,
        .has_name_behind = str_equal_fold(config->header_from_format, STR("obsolete")),
        .undisclosed_recipients_header = config->undisclosed_recipients_header,
        .drop = config->message_drop_headers,
        .rewriter = is_rewritten ? &rewriter : NULL,
        .wall_s = message->envelope->arrival_us / 1000000,
        .may_add_missing = is_local || config->always_add_missing_headers,
        .is_8bit = config->detect_8bit_encoding_header ? &is_8bit : NULL,
        .opening = message->opening,
        .check = message->scan != NULL ? check_header : NULL,
        .check_argument = run,
        .body = message->scan != NULL ? &run->body : NULL,
    };

    if (!header_complete(message->arena, &completion, content, out, &message->message_id))
        return false;
    if (!is_acceptable(message))
        return false;
    if (is_8bit)
        message->envelope->flags |= ENVELOPE_8BITMIME;
    log_message_id(run);
    if (message->scan != NULL)
        content_scan_body(message->scan, run->body, out);
    return is_acceptable(message);
}

/* What BCC actions ask for, with all that is done to a recipient; and where REDIRECT sends all of
 * them is completed like any other address. */
static bool settle_actions(struct run *run)
{
    struct message_actions *actions = run->message->actions;
    bool is_good = true;

    if (actions != NULL && actions->redirect.len > 0)
        actions->redirect =
            rewrite_address(run->message->arena, &run->cleanup->rules.rewrite, actions->redirect);

    for (size_t i = 0; is_good && actions != NULL && i < actions->bcc_count; i++)
        is_good = add_bcc(run, actions->bcc[i]);
    if (actions != NULL)
        actions->bcc_count = 0;
    return is_good;
}

static bool add_late_copies(struct run *run)
{
    return settle_actions(run) &&
           (!(run->message->parts & CLEANUP_BCC) || add_bcc(run, run->cleanup->config->always_bcc));
}

enum cleanup_outcome cleanup_run(const struct cleanup *cleanup, struct cleanup_message *message,
                                 struct str content, struct buf *out)
{
    struct run run = { .cleanup = cleanup, .message = message };
    bool is_good;

    run.seen = map_new();
    message->cleanup = cleanup;
    is_good = map_envelope(&run);
    if (is_good)
        begin_scan(&run);
    is_good = is_good && map_headers(&run, content, out) && add_late_copies(&run);
    map_free(&run.seen);
    return is_good ? CLEANUP_DONE : CLEANUP_REFUSED;
}

enum cleanup_outcome cleanup_add(struct cleanup_message *message, struct str content,
                                 struct buf *out)
{
    if (message->scan == NULL) {
        buf_append(out, content);
        return CLEANUP_DONE;
    }
    content_scan_body(message->scan, content, out);
    return is_acceptable(message) ? CLEANUP_DONE : CLEANUP_REFUSED;
}

/* What checks of the body ask for comes when the rest is done. */
static bool settle_actions_of_body(struct cleanup_message *message)
{
    struct envelope *envelope = message->envelope;
    struct run run = { .cleanup = message->cleanup, .message = message, .given = *envelope };

    run.seen = map_new();
    for (size_t i = 0; i < envelope->recipient_count; i++)
        (void)is_new_recipient(&run, &envelope->recipients[i]);
    bool is_good = settle_actions(&run);
    map_free(&run.seen);
    return is_good;
}

enum cleanup_outcome cleanup_end(struct cleanup_message *message, struct buf *out)
{
    bool is_good = true;

    if (message->scan == NULL)
        return CLEANUP_DONE;
    if (out != NULL) {
        content_scan_end(message->scan, out);
        is_good = is_acceptable(message) && settle_actions_of_body(message);
    }
    content_scan_free(&message->scan);
    return is_good ? CLEANUP_DONE : CLEANUP_REFUSED;
}
