/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands. Each is one function with main's shape, in a file of its own; main.c has the table
 * and picks the row. A command's help text stands beside it; `--help` and `--version` are answered
 * for all of them in main.c.
 */
#pragma once

struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the name, for messages; argc may be 0 */
    const char *summary;               /* one line, in lower case */
    const char *help;                  /* usage and options; NULL: the command answers itself */
};

int check_main(int argc, char **argv);
int mailq_main(int argc, char **argv);
int newaliases_main(int argc, char **argv);
int postalias_main(int argc, char **argv);
int postcat_main(int argc, char **argv);
int postconf_main(int argc, char **argv);
int postdrop_main(int argc, char **argv);
int postfix_main(int argc, char **argv);
int postkick_main(int argc, char **argv);
int postlog_main(int argc, char **argv);
int postmap_main(int argc, char **argv);
int postqueue_main(int argc, char **argv);
int postsuper_main(int argc, char **argv);
int role_main(int argc, char **argv); /* hidden: how the master starts a role */
int sendmail_main(int argc, char **argv);
int waypost_queue_main(int argc, char **argv);
int waypost_top_main(int argc, char **argv);
int waypost_why_main(int argc, char **argv);

extern const char check_help[];
extern const char newaliases_help[];
extern const char postalias_help[];
extern const char postcat_help[];
extern const char postconf_help[];
extern const char postdrop_help[];
extern const char postfix_help[];
extern const char postkick_help[];
extern const char postlog_help[];
extern const char postmap_help[];
extern const char postqueue_help[];
extern const char postsuper_help[];
extern const char sendmail_help[];
extern const char waypost_queue_help[];
extern const char waypost_top_help[];
extern const char waypost_why_help[];
