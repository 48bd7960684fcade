# SPDX-License-Identifier: Apache-2.0
"""Where mail goes: transport_maps and what depends on the sender, through the running relay. The
tutorial's contradictions come out as they do in Postfix."""


from world import MASTER_CF, Instance, Sink

TRANSPORTS = MASTER_CF + """\
out_default unix - - n - - discard
zombig_name unix - - n - - discard
qq_com_limit unix - - n - - discard
"""
# The tutorial's tables (its sender table has a name that no parameter names).
TRANSPORT_MAP = """\
qq.com          qq_com_limit:
*               out_default:
"""
SENDER_MAP = "@zombig.name    zombig_name\n"


def tutorial(tmp_path, **parameters):
    for name, text in [("transport", TRANSPORT_MAP), ("sender_dependet_transpors", SENDER_MAP)]:
        (tmp_path / name).write_text(text)
    relay = Instance(master_cf=TRANSPORTS, append_dot_mydomain="no", **parameters)
    for name in ["transport", "sender_dependet_transpors"]:
        relay.run("postmap", f"hash:{tmp_path}/{name}")
    return relay


def routes_of(relay, sender, *recipients):
    """What the queue says of each: the discard service's text is the next hop."""
    with relay.connect() as client:
        client.command("EHLO client.example.test")
        assert client.deliver(sender, recipients, "Subject: t\r\n\r\nt\r\n")[0] == 250
    return {each: relay.wait_log(rf": to=<{each}>.* status=\w+ \((.*)\)$")[0]
            for each in recipients}


def test_star_in_transport_maps_shadows_the_senders_transport(tmp_path):
    sender_map = f"hash:{tmp_path}/sender_dependet_transpors"
    with tutorial(tmp_path, transport_maps=f"hash:{tmp_path}/transport",
                  default_transport="error:the default",
                  sender_dependent_default_transport_maps=sender_map) as relay:
        routes = routes_of(relay, "who@zombig.name", "a@far.example", "b@qq.com")
        assert routes == {"a@far.example": "far.example", "b@qq.com": "qq.com"}
    with tutorial(tmp_path, default_transport="error:the default",
                  sender_dependent_default_transport_maps=sender_map) as relay:
        assert routes_of(relay, "who@zombig.name", "a@far.example") == {
            "a@far.example": "far.example"}
        assert routes_of(relay, "who@else.example", "b@far.example") == {
            "b@far.example": "the default"}


def test_star_in_transport_maps_takes_local_mail_too(tmp_path):
    with tutorial(tmp_path, transport_maps=f"hash:{tmp_path}/transport",
                  local_transport="error:the local one") as relay:
        assert routes_of(relay, "who@zombig.name", "root@localhost",
                         "root@relay.example.test") == {
            "root@localhost": "localhost", "root@relay.example.test": "relay.example.test"}


def test_missing_table_refuses_every_recipient_for_now(tmp_path):
    """The table was made as sender_dependet_transpors and is named sender_transport_maps."""
    with tutorial(tmp_path, sender_dependent_default_transport_maps=(
            f"hash:{tmp_path}/sender_transport_maps")) as relay:
        with relay.connect() as client:
            client.command("EHLO client.example.test")
            client.command("MAIL FROM:<a@b.example>")
            assert client.command("RCPT TO:<c@far.example>") == (
                451, ["4.3.0 <c@far.example>: Temporary lookup failure"])
        relay.sendmail("-f", "a@b.example", "c@far.example", input="Subject: t\n\nt\n")
        relay.wait_log(r"to=<c@far\.example>, relay=none, .*dsn=4\.3\.0, status=deferred "
                       r"\(address resolver failure\)")


def test_relayhost_with_a_port_and_a_senders_own(tmp_path):
    with Sink() as hub, Sink() as own:
        with Instance(relayhost=f"[127.0.0.1]:{hub.port}",
                      sender_dependent_relayhost_maps=(
                          f"inline:{{ @own.example=[127.0.0.1]:{own.port} }}")) as relay:
            for sender in ["a@b.example", "a@own.example"]:
                with relay.connect() as client:
                    client.command("EHLO client.example.test")
                    assert client.deliver(sender, ["c@far.example"], "Subject: t\r\n\r\n")[0] == 250
            hub.wait()
            own.wait()
            assert [m.sender for m in hub.messages] == ["a@b.example"]
            assert [m.sender for m in own.messages] == ["a@own.example"]
