# SPDX-License-Identifier: Apache-2.0
"""What differs from Debian's Postfix in the dialogues, and why: (service, step, Postfix's reply,
ours, reason). Services and steps are patterns as in the shell, replies regular expressions. A row
that no longer explains anything fails its test."""

RESTRICTIONS = [
]
CLIENTS = [
]
HELOS = [
]
SENDERS = [
]
RECIPIENTS = [
]
LATER = [
]
ACTIONS = [
]
