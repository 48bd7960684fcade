/* SPDX-License-Identifier: Apache-2.0 */
/* Values that are read, and do not mean what they look like. */
#include "check.h"

#include "config/parameter.h"

static void check_comment(struct check *check, struct str name, struct str value,
                          struct check_place place)
{
    for (size_t i = 1; i < value.len; i++) {
        if (value.ptr[i] != '#' || !ascii_is_space(value.ptr[i - 1]))
            continue;
        struct str before = str_trim(str_take(value, i));
        check_find(check, CHECK_WARNING, "comment-in-value", place,
                   arena_printf(&check->arena,
                                "\"%.*s\" is part of the value of %.*s, because a comment must "
                                "have a line of its own",
                                STR_ARGS(str_take(str_skip(value, i), 100)), STR_ARGS(name)),
                   arena_printf(&check->arena, "write \"%.*s = %.*s\" and move the comment",
                                STR_ARGS(name), STR_ARGS(str_take(before, 100))));
        return;
    }
}

static void check_comments(struct check *check)
{
    const struct main_cf *main_cf = &check->source->main_cf;

    for (size_t i = 0; i < main_cf->count; i++) {
        const struct main_cf_assignment *each = &main_cf->assignments[i];
        const struct parameter *parameter = parameter_find(each->name);
        /* Behind a number it does no harm, and reading it has said so. */
        bool is_text = parameter == NULL || !parameter_is_one_word(parameter);
        if (is_text && main_cf_find(main_cf, each->name) == each)
            check_comment(check, each->name, each->value,
                          (struct check_place){ each->file, each->line });
    }
}

/* RFC 5321, section 4.3.1: the greeting begins with the server's name. */
static void check_banner(struct check *check, const struct check_setting *setting)
{
    if (!str_starts_with_fold(setting->value, check->config->myhostname))
        check_find(check, CHECK_WARNING, "banner-without-name", setting->place,
                   arena_printf(&check->arena,
                                "smtpd_banner is \"%.*s\": it must begin with this host's name, or "
                                "some clients hang up",
                                STR_ARGS(str_take(setting->value, 100))),
                   "write \"smtpd_banner = $myhostname ESMTP $mail_name\" (with an editor: a shell "
                   "replaces $myhostname in \"cat << EOF\", not in \"cat << 'EOF'\")");
}

/* Log analysers look for "postfix/". */
static void check_log_name(struct check *check, const struct check_setting *setting)
{
    if (!setting->is_set || str_starts_with(setting->value, STR("postfix")))
        return;
    check_find(
        check, CHECK_HINT, "log-name", setting->place,
        arena_printf(&check->arena,
                     "pflogsumm and others that look for \"postfix/\" do not count what is "
                     "logged under syslog_name = %.*s",
                     STR_ARGS(setting->value)),
        arena_printf(&check->arena,
                     "write \"syslog_name=postfix/%.*s\", or run \"pflogsumm --syslog-name\"",
                     STR_ARGS(setting->value)));
}

void check_values(struct check *check)
{
    check_comments(check);
    check_each(check, "smtpd_banner", check_banner);
    check_each(check, "syslog_name", check_log_name);
}
