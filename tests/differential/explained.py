# SPDX-License-Identifier: Apache-2.0
"""What differs from Debian's Postfix in the dialogues, and why: (service, step, Postfix's reply,
ours, reason). Services and steps are patterns as in the shell, replies regular expressions. A row
that no longer explains anything fails its test."""

RESTRICTIONS = [
    ("recipient.unlisted_quiet", "RCPT TO:<*@valias.example>",
     r"550 5.1.1 .* in virtual alias table",
     r"550 5.1.1 <.*>: Recipient address rejected: User unknown",
     "Postfix asks trivial-rewrite, which does not see the override; here it holds for the line"),
]

# Log lines: (whose, regular expression, reason).
LOG_LINES = [
    ("both", r".*550 5.1.1 <.*@valias.example>: Recipient address rejected: User unknown.*",
     "see recipient.unlisted_quiet"),
]
