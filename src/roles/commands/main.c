/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the process begins: the name it was called by, or the first argument of `waypost`, picks
 * a row of the table.
 */
#include "base/str.h"
#include "commands.h"
#include "waypost_build.h"

#include <stdio.h>
#include <sysexits.h>

/* clang-format off */
static const struct command commands[] = {
    { "postfix",    postfix_main,    "start, stop, reload, check the mail system", postfix_help },
    { "sendmail",   sendmail_main,   "submit a message from standard input", sendmail_help },
    { "mailq",      mailq_main,      "list the queue", sendmail_help },
    { "newaliases", newaliases_main, "rebuild the alias database", newaliases_help },
    { "postmap",    postmap_main,    "build and query look-up tables", postmap_help },
    { "postalias",  postalias_main,  "build and query alias tables", postalias_help },
    { "postconf",   postconf_main,   "show and edit the configuration", postconf_help },
    { "postqueue",  postqueue_main,  "list and flush the queue", postqueue_help },
    { "postsuper",  postsuper_main,  "delete, hold, release queued mail (root)", postsuper_help },
    { "postcat",    postcat_main,    "show a queued message", postcat_help },
    { "postlog",    postlog_main,    "write to the mail log", postlog_help },
    { "postdrop",   postdrop_main,   "write into the maildrop (run by sendmail)", postdrop_help },
    { "postkick",   postkick_main,   "send a request to a service", postkick_help },
    { "check",      check_main,      "say what in the configuration is not as it seems", check_help },
    { "role",       role_main,       NULL, NULL },
};
/* These have no other name than `waypost NAME`. */
static const struct command own_commands[] = {
    { "queue",      waypost_queue_main, "select queued mail, show it, act on it", waypost_queue_help },
    { "top",        waypost_top_main,   "watch the mail flow", waypost_top_help },
    { "why",        waypost_why_main,   "why a destination or message waits", waypost_why_help },
};
/* clang-format on */

enum {
    COMMAND_COUNT = sizeof commands / sizeof *commands,
    OWN_COUNT = sizeof own_commands / sizeof *own_commands,
};

static const struct command *command_find(struct str name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (str_equal(name, str_from(commands[i].name)))
            return &commands[i];
    return NULL;
}

static const struct command *own_command_find(struct str name)
{
    for (size_t i = 0; i < OWN_COUNT; i++)
        if (str_equal(name, str_from(own_commands[i].name)))
            return &own_commands[i];
    return command_find(name);
}

static int overview(FILE *out)
{
    fputs("waypost: a mail relay that takes over Postfix's configuration and commands\n"
          "\n"
          "usage: waypost COMMAND [argument ...]\n"
          "\n"
          "\n",
          out);
    for (size_t i = 0; i < OWN_COUNT; i++)
        fprintf(out, "  %-12s%s\n", own_commands[i].name, own_commands[i].summary);
    fputs("\n"
          "These also work under their own names where they are linked to this program:\n"
          "\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].summary != NULL)
            fprintf(out, "  %-12s%s\n", commands[i].name, commands[i].summary);
    fputs("\n"
          "  waypost COMMAND --help   what a command can do; also: man waypost, man COMMAND\n"
          "  waypost --version        the version\n",
          out);
    return fflush(out) == 0 ? EX_OK : EX_IOERR;
}

static int version(const char *name)
{
    printf("%s (waypost) %s\n", name, WAYPOST_VERSION);
    return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int help(const struct command *command)
{
    printf("%s: %s\n\n%s", command->name, command->summary, command->help);
    return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct str first = str_from(argc > 1 ? argv[1] : "");

    if (str_equal(first, STR("--version")))
        return version(command->name);
    if (command->help != NULL && str_equal(first, STR("--help")))
        return help(command);
    return command->run(argc, argv);
}

static struct str base_name(const char *path)
{
    struct str name = str_from(path);

    return str_skip(name, (size_t)(str_find_last_byte(name, '/') + 1));
}

int main(int argc, char **argv)
{
    const struct command *command = command_find(base_name(argc > 0 ? argv[0] : ""));

    if (command != NULL)
        return run(command, argc, argv);
    if (argc < 2 || str_equal(str_from(argv[1]), STR("--help")))
        return overview(stdout);
    if (str_equal(str_from(argv[1]), STR("--version")))
        return version("waypost");
    command = own_command_find(str_from(argv[1]));
    if (command != NULL)
        return run(command, argc - 1, argv + 1);
    fprintf(stderr, "waypost: fatal: '%s' is no command; 'waypost' alone lists them\n", argv[1]);
    return EX_USAGE;
}
