/* SPDX-License-Identifier: Apache-2.0 */
/* postmap: builds and asks look-up tables. */
#include "commands.h"
#include "table_tool.h"

int postmap_main(int argc, char **argv)
{
    struct table_tool table_tool = { .is_alias = false };

    return table_tool_main(&table_tool, argc, argv);
}
