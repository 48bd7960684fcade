/* SPDX-License-Identifier: Apache-2.0 */
#include "parameters.h"

#include "mail/address.h"
#include "mail/utf8.h"
#include "mail/verp.h"
#include "mail/xtext.h"

static bool refuse(struct parameter_problem *problem, enum reply_name reply)
{
    *problem = (struct parameter_problem){ .reply = reply };
    return false;
}

static bool refuse_unknown(struct parameter_problem *problem, struct str word)
{
    *problem = (struct parameter_problem){ .is_unsupported = true, .offender = word };
    return false;
}

/* The parameter as the client wrote it: its keyword and value lie side by side. */
static struct str whole_word(const struct esmtp_parameter *parameter)
{
    if (!parameter->has_value)
        return parameter->keyword;
    return str_of(parameter->keyword.ptr, parameter->keyword.len + 1 + parameter->value.len);
}

static bool is_named(const struct esmtp_parameter *parameter, const char *name)
{
    return parameter->has_value && str_equal_fold(parameter->keyword, str_from(name));
}

/* However long: RFC 3461 allows 100 and 500 bytes, and Postfix never asked. */
static bool is_xtext(struct str text)
{
    autofree_buf struct buf decoded = { 0 };

    if (str_is_empty(text) || !xtext_decode(text, &decoded))
        return false;
    for (size_t i = 0; i < decoded.len; i++) {
        if ((unsigned char)decoded.ptr[i] >= 0x80)
            return false;
    }
    return true;
}

static bool only_digits(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.ptr[i]))
            return false;
    }
    return text.len > 0;
}

static bool parse_size(struct str value, struct mail_parameters *parameters,
                       struct parameter_problem *problem)
{
    if (!only_digits(value))
        return refuse(problem, REPLY_BAD_SIZE);
    if (!str_to_u64(value, &parameters->size_bytes) || parameters->size_bytes > INT64_MAX)
        return refuse(problem, REPLY_SIZE_OVERFLOW);
    parameters->has_size = true;
    return true;
}

static bool parse_ret(struct str value, struct mail_parameters *parameters,
                      struct parameter_problem *problem)
{
    if (parameters->flags & (ENVELOPE_RET_FULL | ENVELOPE_RET_HEADERS))
        return refuse(problem, REPLY_BAD_RET);
    if (str_equal_fold(value, STR("FULL")))
        parameters->flags |= ENVELOPE_RET_FULL;
    else if (str_equal_fold(value, STR("HDRS")))
        parameters->flags |= ENVELOPE_RET_HEADERS;
    else
        return refuse(problem, REPLY_BAD_RET);
    return true;
}

static bool parse_verp(const struct esmtp_parameter *parameter, struct parameter_rules rules,
                       struct mail_parameters *parameters, struct parameter_problem *problem)
{
    struct str delimiters = parameter->has_value ? parameter->value : rules.verp_delimiters;

    if (!verp_delimiters_are_valid(delimiters, rules.verp_filter)) {
        *problem = (struct parameter_problem){ .is_bad_verp = true };
        return false;
    }
    parameters->verp = delimiters;
    return true;
}

static bool parse_mail_parameter(const struct esmtp_parameter *parameter,
                                 struct parameter_rules rules, struct mail_parameters *parameters,
                                 struct parameter_problem *problem)
{
    if (is_named(parameter, "SIZE"))
        return parse_size(parameter->value, parameters, problem);
    if (is_named(parameter, "BODY") && str_equal_fold(parameter->value, STR("8BITMIME"))) {
        parameters->flags |= ENVELOPE_8BITMIME;
        return true;
    }
    if (is_named(parameter, "BODY") && str_equal_fold(parameter->value, STR("7BIT")))
        return true;
    if (rules.has_smtputf8 && !parameter->has_value &&
        str_equal_fold(parameter->keyword, STR("SMTPUTF8"))) {
        parameters->flags |= ENVELOPE_SMTPUTF8;
        return true;
    }
    if (!rules.has_dsn && (is_named(parameter, "RET") || is_named(parameter, "ENVID")))
        return refuse(problem, REPLY_DSN_DISABLED);
    if (is_named(parameter, "RET"))
        return parse_ret(parameter->value, parameters, problem);
    if (is_named(parameter, "ENVID")) {
        if (!str_is_empty(parameters->envid) || !is_xtext(parameter->value))
            return refuse(problem, REPLY_BAD_ENVID);
        parameters->envid = parameter->value;
        return true;
    }
    if (rules.has_verp && str_equal_fold(parameter->keyword, STR("XVERP")))
        return parse_verp(parameter, rules, parameters, problem);
    if (is_named(parameter, "AUTH")) {
        if (rules.has_auth && !str_equal(parameter->value, STR("<>")) &&
            !is_xtext(parameter->value))
            return refuse(problem, REPLY_BAD_AUTH_PARAMETER);
        parameters->auth_sender = parameter->value;
        return true;
    }
    return refuse_unknown(problem, whole_word(parameter));
}

bool mail_parameters_parse(struct str text, struct parameter_rules rules,
                           struct mail_parameters *parameters, struct parameter_problem *problem)
{
    struct esmtp_parameter parameter;

    *parameters = (struct mail_parameters){ 0 };
    while (esmtp_parameter_next(&text, &parameter)) {
        if (!parse_mail_parameter(&parameter, rules, parameters, problem))
            return false;
    }
    return true;
}

static unsigned notify_bit(struct str word)
{
    if (str_equal_fold(word, STR("NEVER")))
        return DSN_NOTIFY_NEVER;
    if (str_equal_fold(word, STR("SUCCESS")))
        return DSN_NOTIFY_SUCCESS;
    if (str_equal_fold(word, STR("FAILURE")))
        return DSN_NOTIFY_FAILURE;
    if (str_equal_fold(word, STR("DELAY")))
        return DSN_NOTIFY_DELAY;
    return 0;
}

static bool parse_notify(struct str value, struct recipient *recipient,
                         struct parameter_problem *problem)
{
    unsigned bits = 0;
    struct str word;

    while (str_next_word(&value, ",", &word)) {
        unsigned bit = notify_bit(word);
        if (bit == 0)
            return refuse(problem, REPLY_BAD_NOTIFY);
        bits |= bit;
    }
    /* NEVER stands alone. */
    if (bits == 0 || recipient->dsn_notify != 0 ||
        ((bits & DSN_NOTIFY_NEVER) && bits != DSN_NOTIFY_NEVER))
        return refuse(problem, REPLY_BAD_NOTIFY);
    recipient->dsn_notify = (uint8_t)bits;
    return true;
}

/* RFC 6533: addresses of the type utf-8 may come as they are. */
static bool is_orcpt_address(struct str type, struct str address, struct parameter_rules rules)
{
    if (rules.has_smtputf8 && str_equal_fold(type, STR("utf-8")) && !str_is_empty(address) &&
        str_find_byte(address, '+') < 0)
        return utf8_is_clean(address);
    return is_xtext(address);
}

static bool parse_orcpt(struct str value, struct parameter_rules rules, struct recipient *recipient,
                        struct parameter_problem *problem)
{
    ptrdiff_t semicolon = str_find_byte(value, ';');

    if (semicolon <= 0 || !str_is_empty(recipient->dsn_orcpt) ||
        !is_orcpt_address(str_take(value, (size_t)semicolon),
                          str_skip(value, (size_t)semicolon + 1), rules))
        return refuse(problem, REPLY_BAD_ORCPT);
    if (strcspn(value.ptr, "()<>@,:\\\".[]") < (size_t)semicolon) /* RFC 3461: an atom */
        return refuse(problem, REPLY_BAD_ORCPT);
    recipient->dsn_orcpt = value;
    return true;
}

bool rcpt_parameters_parse(struct str text, struct parameter_rules rules,
                           struct recipient *recipient, struct parameter_problem *problem)
{
    struct esmtp_parameter parameter;

    while (esmtp_parameter_next(&text, &parameter)) {
        bool is_dsn = is_named(&parameter, "NOTIFY") || is_named(&parameter, "ORCPT");
        if (is_dsn && !rules.has_dsn)
            return refuse(problem, REPLY_DSN_DISABLED);
        if (is_named(&parameter, "NOTIFY")) {
            if (!parse_notify(parameter.value, recipient, problem))
                return false;
        } else if (is_named(&parameter, "ORCPT")) {
            if (!parse_orcpt(parameter.value, rules, recipient, problem))
                return false;
        } else {
            return refuse_unknown(problem, whole_word(&parameter));
        }
    }
    return true;
}
