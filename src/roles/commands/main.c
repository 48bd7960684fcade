/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the process begins: the name it was called by, or the first argument of `waypost`, picks
 * a row of the table.
 */
#include <stdio.h>

int main(int argc, char **argv)
{
    (void)argc;
    fprintf(stderr, "%s: not yet\n", argv[0]);
    return 69;
}
