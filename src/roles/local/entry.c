/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

#include "base/clock.h"
#include "command.h"
#include "command_environment.h"
#include "macro.h"
#include "mail/address.h"
#include "placing.h"
#include "user_file.h"
#include "worker.h"

/* Never root's. */
static struct rights rights_of(const struct walk *walk, const struct step *step)
{
    if (step->has_account && step->account.rights.uid != 0 && step->account.rights.gid != 0)
        return step->account.rights;
    return walk->agent->default_rights;
}

static bool has_rights(struct walk *walk, const struct step *step)
{
    if (rights_of(walk, step).uid != 0)
        return true;
    walk_fail(walk, step, "4.3.5", "mail system configuration error");
    return false;
}

static const char *key_with_rights(const struct walk *walk, const struct step *step,
                                   struct str text)
{
    return arena_printf(walk->arena, "%ld %.*s", (long)rights_of(walk, step).uid, STR_ARGS(text));
}

void entry_macros(const struct walk *walk, const struct step *step,
                  struct macro_value values[STEP_MACROS])
{
    const struct macro_value all[STEP_MACROS] = {
        { "user", step->user },
        { "home", str_from(step->has_account ? step->account.home : "") },
        { "shell", str_from(step->has_account ? step->account.shell : "") },
        { "domain", step->domain },
        { "recipient", step->address },
        { "extension", step->extension },
        { "recipient_delimiter", str_take(walk->agent->config->recipient_delimiter, 1) },
        { "local", step->local },
        { NULL, STR_INIT("") },
    };

    memcpy(values, all, sizeof all);
    /* The one that the address has, where there are several. */
    if (step->extension.len > 0 && step->local.len > step->user.len)
        values[6].text = str_of(step->local.ptr + step->user.len, 1);
}

/* ---- commands ---- */

/* The folder in which it runs; NULL: the default one. False: not now. */
static bool expand_folder(struct walk *walk, const struct step *step, const char **folder)
{
    const struct config *config = walk->agent->config;
    struct macro_value values[STEP_MACROS];
    struct macros macros = { values, config->execution_directory_expansion_filter };
    autofree_buf struct buf out = { 0 };
    struct error error = { 0 };

    *folder = NULL;
    if (config->command_execution_directory.len == 0)
        return true;
    entry_macros(walk, step, values);
    if (!macro_expand(&macros, config->command_execution_directory, &out, NULL, &error)) {
        walk_fail(walk, step, "4.3.5", "mail system configuration error");
        return false;
    }
    *folder = arena_text(walk->arena, buf_str(&out));
    return true;
}

void entry_run_command(struct walk *walk, struct step *step, struct str text)
{
    const struct config *config = walk->agent->config;
    struct delivery *delivery = walk->delivery;
    bool has_account = step->has_account && step->account.rights.uid != 0;
    struct command_names names = {
        .user = step->user,
        .local = step->local,
        .extension = step->extension,
        .domain = step->domain,
        .recipient = step->address,
        .sender = step->sender,
        .home = has_account ? step->account.home : NULL,
        .shell = has_account ? step->account.shell : NULL,
    };
    struct command command = {
        .rights = rights_of(walk, step),
        .text = arena_text(walk->arena, text),
        .shell = arena_text(walk->arena, config->local_command_shell),
        .environment = command_environment(delivery, walk->recipient, &names),
        .default_folder = arena_text(walk->arena, config->queue_directory),
        .copy = { .flags =
                      COPY_FROM_LINE | COPY_RETURN_PATH | COPY_ORIGINAL |
                      (walk->agent->delivered_for & DELIVERED_FOR_COMMAND ? COPY_DELIVERED : 0u),
                  .sender = step->sender,
                  .original_to = delivery_original(delivery, walk->recipient),
                  .delivered_to = step->delivered,
                  .content = delivery->job.content,
                  .eol = STR("\n"),
                  .wall_s = clock_wall_ms() / 1000 },
        .limit_ms = config->command_time_limit * 1000,
        .size_limit_bytes = config->mailbox_size_limit,
    };
    struct outcome outcome;

    if (delivery_is_probe(delivery)) {
        outcome_set(&outcome, "2.0.0", "delivers to command: %s", command.text);
        walk_tell(walk, step, &outcome);
        return;
    }
    if (!has_rights(walk, step) || !expand_folder(walk, step, &command.folder))
        return;
    if (command_run(delivery->worker->loop, &command, &outcome))
        walk_tell(walk, step, &outcome);
    else
        walk->is_cancelled = true;
}

static void deliver_command(struct walk *walk, struct step *step, struct str command)
{
    if (walk_see(walk, "command", str_from(key_with_rights(walk, step, command))))
        return;
    if (!(walk->agent->commands_from & step->origin) || step->is_of_root)
        walk_fail(walk, step, "5.7.1", "mail to command is restricted");
    else
        entry_run_command(walk, step, command);
}

/* ---- files ---- */

static void deliver_file(struct walk *walk, struct step *step, struct str path)
{
    struct placing placing;
    struct outcome outcome;

    if (walk_see(walk, "file", str_from(key_with_rights(walk, step, path))))
        return;
    if (!(walk->agent->files_from & step->origin) || step->is_of_root) {
        walk_fail(walk, step, "5.7.1", "mail to file is restricted");
        return;
    }
    if (!has_rights(walk, step))
        return;
    placing_init(&placing, walk->delivery, walk->recipient);
    placing.rights = rights_of(walk, step);
    placing.is_maildir = path.ptr[path.len - 1] == '/';
    placing.mailbox.path = arena_text(walk->arena, path);
    placing.mailbox.copy.sender = step->sender;
    placing.mailbox.copy.delivered_to = step->delivered;
    placing.mailbox.is_any_file = true;
    placing.mailbox.may_lack_dotlock = true;
    placing.mailbox.size_limit_bytes = walk->agent->config->mailbox_size_limit;
    if (!placing_run(walk->delivery, &placing, &outcome)) {
        walk->is_cancelled = true;
        return;
    }
    if (!outcome_is_sent(&outcome) && !placing.is_maildir)
        outcome_prepend(&outcome, "cannot append message to file %s: ", placing.mailbox.path);
    else if (outcome_is_sent(&outcome) && !placing.is_maildir)
        outcome_set(&outcome, "2.0.0", "%s to file: %s",
                    delivery_is_probe(walk->delivery) ? "delivers" : "delivered",
                    placing.mailbox.path);
    walk_tell(walk, step, &outcome);
}

/* ---- lists ---- */

/* Commands and files of a list run with its owner's rights. */
static bool take_owner(struct walk *walk, struct step *step, uid_t owner)
{
    struct error error = { 0 };

    step->has_account = false;
    if (owner == 0)
        return true;
    switch (user_find_id(walk->arena, owner, &step->account, &error)) {
    case USER_FOUND:
        step->has_account = true;
        return true;
    case USER_ABSENT:
    case USER_FAILED:
        log_warning(&walk->agent->log, "cannot find username for uid %ld", (long)owner);
        walk_fail(walk, step, "4.3.0", "%.*s: cannot find :include: file owner username",
                  STR_ARGS(step->address));
        return false;
    }
    return false;
}

static void deliver_list(struct walk *walk, struct step *step, struct str path)
{
    struct user_file file = { .path = arena_text(walk->arena, path),
                              .reader = rights_of(walk, step),
                              .is_any_owner = true };

    if (walk_see(walk, "include", str_from(key_with_rights(walk, step, path))))
        return;
    if (path.len == 0 || path.ptr[0] != '/') {
        log_warning(&walk->agent->log, ":include:%.*s uses a relative path", STR_ARGS(path));
        walk_fail(walk, step, "5.3.5", "mail system configuration error");
        return;
    }
    if (++step->include_level > INCLUDES_MAX) {
        walk_fail(walk, step, "5.4.6", ":include: files refer to one another too deep");
        return;
    }
    if (!has_rights(walk, step))
        return;
    switch (user_file_read(walk->delivery->worker->loop, walk->arena, &file)) {
    case USER_FILE_ABSENT:
        walk_fail(walk, step, "5.2.0", "unable to lookup :include: file %s: %s", file.path,
                  "No such file or directory");
        return;
    case USER_FILE_UNSAFE:
        walk_fail(walk, step, "5.2.0", ":include: %s", file.reason);
        return;
    case USER_FILE_FAILED:
        walk_fail(walk, step, "4.3.0", "%s", file.reason);
        return;
    case USER_FILE_FOUND:
        break;
    }
    if (!take_owner(walk, step, file.found_owner))
        return;
    step->origin = ORIGIN_INCLUDE;
    step->is_of_root = false;
    if (!walk_push_entries(walk, file.entries, file.entry_count, step))
        walk_fail(walk, step, "5.4.6", "more than %d entries", (int)ENTRIES_MAX);
}

/* ---- addresses ---- */

/* The extension that nothing has used goes over to the result. */
static struct str with_extension(const struct walk *walk, const struct step *step,
                                 struct str address)
{
    const struct config *config = walk->agent->config;
    struct str local = address_local(address);

    if (step->unmatched.len == 0 || !(walk->agent->propagates_for & step->origin) ||
        config->recipient_delimiter.len == 0)
        return address;
    return str_from(arena_printf(walk->arena, "%.*s%c%.*s%s%.*s", STR_ARGS(local),
                                 config->recipient_delimiter.ptr[0], STR_ARGS(step->unmatched),
                                 address_has_domain(address) ? "@" : "",
                                 STR_ARGS(address_domain(address))));
}

void entry_forward(struct walk *walk, const struct step *step)
{
    struct str key = address_fold(walk->arena, step->address);
    struct outcome outcome;

    if (delivery_is_probe(walk->delivery)) {
        outcome_set(&outcome, "2.0.0", "forwarded to %.*s", STR_ARGS(step->address));
        walk_tell(walk, step, &outcome);
        return;
    }
    if (walk_see(walk, "forwarded", key))
        return;
    forwards_add(&walk->forwards, step->sender, step->delivered, step->address);
}

void entry_deliver_address(struct walk *walk, struct step *step, struct str address)
{
    struct route route;
    struct error error = { 0 };

    address = with_extension(walk, step, address);
    if (!router_find(walk->agent->router, walk->arena, step->sender, address, &route, &error)) {
        walk_fail(walk, step, "4.3.0", "address resolver failure");
        return;
    }
    step->address = address_normalise(walk->arena, route.address);
    if (route.address_class == CLASS_LOCAL && str_equal(route.transport, walk->agent->name))
        walk_push(walk, ITEM_RECIPIENT, STR(""), step);
    else
        entry_forward(walk, step);
}

void entry_deliver(struct walk *walk, struct step *step, struct str text)
{
    struct str list = STR(":include:");

    if (text.ptr[0] == '|')
        deliver_command(walk, step, str_skip(text, 1));
    else if (text.ptr[0] == '/')
        deliver_file(walk, step, text);
    else if (str_starts_with_fold(text, list))
        deliver_list(walk, step, str_trim(str_skip(text, list.len)));
    else
        entry_deliver_address(walk, step, text);
}
