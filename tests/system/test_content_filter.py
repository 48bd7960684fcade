# SPDX-License-Identifier: Apache-2.0
"""A content filter that dies while it has a message: the message waits, and passes the filter
whole when that lives again; it is never let by unfiltered."""
import os
import re
import socket
import threading

import pytest

from world import MASTER_CF, Client, Instance, Sink, free_port, message, wait_until

BODY = "".join(f"line {number} of a message that is filtered\r\n" for number in range(4000))
STAGES = ["connected", "EHLO", "MAIL", "RCPT", "DATA", "content", "dot"]
SHORT = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s"}


class DyingFilter:
    """Each connection ends at the next stage, without a word; after the last nobody listens."""

    def __init__(self):
        self.port, self.died_at = free_port(), []
        self.socket = socket.create_server(("127.0.0.1", self.port))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        for stage in STAGES:
            peer, _ = self.socket.accept()
            with peer, peer.makefile("rb") as lines:
                self.talk(peer, lines, stage)
            self.died_at.append(stage)
        self.socket.close()

    def talk(self, peer, lines, last):
        if last == "connected":
            return
        peer.sendall(b"220 filter.example.test ESMTP\r\n")
        while line := lines.readline():
            verb = line.split(b":")[0].split()[0].decode().upper()
            if verb == last:
                return
            if verb == "DATA":
                peer.sendall(b"354 go on\r\n")
                wanted = b".\r\n" if last == "dot" else b"line 2000 "
                while (line := lines.readline()) and not line.startswith(wanted):
                    pass
                return
            peer.sendall(b"250 2.0.0 Ok\r\n")


def send(relay):
    with Client("127.0.0.1", relay.port) as client:
        client.command("EHLO client.example.test")
        assert client.deliver("sender@example.test", ["user@example.com"],
                              message(body=BODY))[0] == 250


def test_a_filter_that_dies_at_any_stage_has_the_whole_message_when_it_lives_again():
    dying = DyingFilter()
    with Sink() as sink, Instance(content_filter=f"smtp:[127.0.0.1]:{dying.port}",
                                  relayhost=f"[127.0.0.1]:{sink.port}", **SHORT) as relay:
        send(relay)

        def is_done():
            relay.run("postqueue", "-f")
            return dying.died_at == STAGES
        wait_until(is_done, "the filter to have died at all stages", 40)
        dying.thread.join()
        with Sink(port=dying.port) as filtering:
            [got] = filtering.wait()
            assert got.text.endswith(BODY)
            wait_until(relay.queue_is_empty, "an empty queue")
        assert not sink.messages, "nothing went by unfiltered"
        assert not re.findall(r"status=bounced", relay.log())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_program_that_filters_and_is_killed_has_the_whole_message_when_it_lives_again(tmp_path):
    folder = open_folder(tmp_path)
    script = folder / "filter"
    script.write_text("#!/bin/sh\n"
                      f"n=$(ls {folder} | grep -c killed)\n"
                      f"if [ $n -lt 2 ]; then head -c 50000 >{folder}/killed$n; kill -9 $$; fi\n"
                      f"exec cat >{folder}/whole\n")
    script.chmod(0o755)
    line = f"scan unix - n n - - pipe flags=q user=nobody argv={script}\n"
    with Sink() as sink, Instance(master_cf=MASTER_CF + line, content_filter="scan:dummy",
                                  relayhost=f"[127.0.0.1]:{sink.port}", **SHORT) as relay:
        send(relay)

        def is_done():
            relay.run("postqueue", "-f")
            return (folder / "whole").exists() and relay.queue_is_empty()
        wait_until(is_done, "the message to have passed", 40)
        assert (folder / "whole").read_bytes().replace(b"\r\n", b"\n").endswith(
            BODY.replace("\r\n", "\n").encode())
        assert len(re.findall(r"killed by signal|status=deferred", relay.log())) >= 2
        assert not sink.messages, "nothing went by unfiltered"


def open_folder(path):
    """For nobody, too."""
    for each in [path, *path.parents][:3]:
        each.chmod(0o755)
    folder = path / "open"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder
