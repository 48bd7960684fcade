/* SPDX-License-Identifier: Apache-2.0 */
#include "config/manual.h"

#include "base/memory.h"
#include "config/parameter.h"

static const char introduction[] =
    ".TH POSTCONF 5 \"\" \"Waypost\" \"File formats\"\n"
    ".SH NAME\n"
    "postconf \\- the parameters of main.cf\n"
    ".SH SYNTAX\n"
    "A line of main.cf is\n"
    ".PP\n"
    ".RS\n"
    "\\fIname\\fR = \\fIvalue\\fR\n"
    ".RE\n"
    ".PP\n"
    "Blanks around the = and at the end of the value do not count. A line that begins with a\n"
    "blank goes on with the one before it. Empty lines do not count, nor do lines whose first\n"
    "visible\n"
    "character is #. A # further behind is a part of the value; where the value is a number or a\n"
    "yes or no, Waypost takes what stands before it and warns.\n"
    "When a name is set more than once, the last time counts.\n"
    ".PP\n"
    "In a value,\n"
    ".TP\n"
    "$name, ${name}, $(name)\n"
    "is the value of that parameter, wherever in the file it is set; nothing when it is not\n"
    "known.\n"
    ".TP\n"
    "${name?text}, ${name?{text}}\n"
    "is the text where the parameter's value is not empty;\n"
    ".TP\n"
    "${name:text}, ${name:{text}}\n"
    "is the text where it is;\n"
    ".TP\n"
    "${name?{text}:{text}}\n"
    "is one or the other;\n"
    ".TP\n"
    "${{text} == {text} ? {text} : {text}}\n"
    "compares. There are ==, !=, <, <=, >= and >; two numbers are compared as numbers. With the\n"
    "word level behind the operator (<=level) versions such as 3.6 are compared;\n"
    ".TP\n"
    "$$\n"
    "is one $.\n"
    ".SH TYPES\n"
    "A time is a number with s, m, h, d or w (seconds to weeks) behind it; without one it has the\n"
    "unit that is named with the parameter. A size is in bytes. In master.cf, \\-o name=value\n"
    "changes a parameter for one service, where it is not marked \"one for all services\".\n"
    ".PP\n"
    "A parameter that is marked \"not honoured yet\" may be set and does nothing; Waypost says so\n"
    "when it starts.\n"
    ".SH PARAMETERS\n";

/* Text for roff: backslashes, and dots and quotes that would begin a request. */
static void print_escaped(FILE *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (byte == '\\')
            fputs("\\e", out);
        else if (byte == '-')
            fputs("\\-", out);
        else if ((byte == '.' || byte == '\'') && (i == 0 || text.ptr[i - 1] == '\n'))
            fprintf(out, "\\&%c", byte);
        else
            fputc(byte, out);
    }
}

static void print_type(FILE *out, const struct parameter *parameter)
{
    switch (parameter->type) {
    case PARAMETER_TEXT:
        fputs("Text", out);
        break;
    case PARAMETER_RAW:
        fputs("Text whose macros are expanded when it is used", out);
        break;
    case PARAMETER_BOOL:
        fputs("yes or no", out);
        break;
    case PARAMETER_COUNT:
        fputs("A number", out);
        break;
    case PARAMETER_SIZE:
        fputs("A size in bytes", out);
        break;
    case PARAMETER_TIME:
        fprintf(out, "A time; %c without a unit", parameter_time_unit(parameter));
        break;
    }
    if (parameter->scope == PARAMETER_GLOBAL)
        fputs("; one for all services", out);
    if (parameter->mark == PARAMETER_NOT_YET)
        fputs("; not honoured yet", out);
    if (parameter->mark == PARAMETER_NO_USE)
        fputs("; without use in Waypost", out);
    fputs(".\n", out);
}

static void print_parameter(FILE *out, const struct parameter *parameter)
{
    fputs(".TP\n\\fB", out);
    print_escaped(out, parameter->name);
    fputs("\\fR", out);
    if (!str_is_empty(parameter->default_text)) {
        fputs(" (default: ", out);
        print_escaped(out, parameter->default_text);
        fputc(')', out);
    }
    fputc('\n', out);
    print_escaped(out, str_from(parameter->documentation));
    fputc('\n', out);
    print_type(out, parameter);
}

void parameters_print_man(FILE *out)
{
    const struct parameter **sorted = memory_new_array(parameter_count, sizeof *sorted);

    parameters_sort(sorted);
    fputs(introduction, out);
    for (size_t i = 0; i < parameter_count; i++)
        print_parameter(out, sorted[i]);
    fputs(".SH SEE ALSO\npostconf(1), master(5)\n", out);
    memory_free(sorted);
}
