// Drives the official TypeScript SDK, which finds its credential in the environment, step by step.
//
// Arguments: the prompts, each sent as one call; `stream:` before a prompt streams the answer. One
// JSON line is printed for each call, and a line on standard input is awaited before the next.

import { createInterface } from "node:readline";

import Anthropic from "@anthropic-ai/sdk";

const maxRetries = Number(process.env.RETRIES ?? "2");
const client = new Anthropic({ maxRetries, timeout: 120_000 });
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function call(prompt) {
  const streams = prompt.startsWith("stream:");
  const content = streams ? prompt.slice("stream:".length) : prompt;
  const ask = { model: "claude-haiku-4-5", max_tokens: 256, messages: [{ role: "user", content }] };
  const message = streams ? await client.messages.stream(ask).finalMessage() : await client.messages.create(ask);
  const text = message.content.map((block) => block.text ?? "").join("");
  return { text, stop: message.stop_reason, blocks: message.content.map((block) => block.type) };
}

for (const [step, prompt] of process.argv.slice(2).entries()) {
  if (step) await lines.next();
  const began = performance.now();
  let outcome;
  try {
    outcome = { ok: await call(prompt) };
  } catch (error) {
    outcome = {
      error: {
        class: error.constructor.name,
        status: error.status ?? null,
        type: error.type ?? error.error?.error?.type ?? null,
        message: error.message,
      },
    };
  }
  console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000, ...outcome }));
}
process.exit(0);
