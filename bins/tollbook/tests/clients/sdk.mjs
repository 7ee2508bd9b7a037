// Drives the official TypeScript SDK against a gate and prints one JSON line for each case.
//
// Environment: GATE (base URL), TOKEN (a good token). The stand-in upstream is steered by words in
// the prompt.

import Anthropic from "@anthropic-ai/sdk";

const { GATE, TOKEN } = process.env;
const model = "claude-haiku-4-5";
const weather = {
  name: "weather",
  description: "The weather of a city",
  input_schema: { type: "object", properties: { city: { type: "string" } } },
};

const client = (authToken = TOKEN) =>
  new Anthropic({ baseURL: GATE, authToken, apiKey: null, maxRetries: 0, timeout: 30_000 });

const ask = (text, more = {}) => ({
  model,
  max_tokens: 256,
  messages: [{ role: "user", content: text }],
  ...more,
});

// What a program can see of an error.
const failure = (error) => ({
  class: error.constructor.name,
  status: error.status ?? null,
  type: error.type ?? error.error?.error?.type ?? null,
  message: error.message,
  request_id: error.requestID ?? null,
});

const cases = {
  async plain() {
    const message = await client().messages.create(ask("hello from typescript"));
    return { text: message.content[0].text, stop: message.stop_reason, request_id: message._request_id };
  },
  async streamed() {
    let text = "";
    const stream = client().messages.stream(ask("stream this from typescript"));
    stream.on("text", (delta) => (text += delta));
    const message = await stream.finalMessage();
    return { text, stop: message.stop_reason, out: message.usage.output_tokens };
  },
  async thinking() {
    const message = await client().messages.stream(ask("[[thinking]] think first")).finalMessage();
    return { blocks: message.content.map((block) => block.type), signed: Boolean(message.content[0].signature) };
  },
  async tool_use() {
    const prompt = '[[tool:weather {"city":"Oslo"}]]';
    const first = await client().messages.create(ask(prompt, { tools: [weather] }));
    const call = first.content.find((block) => block.type === "tool_use");
    const messages = [
      { role: "user", content: prompt },
      { role: "assistant", content: first.content },
      { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "rain" }] },
    ];
    const second = await client().messages.create({ model, max_tokens: 256, messages, tools: [weather] });
    return { stop: first.stop_reason, name: call.name, input: call.input, then: second.stop_reason };
  },
  async tool_use_streamed() {
    const prompt = '[[tool:weather {"city":"Bergen"}]]';
    const message = await client().messages.stream(ask(prompt, { tools: [weather] })).finalMessage();
    const call = message.content.find((block) => block.type === "tool_use");
    return { stop: message.stop_reason, input: call.input };
  },
  async count_tokens() {
    const messages = [{ role: "user", content: "count me" }];
    const counted = await client().messages.countTokens({ model, messages });
    return { tokens: counted.input_tokens };
  },
  async models() {
    const models = [];
    for await (const found of client().models.list()) models.push(found.id);
    return { models };
  },
  async no_identity() {
    await client("not-a-token").messages.create(ask("who am I?"));
  },
  async denied() {
    await client().messages.create(ask("may I?", { model: "claude-forbidden" }));
  },
  async denied_streamed() {
    await client().messages.stream(ask("may I?", { model: "claude-forbidden" })).finalMessage();
  },
  async overloaded() {
    await client().messages.create(ask("[[529]]"));
  },
  async error_in_stream() {
    await client().messages.stream(ask("[[error]] this will fail half way")).finalMessage();
  },
  async cut_stream() {
    await client().messages.stream(ask("[[cut]] this will break off half way")).finalMessage();
  },
  async leaves() {
    const stream = client().messages.stream(ask("[[slow]] one two three four five six seven eight nine ten"));
    for await (const event of stream) {
      if (event.type === "content_block_delta") {
        stream.abort();
        return { saw: event.delta.text };
      }
    }
  },
};

for (const [name, run] of Object.entries(cases)) {
  let outcome;
  try {
    outcome = { ok: (await run()) ?? null };
  } catch (error) {
    outcome = { error: failure(error) };
  }
  console.log(JSON.stringify({ case: name, ...outcome }));
}
