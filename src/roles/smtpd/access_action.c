/* SPDX-License-Identifier: Apache-2.0 */
/* What the result of an access table does. */
#include "access.h"
#include "mail/address.h"
#include "mail/header.h"
#include "refusal.h"
#include "restrictions_inside.h"

/* "REJECT 5.7.2 text": the word's rest, cut into its enhanced code and its text. */
struct action {
    struct check *check;
    const struct access *access;
    struct str key;
    const char *name;
    struct str rest;
};

static struct str text_or(struct str text, const char *otherwise)
{
    return str_is_empty(text) ? str_from(otherwise) : text;
}

static const char *enhanced_for(const struct action *action, const char *enhanced)
{
    return reply_fit_enhanced(action->check->scratch, enhanced, action->access->reply_class);
}

static enum rule_outcome refuse_action(const struct action *action, unsigned code,
                                       const char *usual)
{
    struct check *check = action->check;
    struct str text = action->rest;
    const char *enhanced = enhanced_for(action, reply_take_enhanced(check->scratch, &text, usual));

    return refuse(check, code, enhanced,
                  refusal_text(check, action->access->reply_name, action->access->reply_class,
                               arena_text(check->scratch, text_or(text, "Access denied"))));
}

static struct verdict deferral_of(const struct action *action)
{
    struct check *check = action->check;
    struct str text = action->rest;
    const char *enhanced =
        enhanced_for(action, reply_take_enhanced(check->scratch, &text, "4.7.1"));

    return (struct verdict){
        .code = (unsigned)check_config(check)->access_map_defer_code,
        .enhanced = enhanced,
        .text = refusal_text(check, action->access->reply_name, action->access->reply_class,
                             arena_text(check->scratch, text_or(text, "Service unavailable"))),
    };
}

/* ---- the actions that say yes, no or later ---- */

static enum rule_outcome act_permit(const struct action *action)
{
    return permit(action->check, action->name);
}

static enum rule_outcome act_reject(const struct action *action)
{
    return refuse_action(action, (unsigned)check_config(action->check)->access_map_reject_code,
                         "5.7.1");
}

static enum rule_outcome act_defer(const struct action *action)
{
    return refuse_action(action, (unsigned)check_config(action->check)->access_map_defer_code,
                         "4.7.1");
}

static enum rule_outcome act_defer_if_permit(const struct action *action)
{
    struct verdict verdict = deferral_of(action);

    return defer_if_permitted(action->check, false, &verdict);
}

static enum rule_outcome act_defer_if_reject(const struct action *action)
{
    struct verdict verdict = deferral_of(action);

    return defer_if_rejected(action->check, &verdict);
}

static enum rule_outcome act_nothing(const struct action *action)
{
    (void)action;
    return RULE_PASSED_ON;
}

/* ---- those that are about the whole message ---- */

static void warn(const struct action *action, const char *text)
{
    log_warning(&action->check->conversation->policy->log, "%s", text);
}

/* Before MAIL there is no message yet that it could be for. */
static bool is_too_early(const struct action *action)
{
    struct check *check = action->check;

    if (check_has_sender(check))
        return false;
    warn(action, arena_printf(check->scratch,
                              "access table %.*s: with smtpd_delay_reject=no, action %s is always "
                              "skipped in smtpd_client_restrictions or smtpd_helo_restrictions "
                              "restrictions",
                              STR_ARGS(action->access->table), action->name));
    return true;
}

static void log_trigger(const struct action *action, const char *log_name, const char *text)
{
    log_action(action->check, log_name,
               arena_printf(action->check->scratch, "<%.*s>: %s %s",
                            STR_ARGS(action->access->reply_name), action->access->reply_class,
                            text));
}

static struct message_actions *actions_of(const struct action *action)
{
    return &action->check->conversation->session.transaction.actions;
}

static struct str kept(const struct action *action, struct str text)
{
    return arena_copy(&action->check->conversation->session.transaction.arena, text);
}

static const char *rest_or(const struct action *action, const char *otherwise)
{
    return arena_text(action->check->scratch, text_or(action->rest, otherwise));
}

/* The operator's own words stand alone, also where there are none. */
static void log_note(const struct action *action, const char *log_name)
{
    log_action(action->check, log_name, arena_text(action->check->scratch, action->rest));
}

static enum rule_outcome act_warn(const struct action *action)
{
    log_note(action, "warn");
    return RULE_PASSED_ON;
}

static enum rule_outcome act_info(const struct action *action)
{
    log_note(action, "info");
    return RULE_PASSED_ON;
}

static enum rule_outcome act_hold(const struct action *action)
{
    if (is_too_early(action))
        return RULE_PASSED_ON;
    if (!actions_of(action)->is_held)
        log_trigger(action, "hold", rest_or(action, "triggers HOLD action"));
    actions_of(action)->is_held = true;
    return RULE_PASSED_ON;
}

static enum rule_outcome act_discard(const struct action *action)
{
    if (is_too_early(action))
        return RULE_PASSED_ON;
    if (!actions_of(action)->is_discarded)
        log_trigger(action, "discard", rest_or(action, "triggers DISCARD action"));
    actions_of(action)->is_discarded = true;
    return permit(action->check, action->name);
}

static enum rule_outcome act_filter(const struct action *action)
{
    struct arena *scratch = action->check->scratch;

    if (is_too_early(action))
        return RULE_PASSED_ON;
    if (str_is_empty(action->rest)) {
        warn(action, arena_printf(scratch,
                                  "access table %.*s entry \"%.*s\" has FILTER entry "
                                  "without value",
                                  STR_ARGS(action->access->table), STR_ARGS(action->key)));
    } else if (str_find_byte(action->rest, ':') < 0) {
        warn(action, arena_printf(scratch,
                                  "access table %.*s entry \"%.*s\" requires "
                                  "transport:destination",
                                  STR_ARGS(action->access->table), STR_ARGS(action->key)));
    } else {
        log_trigger(action, "filter",
                    arena_printf(scratch, "triggers FILTER %.*s", STR_ARGS(action->rest)));
        actions_of(action)->filter = kept(action, action->rest);
    }
    return RULE_PASSED_ON;
}

/* Empty: no address, and a warning says so. */
static struct str target_address(const struct action *action)
{
    const struct policy *policy = action->check->conversation->policy;
    struct arena *arena = &action->check->conversation->session.transaction.arena;

    if (str_find_byte(action->rest, '@') >= 0)
        return rewrite_address(arena, &policy->rewrite,
                               address_unquote(arena, kept(action, action->rest)));
    warn(action, arena_printf(action->check->scratch,
                              "access table %.*s entry \"%.*s\" requires user@domain target",
                              STR_ARGS(action->access->table), STR_ARGS(action->key)));
    return STR("");
}

static enum rule_outcome act_redirect(const struct action *action)
{
    if (is_too_early(action))
        return RULE_PASSED_ON;
    struct str address = target_address(action);
    if (str_is_empty(address))
        return RULE_PASSED_ON;
    log_trigger(
        action, "redirect",
        arena_printf(action->check->scratch, "triggers REDIRECT %.*s", STR_ARGS(action->rest)));
    actions_of(action)->redirect = address;
    return RULE_PASSED_ON;
}

static enum rule_outcome act_bcc(const struct action *action)
{
    if (is_too_early(action))
        return RULE_PASSED_ON;
    struct str address = target_address(action);
    if (str_is_empty(address))
        return RULE_PASSED_ON;
    log_trigger(action, "bcc",
                arena_printf(action->check->scratch, "triggers BCC %.*s", STR_ARGS(action->rest)));
    message_actions_add_bcc(actions_of(action),
                            &action->check->conversation->session.transaction.arena, address);
    return RULE_PASSED_ON;
}

/* A name of printable characters, blanks perhaps, a colon, and no byte that could end the line. */
static bool is_header(struct str text)
{
    struct str value = text, name = str_trim(str_cut(&value, ":"));

    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] >= 0x7f)
            return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == '\0')
            return false;
    return name.len > 0 && name.ptr == text.ptr && str_find_byte(text, ':') >= 0;
}

static enum rule_outcome act_prepend(const struct action *action)
{
    struct check *check = action->check;

    if (is_too_early(action))
        return RULE_PASSED_ON;
    if (check->list == LIST_END_OF_DATA)
        warn(action, arena_printf(check->scratch,
                                  "access table %.*s: action PREPEND must be used before "
                                  "smtpd_end_of_data_restrictions",
                                  STR_ARGS(action->access->table)));
    else if (!is_header(action->rest))
        warn(action,
             arena_printf(check->scratch, "access table %.*s entry \"%.*s\" requires header: text",
                          STR_ARGS(action->access->table), STR_ARGS(action->key)));
    else
        message_actions_prepend(actions_of(action), &check->conversation->session.transaction.arena,
                                action->rest);
    return RULE_PASSED_ON;
}

/* ---- which one it is ---- */

static const struct action_kind {
    const char *name;
    enum rule_outcome (*act)(const struct action *action);
} kinds[] = {
    { "OK", act_permit },
    { "RELAY", act_permit },
    { "DUNNO", act_nothing },
    { "REJECT", act_reject },
    { "DEFER", act_defer },
    { "DEFER_IF_PERMIT", act_defer_if_permit },
    { "DEFER_IF_REJECT", act_defer_if_reject },
    { "WARN", act_warn },
    { "INFO", act_info },
    { "HOLD", act_hold },
    { "DISCARD", act_discard },
    { "FILTER", act_filter },
    { "REDIRECT", act_redirect },
    { "BCC", act_bcc },
    { "PREPEND", act_prepend },
};

static bool is_number(struct str word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (!ascii_is_digit(word.ptr[i]))
            return false;
    }
    return word.len > 0;
}

static enum rule_outcome run_restrictions(struct check *check, const struct access *access,
                                          struct str value)
{
    const struct log_context *log = &check->conversation->policy->log;
    struct rule_list list;
    struct str saved_name = check->reply_name;
    const char *saved_class = check->reply_class;

    if (str_find_byte(value, ':') >= 0) {
        log_warning(log, "access table %.*s has entry with lookup table: %.*s",
                    STR_ARGS(access->table), STR_ARGS(value));
        log_warning(log, "do not specify lookup tables inside SMTPD access maps");
        log_warning(log, "define a restriction class and specify its name instead.");
        return refuse_for_configuration(check);
    }
    rules_parse_result(
        check->restrictions, check->scratch,
        &(struct parse_request){ .parameter = "access table", .text = value, .list = check->list },
        &list);
    check->reply_name = access->reply_name;
    check->reply_class = access->reply_class;
    enum rule_outcome outcome = rules_run(check, &list);
    check->reply_name = saved_name;
    check->reply_class = saved_class;
    return outcome;
}

enum rule_outcome access_act(struct check *check, const struct access *access, struct str value,
                             struct str key)
{
    struct action action = { .check = check, .access = access, .key = key };
    struct str trimmed = str_trim(value);

    action.rest = trimmed;
    struct str word = str_cut(&action.rest, " \t");
    action.rest = str_trim(action.rest);
    if (str_is_empty(trimmed)) {
        warn(&action, arena_printf(check->scratch, "access table %.*s entry %.*s has empty value",
                                   STR_ARGS(access->table), STR_ARGS(key)));
        return permit(check, "OK");
    }
    if (is_number(trimmed)) {
        action.name = arena_text(check->scratch, trimmed);
        return act_permit(&action);
    }
    if (is_number(word) && word.len == 3 && (word.ptr[0] == '4' || word.ptr[0] == '5'))
        return refuse_action(&action,
                             (unsigned)(word.ptr[0] - '0') * 100 +
                                 (unsigned)(word.ptr[1] - '0') * 10 + (unsigned)(word.ptr[2] - '0'),
                             word.ptr[0] == '4' ? "4.7.1" : "5.7.1");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!str_equal_fold(word, str_from(kinds[i].name)))
            continue;
        action.name = kinds[i].name;
        return kinds[i].act(&action);
    }
    return run_restrictions(check, access, trimmed);
}
