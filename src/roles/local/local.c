/* SPDX-License-Identifier: Apache-2.0 */
#include "local.h"

#include "alias_entry.h"
#include "entry.h"
#include "macro.h"
#include "mail/address.h"
#include "placing.h"
#include "report.h"
#include "split_address.h"
#include "user_file.h"
#include "walk.h"
#include "worker.h"

#include <errno.h>
#include <sys/stat.h>

/* Whether a way of delivery is the recipient's, so that no other is tried. */
enum way { WAY_TAKEN, WAY_FREE };

static struct str lower(struct arena *arena, struct str text)
{
    char *copy = arena_new(arena, text.len + 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(text.ptr[i]);
    return str_of(copy, text.len);
}

/* ---- aliases ---- */

/* owner-NAME gets the problems of NAME's mail, where there is such an alias. */
static void take_list_owner(struct walk *walk, struct step *step, struct str name)
{
    const struct config *config = walk->agent->config;
    struct str owner = str_from(arena_printf(walk->arena, "owner-%.*s", STR_ARGS(name)));
    struct str expansion;

    if (!config->owner_request_special ||
        maps_find(walk->agent->alias_maps, owner, walk->arena, &expansion, NULL) != LOOKUP_FOUND) {
        if (config->reset_owner_alias)
            step->owner = STR("");
        return;
    }
    struct str address = owner, entry;
    if (config->expand_owner_alias && alias_entry_next(walk->arena, &expansion, &entry))
        address = entry;
    if (!address_has_domain(address))
        address = str_from(
            arena_printf(walk->arena, "%.*s@%.*s", STR_ARGS(address), STR_ARGS(config->myorigin)));
    step->sender = step->owner = address;
}

/* Commands and files of an alias run with the rights of the table's owner. */
static bool take_table_owner(struct walk *walk, struct step *step, uid_t owner)
{
    struct error error = { 0 };

    step->has_account = false;
    if (owner == 0)
        return true;
    step->has_account = user_find_id(walk->arena, owner, &step->account, &error) == USER_FOUND;
    if (!step->has_account) {
        log_warning(&walk->agent->log, "cannot find alias database owner for uid %ld", (long)owner);
        walk_fail(walk, step, "4.3.0", "cannot find alias database owner");
    }
    return step->has_account;
}

static void push_alias(struct walk *walk, struct step *step, struct str name, struct str value)
{
    struct str *entries = arena_new_array(walk->arena, value.len + 1, sizeof *entries);
    size_t count = 0;

    while (alias_entry_next(walk->arena, &value, &entries[count]))
        count++;
    if (count == 0)
        walk_fail(walk, step, "5.3.5", "no recipient in alias lookup result for %.*s",
                  STR_ARGS(name));
    else if (!walk_push_entries(walk, entries, count, step))
        walk_fail(walk, step, "5.4.6", "more than %d entries", (int)ENTRIES_MAX);
}

/* An address is verified: that there is a way is enough, and where it leads is not asked. */
static bool tell_probe(struct walk *walk, const struct step *step, const char *what,
                       struct str where)
{
    struct outcome outcome;

    if (!delivery_is_probe(walk->delivery))
        return false;
    outcome_set(&outcome, "2.0.0", "%s %.*s", what, STR_ARGS(where));
    walk_tell(walk, step, &outcome);
    return true;
}

static enum way try_alias(struct walk *walk, const struct step *from, struct str name)
{
    struct step step = *from;
    struct str value;
    uid_t owner = 0;

    if (step.expanded_from.len > 0 && str_equal_fold(step.expanded_from, name))
        return WAY_FREE;
    if (++step.level > LEVELS_MAX) {
        log_warning(&walk->agent->log, "alias database loop for %.*s", STR_ARGS(name));
        walk_fail(walk, &step, "5.4.6", "alias database loop for %.*s", STR_ARGS(name));
        return WAY_TAKEN;
    }
    step.expanded_from = name;
    switch (maps_find(walk->agent->alias_maps, name, walk->arena, &value, &owner)) {
    case LOOKUP_ABSENT:
        return WAY_FREE;
    case LOOKUP_FAILED:
        walk_fail(walk, &step, "4.3.0", "alias database unavailable");
        return WAY_TAKEN;
    case LOOKUP_FOUND:
        break;
    }
    if (tell_probe(walk, &step, "aliased to", value))
        return WAY_TAKEN;
    step.origin = ORIGIN_ALIAS;
    step.is_of_root = false;
    if (!take_table_owner(walk, &step, owner))
        return WAY_TAKEN;
    take_list_owner(walk, &step, name);
    if (!walk->agent->config->frozen_delivered_to)
        step.delivered = step.address;
    walk->is_expanded = true;
    push_alias(walk, &step, name, value);
    return WAY_TAKEN;
}

/* ---- .forward ---- */

/* The paths that forward_path names, until one is there. */
static enum user_file_outcome find_forward(struct walk *walk, struct step *step,
                                           struct user_file *file)
{
    const struct config *config = walk->agent->config;
    struct macro_value values[STEP_MACROS];
    struct macros macros = { values, config->forward_expansion_filter };
    struct str rest = config->forward_path, word;

    entry_macros(walk, step, values);
    while (str_next_word(&rest, ", \t\r\n", &word)) {
        autofree_buf struct buf path = { 0 };
        struct macro_use use;
        struct error error = { 0 };
        if (!macro_expand(&macros, word, &path, &use, &error) || use.has_undefined ||
            path.len == 0 || path.ptr[0] != '/')
            continue;
        file->path = arena_text(walk->arena, buf_str(&path));
        if (walk_has_seen(walk, "forward", str_from(file->path)))
            return USER_FILE_FOUND; /* read before: it is there */
        enum user_file_outcome outcome =
            user_file_read(walk->delivery->worker->loop, walk->arena, file);
        if (outcome == USER_FILE_ABSENT)
            continue;
        if (use.has_extension || !(walk->agent->propagates_for & ORIGIN_FORWARD))
            step->unmatched = STR("");
        return outcome;
    }
    return USER_FILE_ABSENT;
}

static enum way push_forward(struct walk *walk, struct step *step, const struct user_file *file)
{
    struct str path = str_from(file->path);

    if (tell_probe(walk, step, "forward via file:", path))
        return WAY_TAKEN;
    if (walk_see(walk, "forward", path))
        return walk_has_seen(walk, "forward-done", path) ? WAY_TAKEN : WAY_FREE;
    if (file->entry_count == 0)
        return WAY_FREE;
    walk_push(walk, ITEM_FORWARD_DONE, path, step);
    if (!walk_push_entries(walk, file->entries, file->entry_count, step))
        walk_fail(walk, step, "5.4.6", "more than %d entries", (int)ENTRIES_MAX);
    return WAY_TAKEN;
}

static enum way try_forward(struct walk *walk, const struct step *from, const struct user *user)
{
    struct step step = *from;
    bool is_root = user->rights.uid == 0;
    struct user_file file = { .reader = is_root ? walk->agent->default_rights : user->rights,
                              .owner = user->rights.uid,
                              .is_opened_by_root = is_root,
                              .own_group = user->has_own_group ? user->rights.gid : 0 };

    if (walk->agent->config->forward_path.len == 0 || file.reader.uid == 0)
        return WAY_FREE;
    step.account = *user;
    step.has_account = true;
    step.is_of_root = is_root;
    step.origin = ORIGIN_FORWARD;
    step.owner = step.user;
    step.level++;
    if (!walk->agent->config->frozen_delivered_to)
        step.delivered = step.address;
    enum user_file_outcome outcome = find_forward(walk, &step, &file);
    step.expanded_from = step.local;
    switch (outcome) {
    case USER_FILE_ABSENT:
        return WAY_FREE;
    case USER_FILE_UNSAFE:
        log_warning(&walk->agent->log, "%s", file.reason);
        return WAY_FREE;
    case USER_FILE_FAILED:
        log_warning(&walk->agent->log, "%s", file.reason);
        walk_fail(walk, &step, "4.3.0", "cannot read the .forward file of %s", user->name);
        return WAY_TAKEN;
    case USER_FILE_FOUND:
        return push_forward(walk, &step, &file);
    }
    return WAY_FREE;
}

/* ---- mailboxes ---- */

/* The recipient itself goes on in the queue; what an alias came to, as a new message. */
static void pass_on(struct walk *walk, const struct step *step, struct str target)
{
    struct str rest = target;
    struct str transport = str_cut(&rest, ":");

    if (step->origin != 0) {
        entry_forward(walk, step);
        return;
    }
    if (str_equal(transport, walk->agent->name)) {
        walk_fail(walk, step, "4.3.5", "mail system configuration error");
        return;
    }
    walk->passed_to = target;
}

/* A transport from tables, else from a parameter. */
static enum way try_transport(struct walk *walk, const struct step *step, struct maps *maps,
                              struct str fixed)
{
    struct str target = STR("");

    switch (maps_find(maps, step->user, walk->arena, &target, NULL)) {
    case LOOKUP_FAILED:
        walk_fail(walk, step, "4.3.0", "table lookup failure");
        return WAY_TAKEN;
    case LOOKUP_ABSENT:
        target = fixed;
        break;
    case LOOKUP_FOUND:
        break;
    }
    target = str_trim(target);
    if (target.len == 0)
        return WAY_FREE;
    pass_on(walk, step, target);
    return WAY_TAKEN;
}

static const char *spool_path_of(struct walk *walk, const struct step *step)
{
    struct str folder = walk->agent->config->mail_spool_directory;
    bool has_slash = folder.len > 0 && folder.ptr[folder.len - 1] == '/';

    return arena_printf(walk->arena, "%.*s%s%.*s%s", STR_ARGS(folder), has_slash ? "" : "/",
                        STR_ARGS(step->user), has_slash ? "/" : "");
}

/* Who writes in a spool folder: its group does where that may, else the user alone; where only
 * root may, root makes the file. */
static void choose_spool_rights(struct walk *walk, struct placing *placing)
{
    struct stat status;
    const char *folder = arena_text(walk->arena, walk->agent->config->mail_spool_directory);

    if (stat(folder, &status) < 0 || (status.st_mode & S_IWOTH) ||
        status.st_uid == placing->rights.uid)
        return;
    if ((status.st_mode & S_IWGRP) && status.st_gid != 0)
        placing->rights.gid = status.st_gid;
    else
        placing->is_made_by_root = true;
}

static void deliver_to_file(struct walk *walk, struct step *step)
{
    const struct config *config = walk->agent->config;
    struct placing placing;
    struct outcome outcome;

    placing_init(&placing, walk->delivery, walk->recipient);
    placing.rights =
        step->account.rights.uid != 0 ? step->account.rights : walk->agent->default_rights;
    placing.mailbox.copy.sender = step->sender;
    placing.mailbox.copy.delivered_to =
        config->frozen_delivered_to ? step->delivered : step->address;
    placing.mailbox.size_limit_bytes = config->mailbox_size_limit;
    placing.mailbox.biff_name = config->biff ? step->account.name : NULL;
    if (config->home_mailbox.len > 0) {
        placing.mailbox.path = arena_printf(walk->arena, "%s/%.*s", step->account.home,
                                            STR_ARGS(config->home_mailbox));
    } else {
        placing.mailbox.path = spool_path_of(walk, step);
        if (placing.rights.uid != 0)
            choose_spool_rights(walk, &placing);
    }
    placing.is_maildir = str_ends_with(str_from(placing.mailbox.path), STR("/"));
    if (placing.rights.uid == 0) {
        walk_fail(walk, step, "4.3.5", "mail system configuration error");
        return;
    }
    if (!placing_run(walk->delivery, &placing, &outcome)) {
        walk->is_cancelled = true;
        return;
    }
    if (!outcome_is_sent(&outcome) && !placing.is_maildir)
        outcome_prepend(&outcome, "cannot update mailbox %s for user %.*s. ", placing.mailbox.path,
                        STR_ARGS(step->user));
    if (!outcome_is_sent(&outcome) && step->account.rights.uid == 0) {
        outcome.dsn[0] = '4'; /* not the sender's fault */
        outcome_prepend(&outcome, "no mail is delivered with root's rights: give root an alias; ");
    }
    walk_tell(walk, step, &outcome);
}

static void deliver_to_mailbox(struct walk *walk, struct step *step, const struct user *user)
{
    const struct config *config = walk->agent->config;
    struct str command = config->mailbox_command;

    step->account = *user;
    step->has_account = true;
    switch (maps_find(walk->agent->mailbox_command_maps, step->user, walk->arena, &command, NULL)) {
    case LOOKUP_FAILED:
        walk_fail(walk, step, "4.3.0", "table lookup failure");
        return;
    case LOOKUP_ABSENT:
        command = config->mailbox_command;
        break;
    case LOOKUP_FOUND:
        break;
    }
    command = str_trim(command);
    if (command.len > 0 && !walk_see(walk, "mailbox command", step->user))
        entry_run_command(walk, step, command);
    else if (command.len == 0)
        deliver_to_file(walk, step);
}

/* `user` NULL: there is no such user. */
static enum way try_mailbox(struct walk *walk, struct step *step, const struct user *user)
{
    if (walk_see(walk, "mailbox", step->local))
        return WAY_TAKEN;
    if (try_transport(walk, step, walk->agent->mailbox_transport_maps,
                      walk->agent->config->mailbox_transport) == WAY_TAKEN)
        return WAY_TAKEN;
    if (user == NULL)
        return WAY_FREE;
    deliver_to_mailbox(walk, step, user);
    return WAY_TAKEN;
}

/* ---- who is nobody here ---- */

static void use_luser_relay(struct walk *walk, struct step *step)
{
    struct macro_value values[STEP_MACROS];
    struct macros macros = { values, STR("") };
    autofree_buf struct buf out = { 0 };
    struct error error = { 0 };

    entry_macros(walk, step, values);
    if (!macro_expand(&macros, walk->agent->config->luser_relay, &out, NULL, &error)) {
        log_warning(&walk->agent->log, "luser_relay: %s", error.message);
        walk_fail(walk, step, "4.3.5", "mail system configuration error");
        return;
    }
    struct str address = str_trim(arena_copy(walk->arena, buf_str(&out)));
    struct str own = step->address;
    if (address.len > 0 && !address_has_domain(address))
        own = address_local(own);
    if (address.len == 0 || str_equal_fold(address, own)) {
        walk_fail(walk, step, "5.1.1", "unknown user: \"%.*s\"", STR_ARGS(step->user));
        return;
    }
    step->unmatched = STR("");
    if (++step->level > LEVELS_MAX)
        walk_fail(walk, step, "5.4.6", "mail forwarding loop for %.*s", STR_ARGS(step->address));
    else
        entry_deliver_address(walk, step, address);
}

static void deliver_unknown(struct walk *walk, struct step *step)
{
    const struct config *config = walk->agent->config;
    struct outcome outcome;

    if (try_transport(walk, step, walk->agent->fallback_transport_maps,
                      config->fallback_transport) == WAY_TAKEN)
        return;
    if (config->luser_relay.len > 0) {
        use_luser_relay(walk, step);
        return;
    }
    if (str_equal_fold(step->user, STR("postmaster")) ||
        str_equal_fold(step->user, STR("mailer-daemon"))) {
        log_warning(&walk->agent->log, "required alias not found: %.*s", STR_ARGS(step->user));
        outcome_set(&outcome, "2.0.0", "discarded");
        walk_tell(walk, step, &outcome);
        return;
    }
    walk_fail(walk, step, "5.1.1", "unknown user: \"%.*s\"", STR_ARGS(step->user));
}

/* ---- one name ---- */

static bool has_home(struct walk *walk, const struct step *step, const struct user *user)
{
    struct stat status;

    if (!walk->agent->config->require_home_directory || stat(user->home, &status) == 0)
        return true;
    walk_fail(walk, step, "4.3.0", "cannot access home directory %s: %s", user->home,
              strerror(errno));
    return false;
}

static void deliver_to_user(struct walk *walk, struct step *step, bool skips_forward)
{
    struct user user;
    struct error error = { 0 };
    enum user_outcome outcome = user_find(walk->arena, step->user, &user, &error);
    const struct user *found = outcome == USER_FOUND ? &user : NULL;

    if (outcome == USER_FAILED) {
        walk_fail(walk, step, "4.3.0", "user lookup error");
        return;
    }
    if (found != NULL && !has_home(walk, step, found))
        return;
    if (found != NULL && !skips_forward && try_forward(walk, step, found) == WAY_TAKEN)
        return;
    if (try_mailbox(walk, step, found) == WAY_FREE)
        deliver_unknown(walk, step);
}

static void name_parts(struct walk *walk, struct step *step)
{
    const struct config *config = walk->agent->config;
    struct str local = lower(walk->arena, address_local(step->address));
    struct split_address split = split_address(local, config);

    step->local = local;
    step->domain = lower(walk->arena, address_domain(step->address));
    step->user = split.user;
    step->extension = split.extension;
    if (str_find_byte(step->extension, '/') >= 0) {
        log_warning(&walk->agent->log, "%s: address with illegal extension: %.*s",
                    walk->delivery->job.queue_id.text, STR_ARGS(local));
        step->extension = STR("");
    }
    step->unmatched = step->extension;
}

static void deliver_recipient(struct walk *walk, struct step *step)
{
    struct str key = address_fold(walk->arena, step->address);

    if (map_find(walk->delivered_to, key) != NULL) {
        walk_fail(walk, step, "5.4.6", "mail forwarding loop for %.*s", STR_ARGS(step->address));
        return;
    }
    if (step->delivered.len == 0)
        step->delivered = step->address;
    name_parts(walk, step);
    if (step->user.len == 0) {
        walk_fail(walk, step, "5.1.3", "null username in \"%.*s\"", STR_ARGS(step->address));
        return;
    }
    if (step->local.ptr[0] == '\\') { /* "\name": past aliases and .forward */
        step->address = str_skip(step->address, 1);
        step->local = str_skip(step->local, 1);
        step->user = str_skip(step->user, 1);
        deliver_to_user(walk, step, true);
        return;
    }
    struct str unmatched = step->unmatched;
    step->unmatched = STR("");
    if (try_alias(walk, step, step->local) == WAY_TAKEN)
        return;
    step->unmatched = unmatched;
    if (step->extension.len > 0 && try_alias(walk, step, step->user) == WAY_TAKEN)
        return;
    /* A list with an owner, and a user's .forward, make new messages for other names: each then
     * has an account of its own in the queue. */
    if ((step->owner.len > 0 && !str_equal_fold(address_local(step->owner), step->user)) ||
        step->origin == ORIGIN_INCLUDE) {
        entry_forward(walk, step);
        return;
    }
    deliver_to_user(walk, step, false);
}

static void deliver_item(struct walk *walk, struct item *item)
{
    switch (item->kind) {
    case ITEM_RECIPIENT:
        deliver_recipient(walk, &item->step);
        return;
    case ITEM_ENTRY:
        entry_deliver(walk, &item->step, item->text);
        return;
    case ITEM_FORWARD_DONE:
        (void)walk_see(walk, "forward-done", item->text);
        return;
    }
}

/* What success is to the sender (RFC 3461 5.2.7): of an alias's members it hears no more. */
static enum dsn_action success_of(const struct walk *walk, struct outcome *outcome)
{
    const struct recipient *to = &walk->delivery->job.envelope.recipients[walk->recipient];

    if (walk->is_expanded && (to->dsn_notify & DSN_NOTIFY_SUCCESS) != 0 &&
        outcome_is_sent(outcome)) {
        outcome_set(outcome, "2.0.0", "alias expanded");
        return DSN_ACTION_EXPANDED;
    }
    return walk->forwards.first != NULL ? DSN_ACTION_RELAYED : DSN_ACTION_DELIVERED;
}

/* Everything was looked at. */
static void settle(struct walk *walk)
{
    struct delivery *delivery = walk->delivery;
    struct outcome outcome;

    if (walk->has_outcome && outcome_is_soft(&walk->outcome)) {
        report_settle(delivery, walk->recipient, &walk->outcome, DSN_ACTION_NONE);
        return;
    }
    if (!forwards_finish(&walk->forwards, &outcome)) {
        report(delivery, walk->recipient, &outcome);
        return;
    }
    if (walk->passed_to.len > 0 && !walk->has_outcome && walk->forwards.first == NULL) {
        report_passed(delivery, walk->recipient, walk->passed_to);
        return;
    }
    if (walk->has_outcome)
        outcome = walk->outcome;
    else if (walk->forwards.first == NULL)
        outcome_set(&outcome, "2.0.0", "alias expanded");
    report_settle(delivery, walk->recipient, &outcome, success_of(walk, &outcome));
}

void local_deliver(struct delivery *delivery, size_t recipient)
{
    struct walk walk;
    struct item item;
    struct step step = {
        .address = delivery->job.envelope.recipients[recipient].address,
        .sender = delivery->job.envelope.sender,
        .owner = STR(""),
        .delivered = STR(""),
        .expanded_from = STR(""),
        .unmatched = STR(""),
    };

    walk_init(&walk, delivery, recipient);
    if (!address_has_domain(step.address))
        step.address = str_from(arena_printf(walk.arena, "%.*s@%.*s", STR_ARGS(step.address),
                                             STR_ARGS(delivery->agent->config->myorigin)));
    walk_push(&walk, ITEM_RECIPIENT, STR(""), &step);
    while (!walk.is_cancelled && walk_pop(&walk, &item))
        deliver_item(&walk, &item);
    if (walk.is_cancelled)
        delivery->is_cancelled = true;
    else
        settle(&walk);
    walk_clear(&walk);
}
