/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/bounce_template.h"

#include "base/file.h"
#include "config/expand.h"

enum { FILE_BYTES_MAX = 1024 * 1024 };

/* One file while it is read. */
struct reading {
    struct arena *arena;
    const struct config *config;
    const char *name; /* the file's */
    const struct bounce_template_heard *heard;
    struct str rest;
    int line;
    struct str unknown; /* the last $name that nobody defines */
};

#define CONTACT                                                                                    \
    "If you need help, forward this whole report to your postmaster. You may\n"                    \
    "leave out your own text, which is attached.\n"

static const struct bounce_template built_in[TEMPLATE_KINDS] = {
    [TEMPLATE_FAILURE] = {
        .subject = STR_INIT("Undelivered Mail Returned to Sender"),
        .postmaster_subject = STR_INIT("Postmaster Copy: Undelivered Mail"),
        .source = STR_INIT(
            "This is the mail system at host $myhostname.\n"
            "\n"
            "Your message could not be delivered to the recipients named below, and no\n"
            "further attempt will be made. What was answered stands behind each address;\n"
            "the message itself is attached.\n"
            "\n" CONTACT),
    },
    [TEMPLATE_DELAY] = {
        .subject = STR_INIT("Delayed Mail (still being retried)"),
        .postmaster_subject = STR_INIT("Postmaster Warning: Delayed Mail"),
        .source = STR_INIT(
            "This is the mail system at host $myhostname.\n"
            "\n"
            "####################################################################\n"
            "# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n"
            "####################################################################\n"
            "\n"
            "Your message has been waiting for $delay_warning_time_hours hour(s) and has not "
            "reached the\n"
            "recipients named below. It is attempted again until it is\n"
            "$maximal_queue_lifetime_days day(s) old.\n"
            "\n" CONTACT),
    },
    [TEMPLATE_SUCCESS] = {
        .subject = STR_INIT("Successful Mail Delivery Report"),
        .source = STR_INIT(
            "This is the mail system at host $myhostname.\n"
            "\n"
            "Your message was handed over for the recipients named below. Where it was\n"
            "delivered to a mailbox, no other report will follow. Where it was passed on,\n"
            "another mail system may still report that it could not deliver it.\n"),
    },
    [TEMPLATE_VERIFY] = {
        .subject = STR_INIT("Mail Delivery Status Report"),
        .source = STR_INIT(
            "This is the mail system at host $myhostname.\n"
            "\n"
            "Here is the report on deliveries that you asked for.\n"),
    },
};

const char *bounce_template_name(enum bounce_template_kind kind)
{
    static const char *const names[TEMPLATE_KINDS] = {
        [TEMPLATE_FAILURE] = "failure",
        [TEMPLATE_DELAY] = "delay",
        [TEMPLATE_SUCCESS] = "success",
        [TEMPLATE_VERIFY] = "verify",
    };

    return names[kind];
}

__attribute__((format(printf, 2, 3))) static void warn(const struct reading *reading,
                                                       const char *format, ...)
{
    autofree_buf struct buf text = { 0 };
    va_list arguments;

    buf_printf(&text, "%s", reading->name);
    if (reading->line > 0)
        buf_printf(&text, ", line %d", reading->line);
    buf_append(&text, STR(": "));
    va_start(arguments, format);
    buf_vprintf(&text, format, arguments);
    va_end(arguments);
    if (reading->heard != NULL && reading->heard->warning != NULL)
        reading->heard->warning(reading->heard->argument, buf_text(&text));
}

/* ---- $names in the text ---- */

static bool seconds_of_unit(struct str unit, int64_t *seconds)
{
    static const struct {
        struct str name;
        int64_t seconds;
    } units[] = {
        { STR_INIT("seconds"), 1 },  { STR_INIT("minutes"), 60 },   { STR_INIT("hours"), 3600 },
        { STR_INIT("days"), 86400 }, { STR_INIT("weeks"), 604800 },
    };

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (str_equal(unit, units[i].name)) {
            *seconds = units[i].seconds;
            return true;
        }
    return false;
}

/* "delay_warning_time_hours": false where the name is none of these. */
static bool find_time(struct reading *reading, struct str name, struct expand_value *value)
{
    const struct {
        struct str prefix;
        int64_t seconds;
    } times[] = {
        { STR_INIT("delay_warning_time_"), reading->config->delay_warning_time },
        { STR_INIT("maximal_queue_lifetime_"), reading->config->maximal_queue_lifetime },
    };

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        int64_t unit;
        if (!str_starts_with(name, times[i].prefix) ||
            !seconds_of_unit(str_skip(name, times[i].prefix.len), &unit))
            continue;
        value->text =
            str_from(arena_printf(reading->arena, "%lld", (long long)(times[i].seconds / unit)));
        return true;
    }
    return false;
}

static bool find_name(void *argument, struct str name, struct expand_value *value)
{
    struct reading *reading = argument;

    *value = (struct expand_value){ .place = reading->name };
    return find_time(reading, name, value) || config_find(reading->config, name, &value->text);
}

static void note_unknown(void *argument, struct str name)
{
    struct reading *reading = argument;

    reading->unknown = arena_copy(reading->arena, name);
}

static bool expand_text(struct reading *reading, const char *template, struct str text,
                        struct str *expanded)
{
    struct expand_source source = { find_name, note_unknown, reading };
    autofree_buf struct buf out = { 0 };
    struct error error = { 0 };

    reading->unknown = STR("");
    if (!expand(&source, STR(""), text, &out, &error)) {
        warn(reading, "%s template: %s -- ignoring this template", template, error.message);
        return false;
    }
    if (reading->unknown.len > 0) {
        warn(reading, "undefined name $%.*s in the %s template -- ignoring this template",
             STR_ARGS(reading->unknown), template);
        return false;
    }
    *expanded = arena_copy(reading->arena, buf_str(&out));
    return true;
}

/* ---- one template's headers and text ---- */

static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] >= 0x80 || text.ptr[i] == '\0')
            return false;
    return true;
}

static struct str *field_of(struct bounce_template *template, struct str name)
{
    const struct {
        struct str name;
        struct str *field;
    } fields[] = {
        { STR_INIT("Charset"), &template->charset },
        { STR_INIT("From"), &template->from },
        { STR_INIT("Subject"), &template->subject },
        { STR_INIT("Postmaster-Subject"), &template->postmaster_subject },
    };

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (str_equal_fold(name, fields[i].name))
            return fields[i].field;
    return NULL;
}

/* "Name: value"; false where the line is no header. */
static bool split_header(struct str line, struct str *name, struct str *value)
{
    ptrdiff_t colon = str_find_byte(line, ':');

    if (colon <= 0 || ascii_is_space(line.ptr[0]))
        return false;
    *name = str_trim_end(str_take(line, (size_t)colon));
    *value = str_trim(str_skip(line, (size_t)colon + 1));
    return str_find_byte(*name, ' ') < 0;
}

static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    return false;
}

static bool take_header(struct reading *reading, const char *kind, struct str name,
                        struct str value, struct bounce_template *template)
{
    struct str *field = field_of(template, name);

    if (field == NULL) {
        warn(reading, "unknown \"%.*s\" header label in %s template -- ignoring this template",
             STR_ARGS(name), kind);
        return false;
    }
    if (value.len == 0 || !is_ascii(value) || has_control(value)) {
        warn(reading, "%s \"%.*s\" header value in %s template -- ignoring this template",
             value.len == 0 ? "empty" : "non-ASCII", STR_ARGS(name), kind);
        return false;
    }
    *field = arena_copy(reading->arena, value);
    return true;
}

/* `body` is the lines between the markers. */
static bool parse_body(struct reading *reading, enum bounce_template_kind kind, struct str body,
                       struct bounce_template *template)
{
    const char *name_of_kind = bounce_template_name(kind);
    struct str rest = body, name, value;

    while (rest.len > 0) {
        struct str before = rest, line = str_cut(&rest, "\n");
        if (!split_header(line, &name, &value)) {
            if (line.len > 0)
                rest = before; /* no header, so the text begins here */
            break;
        }
        if (!take_header(reading, name_of_kind, name, value, template))
            return false;
    }
    if (str_trim(rest).len == 0) {
        warn(reading, "missing message text in %s template -- ignoring this template",
             name_of_kind);
        return false;
    }
    if (!is_ascii(rest) && str_equal_fold(template->charset, STR("us-ascii"))) {
        warn(reading,
             "8-bit message text in %s template: specify a charset value other than us-ascii -- "
             "ignoring this template",
             name_of_kind);
        return false;
    }
    template->source = arena_copy(reading->arena, rest);
    if (!expand_text(reading, name_of_kind, template->source, &template->text))
        return false;
    if (str_trim(template->text).len == 0) {
        warn(reading, "the message text in %s template comes to nothing -- ignoring this template",
             name_of_kind);
        return false;
    }
    return true;
}

/* ---- the file ---- */

static bool next_line(struct reading *reading, struct str *line)
{
    if (reading->rest.len == 0)
        return false;
    reading->line++;
    *line = str_cut(&reading->rest, "\n");
    if (str_ends_with(*line, STR("\r")))
        line->len--;
    return true;
}

/* The lines up to the one with the marker alone. */
static struct str read_body(struct reading *reading, struct str marker)
{
    autofree_buf struct buf body = { 0 };
    struct str line;

    while (next_line(reading, &line)) {
        if (str_equal(line, marker))
            return arena_copy(reading->arena, buf_str(&body));
        buf_append(&body, line);
        buf_append_byte(&body, '\n');
    }
    warn(reading, "missing \"%.*s\" end marker", STR_ARGS(marker));
    return arena_copy(reading->arena, buf_str(&body));
}

static void take_template(struct reading *reading, struct str name, struct str body,
                          struct bounce_templates *templates)
{
    struct str kind = name;

    if (str_ends_with(name, STR("_template")))
        kind.len -= strlen("_template");
    for (int i = 0; i < TEMPLATE_KINDS; i++) {
        struct bounce_template template = templates->kinds[i];
        if (kind.len == name.len || !str_equal(kind, str_from(bounce_template_name(i))))
            continue;
        if (parse_body(reading, i, body, &template))
            templates->kinds[i] = template;
        return;
    }
    warn(reading, "unknown template name: %.*s -- ignoring this template", STR_ARGS(name));
}

static void parse_file(struct reading *reading, struct bounce_templates *templates)
{
    struct str line;

    while (next_line(reading, &line)) {
        struct str value = line;
        struct str trimmed = str_trim(line);
        if (trimmed.len == 0 || trimmed.ptr[0] == '#')
            continue;
        struct str name = str_trim(str_cut(&value, "="));
        if (name.len == trimmed.len || name.len == 0) {
            warn(reading, "missing '=' after attribute name: \"%.*s\" -- ignoring the rest",
                 STR_ARGS(str_take(trimmed, 100)));
            return;
        }
        value = str_trim(value);
        if (str_starts_with(value, STR("<<"))) {
            struct str marker = arena_copy(reading->arena, str_trim(str_skip(value, 2)));
            value = read_body(reading, marker);
        }
        take_template(reading, name, value, templates);
    }
}

void bounce_templates_make(struct arena *arena, const struct config *config, const char *name,
                           struct str file, const struct bounce_template_heard *heard,
                           struct bounce_templates *templates)
{
    struct reading reading = {
        .arena = arena, .config = config, .name = "[built-in]", .heard = heard
    };

    for (int i = 0; i < TEMPLATE_KINDS; i++) {
        struct bounce_template *template = &templates->kinds[i];
        *template = built_in[i];
        template->charset = STR("us-ascii");
        template->from = STR("Mail Delivery System <MAILER-DAEMON>");
        if (!expand_text(&reading, bounce_template_name(i), template->source, &template->text))
            template->text = template->source;
    }
    reading.name = name;
    reading.rest = file;
    parse_file(&reading, templates);
}

void bounce_templates_load(struct arena *arena, const struct config *config,
                           const struct bounce_template_heard *heard,
                           struct bounce_templates *templates)
{
    const char *name = arena_text(arena, config->bounce_template_file);
    autofree_buf struct buf text = { 0 };
    struct error error = { 0 };

    if (name[0] != '\0' && !file_read(name, FILE_BYTES_MAX, &text, &error) && heard != NULL) {
        buf_clear(&text);
        heard->warning(heard->argument,
                       arena_printf(arena, "bounce_template_file: %s; using the built-in texts",
                                    error.message));
    }
    bounce_templates_make(arena, config, name, arena_copy(arena, buf_str(&text)), heard, templates);
}
