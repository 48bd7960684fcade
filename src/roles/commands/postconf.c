/* SPDX-License-Identifier: Apache-2.0 */
/* postconf: shows and edits main.cf and master.cf. */
#include "postconf.h"
#include "base/file.h"
#include "commands.h"
#include "config/check.h"
#include "config/manual.h"

#include <errno.h>
#include <unistd.h>

const char postconf_help[] =
    "usage: postconf [-dfhHnpvx] [-c dir] [-C class] [-o name=value] [name ...]\n"
    "       postconf -b|-t [-c dir] [file]\n"
    "       postconf [-c dir] -e name=value ...    or -X, -# name ...\n"
    "       postconf -M|-F|-P [-fhHvx] [-c dir] [service[/type[/name]] ...]\n"
    "       postconf -Me|-Fe|-Pe service/type[/name]=value ...    or -MX, -M#, -PX\n"
    "\n"
    "Shows the parameters of main.cf, or with -M, -F or -P what master.cf says; edits both.\n"
    "\n"
    "  -n        only what main.cf sets\n"
    "  -d        the defaults instead of what is set\n"
    "  -x        with $name and the like expanded\n"
    "  -h, -H    values without names; names without values\n"
    "  -f        fold long lines\n"
    "  -C CLASS  builtin, service, user or all (the default)\n"
    "  -o N=V    as if main.cf ended with this line\n"
    "  -e        set; -X remove; -# turn into a comment\n"
    "  -M        services; -F their fields one by one; -P their own parameters\n"
    "  -b        the texts of notices, as they are sent; -t with $name and the like in them;\n"
    "            from FILE, or bounce_template_file; \"\" for the built-in ones\n"
    "  -c DIR    the configuration in DIR\n"
    "  --print-man-page   the manual page of the parameters\n"
    "  --help    show this text\n"
    "  --version show the version\n"
    "\n"
    "Not yet: -a, -A, -l, -m, -T, -j.\n";

static const size_t file_limit_bytes = 16 << 20;

static void print_warning(void *argument, const char *text)
{
    const struct postconf *postconf = argument;

    tool_warn(&postconf->tool, "%s", text);
}

static void print_undefined(void *argument, struct str name)
{
    const struct postconf *postconf = argument;

    tool_warn(&postconf->tool, "%s/main.cf: undefined parameter: %.*s", postconf->folder,
              STR_ARGS(name));
}

static bool parse_class(struct postconf *postconf, struct str list)
{
    static const struct {
        struct str name;
        unsigned class;
    } classes[] = {
        { STR_INIT("builtin"), POSTCONF_BUILTIN },
        { STR_INIT("service"), POSTCONF_SERVICE },
        { STR_INIT("user"), POSTCONF_USER },
        { STR_INIT("all"), POSTCONF_ALL },
    };
    struct str word;

    postconf->class = 0;
    while (str_next_word(&list, " \t,", &word)) {
        unsigned class = 0;
        for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
            if (str_equal_fold(word, classes[i].name))
                class = classes[i].class;
        if (class == 0)
            return false;
        postconf->class |= class;
    }
    return postconf->class != 0;
}

static unsigned flag_of(int option)
{
    static const struct {
        char option;
        unsigned flag;
    } flags[] = {
        { 'd', POSTCONF_DEFAULTS }, { 'n', POSTCONF_SET_ONLY },   { 'h', POSTCONF_NO_NAMES },
        { 'x', POSTCONF_EXPAND },   { 'H', POSTCONF_NAMES_ONLY }, { 'f', POSTCONF_FOLD },
        { 'M', POSTCONF_SERVICES }, { 'F', POSTCONF_FIELDS },     { 'P', POSTCONF_OVERRIDES },
        { 'e', POSTCONF_EDIT },     { 'X', POSTCONF_EXCLUDE },    { '#', POSTCONF_COMMENT },
        { 'b', POSTCONF_TEXTS },    { 't', POSTCONF_TEMPLATES },
    };

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].option == option)
            return flags[i].flag;
    return 0;
}

/* False with the exit status when the options end the matter. */
static bool parse_options(struct postconf *postconf, int argc, char **argv, int *status)
{
    int option;

    *status = POSTCONF_FAILED;
    opterr = 0;
    while ((option = getopt(argc, argv, "+aAbc:C:defFhHjlmMno:pPtT:vxX#")) != -1) {
        if (option == 'c')
            postconf->folder = optarg;
        else if (option == 'o')
            buf_printf(&postconf->overrides, "\n%s", optarg);
        else if (option == 'C' && !parse_class(postconf, str_from(optarg))) {
            tool_fail(&postconf->tool, POSTCONF_FAILED, "bad parameter class: \"%s\"", optarg);
            return false;
        } else if (strchr("aAjlmT", option) != NULL) {
            *status = tool_fail(&postconf->tool, EX_UNAVAILABLE, "-%c is not built yet", option);
            return false;
        } else if (option == '?') {
            *status = tool_bad_option(&postconf->tool, optopt);
            return false;
        }
        postconf->flags |= flag_of(option);
    }
    return true;
}

static int count_flags(const struct postconf *postconf, unsigned flags)
{
    return __builtin_popcount(postconf->flags & flags);
}

/* A name=value among the names means -e. */
static void imply_edit(struct postconf *postconf)
{
    for (int i = 0; i < postconf->word_count; i++)
        if (strchr(postconf->words[i], '=') != NULL)
            postconf->flags |= POSTCONF_EDIT;
}

static const char *find_conflict(const struct postconf *postconf)
{
    unsigned edits = POSTCONF_EDIT | POSTCONF_EXCLUDE | POSTCONF_COMMENT;
    unsigned views = POSTCONF_SERVICES | POSTCONF_FIELDS | POSTCONF_OVERRIDES;

    if (count_flags(postconf, POSTCONF_DEFAULTS | POSTCONF_SET_ONLY) > 1)
        return "specify one of -d -n";
    if (count_flags(postconf, POSTCONF_NO_NAMES | POSTCONF_NAMES_ONLY) > 1)
        return "specify one of -h -H";
    if (count_flags(postconf, edits) > 1)
        return "specify one of -e -X -#";
    if (count_flags(postconf, views) > 1)
        return "specify one of -M -F -P";
    if (count_flags(postconf, edits) > 0 &&
        count_flags(postconf, POSTCONF_DEFAULTS | POSTCONF_SET_ONLY | POSTCONF_NO_NAMES |
                                  POSTCONF_NAMES_ONLY | POSTCONF_EXPAND) > 0)
        return "-e, -X and -# go with none of -d -n -h -H -x";
    if (count_flags(postconf, views) > 0 &&
        count_flags(postconf, POSTCONF_DEFAULTS | POSTCONF_SET_ONLY) > 0)
        return "-d and -n go with none of -M -F -P";
    if (count_flags(postconf, edits) > 0 && postconf->word_count == 0)
        return "-e, -X and -# need at least one name";
    if ((postconf->flags & POSTCONF_FIELDS) != 0 &&
        (postconf->flags & (POSTCONF_EXCLUDE | POSTCONF_COMMENT)) != 0)
        return "-X and -# go with -M, and -X with -P; a field cannot be missing";
    if ((postconf->flags & POSTCONF_OVERRIDES) != 0 && (postconf->flags & POSTCONF_COMMENT) != 0)
        return "-# does not go with -P; use -PX";
    return NULL;
}

static bool read_file(struct postconf *postconf, const char *name, bool is_needed, struct buf *text,
                      struct error *error)
{
    struct arena scratch = { 0 };
    const char *path = arena_printf(&scratch, "%s/%s", postconf->folder, name);
    bool is_read = file_read(path, file_limit_bytes, text, error);

    arena_clear(&scratch);
    if (!is_read && !is_needed && error->system_errno == ENOENT) {
        tool_warn(&postconf->tool, "%s", error->message);
        *error = (struct error){ 0 };
        return true;
    }
    return is_read;
}

/* -d asks nothing of main.cf, and only services need master.cf. */
static bool read_source(struct postconf *postconf, struct error *error)
{
    autofree_buf struct buf main_text = { 0 }, master_text = { 0 };
    bool shows_services =
        count_flags(postconf, POSTCONF_SERVICES | POSTCONF_FIELDS | POSTCONF_OVERRIDES) > 0;
    bool wants_main = (postconf->flags & POSTCONF_DEFAULTS) == 0;

    if (wants_main && !read_file(postconf, "main.cf", !shows_services, &main_text, error))
        return false;
    if (!read_file(postconf, "master.cf", shows_services, &master_text, error))
        return false;
    main_text.limit = 0;
    if (wants_main)
        buf_append(&main_text, buf_str(&postconf->overrides));
    return config_source_parse(postconf->folder, buf_str(&main_text), buf_str(&master_text),
                               &postconf->tool.source, error);
}

static int show_templates(struct postconf *postconf)
{
    struct error error = { 0 };

    if (postconf->word_count > 1)
        return tool_fail(&postconf->tool, POSTCONF_FAILED, "-b and -t take one file at most");
    if (!read_source(postconf, &error))
        return tool_fail(&postconf->tool, POSTCONF_FAILED, "%s", error.message);
    return postconf_show_templates(postconf, (postconf->flags & POSTCONF_TEXTS) != 0);
}

static int show(struct postconf *postconf)
{
    struct error error = { 0 };
    int status;

    if (!read_source(postconf, &error))
        return tool_fail(&postconf->tool, POSTCONF_FAILED, "%s", error.message);
    postconf->values = config_values_new(&postconf->tool.source, NULL);
    postconf->usage = config_usage_new(&postconf->tool.source);
    config_values_on_undefined(postconf->values, print_undefined, postconf);
    config_check_lines(&postconf->tool.source, print_warning, postconf);
    if (count_flags(postconf, POSTCONF_SERVICES | POSTCONF_FIELDS | POSTCONF_OVERRIDES) > 0)
        status = postconf_show_services(postconf);
    else
        status = postconf_show_parameters(postconf);
    fflush(stdout);
    config_check_unused(&postconf->tool.source, print_warning, postconf);
    config_values_free(&postconf->values);
    config_usage_free(&postconf->usage);
    return status != EX_OK ? status : tool_flush_output(&postconf->tool);
}

static int run(struct postconf *postconf)
{
    if ((postconf->flags & (POSTCONF_TEXTS | POSTCONF_TEMPLATES)) != 0)
        return show_templates(postconf);
    if ((postconf->flags & (POSTCONF_EXCLUDE | POSTCONF_COMMENT)) == 0)
        imply_edit(postconf);
    const char *conflict = find_conflict(postconf);
    if (conflict != NULL)
        return tool_fail(&postconf->tool, POSTCONF_FAILED, "%s", conflict);
    if (count_flags(postconf, POSTCONF_EDIT | POSTCONF_EXCLUDE | POSTCONF_COMMENT) == 0)
        return show(postconf);
    if (count_flags(postconf, POSTCONF_SERVICES | POSTCONF_FIELDS | POSTCONF_OVERRIDES) == 0)
        return postconf_edit_main(postconf);
    return postconf_edit_master(postconf);
}

int postconf_main(int argc, char **argv)
{
    struct postconf postconf = { .class = POSTCONF_ALL };
    int status;

    tool_start(&postconf.tool, "postconf");
    if (argc > 1 && str_equal(str_from(argv[1]), STR("--print-man-page"))) {
        parameters_print_man(stdout);
        return tool_flush_output(&postconf.tool);
    }
    if (parse_options(&postconf, argc, argv, &status)) {
        postconf.folder = tool_folder(postconf.folder);
        postconf.words = argv + optind;
        postconf.word_count = argc - optind;
        status = run(&postconf);
    }
    buf_free(&postconf.overrides);
    tool_end(&postconf.tool);
    return status;
}
