"""Drives the official Python SDK, which finds its credential in the environment, step by step.

Arguments: the prompts, each sent as one call; `stream:` before a prompt streams the answer. One JSON
line is printed for each call, and a line on standard input is awaited before the next.
"""

import json
import os
import sys
import time

import anthropic

retries = int(os.environ.get("RETRIES", "2"))
client = anthropic.Anthropic(max_retries=retries, timeout=120)


def call(prompt):
    streams, text = prompt.startswith("stream:"), prompt.removeprefix("stream:")
    ask = {"model": "claude-haiku-4-5", "max_tokens": 256, "messages": [{"role": "user", "content": text}]}
    if not streams:
        message = client.messages.create(**ask)
        return {"text": message.content[0].text, "stop": message.stop_reason}
    with client.messages.stream(**ask) as stream:
        said = "".join(stream.text_stream)
        message = stream.get_final_message()
    return {"text": said, "stop": message.stop_reason, "blocks": [block.type for block in message.content]}


for step, prompt in enumerate(sys.argv[1:]):
    if step:
        sys.stdin.readline()
    began = time.monotonic()
    try:
        outcome = {"ok": call(prompt)}
    except Exception as error:  # every failure is an outcome here
        outcome = {
            "error": {
                "class": type(error).__name__,
                "status": getattr(error, "status_code", None),
                "type": getattr(error, "type", None),
                "message": str(error),
            }
        }
    print(json.dumps({"seconds": time.monotonic() - began, **outcome}))
    sys.stdout.flush()
