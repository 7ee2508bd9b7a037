"""Drives the official Python SDK against a gate and prints one JSON line for each case.

Environment: GATE (base URL), TOKEN (a good token). The stand-in upstream is steered by words in
the prompt.
"""

import json
import os
import sys

import anthropic

GATE, TOKEN = os.environ["GATE"], os.environ["TOKEN"]
MODEL = "claude-haiku-4-5"
WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def client(token=TOKEN):
    return anthropic.Anthropic(base_url=GATE, auth_token=token, api_key=None, max_retries=0, timeout=30)


def ask(text, **more):
    return {"model": MODEL, "max_tokens": 256, "messages": [{"role": "user", "content": text}], **more}


def failure(error):
    """What a program can see of an error."""
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "type": getattr(error, "type", None),
        "message": str(error),
        "request_id": getattr(error, "request_id", None),
    }


def plain():
    message = client().messages.create(**ask("hello from python"))
    return {"text": message.content[0].text, "stop": message.stop_reason, "request_id": message._request_id}


def streamed():
    with client().messages.stream(**ask("stream this from python")) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    return {"text": text, "stop": message.stop_reason, "out": message.usage.output_tokens}


def thinking():
    with client().messages.stream(**ask("[[thinking]] think first")) as stream:
        message = stream.get_final_message()
    return {"blocks": [block.type for block in message.content], "signed": bool(message.content[0].signature)}


def tool_use():
    first = client().messages.create(**ask('[[tool:weather {"city":"Oslo"}]]', tools=[WEATHER]))
    call = next(block for block in first.content if block.type == "tool_use")
    turn = [
        {"role": "user", "content": '[[tool:weather {"city":"Oslo"}]]'},
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]},
    ]
    second = client().messages.create(model=MODEL, max_tokens=256, messages=turn, tools=[WEATHER])
    return {"stop": first.stop_reason, "name": call.name, "input": call.input, "then": second.stop_reason}


def tool_use_streamed():
    with client().messages.stream(**ask('[[tool:weather {"city":"Bergen"}]]', tools=[WEATHER])) as stream:
        message = stream.get_final_message()
    call = next(block for block in message.content if block.type == "tool_use")
    return {"stop": message.stop_reason, "input": call.input}


def count_tokens():
    counted = client().messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "count me"}])
    return {"tokens": counted.input_tokens}


def models():
    return {"models": [model.id for model in client().models.list()]}


def no_identity():
    client("not-a-token").messages.create(**ask("who am I?"))


def denied():
    client().messages.create(**ask("may I?", **{"model": "claude-forbidden"}))


def denied_streamed():
    with client().messages.stream(**ask("may I?", **{"model": "claude-forbidden"})) as stream:
        stream.get_final_message()


def overloaded():
    client().messages.create(**ask("[[529]]"))


def error_in_stream():
    with client().messages.stream(**ask("[[error]] this will fail half way")) as stream:
        stream.get_final_message()


def cut_stream():
    with client().messages.stream(**ask("[[cut]] this will break off half way")) as stream:
        stream.get_final_message()


def leaves():
    with client().messages.stream(**ask("[[slow]] one two three four five six seven eight nine ten")) as stream:
        for text in stream.text_stream:
            return {"saw": text}


CASES = [plain, streamed, thinking, tool_use, tool_use_streamed, count_tokens, models, no_identity, denied,
         denied_streamed, overloaded, error_in_stream, cut_stream, leaves]

for case in CASES:
    try:
        outcome = {"ok": case()}
    except Exception as error:  # every failure is an outcome here, also one of the transport
        outcome = {"error": failure(error)}
    print(json.dumps({"case": case.__name__, **outcome}))
    sys.stdout.flush()
