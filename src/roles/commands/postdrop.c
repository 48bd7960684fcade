/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `waypost postdrop`: the real one is a program of its own, because of its set-group-id bit. This
 * only passes the call on to the one beside us.
 */
#include "commands.h"
#include "tool.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

const char postdrop_help[] =
    "usage: postdrop [-rv] [-c config_dir]\n"
    "\n"
    "  -c DIR      use the configuration in DIR (root, or DIR is in alternate_config_directories)\n"
    "  -r          read sendmail's frames: the only way there is, so it may be left out\n"
    "  -v          accepted, does nothing\n"
    "  --help      show this text\n"
    "  --version   show the version\n";

int postdrop_main(int argc, char **argv)
{
    struct tool tool;
    char path[PATH_MAX + sizeof "postdrop"];
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);

    tool_start(&tool, "postdrop");
    if (len < 0)
        return tool_fail(&tool, EX_OSERR, "find this program's folder: %s", strerror(errno));
    while (len > 0 && path[len - 1] != '/')
        len--;
    memcpy(path + len, "postdrop", sizeof "postdrop");
    execv(path, argv);
    return tool_fail(&tool, EX_OSFILE, "run %s: %s", path, strerror(errno));
}
