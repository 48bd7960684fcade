# SPDX-License-Identifier: Apache-2.0
"""Policy services are asked what Debian's Postfix asks them, and their answers do the same."""
import concurrent.futures
import re
import socketserver
import threading

import pytest

from pair import STRANGER, Content, Dialogue, Pair, is_possible

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs root, a namespace, postfix")

PORT, DEAD_PORT = 30001, 30002
ANSWERS = {
    "ok": "action=OK\n\n", "dunno": "action=DUNNO\n\n", "reject": "action=REJECT 5.7.9 no\n\n",
    "defer": "action=defer_if_permit Service temporarily unavailable\n\n",
    "prepend": "action=PREPEND X-Policy: was here\n\n", "code": "action=450 4.2.0 later\n\n",
    "restriction": "action=reject_unauth_destination\n\n", "malformed": "nonsense\n\n",
    "closing": "", "empty": "\n", "other": "foo=bar\naction=REJECT behind another\n\n",
}
FAILING = {"malformed", "closing", "empty"}
NOT_COMPARED = {"server_port", "client_port", "instance", "queue_id"}
MESSAGE = Content(b"Subject: x\r\n\r\nx\r\n.\r\n")


class PolicyServer(socketserver.ThreadingTCPServer):
    """Answers by the sender's local part; keeps what it was asked."""
    allow_reuse_address = daemon_threads = True

    def __init__(self):
        self.requests = []
        self.connections = 0
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                server.connections += 1
                while True:
                    lines = []
                    while (line := self.rfile.readline().decode()) not in ("", "\n"):
                        lines.append(line.rstrip("\n"))
                    if not lines:
                        return
                    request = dict(line.split("=", 1) for line in lines)
                    server.requests.append(([line.split("=")[0] for line in lines], request))
                    answer = ANSWERS.get(request["sender"].split("@")[0], "action=DUNNO\n\n")
                    if not answer:
                        return
                    self.wfile.write(answer.encode())

        super().__init__(("127.0.0.1", PORT), Handler)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


ASK = f"check_policy_service inet:127.0.0.1:{PORT}"
SERVICES = {
    "client": {"smtpd_client_restrictions": ASK}, "helo": {"smtpd_helo_restrictions": ASK},
    "sender": {"smtpd_sender_restrictions": ASK},
    "recipient": {"smtpd_recipient_restrictions": ASK},
    "data": {"smtpd_data_restrictions": ASK}, "end": {"smtpd_end_of_data_restrictions": ASK},
    "etrn": {"smtpd_etrn_restrictions": ASK},
    "at_once": {"smtpd_client_restrictions": ASK, "smtpd_helo_restrictions": ASK,
                "smtpd_sender_restrictions": ASK, "smtpd_delay_reject": "no"},
    "dead": {"smtpd_recipient_restrictions":
             f"check_policy_service inet:127.0.0.1:{DEAD_PORT}"},
    "dead_but": {"smtpd_recipient_restrictions":
                 f"check_policy_service {{ inet:127.0.0.1:{DEAD_PORT}, timeout=2s, "
                 "default_action=DUNNO, try_limit=1 }, reject_unauth_destination"},
    "context": {"smtpd_recipient_restrictions":
                f"check_policy_service {{ inet:127.0.0.1:{PORT}, policy_context=submission, "
                "{ default_action = 450 4.9.9 odd } }"},
}


def dialogues():
    return [Dialogue(service, [b"EHLO client.example", b"ETRN elsewhere.example",
                               b"MAIL FROM:<" + answer.encode() + b"@a.example> SIZE=100",
                               *[b"RCPT TO:<" + each + b">" for each in recipients], b"DATA",
                               MESSAGE, b"QUIT"], STRANGER, answer)
            for service in SERVICES for answer in ANSWERS
            # Failures cost a second each: a few services are enough for them.
            if (answer == "ok" if service.startswith("dead") else
                answer not in FAILING or service in ("recipient", "data"))
            for recipients in ([b"x@local.example"], [b"x@local.example", b"y@local.example"])]


def asked(server):
    """The attributes in their order and their values, but for what must differ."""
    return sorted(((names, {key: value for key, value in request.items()
                            if key not in NOT_COMPARED}) for names, request in server.requests
                   # How often a failing server is asked depends on open connections.
                   if request["sender"].split("@")[0] not in FAILING),
                  key=lambda each: sorted(each[1].items()))


def test_policy_services_are_asked_as_by_postfix():
    both = []
    with Pair({}, SERVICES) as pair:
        for side in pair.sides:
            with PolicyServer() as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
                said = list(pool.map(side.play, dialogues()))
                both.append((said, asked(server), server.connections))
    for number, dialogue in enumerate(dialogues()):
        assert both[0][0][number] == both[1][0][number], dialogue
    assert unlike(both[0][1], both[1][1]) == []


def unlike(theirs, ours):
    """The attributes that differ, of the requests in their order."""
    differing = [f"{len(theirs)} requests, {len(ours)} requests"] if len(theirs) != len(ours) else []
    for (their_names, their), (our_names, our) in zip(theirs, ours):
        if their_names != our_names:
            differing.append((their_names, our_names))
        differing += [(their["protocol_state"], key, their.get(key), our.get(key))
                      for key in their if their[key] != our.get(key)]
    return differing


def test_connections_to_a_policy_service_are_used_again():
    with Pair({}, {"recipient": SERVICES["recipient"]}) as pair, PolicyServer() as server:
        for _ in range(20):
            said = pair.sides[1].play(Dialogue("recipient", [
                b"EHLO x", b"MAIL FROM:<dunno@a.example>", b"RCPT TO:<x@local.example>"], STRANGER))
            assert said[-1][1].startswith("250")
        assert len(server.requests) == 20
        # One for each worker at most.
        assert server.connections <= 4
        assert all(re.fullmatch(r"[0-9a-f.]+", request["instance"])
                   for _, request in server.requests)
