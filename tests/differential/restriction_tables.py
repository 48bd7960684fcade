# SPDX-License-Identifier: Apache-2.0
"""The configurations and the world of the restriction tests: services (lines of master.cf with
their overrides), access tables, and what the name server knows."""

CLIENTS = ["203.0.113.7", "192.0.2.1", "192.0.2.2", "192.0.2.9", "198.51.100.5", "198.51.100.6"]
HELOS = ["client.example", "mail.good.example", "nodots", "[192.0.2.1]", "[300.1.1.1]", "192.0.2.1",
         "bad_name!.example", "unknown.example", "slow.example", "-x.example", "sub.listed.example",
         "trailing.example."]
SENDERS = ["", "a@good.example", "a@nomx.example", "a@nowhere.example", "a@slow.example", "plain",
           "a@short", "a@nullmx.example", "a+ext@listed.example", "b@sub.listed.example",
           "listed@anywhere.example", "a@[192.0.2.1]", "c@local.example", "moved@local.example",
           "held@good.example", "a@spam.example"]
RECIPIENTS = ["root@local.example", "known@local.example", "unknown@local.example",
              "moved@local.example", "x@relay.example", "known@relay.example", "x@sub.relay.example",
              "x@elsewhere.example", "x@valias.example", "known@valias.example", "x@vbox.example",
              "known@vbox.example", "x@nowhere.example", "x@slow.example", "x@nullmx.example",
              "plain", "postmaster", "known+ext@local.example", "x@backup.example"]

CODES = [*(f"5.1.{i}" for i in range(12)), "4.1.1", "5.0.0", "5.2.1", "5.4.4", "5.7.25"]

ZONE = {
    ("192.0.2.1", "PTR"): ["mail.good.example."],
    ("mail.good.example", "A"): ["192.0.2.1"],
    ("192.0.2.2", "PTR"): ["forged.example."],
    ("forged.example", "A"): ["192.0.2.77"],
    ("198.51.100.5", "PTR"): "SERVFAIL",
    ("198.51.100.6", "PTR"): ["sub.listed.example."],
    ("sub.listed.example", "A"): ["198.51.100.6"],
    ("203.0.113.7", "PTR"): ["friend.example."],
    ("friend.example", "A"): ["203.0.113.7"],
    ("good.example", "MX"): ["10 mail.good.example."],
    ("good.example", "NS"): ["ns.good.example."],
    ("ns.good.example", "A"): ["192.0.2.53"],
    ("nomx.example", "A"): ["192.0.2.10"],
    ("slow.example", "A"): "SERVFAIL",
    ("slow.example", "AAAA"): "SERVFAIL",
    ("slow.example", "MX"): "SERVFAIL",
    ("nullmx.example", "MX"): ["0 ."],
    ("spam.example", "MX"): ["10 mx.spam.example."],
    ("spam.example", "NS"): ["ns.spam.example."],
    ("mx.spam.example", "A"): ["192.0.2.66"],
    ("ns.spam.example", "A"): ["192.0.2.67"],
    ("spam.example", "A"): ["192.0.2.68"],
    ("listed.example", "A"): ["192.0.2.20"],
    ("client.example", "A"): ["192.0.2.30"],
    ("backup.example", "MX"): ["10 mx.backup.example.", "20 localhost.example."],
    ("mx.backup.example", "A"): ["192.0.2.90"],
    ("localhost.example", "A"): ["127.0.0.1"],
    ("elsewhere.example", "MX"): ["10 mx.elsewhere.example."],
    ("mx.elsewhere.example", "A"): ["192.0.2.91"],
    # DNS lists
    ("9.2.0.192.dnsbl.example", "A"): ["127.0.0.2"],
    ("9.2.0.192.dnsbl.example", "TXT"): ['"Blocked, see http://dnsbl.example/9"'],
    ("1.2.0.192.dnsbl.example", "A"): ["127.0.0.10", "127.0.1.4"],
    ("2.2.0.192.dnsbl.example", "A"): "SERVFAIL",
    ("5.100.51.198.dnsbl.example", "A"): ["127.0.0.2"],
    ("7.113.0.203.dnswl.example", "A"): ["127.0.0.1"],
    ("1.2.0.192.dnswl.example", "A"): ["127.0.5.1"],
    ("9.2.0.192.dnswl.example", "A"): "SERVFAIL",
    ("spam.example.rhsbl.example", "A"): ["127.0.0.2"],
    ("spam.example.rhsbl.example", "TXT"): ['"bad domain"'],
    ("sub.listed.example.rhsbl.example", "A"): ["127.0.0.3"],
    ("mail.good.example.rhsbl.example", "A"): ["127.0.0.4"],
    ("forged.example.rhsbl.example", "A"): ["127.0.0.4"],
    ("elsewhere.example.rhsbl.example", "A"): ["127.0.0.5"],
    ("rhsbl.example", "A"): ["127.0.0.9"],
    ("dnsbl.example", "A"): ["127.0.0.9"],
    ("dnswl.example", "A"): ["127.0.0.9"],
}

FILES = {
    "client": """\
mail.good.example     REJECT good is bad
listed.example        554 5.7.9 listed here
192.0.2               DUNNO
198.51                450 4.2.1 networks later
198.51.100.5          REJECT
203.0.113.7           OK
unknown               DEFER_IF_PERMIT who are you
""",
    "parents": """\
listed.example        REJECT parent itself
.listed.example       REJECT subdomain
good.example          REJECT good itself
.good.example         DEFER below good
""",
    "helo": """\
client.example        DUNNO
mail.good.example     REJECT 5.7.3 not with me
listed.example        REJECT
nodots                DEFER please have dots
[192.0.2.1]           450 literally
192.0.2               550 network of a name
example.              521 gone
""",
    "sender": """\
<>                    REJECT no bounces
a@good.example        OK
good.example          REJECT
a@listed.example      450 4.1.1 without extension
listed.example        REJECT the domain
listed@               550 5.1.9 the local part
nomx.example          12345
nullmx.example        strangers
c@local.example       reject_unauth_destination, reject
plain@mail.example.test REJECT completed
slow.example          DEFER_IF_REJECT
short                 warn_if_reject reject, reject_non_fqdn_sender
spam.example          permit_mynetworks, check_client_access texthash:/etc/x, reject
nowhere.example       no_such_restriction
""",
    "recipient": """\
root@local.example    OK
known@                REJECT the local part
known+ext@            REJECT never reached
relay.example         DUNNO
sub.relay.example     REJECT sub
elsewhere.example     DEFER_IF_PERMIT 4.3.1 maybe
x@nowhere.example     REJECT
slow.example          DEFER_IF_REJECT 4.3.9 odd
vbox.example          554 no box
moved@local.example   RELAY
valias.example        450
plain@mail.example.test 4.7.1
postmaster            REJECT never
""",
    "servers": """\
192.0.2.66            REJECT bad exchanger
mx.good.example       REJECT
mail.good.example     550 5.7.5 bad host
ns.good.example       REJECT bad name server
192.0.2.67            DEFER later
192.0.2.68            REJECT bad address
192.0.2.10            OK
""",
    "codes": "".join(f"code{i}@c.example 550 {code} text\ncode{i}.c.example 450 {code}\n"
                     for i, code in enumerate(CODES)),
    "users": "known@local.example x\nroot@local.example x\nmoved x\n@relay.known x\n",
    "boxes": "known@vbox.example x\n",
    "relayed": "known@relay.example x\n@sub.relay.example x\n",
    "aliases": "known@valias.example known@local.example\n",
    "relocated": "moved@local.example new@elsewhere.example\n",
    "rbl_reply": "dnsbl.example $rbl_code 5.7.8 No. $rbl_class $rbl_what/$rbl_domain/$rbl_reason/"
                 "$client_name/$helo_name/$sender/$recipient_domain/${recipient_name}\n",
    "patterns": "/^a@/ REJECT begins with a\n/^x@/ 450 begins with x\n/good/ WARN good in it\n"
                "/^known\\+/ REJECT plussed\n/^<>$/ REJECT null\n/^root@/ OK\n",
    "networks": "192.0.2.0/29 REJECT in the small net\n198.51.100.0/24 DEFER cidr\n",
}

MAIN = {
    "virtual_alias_domains": "valias.example",
    "virtual_mailbox_domains": "vbox.example",
    "mynetworks": "203.0.113.0/24",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
    "smtpd_reject_unlisted_recipient": "no",
    "smtpd_restriction_classes": "strangers, friends_only, warning",
    # trivial-rewrite reads it: for Postfix it must stand in main.cf.
    "relocated_maps": "texthash:$config_directory/relocated",
    "strangers": "permit_mynetworks, reject",
    "friends_only": "permit_mynetworks, defer",
    "warning": "reject_non_fqdn_sender, reject_unknown_sender_domain",
}


def table(name, kind="texthash"):
    return f"{kind}:$config_directory/{name}"


def at_recipient(value, **more):
    """Judged at RCPT; behind it nothing is relayed."""
    return {"smtpd_recipient_restrictions": f"{value}, permit", "smtpd_relay_restrictions":
            "reject_unauth_destination", **more}


CLIENT_SERVICES = {
    name: at_recipient(value) for name, value in {
        "unknown_client": "reject_unknown_client_hostname",
        "unknown_client_old": "reject_unknown_client",
        "unknown_reverse": "reject_unknown_reverse_client_hostname",
        "client_access": f"check_client_access {table('client')}",
        "reverse_access": f"check_reverse_client_hostname_access {table('parents')}",
        "client_cidr": f"check_client_access {table('networks', 'cidr')}",
        "client_fail": "check_client_access fail:nothing",
        "client_mx": f"check_client_mx_access {table('servers')}",
        "client_ns": f"check_client_ns_access {table('servers')}",
        "client_a": f"check_client_a_access {table('servers')}",
        "reverse_a": f"check_reverse_client_hostname_a_access {table('servers')}",
        "rbl": "reject_rbl_client dnsbl.example",
        "rbl_filter": "reject_rbl_client dnsbl.example=127.0.[0;1].[4..8;2]",
        "rbl_one": "reject_rbl_client dnsbl.example=127.0.0.10",
        "dnswl": "permit_dnswl_client dnswl.example, reject",
        "dnswl_filter": "permit_dnswl_client dnswl.example=127.0.[0..255].[1..3], reject",
        "rhsbl_client": "reject_rhsbl_client rhsbl.example",
        "rhsbl_reverse": "reject_rhsbl_reverse_client rhsbl.example",
        "rhswl": "permit_rhswl_client rhsbl.example, reject",
        "networks": "permit_mynetworks, reject",
        "networks_late": "permit_mynetworks, defer",
        "plaintext": "reject_plaintext_session",
        "deferring": "defer_if_permit, permit_mynetworks",
        "defer_reject": "defer_if_reject, permit_mynetworks, reject",
        "both_deferrals": "defer_if_permit, defer_if_reject, reject",
        "warn": "warn_if_reject reject, permit",
        "warn_class": "warn_if_reject friends_only, permit_mynetworks, reject",
        "warn_then": "warn_if_reject permit_mynetworks, reject",
        "class": "strangers",
        "unlisted_client": "reject_unlisted_recipient, strangers",
    }.items()
}
CLIENT_SERVICES["client_access_no_parents"] = at_recipient(
    f"check_client_access {table('parents')}", parent_domain_matches_subdomains="")
CLIENT_SERVICES["rbl_reply"] = at_recipient("reject_rbl_client dnsbl.example",
                                            rbl_reply_maps=table("rbl_reply"))
CLIENT_SERVICES["rbl_code"] = at_recipient("reject_rbl_client dnsbl.example",
                                           maps_rbl_reject_code="450")
CLIENT_SERVICES["codes"] = at_recipient(
    "reject_unknown_client_hostname, reject", unknown_client_reject_code="550", reject_code="521")
CLIENT_SERVICES["soft"] = at_recipient("reject_rbl_client dnsbl.example, reject", soft_bounce="yes")
CLIENT_SERVICES["client_list"] = {"smtpd_client_restrictions": table("client")}
CLIENT_SERVICES["client_at_once"] = {"smtpd_client_restrictions": table("client"),
                                     "smtpd_delay_reject": "no"}
CLIENT_SERVICES["rbl_at_once"] = {"smtpd_client_restrictions": "reject_rbl_client dnsbl.example",
                                  "smtpd_delay_reject": "no"}
CLIENT_SERVICES["footer"] = at_recipient(
    "reject_unknown_client_hostname, reject",
    smtpd_reject_footer="For help from $server_name:\\nSay $client_address at once")
CLIENT_SERVICES["footer_joined"] = at_recipient(
    "reject_unknown_client_hostname, reject",
    smtpd_reject_footer="\\c. Ask $server_name about $client_address")

HELO_SERVICES = {
    name: at_recipient(value) for name, value in {
        "invalid_helo": "reject_invalid_helo_hostname",
        "invalid_helo_old": "reject_invalid_hostname",
        "fqdn_helo": "reject_non_fqdn_helo_hostname",
        "unknown_helo": "reject_unknown_helo_hostname",
        "helo_access": f"check_helo_access {table('helo')}",
        "helo_mx": f"check_helo_mx_access {table('servers')}",
        "helo_ns": f"check_helo_ns_access {table('servers')}",
        "helo_a": f"check_helo_a_access {table('servers')}",
        "rhsbl_helo": "reject_rhsbl_helo rhsbl.example",
    }.items()
}
HELO_SERVICES["helo_list"] = {"smtpd_helo_restrictions":
                              f"reject_non_fqdn_helo_hostname, {table('helo')}"}
HELO_SERVICES["helo_at_once"] = {"smtpd_helo_restrictions":
                                 f"reject_non_fqdn_helo_hostname, {table('helo')}",
                                 "smtpd_delay_reject": "no"}
HELO_SERVICES["helo_deferred"] = {"smtpd_helo_restrictions": "reject_unknown_helo_hostname",
                                  "smtpd_delay_reject": "no"}
HELO_SERVICES["helo_tempfail"] = at_recipient("reject_unknown_helo_hostname",
                                              unknown_helo_hostname_tempfail_action="defer")

SENDER_SERVICES = {
    name: at_recipient(value) for name, value in {
        "fqdn_sender": "reject_non_fqdn_sender",
        "unknown_sender": "reject_unknown_sender_domain",
        "unknown_address": "reject_unknown_address",
        "sender_access": f"check_sender_access {table('sender')}",
        "sender_patterns": f"check_sender_access {table('patterns', 'regexp')}",
        "sender_fail": "check_sender_access fail:nothing",
        "sender_mx": f"check_sender_mx_access {table('servers')}",
        "sender_ns": f"check_sender_ns_access {table('servers')}",
        "sender_a": f"check_sender_a_access {table('servers')}",
        "rhsbl_sender": "reject_rhsbl_sender rhsbl.example",
        "warned_class": "warn_if_reject warning, reject_non_fqdn_recipient",
        "unlisted_sender": "reject_unlisted_sender",
        "login": "reject_sender_login_mismatch",
        "login_known": "reject_known_sender_login_mismatch",
        "login_unauthenticated": "reject_unauthenticated_sender_login_mismatch",
    }.items()
}
for each in ("login", "login_known", "login_unauthenticated"):
    SENDER_SERVICES[each]["smtpd_sender_login_maps"] = "inline:{ a@good.example=owner }"
SENDER_SERVICES["unlisted_sender"].update(local_recipient_maps=table("users"))
SENDER_SERVICES["sender_list"] = {"smtpd_sender_restrictions": table("sender")}
SENDER_SERVICES["sender_at_once"] = {
    "smtpd_sender_restrictions": f"reject_unknown_sender_domain, {table('sender')}",
    "smtpd_delay_reject": "no"}
SENDER_SERVICES["unlisted_sender_always"] = {
    "smtpd_reject_unlisted_sender": "yes", "local_recipient_maps": table("users")}
SENDER_SERVICES["null_key"] = at_recipient("check_sender_access inline:{ nobody=REJECT }",
                                           smtpd_null_access_lookup_key="nobody")
SENDER_SERVICES["sender_delimiter"] = at_recipient(f"check_sender_access {table('sender')}",
                                                   recipient_delimiter="+")
SENDER_SERVICES["sender_codes"] = at_recipient(
    f"reject_unknown_sender_domain, reject_non_fqdn_sender, check_sender_access {table('sender')}",
    unknown_address_reject_code="550", non_fqdn_reject_code="550", access_map_reject_code="571",
    access_map_defer_code="431", unknown_address_tempfail_action="defer")

RECIPIENT_SERVICES = {
    name: at_recipient(value) for name, value in {
        "fqdn_recipient": "reject_non_fqdn_recipient",
        "unknown_recipient": "reject_unknown_recipient_domain",
        "recipient_access": f"check_recipient_access {table('recipient')}",
        "recipient_bare": table("recipient"),
        "recipient_patterns": f"check_recipient_access {table('patterns', 'regexp')}",
        "recipient_fail": "check_recipient_access fail:nothing",
        "recipient_mx": f"check_recipient_mx_access {table('servers')}",
        "recipient_ns": f"check_recipient_ns_access {table('servers')}",
        "recipient_a": f"check_recipient_a_access {table('servers')}",
        "rhsbl_recipient": "reject_rhsbl_recipient rhsbl.example",
        "multi": "reject_multi_recipient_bounce",
        "auth_destination": "permit_auth_destination, reject",
        "mx_backup": "permit_mx_backup, reject",
        "deferral_and_unlisted": "defer_if_permit, reject_unlisted_recipient",
    }.items()
}
LISTED = {"local_recipient_maps": table("users"), "relay_recipient_maps": table("relayed"),
          "virtual_mailbox_maps": table("boxes")}
RECIPIENT_SERVICES["deferral_and_unlisted"].update(LISTED)
RECIPIENT_SERVICES["unlisted"] = {"smtpd_reject_unlisted_recipient": "yes", **LISTED,
                                  "smtpd_relay_restrictions": "reject_unauth_destination"}
RECIPIENT_SERVICES["unlisted_deferred"] = {"smtpd_reject_unlisted_recipient": "yes", **LISTED,
                                           "smtpd_relay_restrictions": "defer_if_permit, permit"}
RECIPIENT_SERVICES["unlisted_rule"] = at_recipient("reject_unlisted_recipient", **LISTED)
RECIPIENT_SERVICES["unlisted_delimiter"] = at_recipient("check_recipient_maps", **LISTED,
                                                        recipient_delimiter="+")
RECIPIENT_SERVICES["unlisted_quiet"] = at_recipient(
    "reject_unlisted_recipient", **LISTED, show_user_unknown_table_name="no",
    unknown_local_recipient_reject_code="450", unknown_relay_recipient_reject_code="551")
RECIPIENT_SERVICES["unlisted_fail"] = at_recipient("reject_unlisted_recipient",
                                                   local_recipient_maps="fail:nothing",
                                                   relay_recipient_maps="fail:nothing")
RECIPIENT_SERVICES["delimiter"] = at_recipient(f"check_recipient_access {table('recipient')}",
                                               recipient_delimiter="+")
RECIPIENT_SERVICES["relay_last"] = {
    "smtpd_relay_before_recipient_restrictions": "no",
    "smtpd_recipient_restrictions": f"check_recipient_access {table('recipient')}",
    "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"}

# Lists that are asked at DATA, at its end, at ETRN.
LATER_SERVICES = {
    "data": {"smtpd_data_restrictions": "permit_mynetworks, reject"},
    "data_multi": {"smtpd_data_restrictions": "reject_multi_recipient_bounce"},
    "data_recipient": {"smtpd_data_restrictions":
                       f"check_recipient_access {table('recipient')}"},
    "data_deferred": {"smtpd_data_restrictions": "defer_if_permit"},
    "data_table": {"smtpd_data_restrictions": table("client")},
    "end": {"smtpd_end_of_data_restrictions": "permit_mynetworks, defer"},
    "end_sender": {"smtpd_end_of_data_restrictions": f"check_sender_access {table('sender')}"},
    "etrn": {"smtpd_etrn_restrictions": f"permit_mynetworks, {table('helo')}, reject"},
    "etrn_delayed": {"smtpd_client_restrictions": "permit_mynetworks, reject"},
}

CODE_SERVICES = {
    name: at_recipient(f"check_{name}_access {table('codes')}")
    for name in ("sender", "recipient", "helo")}

# Actions that are about the whole message, and what they do to it.
ACTIONS = {
    "hold": "HOLD keep it", "hold_plain": "HOLD", "discard": "DISCARD away", "discard_plain": "DISCARD",
    "filter": "FILTER other:", "filter_bad": "FILTER other", "filter_none": "FILTER",
    "redirect": "REDIRECT new@elsewhere.example", "redirect_bad": "REDIRECT nobody",
    "bcc": "BCC copy@elsewhere.example", "bcc_bad": "BCC copy",
    "prepend": "PREPEND X-Action: was here", "prepend_bad": "PREPEND nothing", "warn": "WARN look",
    "warn_plain": "WARN", "info": "INFO seen", "info_plain": "INFO", "prepend_none": "PREPEND",
    "ok_text": "OK with text", "dunno_text": "DUNNO with text", "number_text": "250 with text",
    "lower": "reject in lower case", "two": "REJECT\t5.7.2\ttabs", "class": "friends_only",
    "enhanced_alone": "REJECT 5.7.2", "bad_enhanced": "REJECT 5.x.2 text", "code_only": "554",
    "code_class": "450 5.7.1 mixed", "code_tight": "5540 text", "shut": "421 closing",
    "shut_hard": "521 closing",
}

FILES["actions"] = "".join(f"{name}@act.example {action}\n" for name, action in ACTIONS.items())
ACTION_SERVICES = {
    "at_rcpt": at_recipient("check_sender_access texthash:$config_directory/actions"),
    "at_sender": {"smtpd_sender_restrictions":
                  "check_sender_access texthash:$config_directory/actions"},
    "at_mail": {"smtpd_sender_restrictions":
                "check_sender_access texthash:$config_directory/actions",
                "smtpd_delay_reject": "no"},
    "at_data": {"smtpd_data_restrictions":
                "check_sender_access texthash:$config_directory/actions"},
    "at_end": {"smtpd_end_of_data_restrictions":
               "check_sender_access texthash:$config_directory/actions"},
}