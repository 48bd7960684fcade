/* SPDX-License-Identifier: Apache-2.0 */
/* postalias: builds and asks alias tables. newaliases: builds those that alias_database names. */
#include "commands.h"
#include "table_tool.h"

int postalias_main(int argc, char **argv)
{
    struct table_tool table_tool = { .is_alias = true };

    return table_tool_main(&table_tool, argc, argv);
}

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
