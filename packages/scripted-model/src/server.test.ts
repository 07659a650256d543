import { EventSourceParserStream } from "eventsource-parser/stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parseScenario } from "./scenario.ts";
import { type ScriptedModel, startScriptedModel } from "./server.ts";

const scenario = parseScenario(
  `
models: [scripted-1, scripted-2]
rules:
  - name: title
    when: { agent: title }
    reply: [{ text: A title }]
  - name: compaction
    when: { agent: compaction }
    reply: [{ text: A summary }]
  - name: everything
    when: { userContains: everything }
    reply:
      - reasoning: Let me think about it for a moment.
      - text: I will call two tools, and both at once.
      - tool: read
        arguments: { filePath: src/greet.js }
      - tool: bash
        arguments: { command: "echo 'a rather long command'" }
      - usage: { input: 100, cached: 40, output: 20, reasoning: 5 }
  - name: agent turn
    when: { userMatches: "^work on .+!$" }
    turn:
      - [{ tool: read, arguments: {} }, { tool: grep, arguments: {} }]
      - [{ tool: edit, arguments: {} }]
      - [{ text: finished }]
  - name: two results
    when: { userContains: results, toolResults: 2 }
    reply: [{ text: two results }]
  - name: other model
    when: { userContains: which, model: scripted-2 }
    reply: [{ text: the second }]
  - name: first model
    when: { userContains: which }
    reply: [{ text: the first }]
  - name: limited once
    when: { userContains: limit, attempt: 1 }
    reply:
      - error: { status: 429, message: Too many, headers: { retry-after: 3 } }
  - name: limited no more
    when: { userContains: limit }
    reply: [{ text: through }]
  - name: html error
    when: { userContains: gateway }
    reply:
      - error: { status: 502, headers: { content-type: text/html }, body: "<h1>Bad gateway</h1>" }
  - name: cut
    when: { userContains: cut }
    reply: [{ text: The beginning of }, cut]
  - name: hang
    when: { userContains: hang }
    reply: [{ text: Wait }, hang]
  - name: held
    when: { userContains: hold }
    reply: [{ text: The beginning, }, { hold: the rest }, { text: " and the end" }]
  - name: pings
    when: { userContains: ping on }
    reply: [{ ping: { everyMs: 10 } }]
  - name: pings first
    when: { userContains: ping first }
    reply: [{ ping: { everyMs: 10, forMs: 30 } }, { text: at last }]
  - name: slow
    when: { userContains: slow }
    reply: [{ delayMs: 120 }, { text: at last }]
  - name: broken arguments
    when: { userContains: broken arguments }
    reply: [{ tool: read, arguments: '{"filePath": ' }]
`,
  "test.yaml",
);

let model: ScriptedModel;
beforeEach(async () => {
  model = await startScriptedModel({ scenario });
});
afterEach(() => model.close());

const user = (content: string) => ({ role: "user", content });

function post(body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
  return fetch(`${model.url}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...(signal && { signal }),
  });
}

// biome-ignore lint/suspicious/noExplicitAny: a provider's answer, of which each test says what it expects
const json = (response: Response): Promise<any> => response.json();

/** Sends a request without streaming and returns the answer's text. */
async function ask(messages: unknown[], options: { model?: string; headers?: Record<string, string> } = {}) {
  const response = await post({ model: options.model ?? "scripted-1", messages }, options.headers);
  const body = await json(response);
  return body.choices?.[0].message.content ?? body.error;
}

async function streamed(response: Response): Promise<string[]> {
  const data: string[] = [];
  const body = response.body ?? new ReadableStream();
  const events = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const event of events) data.push(event.data);
  return data;
}

describe("a streamed answer", () => {
  test("has reasoning, text, parallel tool calls in pieces, finish and usage, in that order", async () => {
    const response = await post({
      model: "scripted-1",
      stream: true,
      stream_options: { include_usage: true },
      messages: [user("everything")],
    });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const data = await streamed(response);
    expect(data.at(-1)).toBe("[DONE]");
    const chunks = data.slice(0, -1).map((line) => JSON.parse(line));
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
    expect(chunks.every((chunk) => chunk.object === "chat.completion.chunk" && chunk.model === "scripted-1")).toBe(
      true,
    );

    const deltas = chunks.flatMap((chunk) => chunk.choices.map((choice: { delta: unknown }) => choice.delta));
    expect(deltas[0].role).toBe("assistant");
    const join = (field: string) => deltas.map((delta) => delta[field] ?? "").join("");
    expect(join("reasoning_content")).toBe("Let me think about it for a moment.");
    expect(join("content")).toBe("I will call two tools, and both at once.");
    const calls = deltas.flatMap((delta) => delta.tool_calls ?? []);
    const argumentsOf = (index: number) =>
      calls.filter((call) => call.index === index).map((call) => call.function.arguments);
    expect(calls.filter((call) => call.id).map((call) => call.function.name)).toEqual(["read", "bash"]);
    expect(JSON.parse(argumentsOf(0).join(""))).toEqual({ filePath: "src/greet.js" });
    expect(JSON.parse(argumentsOf(1).join(""))).toEqual({ command: "echo 'a rather long command'" });
    expect(argumentsOf(1).length).toBeGreaterThan(2);

    expect(chunks.at(-2).choices[0].finish_reason).toBe("tool_calls");
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: {
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 120,
        prompt_tokens_details: { cached_tokens: 40 },
        completion_tokens_details: { reasoning_tokens: 5 },
      },
    });
  });

  test("has no usage chunk unless the request asks for one", async () => {
    const data = await streamed(await post({ model: "m", stream: true, messages: [user("everything")] }));
    expect(data.join("\n")).not.toContain("prompt_tokens");
  });

  test("that is cut sends the part before the cut and then breaks the connection", async () => {
    const response = await post({ model: "m", stream: true, messages: [user("cut")] });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader?.read())?.value).toContain("The beginning of");
    await expect(reader?.read()).rejects.toThrow();
    expect(model.requests()[0]).toMatchObject({ status: 200, outcome: "cut" });
  });

  test("that hangs ends when the client disconnects", async () => {
    const client = new AbortController();
    const response = await post({ model: "m", stream: true, messages: [user("hang")] }, {}, client.signal);
    const reader = response.body?.getReader();
    await reader?.read();
    expect(model.requests()[0]?.outcome).toBe("open");
    client.abort();
    await reader?.closed.catch(() => undefined);
    await vi.waitFor(() => expect(model.requests()[0]?.outcome).toBe("client_gone"), 20_000);
  });

  test("that only sends comments does so until the client disconnects", async () => {
    const client = new AbortController();
    const response = await post({ model: "m", stream: true, messages: [user("ping on")] }, {}, client.signal);
    const reader = response.body?.getReader();
    let text = "";
    while (text.length < 100) text += new TextDecoder().decode((await reader?.read())?.value);
    expect(text).toMatch(/^(?:: PROCESSING\n\n)+$/);
    client.abort();
    await vi.waitFor(() => expect(model.requests()[0]?.outcome).toBe("client_gone"), 20_000);
  });

  test("that sends comments for a time continues after them", async () => {
    const response = await post({ model: "m", stream: true, messages: [user("ping first")] });
    expect(await response.text()).toMatch(/^(?:: PROCESSING\n\n){3}data: .*at last/);
  });

  test("that is held continues when it is released, and later ones do not wait", async () => {
    const ask = () => post({ model: "m", stream: true, messages: [user("hold")] });
    const [first, second] = await Promise.all([ask(), ask()]);
    const reader = (first.body ?? new ReadableStream()).getReader();
    const beginning = new TextDecoder().decode((await reader.read()).value);
    model.release("another place");
    expect(model.requests().map(({ outcome }) => outcome)).toEqual(["open", "open"]);
    model.release("the rest");
    reader.releaseLock();
    const rest = await streamed(first);
    expect(beginning + rest.join()).toMatch(/The beginning.* and the end.*\[DONE\]/su);
    expect((await streamed(second)).join()).toContain(" and the end");
    expect((await streamed(await ask())).join()).toContain(" and the end");
  });

  test("that is held ends when the client disconnects", async () => {
    const client = new AbortController();
    const response = await post({ model: "m", stream: true, messages: [user("hold")] }, {}, client.signal);
    await response.body?.getReader().read();
    client.abort();
    await vi.waitFor(() => expect(model.requests()[0]?.outcome).toBe("client_gone"), 20_000);
  });

  test("that hangs does not delay close", async () => {
    const response = await post({ model: "m", stream: true, messages: [user("hang")] });
    const body = response.text();
    await Promise.all([model.close(), expect(body).rejects.toThrow()]);
  });
});

test("an answer without streaming has the same content in one object", async () => {
  const response = await post({ model: "scripted-1", messages: [user("everything")] });
  expect(await response.json()).toMatchObject({
    object: "chat.completion",
    choices: [
      {
        finish_reason: "tool_calls",
        message: {
          role: "assistant",
          content: "I will call two tools, and both at once.",
          reasoning_content: "Let me think about it for a moment.",
          tool_calls: [
            { type: "function", function: { name: "read", arguments: '{"filePath":"src/greet.js"}' } },
            { type: "function", function: { name: "bash" } },
          ],
        },
      },
    ],
    usage: { prompt_tokens: 100, completion_tokens: 20 },
  });
});

test("arguments given as a string are sent unchanged", async () => {
  const response = await post({ model: "m", messages: [user("broken arguments")] });
  const body = await json(response);
  expect(body.choices[0].message.tool_calls[0].function.arguments).toBe('{"filePath": ');
});

describe("the reply is chosen by", () => {
  test("the rounds of tool calls since the last user message, however many calls a round has", async () => {
    const call = (name: string) => ({ id: name, type: "function", function: { name, arguments: "{}" } });
    const tool = (id: string) => ({ role: "tool", tool_call_id: id, content: "result" });
    const before = [user("everything"), { role: "assistant", content: null, tool_calls: [call("a")] }, tool("a")];
    const first = [...before, user("work on it!")];
    const second = [
      ...first,
      { role: "assistant", content: "", tool_calls: [call("read"), call("grep")] },
      tool("read"),
      tool("grep"),
    ];
    const third = [...second, { role: "assistant", content: "", tool_calls: [call("edit")] }, tool("edit")];
    const names = [];
    for (const messages of [first, second]) {
      const body = await json(await post({ model: "m", messages }));
      names.push(body.choices[0].message.tool_calls.map((made: ReturnType<typeof call>) => made.function.name));
    }
    expect(names).toEqual([["read", "grep"], ["edit"]]);
    expect(await ask(third)).toBe("finished");

    const beyond = [...third, { role: "assistant", content: "", tool_calls: [call("more")] }, tool("more")];
    expect((await ask(beyond)).message).toContain('rule "agent turn" of scenario "test" has no reply 4');
  });

  test("the number of tool results", async () => {
    const results = [
      { role: "tool", content: "a" },
      { role: "tool", content: [{ type: "text", text: "b" }] },
    ];
    expect(await ask([user("results"), ...results])).toBe("two results");
  });

  test("the model", async () => {
    expect(await ask([user("which")], { model: "scripted-2" })).toBe("the second");
    expect(await ask([user("which")])).toBe("the first");
  });

  test("the last user message alone, with its text parts joined", async () => {
    const parts = [
      { type: "image_url", image_url: { url: "data:," } },
      { type: "text", text: "which" },
    ];
    expect(await ask([user("limit"), { role: "assistant", content: "x" }, { role: "user", content: parts }])).toBe(
      "the first",
    );
  });

  test("OpenCode's own calls, which no other rule answers although they repeat the user's text", async () => {
    const system = (content: string) => ({ role: "system", content });
    expect(await ask([system("You are a title generator. You output…"), user("which")])).toBe("A title");
    expect(await ask([system("You are a context summarization agent. You…"), user("which")])).toBe("A summary");
  });

  test("the attempt, counted for each session and each position in its conversation", async () => {
    const limited = { type: "rate_limit_error", message: "Too many" };
    const one = { headers: { "x-session-id": "ses_one" } };
    const two = { headers: { "x-session-id": "ses_two" } };
    expect(await ask([user("limit")], one)).toMatchObject(limited);
    expect(await ask([user("limit")], two)).toMatchObject(limited);
    expect(await ask([user("limit")], one)).toBe("through");
    expect(await ask([user("limit")], two)).toBe("through");
    const later = [user("limit"), { role: "assistant", content: "through" }, user("limit")];
    expect(await ask(later, one)).toMatchObject(limited);
  });
});

describe("an HTTP error", () => {
  test("has the scenario's status and headers and an OpenAI body", async () => {
    const response = await post({ model: "m", stream: true, messages: [user("limit")] });
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("3");
    expect(await response.json()).toEqual({
      error: { message: "Too many", type: "rate_limit_error", param: null, code: null },
    });
    await vi.waitFor(() => expect(model.requests()[0]).toMatchObject({ status: 429, outcome: "done" }), 20_000);
  });

  test("can have any body", async () => {
    const response = await post({ model: "m", messages: [user("gateway")] });
    expect(response.headers.get("content-type")).toBe("text/html");
    expect(await response.text()).toBe("<h1>Bad gateway</h1>");
  });
});

describe("a request that cannot be played is refused, and the server keeps serving:", () => {
  test("no rule matches; the error has the request's shape but none of its content", async () => {
    const response = await post({ model: "scripted-1", messages: [user("a secret wish")] });
    expect(response.status).toBe(400);
    const { error } = await json(response);
    expect(error).toMatchObject({ type: "invalid_request_error", code: "scenario_unmatched" });
    expect(error.message).toContain('scenario "test" has no rule');
    expect(error.message).toContain("last user text of 13 characters");
    expect(error.message).not.toContain("secret");
    expect(model.requests()[0]).toMatchObject({ rule: undefined, outcome: "refused", status: 400 });
  });

  test.each([
    ["not JSON", "{", 400, "not JSON"],
    ["no body", "", 400, "not JSON"],
    ["not an object", "[]", 400, "expected object"],
    ["no messages", { model: "m", messages: [] }, 400, "messages"],
    ["an unknown role", { model: "m", messages: [{ role: "robot" }] }, 400, "role"],
    ["a body over 32 MiB", `"${"x".repeat(32 * 1024 * 1024)}"`, 413, "request body over"],
  ])("%s", async (_, body, status, message) => {
    const response = await post(body);
    expect(response.status).toBe(status);
    expect((await json(response)).error.message).toContain(message);
    expect(await ask([user("which")])).toBe("the first");
  });

  test("an unknown endpoint", async () => {
    const response = await fetch(`${model.url}/embeddings?key=1`, { method: "POST", body: "{}" });
    expect(response.status).toBe(404);
    expect((await json(response)).error.message).toBe("no such endpoint: POST /v1/embeddings");
  });
});

test("lists the scenario's models", async () => {
  const body = await json(await fetch(`${model.url}/models`));
  expect(body.data.map((entry: { id: string }) => entry.id)).toEqual(["scripted-1", "scripted-2"]);
});

test("records headers, body and times of each request", async () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const response = await post({ model: "scripted-1", messages: [user("slow")], seed: 7 }, { traceparent });
  await response.text();
  await vi.waitFor(() => expect(model.requests()[0]?.endedAt).toBeDefined(), 20_000);
  const record = model.requests()[0];
  expect(record).toMatchObject({
    method: "POST",
    path: "/v1/chat/completions",
    headers: { traceparent },
    body: { seed: 7 },
    rule: "slow",
    outcome: "done",
    status: 200,
  });
  // Timers may fire one millisecond early.
  expect((record?.firstByteAt ?? 0) - (record?.receivedAt ?? 0)).toBeGreaterThanOrEqual(119);
  expect(record?.endedAt).toBeGreaterThanOrEqual(record?.firstByteAt ?? Number.POSITIVE_INFINITY);
});

test("keeps the newest 500 requests", async () => {
  for (let index = 0; index < 501; index++) await (await fetch(`${model.url}/models?n=${index}`)).text();
  expect(model.requests()).toHaveLength(500);
  await ask([user("which")]);
  expect(model.requests()).toHaveLength(500);
  expect(model.requests().at(-1)?.rule).toBe("first model");
});

test("setScenario takes effect with the next request", async () => {
  expect(await ask([user("which")])).toBe("the first");
  model.setScenario(parseScenario("rules: [{name: a, reply: [{text: changed}]}]", "other.yaml"));
  expect(await ask([user("which")])).toBe("changed");
});

test("onRequest sees a request before it is answered", async () => {
  const seen: unknown[] = [];
  const other = await startScriptedModel({
    scenario,
    onRequest: ({ rule, outcome, firstByteAt }) => seen.push({ rule, outcome, firstByteAt }),
  });
  const body = JSON.stringify({ model: "m", messages: [user("which")] });
  await (await fetch(`${other.url}/chat/completions`, { method: "POST", body })).text();
  await other.close();
  expect(seen).toEqual([{ rule: "first model", outcome: "open", firstByteAt: undefined }]);
});
