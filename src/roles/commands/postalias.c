/* SPDX-License-Identifier: Apache-2.0 */
/* postalias: builds and asks alias tables. newaliases: builds those that alias_database names. */
#include "commands.h"
#include "table_tool.h"

const char postalias_help[] =
    "usage: postalias [options] [type:]file ...\n"
    "\n"
    "Builds TYPE:FILE from the text in FILE; with -q, -d or -s asks or changes it.\n"
    "TYPE is hash, btree, lmdb or cdb to build (without one: default_database_type), any to ask.\n"
    "\n"
    "  -q KEY      look KEY up; - reads keys from standard input\n"
    "  -d KEY      delete KEY; - reads keys from standard input\n"
    "  -s          list everything\n"
    "  -i          add what standard input has, keep the rest\n"
    "  -r          replace keys that are there without a warning\n"
    "  -w          no warning about duplicate keys\n"
    "  -f          keep the case of keys\n"
    "  -p          do not take over the source's access rights\n"
    "  -o          stay root where the source belongs to another user\n"
    "  -c DIR      use the configuration in DIR\n"
    "  -n, -N, -u, -U, -v  accepted, do nothing\n"
    "  -j          print JSON objects with key and value, one a line\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

int postalias_main(int argc, char **argv)
{
    struct table_tool table_tool = { .is_alias = true };

    return table_tool_main(&table_tool, argc, argv);
}

const char newaliases_help[] = "usage: newaliases [-C config_dir]\n"
                               "\n"
                               "Rebuilds the tables in alias_database.\n"
                               "\n"
                               "  -C DIR      use the configuration in DIR\n"
                               "  --help      show this text\n"
                               "  --version   show the version\n";

int newaliases_main(int argc, char **argv)
{
    struct table_tool table_tool = { .is_alias = true };
    struct tool *tool = &table_tool.tool;
    autoclear_arena struct arena arena = { 0 };
    struct str word;
    int status = EX_OK;

    tool_start(tool, "newaliases");
    /* Sendmail's options mean nothing here, but for where the configuration is. */
    for (int i = 1; i + 1 < argc; i++)
        if (str_equal(str_from(argv[i]), STR("-C")) || str_equal(str_from(argv[i]), STR("-c")))
            table_tool.configuration = argv[i + 1];
    if (!tool_configure(tool, table_tool.configuration))
        return EX_CONFIG;
    struct str rest = tool->config->alias_database;
    while (status == EX_OK && str_next_word(&rest, ", \t\r\n", &word))
        status = table_tool_build(&table_tool, arena_text(&arena, word));
    tool_end(tool);
    return status;
}
