/* SPDX-License-Identifier: Apache-2.0 */
#include "refusal.h"

struct str check_client(const struct check *check)
{
    return session_client_text(check->scratch, &check->conversation->session);
}

const char *refusal_text(struct check *check, struct str name, const char *class, const char *why)
{
    return arena_printf(check->scratch, "<%.*s>: %s rejected: %s", STR_ARGS(name), class, why);
}

void log_action(struct check *check, const char *action, const char *text)
{
    conversation_log_action(check->conversation, action, check->where, str_from(text),
                            check->has_recipient ? &check->recipient_as_sent : NULL);
}

static enum rule_outcome permit_subject(struct check *check, const char *action, const char *class,
                                        struct str name, const char *end)
{
    struct match_list *list = check->conversation->policy->logged_permits;
    struct error error;

    if (match_list_find_name(list, str_from(action), &error) == MATCH_FOUND)
        log_action(check, "permit",
                   arena_printf(check->scratch, "action=%s for %s=%.*s%s", action, class,
                                STR_ARGS(name), end));
    return RULE_PERMITTED;
}

enum rule_outcome permit(struct check *check, const char *action)
{
    return permit_subject(check, action, check->reply_class, check->reply_name, "");
}

enum rule_outcome permit_client(struct check *check, const char *action)
{
    return permit_subject(check, action, "Client host", check_client(check), " ");
}

/* Nothing that a table or a server said may end the line or add one. */
static const char *one_line(struct check *check, const char *text)
{
    char *copy = arena_new(check->scratch, strlen(text) + 1);

    for (size_t i = 0; text[i] != '\0'; i++)
        copy[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    return copy;
}

static struct verdict verdict_make(struct check *check, unsigned code, const char *enhanced,
                                   const char *text)
{
    if (code >= 500 && check_config(check)->soft_bounce)
        code -= 100;
    return (struct verdict){
        .code = code,
        .enhanced = arena_printf(check->scratch, "%u%s", code / 100, enhanced + 1),
        .text = one_line(check, text),
    };
}

static const char *verdict_text(struct check *check, const struct verdict *verdict)
{
    autofree_buf struct buf text = { 0 };

    verdict_format(verdict, &text);
    return arena_text(check->scratch, buf_str(&text));
}

static enum rule_outcome refuse_with(struct check *check, const struct verdict *verdict)
{
    check->verdict = *verdict;
    log_action(check, "reject", verdict_text(check, verdict));
    return RULE_REFUSED;
}

enum rule_outcome refuse(struct check *check, unsigned code, const char *enhanced, const char *text)
{
    struct verdict verdict = verdict_make(check, code, enhanced, text);

    if (check->warn_depth > 0) {
        log_action(check, "reject_warning", verdict_text(check, &verdict));
        return RULE_PASSED_ON;
    }
    /* An earlier trouble may have kept us from permitting: it is reported instead. */
    if (check->if_reject.is_active)
        return refuse_with(check, &check->if_reject.verdict);
    return refuse_with(check, &verdict);
}

enum rule_outcome refuse_subject(struct check *check, unsigned code, const char *enhanced,
                                 const char *why)
{
    return refuse(check, code, enhanced,
                  refusal_text(check, check->reply_name, check->reply_class, why));
}

enum rule_outcome refuse_for_failure(struct check *check, const char *enhanced, const char *text)
{
    struct verdict verdict = verdict_make(check, 451, enhanced, text);

    return refuse_with(check, &verdict);
}

enum rule_outcome refuse_for_configuration(struct check *check)
{
    return refuse_for_failure(check, "4.3.5", "Server configuration error");
}

enum rule_outcome refuse_for_lookup(struct check *check, struct str name)
{
    return refuse_for_failure(
        check, "4.3.0",
        arena_printf(check->scratch, "<%.*s>: Temporary lookup failure", STR_ARGS(name)));
}

static void remember(struct check *check, struct deferral *deferral, const struct verdict *verdict)
{
    if (deferral->is_active)
        return;
    *deferral = (struct deferral){
        .is_active = true,
        .verdict = verdict_make(check, verdict->code, verdict->enhanced, verdict->text),
    };
}

enum rule_outcome defer_if_permitted(struct check *check, bool is_immediate,
                                     const struct verdict *verdict)
{
    if (is_immediate || check->warn_depth > 0)
        return refuse(check, verdict->code, verdict->enhanced, verdict->text);
    remember(check, &check->if_permit, verdict);
    return RULE_PASSED_ON;
}

enum rule_outcome defer_if_rejected(struct check *check, const struct verdict *verdict)
{
    remember(check, &check->if_reject, verdict);
    return RULE_PASSED_ON;
}

/* ---- enhanced codes in texts ---- */

/* "5.7.1" and the like. */
static bool is_enhanced_code(struct str word)
{
    unsigned dots = 0, digits = 0;

    if (word.len < 5 || (word.ptr[0] != '2' && word.ptr[0] != '4' && word.ptr[0] != '5') ||
        word.ptr[1] != '.')
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] == '.') {
            if (digits == 0 || digits > 3)
                return false;
            digits = 0;
            dots++;
        } else if (ascii_is_digit(word.ptr[i])) {
            digits++;
        } else {
            return false;
        }
    }
    return dots == 2 && digits > 0 && digits <= 3;
}

const char *reply_take_enhanced(struct arena *arena, struct str *text, const char *usual)
{
    struct str rest = *text;
    struct str word = str_cut(&rest, " \t");

    if (!is_enhanced_code(word))
        return usual;
    *text = str_trim(rest);
    return arena_text(arena, word);
}

const char *reply_fit_enhanced(struct arena *arena, const char *enhanced, const char *reply_class)
{
    /* By the last number, 0 to 8. */
    static const char *const of_senders[] = { "1.0", "1.7", "1.8", "1.7", "1.7",
                                              "1.0", "1.7", "1.7", "1.8" };
    static const char *const of_recipients[] = { "1.0", "1.1", "1.2", "1.3", "1.4",
                                                 "1.5", "1.6", "1.3", "1.2" };
    const char *fitting = "1.0";
    size_t last;

    if (strncmp(enhanced + 1, ".1.", 3) != 0)
        return enhanced;
    last = (size_t)(enhanced[4] - '0');
    bool is_known = last < sizeof of_senders / sizeof of_senders[0] && enhanced[5] == '\0';
    if (strcmp(reply_class, "Sender address") == 0)
        fitting = is_known ? of_senders[last] : fitting;
    else if (strcmp(reply_class, "Recipient address") == 0)
        fitting = is_known ? of_recipients[last] : fitting;
    else
        fitting = "0.0";
    return arena_printf(arena, "%c.%s", enhanced[0], fitting);
}
