/* SPDX-License-Identifier: Apache-2.0 */
/* postconf -b and -t: the texts of notices, expanded or as they are written; bounce(5). */
#include "postconf.h"

#include "base/file.h"
#include "mail/bounce_template.h"

enum { FILE_BYTES_MAX = 1024 * 1024 };

static void hear(void *argument, const char *text)
{
    const struct postconf *postconf = argument;

    tool_warn(&postconf->tool, "%s", text);
}

static void print_text(struct str text)
{
    fwrite(text.ptr, 1, text.len, stdout);
    if (text.len > 0 && !str_ends_with(text, STR("\n")))
        putchar('\n');
}

static void print_header(const char *name, struct str value)
{
    if (value.len > 0)
        printf("%s: %.*s\n", name, STR_ARGS(value));
}

static void print_written(enum bounce_template_kind kind, const struct bounce_template *template)
{
    printf("%s_template = <<EOF\n", bounce_template_name(kind));
    print_header("Charset", template->charset);
    print_header("From", template->from);
    print_header("Subject", template->subject);
    print_header("Postmaster-Subject", template->postmaster_subject);
    putchar('\n');
    print_text(template->source);
    printf("EOF\n\n");
}

static void print_expanded(enum bounce_template_kind kind, const struct bounce_template *template)
{
    printf("expanded_%s_text = <<EOF\n", bounce_template_name(kind));
    print_text(template->text);
    printf("EOF\n\n");
}

/* The file of the command line ("": none, the built-in texts), or main.cf's. */
static bool make(struct postconf *postconf, const struct config *config, struct arena *arena,
                 struct bounce_templates *templates)
{
    const struct bounce_template_heard heard = { hear, postconf };
    autofree_buf struct buf text = { 0 };
    struct error error = { 0 };

    if (postconf->word_count == 0) {
        bounce_templates_load(arena, config, &heard, templates);
        return true;
    }
    const char *name = postconf->words[0];
    if (name[0] != '\0' && !file_read(name, FILE_BYTES_MAX, &text, &error)) {
        tool_warn(&postconf->tool, "%s", error.message);
        return false;
    }
    bounce_templates_make(arena, config, name, arena_copy(arena, buf_str(&text)), &heard,
                          templates);
    return true;
}

int postconf_show_templates(struct postconf *postconf, bool is_expanded)
{
    autoclear_arena struct arena arena = { 0 };
    struct bounce_templates templates;
    struct error error = { 0 };
    struct config *config = config_new(&postconf->tool.source, NULL, NULL, NULL, &error);

    if (config == NULL)
        return tool_fail(&postconf->tool, POSTCONF_FAILED, "%s", error.message);
    bool is_made = make(postconf, config, &arena, &templates);
    for (int i = 0; is_made && i < TEMPLATE_KINDS; i++) {
        if (is_expanded)
            print_expanded(i, &templates.kinds[i]);
        else
            print_written(i, &templates.kinds[i]);
    }
    config_free(&config);
    return is_made ? tool_flush_output(&postconf->tool) : POSTCONF_FAILED;
}
