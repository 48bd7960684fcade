/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe_settings.h"

#include "copy.h"
#include "user.h"

#include <unistd.h>

enum { ARGUMENTS_MAX = 10000 };

static bool parse_flags(struct str flags, struct pipe_settings *settings, struct error *error)
{
    for (size_t i = 0; i < flags.len; i++) {
        switch (flags.ptr[i]) {
        case 'B':
            settings->copy_flags |= COPY_BLANK_END;
            break;
        case 'D':
            settings->copy_flags |= COPY_DELIVERED;
            break;
        case 'F':
            settings->copy_flags |= COPY_FROM_LINE;
            break;
        case 'O':
            settings->copy_flags |= COPY_ORIGINAL;
            break;
        case 'R':
            settings->copy_flags |= COPY_RETURN_PATH;
            break;
        case '.':
            settings->copy_flags |= COPY_STUFF_DOTS;
            break;
        case '>':
            settings->copy_flags |= COPY_QUOTE_FROM;
            break;
        case 'X':
            settings->is_final = true;
            break;
        case 'h':
            settings->folds_domain = true;
            break;
        case 'u':
            settings->folds_local = true;
            break;
        case 'q':
            settings->quotes_local = true;
            break;
        default:
            return error_set(error, "unknown flag: %c", flags.ptr[i]);
        }
    }
    return true;
}

/* eol=\r\n is written with its backslashes. */
static struct str unescape(struct arena *arena, struct str text)
{
    char *out = arena_new(arena, text.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (byte == '\\' && i + 1 < text.len) {
            byte = text.ptr[++i];
            byte = byte == 'n' ? '\n' : byte == 'r' ? '\r' : byte == 't' ? '\t' : byte;
        }
        out[len++] = byte;
    }
    return str_of(out, len);
}

static bool parse_attribute(struct arena *arena, struct str word, struct pipe_settings *settings,
                            struct error *error)
{
    struct str value = word;
    struct str name = str_cut(&value, "=");

    if (name.len == word.len)
        return error_set(error, "\"%.*s\" is no attribute (name=value)", STR_ARGS(word));
    if (str_equal(name, STR("flags")))
        return parse_flags(value, settings, error);
    if (str_equal(name, STR("user"))) {
        settings->group = value;
        settings->user = str_cut(&settings->group, ":");
    } else if (str_equal(name, STR("directory"))) {
        settings->folder = value;
    } else if (str_equal(name, STR("null_sender"))) {
        settings->null_sender = value;
    } else if (str_equal(name, STR("eol"))) {
        settings->eol = unescape(arena, value);
    } else if (str_equal(name, STR("size"))) {
        uint64_t limit;
        if (!str_to_u64(value, &limit) || limit > INT64_MAX)
            return error_set(error, "bad size= value: %.*s", STR_ARGS(value));
        settings->size_limit_bytes = (int64_t)limit;
    } else if (str_equal(name, STR("chroot"))) {
        settings->root = value;
        if (!str_starts_with(value, STR("/")))
            return error_set(error, "chroot= wants an absolute path: %.*s", STR_ARGS(value));
    } else {
        return error_set(error, "unknown attribute name: %.*s", STR_ARGS(name));
    }
    return true;
}

bool pipe_settings_parse(struct arena *arena, const struct str *words, size_t count,
                         struct pipe_settings *settings, struct error *error)
{
    *settings = (struct pipe_settings){ .null_sender = STR("MAILER-DAEMON"), .eol = STR("\n") };
    for (size_t i = 0; i < count; i++) {
        if (str_equal(words[i], STR("-o"))) {
            i++;
        } else if (str_starts_with(words[i], STR("-"))) {
            continue;
        } else if (str_starts_with(words[i], STR("argv="))) {
            settings->arguments = arena_new_array(arena, count - i, sizeof(struct str));
            settings->argument_count = count - i;
            settings->arguments[0] = str_skip(words[i], 5);
            for (size_t at = 1; at < settings->argument_count; at++)
                settings->arguments[at] = words[i + at];
            break;
        } else if (!parse_attribute(arena, words[i], settings, error)) {
            return false;
        }
    }
    if (settings->user.len == 0)
        return error_set(error, "missing user= command-line attribute");
    if (settings->argument_count == 0 || settings->arguments[0].len == 0)
        return error_set(error, "missing argv= command-line attribute");
    return true;
}

bool pipe_settings_find_user(struct pipe_settings *settings, const struct config *config,
                             struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    struct user user, owner;
    gid_t drop_gid = 0;

    if (user_find(&scratch, settings->user, &user, error) != USER_FOUND)
        return error_set(error, "unknown username: %.*s", STR_ARGS(settings->user));
    settings->rights = user.rights;
    if (settings->group.len > 0 &&
        group_find(settings->group, &settings->rights.gid, error) != USER_FOUND)
        return error_set(error, "unknown group: %.*s", STR_ARGS(settings->group));
    if (settings->rights.uid == 0)
        return error_set(error, "user= command-line attribute specifies root privileges");
    if (settings->rights.gid == 0)
        return error_set(error, "user= command-line attribute specifies privileged group id 0");
    if (user_find(&scratch, config->mail_owner, &owner, error) == USER_FOUND &&
        (owner.rights.uid == settings->rights.uid || owner.rights.gid == settings->rights.gid) &&
        geteuid() == 0)
        return error_set(error, "user= command-line attribute specifies mail system owner %.*s",
                         STR_ARGS(config->mail_owner));
    if (group_find(config->setgid_group, &drop_gid, error) == USER_FOUND &&
        drop_gid == settings->rights.gid && geteuid() == 0)
        return error_set(error, "user= command-line attribute specifies mail system %.*s group",
                         STR_ARGS(config->setgid_group));
    return true;
}

/* ---- arguments ---- */

/* Which macros of a recipient a text uses: so many come for one. */
static bool is_recipients(const struct str name)
{
    static const char *const names[] = { "recipient", "original_recipient",
                                         "user",      "extension",
                                         "mailbox",   "domain" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_equal(name, str_from(names[i])))
            return true;
    return false;
}

static bool find_value(const struct pipe_delivery *delivery, const struct pipe_recipient *recipient,
                       struct str name, struct str *value)
{
    if (is_recipients(name)) {
        const struct {
            const char *name;
            struct str value;
        } values[] = {
            { "recipient", recipient->address }, { "original_recipient", recipient->original },
            { "user", recipient->user },         { "extension", recipient->extension },
            { "mailbox", recipient->mailbox },   { "domain", recipient->domain },
        };
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
            if (str_equal(name, str_from(values[i].name)))
                *value = values[i].value;
        return true;
    }
    for (const struct macro_value *each = delivery->values; each->name != NULL; each++)
        if (str_equal(name, str_from(each->name))) {
            *value = each->text;
            return true;
        }
    return false;
}

/* Cuts the name behind a '$': "{name}", "(name)" or name. */
static bool take_name(struct str *rest, struct str *name)
{
    if (rest->len > 0 && (rest->ptr[0] == '{' || rest->ptr[0] == '(')) {
        ptrdiff_t end = str_find_byte(*rest, rest->ptr[0] == '{' ? '}' : ')');
        if (end < 0)
            return false;
        *name = str_of(rest->ptr + 1, (size_t)end - 1);
        *rest = str_skip(*rest, (size_t)end + 1);
        return name->len > 0;
    }
    size_t len = 0;
    while (len < rest->len && (ascii_is_alnum(rest->ptr[len]) || rest->ptr[len] == '_'))
        len++;
    *name = str_take(*rest, len);
    *rest = str_skip(*rest, len);
    return len > 0;
}

static bool expand_argument(struct str text, const struct pipe_delivery *delivery,
                            const struct pipe_recipient *recipient, struct buf *out,
                            bool *is_per_recipient, struct error *error)
{
    struct str whole = text, name, value;

    *is_per_recipient = false;
    while (text.len > 0) {
        ptrdiff_t dollar = str_find_byte(text, '$');
        size_t len = dollar < 0 ? text.len : (size_t)dollar;
        buf_append(out, str_take(text, len));
        text = str_skip(text, dollar < 0 ? len : len + 1);
        if (dollar < 0)
            break;
        if (text.len > 0 && text.ptr[0] == '$') {
            buf_append_byte(out, '$');
            text = str_skip(text, 1);
            continue;
        }
        if (!take_name(&text, &name))
            return error_set(error, "malformed macro in \"%.*s\"", STR_ARGS(whole));
        if (!find_value(delivery, recipient, name, &value))
            return error_set(error, "unknown macro name: \"%.*s\"", STR_ARGS(name));
        *is_per_recipient = *is_per_recipient || is_recipients(name);
        buf_append(out, value);
    }
    return true;
}

struct arguments {
    const char **items;
    size_t count, capacity;
};

/* An argument without a recipient's macro comes once, also where there are many recipients. */
static bool add_argument(struct arena *arena, struct str text, const struct pipe_delivery *delivery,
                         struct arguments *arguments, struct error *error)
{
    bool is_per_recipient = true;

    for (size_t i = 0; i < delivery->recipient_count && is_per_recipient; i++) {
        autofree_buf struct buf out = { 0 };
        if (!expand_argument(text, delivery, &delivery->recipients[i], &out, &is_per_recipient,
                             error))
            return false;
        if (arguments->count == arguments->capacity)
            return error_set(error, "too many arguments");
        arguments->items[arguments->count++] = arena_text(arena, buf_str(&out));
    }
    return true;
}

const char *const *pipe_arguments(struct arena *arena, const struct pipe_settings *settings,
                                  const struct pipe_delivery *delivery, struct error *error)
{
    size_t capacity = settings->argument_count * delivery->recipient_count;
    struct arguments arguments = { .capacity =
                                       capacity < ARGUMENTS_MAX ? capacity : ARGUMENTS_MAX };

    arguments.items = arena_new_array(arena, arguments.capacity + 1, sizeof *arguments.items);
    for (size_t i = 0; i < settings->argument_count; i++)
        if (!add_argument(arena, settings->arguments[i], delivery, &arguments, error))
            return NULL;
    return arguments.items;
}
