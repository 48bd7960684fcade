/* SPDX-License-Identifier: Apache-2.0 */
/* postmap: builds and asks look-up tables. */
#include "commands.h"
#include "table_tool.h"

const char postmap_help[] =
    "usage: postmap [options] [type:]file ...\n"
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
    "  -h, -b      with -q -: standard input is a message, and its headers (-h) or the lines of\n"
    "              its body (-b) are the keys; with -m headers of its parts are headers too\n"
    "  -F          values are names of files, whose content is stored and shown\n"
    "  -j          print JSON objects with key and value, one a line\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

int postmap_main(int argc, char **argv)
{
    struct table_tool table_tool = { .is_alias = false };

    return table_tool_main(&table_tool, argc, argv);
}
