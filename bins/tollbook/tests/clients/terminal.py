"""Runs a command at a terminal, and types an answer to its question.

Arguments: what the screen shows before the answer (a regular expression whose first group is typed
back, or `=TEXT` to type TEXT when the prompt is there), and the command. Prints the screen, and ends
as the command did.
"""

import os
import pty
import re
import sys

what, command = sys.argv[1], sys.argv[2:]
child, screen = pty.fork()
if child == 0:
    os.execvp(command[0], command)
shown, typed = b"", False
while True:
    try:
        piece = os.read(screen, 4096)
    except OSError:  # the other end is closed
        piece = b""
    if not piece:
        break
    shown += piece
    if not typed and b"type the hash" in shown:
        answer = what[1:] if what.startswith("=") else re.search(what, shown.decode()).group(1)
        os.write(screen, answer.encode() + b"\n")
        typed = True
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
