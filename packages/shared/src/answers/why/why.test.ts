import { describe, expect, test } from "vitest";
import { type Part, WhyView } from "../../protocol/why.ts";
import { ACCEPTED_MS, input, linkTo, MESSAGE, message, messageSpans, SESSION, span } from "./sample-spans.ts";
import type { WhyInput, WhyJob, WhySpan } from "./spans.ts";
import { why } from "./why.ts";

const OTHER = "2".repeat(32);
const THIRD = "3".repeat(32);
const IN_AGENT = { parent: `${MESSAGE}-agent` };

/** Returns parts as `name detail: ms`, with those below them in brackets. */
function lines(parts: readonly Part[]): string[] {
  return parts.map(({ name, detail, ms, parts: inner }) => {
    const below = inner.length === 0 ? "" : ` [${lines(inner).join(", ")}]`;
    return `${[name, detail].filter((each) => each !== null).join(" ")}: ${ms}${below}`;
  });
}

/** The parts of a message that ends after ten seconds (or with `job`), without those of less than `leastMs`. */
function partsOf(spans: readonly WhySpan[], of: { job?: WhyJob; leastMs?: number; nowMs?: number } = {}): string[] {
  const { job = message(10_000), leastMs = 0, nowMs } = of;
  const view = why(input(job, spans, nowMs));
  expect(WhyView.parse(view)).toEqual(view);
  expectExact(view.time.parts, view.time.wall_ms);
  return lines(view.time.parts.filter(({ ms }) => ms >= leastMs));
}

/** @throws if a list of parts does not add up, or has a part that is not positive and whole */
function expectExact(parts: readonly Part[], wholeMs: number): void {
  expect(parts.reduce((total, { ms }) => total + ms, 0)).toBe(wholeMs);
  for (const part of parts) {
    expect(part.ms > 0 && Number.isInteger(part.ms)).toBe(true);
    if (part.parts.length > 0) expectExact(part.parts, part.ms);
  }
}

const wait = (reasons: readonly (readonly [number, string])[], links: readonly WhySpan[] = []) => ({
  wait: { reasons, links: links.map((each) => linkTo(each)) },
});

describe("a turn", () => {
  const { all } = messageSpans(10_000, 100);

  test.each([
    [{ "process.exit.code": 3 }, "exit code 3", "`bash` took 5.0 s (exit code 3)"],
    [{ "process.exit.code": 3, "error.type": "tool_timeout" }, "tool_timeout", "`bash` took 5.0 s (`tool_timeout`)"],
    [{ "process.exit.code": 0 }, null, "`bash` took 5.0 s; "],
  ])("says how a tool failed: %j", (attributes, cause, text) => {
    const view = why(
      input(message(10_000), [...all, span("execute_tool bash", 2900, 7900, { ...IN_AGENT, attributes })]),
    );
    expect(view.time.parts[0]).toMatchObject({ name: "tool", detail: "bash", cause });
    expect(view.sentence).toContain(text);
  });

  test("tells the agent's own time from that between its steps", () => {
    const later = span("invoke_agent build", 2000, 9000, { parent: `${MESSAGE}-turn`, id: "later" });
    const spans = all.map((each) =>
      each.name === "invoke_agent build" ? { ...each, endMs: each.startMs + 100 } : each,
    );
    const { sentence } = why(input(message(10_000), [...spans, later]));
    expect(sentence).toMatch(/^10\.0 s: 7\.1 s in the agent itself; 2\.7 s between the agent's steps;?/);
  });

  test("does not say of several calls of a tool that they failed as one did", () => {
    const calls = [3, 0].map((code, nth) =>
      span("execute_tool bash", 1000 + 4000 * nth, 5000 + 4000 * nth, {
        ...IN_AGENT,
        id: `bash-${nth}`,
        attributes: { "process.exit.code": code },
      }),
    );
    const view = why(input(message(10_000), [...all, ...calls]));
    expect(view.sentence).toContain("`bash` took 8.0 s; ");
  });

  test("has the parts of its spans, and of the gaps between them", () => {
    const spans = [
      ...all,
      span("valet.agent.prepare", 120, 500, IN_AGENT),
      span("chat glm", 500, 3000, { ...IN_AGENT, attributes: { "gen_ai.response.time_to_first_chunk": 2 } }),
      span("execute_tool bash", 2900, 7900, IN_AGENT),
    ];
    expect(partsOf(spans)).toEqual([
      "tool bash: 5000",
      "model.first_token glm: 2000",
      "agent build: 1990",
      "model.streaming glm: 400",
      "prepare: 390",
      "finalize: 110",
      "queue.other: 100",
      "dispatch: 10",
    ]);
  });

  test("names the MCP servers for which the preparation waited", () => {
    const attributes = { "valet.mcp.server.name": "docs" };
    const spans = [
      ...all,
      span("valet.agent.prepare", 120, 8000, IN_AGENT),
      span("valet.agent.mcp_wait", 120, 7000, { parent: "valet.agent.prepare", attributes }),
      span("chat glm", 8000, 9000, IN_AGENT),
    ];
    expect(partsOf(spans).slice(0, 2)).toEqual(["prepare docs: 6880", "prepare: 1010"]);
    const { sentence } = why(input(message(10_000), spans));
    expect(sentence).toContain("6.9 s preparing: waiting for MCP servers (`docs`)");
  });

  test("counts parallel tools once: for the one that ends last, from its start on", () => {
    const spans = [
      ...all,
      span("execute_tool bash", 120, 4000, IN_AGENT),
      span("execute_tool read", 1000, 2000, IN_AGENT),
      span("execute_tool grep", 3000, 9000, IN_AGENT),
    ];
    expect(partsOf(spans, { leastMs: 500 })).toEqual(["tool grep: 6000", "tool bash: 2880", "agent build: 890"]);
  });

  test("counts failed tries and the pauses after them as retries, with the first error", () => {
    const spans = [
      ...all,
      span("chat glm", 120, 9000, { ...IN_AGENT, attributes: { "gen_ai.response.time_to_first_chunk": 8 } }),
      span("valet.llm.try", 120, 1120, {
        id: "try1",
        parent: "chat glm",
        outcome: "error",
        attributes: { "error.type": "provider_overloaded" },
      }),
      span("valet.retry.wait", 1120, 6120, { parent: "chat glm" }),
      span("valet.llm.try", 6120, 9000, {
        id: "try2",
        parent: "chat glm",
        attributes: { "gen_ai.response.time_to_first_chunk": 1 },
      }),
    ];
    expect(partsOf(spans, { leastMs: 900 })).toEqual([
      "model.retry glm: 6000",
      "model.streaming glm: 1880",
      "model.first_token glm: 1000",
    ]);
    const retry = why(input(message(10_000), spans)).time.parts[0];
    expect(retry?.cause).toBe("provider_overloaded");
  });

  test("shows a person's wait within its tool, whether or not it is the tool's child", () => {
    const call = { "gen_ai.tool.call.id": "call_1" };
    const spans = [
      ...all,
      span("execute_tool bash", 120, 9000, { ...IN_AGENT, attributes: call }),
      span("valet.permission.wait", 200, 8200, {
        ...IN_AGENT,
        attributes: { ...call, "valet.permission.type": "bash" },
      }),
    ];
    expect(partsOf(spans, { leastMs: 500 })).toEqual(["permission bash: 8000", "agent build: 890", "tool bash: 880"]);
    const question = [
      ...all,
      span("execute_tool question", 120, 9000, IN_AGENT),
      span("valet.question.wait", 130, 8930, { parent: "execute_tool question" }),
    ];
    expect(partsOf(question, { leastMs: 800 })).toEqual(["question: 8800", "agent build: 890"]);
  });

  test("shows a sub-agent and a compaction with what they did", () => {
    const spans = [
      ...all,
      span("execute_tool task", 120, 6120, IN_AGENT),
      span("invoke_agent general", 220, 6120, { parent: "execute_tool task" }),
      span("execute_tool grep", 1220, 6020, { parent: "invoke_agent general" }),
      span("valet.compaction", 6120, 9120, IN_AGENT),
      span("chat glm", 6220, 9120, { parent: "valet.compaction" }),
    ];
    expect(partsOf(spans, { leastMs: 1000 })).toEqual([
      "sub_agent general: 5900 [tool grep: 4800, agent general: 1100]",
      "compaction: 3000 [model.streaming glm: 2900, agent: 100]",
    ]);
  });

  test("shows an agent that did not respond instead of what seemed to run", () => {
    const spans = [
      ...all,
      span("chat glm", 120, 9000, IN_AGENT),
      span("valet.agent.unresponsive", 1000, 8000, { ...IN_AGENT, outcome: "error" }),
    ];
    expect(partsOf(spans, { leastMs: 1000 })).toEqual(["agent_unresponsive: 7000", "model.streaming glm: 1880"]);
  });

  test("shows the creation of a child session, and the steps of a workflow", () => {
    const spans = [
      ...all,
      span("execute_tool spawn_session", 120, 3120, IN_AGENT),
      span("valet.child_session.spawn", 220, 3020, {
        parent: "execute_tool spawn_session",
        attributes: { "valet.child_session.id": "ses_child" },
      }),
    ];
    expect(partsOf(spans, { leastMs: 1000 })).toEqual(["agent build: 6770", "child_session ses_child: 2800"]);
    const run = { "valet.workflow.execution.id": "run_1" };
    const workflow = [
      span("valet.workflow", 0, 5000, { attributes: run }),
      span("valet.workflow.dispatch", 0, 10, { parent: "valet.workflow", attributes: run }),
      span("valet.workflow.execute", 10, 5000, { parent: "valet.workflow.dispatch" }),
      span("valet.workflow.step test", 10, 4010, { parent: "valet.workflow.execute" }),
      span("valet.workflow.step fix", 4010, 4990, { parent: "valet.workflow.execute" }),
      span("invoke_agent build", 4010, 4990, { parent: "valet.workflow.step fix" }),
    ];
    const job = message(5000, { kind: "workflow", id: "run_1" });
    expect(partsOf(workflow, { job, leastMs: 100 })).toEqual(["command test: 4000", "agent build: 980"]);
  });

  test("keeps spans whose parents are unknown, and a turn that nobody knows", () => {
    const spans = [
      ...all.filter(({ name }) => name !== "valet.turn" && name !== "invoke_agent build"),
      span("execute_tool bash", 1000, 9000, { parent: "gone" }),
    ];
    expect(partsOf(spans, { leastMs: 1000 })).toEqual(["tool bash: 8000", "unattributed: 1790"]);
  });
});

describe("waits", () => {
  /** A start that lasts until `endMs`. */
  const start = (name: string, startMs: number, endMs: number | null) => {
    const inTrace = { trace: OTHER, parent: name };
    return [
      span(name, startMs, endMs, { trace: OTHER, attributes: { "valet.restore.reason": "message_waiting" } }),
      span("valet.sandbox.create", startMs + 10, startMs + 5000, inTrace),
      span("POST /v1/sandboxes", startMs + 20, startMs + 4990, { trace: OTHER, parent: "valet.sandbox.create" }),
      span("valet.sandbox.copy", startMs + 500, startMs + 4500, { trace: OTHER, parent: "POST /v1/sandboxes" }),
      span("valet.runner.bootstrap", startMs + 5500, endMs, inTrace),
      span("valet.runner.connect", startMs + 5500, startMs + 5600, { trace: OTHER, parent: "valet.runner.bootstrap" }),
      span("valet.runner.git_setup", startMs + 5600, startMs + 5700, {
        trace: OTHER,
        parent: "valet.runner.bootstrap",
      }),
      span("valet.runner.git_clone", startMs + 5610, startMs + 5690, {
        trace: OTHER,
        parent: "valet.runner.git_setup",
      }),
      span("valet.runner.opencode_start", startMs + 5650, endMs, { trace: OTHER, parent: "valet.runner.bootstrap" }),
    ];
  };

  test("a wait for the sandbox has the parts of its restore, from the message's acceptance on", () => {
    const restore = start("valet.sandbox.restore", -500, 8000);
    const { all } = messageSpans(10_000, 8000, wait([[1, "sandbox_restoring"]], restore.slice(0, 1)));
    expect(partsOf([...all, ...restore], { leastMs: 200 })).toEqual([
      "queue.sandbox restore: 8000 [sandbox.copy: 4000, sandbox.agent_start: 2850, sandbox.boot: 600, sandbox.broker: 500, sandbox.clone: 50]",
      "agent build: 1870",
    ]);
    const { sentence } = why(input(message(10_000), [...all, ...restore]));
    expect(sentence).toBe(
      "10.0 s: 8.0 s waiting for the sandbox to restore, of which 4.0 s copying the snapshot; 1.9 s in the agent itself.",
    );
  });

  test("the clocks of broker and runner do not count: their spans are moved into those of the object", () => {
    const skewed = start("valet.sandbox.restore", 0, 8000).map((each): WhySpan => {
      const byMs = each.service === "valet-worker" ? 0 : each.service === "valet-broker" ? 3_600_000 : -7_200_000;
      return { ...each, startMs: each.startMs + byMs, endMs: each.endMs === null ? null : each.endMs + byMs };
    });
    const { all } = messageSpans(10_000, 8000, wait([[0, "sandbox_restoring"]], skewed.slice(0, 1)));
    const moved = all.map((each): WhySpan => {
      const byMs = each.service === "valet-runner" ? -7_200_000 : 0;
      return { ...each, startMs: each.startMs + byMs, endMs: (each.endMs ?? 0) + byMs };
    });
    const [queue = "", ...others] = partsOf([...moved, ...skewed], { leastMs: 200 });
    expect(queue).toContain("sandbox.copy: 4000");
    expect(queue).toContain("sandbox.agent_start: 2350");
    expect(others).toEqual(["agent build: 1870"]);
  });

  test("a wait without a start's spans is one for a sandbox all the same, and so is the pause between two starts", () => {
    const alone = messageSpans(10_000, 8000, wait([[0, "sandbox_starting"]])).all;
    expect(partsOf(alone, { leastMs: 2000 })).toEqual(["queue.sandbox: 8000 [sandbox.other: 8000]"]);
    const failed = span("valet.sandbox.spawn", 0, 2000, {
      trace: OTHER,
      outcome: "error",
      attributes: { "error.type": "git_clone_failed" },
    });
    const second = span("valet.sandbox.spawn", 5000, 8000, { trace: THIRD });
    const { all } = messageSpans(10_000, 8000, wait([[0, "sandbox_starting"]], [failed, second]));
    const parts = why(input(message(10_000), [...all, failed, second])).time.parts;
    expect(lines(parts.slice(0, 1))).toEqual(["queue.sandbox start: 8000 [sandbox.other: 8000]"]);
    expect(parts[0]?.cause).toBe("git_clone_failed");
  });

  test("a start that fails waits for the step that failed, not for what was ended with it", () => {
    const error = { outcome: "error", attributes: { "error.type": "git_ref_not_found" } } as const;
    const inBootstrap = { trace: OTHER, parent: "valet.runner.bootstrap" };
    const start = [
      span("valet.sandbox.spawn", 0, 5010, { trace: OTHER, ...error }),
      span("valet.runner.bootstrap", 10, 5005, { trace: OTHER, parent: "valet.sandbox.spawn", ...error }),
      span("valet.runner.opencode_start", 20, 5002, { ...inBootstrap, outcome: "aborted" }),
      span("valet.runner.git_setup", 1000, 5000, { ...inBootstrap, ...error }),
    ];
    const prompt = span("valet.prompt", 0, 5010, { id: "p", attributes: { "valet.message.id": MESSAGE } });
    const waiting = span("valet.queue.wait", 0, 5010, { parent: "p", reasons: [[0, "sandbox_starting"]] });
    expect(partsOf([...start, prompt, waiting], { job: message(5010) })).toEqual([
      "queue.sandbox start: 5010 [sandbox.clone: 4000, sandbox.agent_start: 980, sandbox.other: 15, sandbox.boot: 15]",
    ]);
  });

  test("a wait for room counts as such, whether the queue or the start says so", () => {
    const spawn = span("valet.sandbox.spawn", 0, 8000, { trace: OTHER });
    const inLine = span("valet.capacity.wait", 10, 6010, { trace: OTHER, parent: "valet.sandbox.spawn" });
    const { all } = messageSpans(
      10_000,
      8000,
      wait(
        [
          [0, "capacity"],
          [5000, "sandbox_starting"],
        ],
        [spawn],
      ),
    );
    expect(partsOf([...all, spawn, inLine], { leastMs: 2500 })).toEqual([
      "queue.capacity: 5000",
      "queue.sandbox start: 3000 [sandbox.other: 1990, queue.capacity: 1010]",
    ]);
  });

  test("a wait for another message has that message's own parts, while it was waited for", () => {
    const first = messageSpans(4000, -2000, { id: "msg_0", trace: OTHER, startMs: -2010 });
    const tool = span("execute_tool bash", -1000, 3500, { trace: OTHER, id: "t", parent: "msg_0-agent" });
    const second = messageSpans(8000, 4010, { id: "msg_00", trace: THIRD, startMs: -100 });
    const chat = span("chat glm", 4030, 7800, { trace: THIRD, id: "c", parent: "msg_00-agent" });
    const { all } = messageSpans(10_000, 8010, wait([[0, "runner_busy"]], [first.dispatch]));
    expect(partsOf([...all, ...first.all, tool, ...second.all, chat], { leastMs: 2000 })).toEqual([
      "queue.channel msg_0: 4010 [tool bash: 3500, agent build: 390, finalize: 120]",
      "queue.channel msg_00: 4000 [model.streaming glm: 3770, finalize: 120, agent build: 90, dispatch: 10, prepare: 10]",
    ]);
  });

  test("a batch is dispatched in a trace of its own", () => {
    const { all, dispatch } = messageSpans(10_000, 3000, wait([[0, "collect_debounce"]]));
    const prompt = all.filter(({ name }) => name === "valet.prompt");
    const batch = all
      .filter(({ name }) => !name.startsWith("valet.queue") && name !== "valet.prompt")
      .map((each): WhySpan => {
        const links = each.name === dispatch.name ? prompt.map((one) => linkTo(one, "collected")) : [];
        const parentId = each.name === dispatch.name ? null : each.parentId;
        return { ...each, traceId: OTHER, parentId, links, attributes: { "valet.message.id": "another" } };
      });
    const own = all.filter(({ name }) => name === "valet.prompt" || name === "valet.queue.wait");
    expect(partsOf([...own, ...batch], { leastMs: 1000 })).toEqual(["agent build: 6870", "queue.collect: 3000"]);
  });

  test("a lost attempt holds what it did, and the time without its runner", () => {
    const { all } = messageSpans(20_000, 0);
    const lost = { outcome: "lost", sealed: true, attributes: { "error.type": "runner_lost" } } as const;
    const spans = [
      ...all.slice(0, 3),
      ...lostAndRepeated({ lostMs: 4000, goneMs: 10_000, backMs: 12_000 }),
      span("execute_tool bash", 1000, 4000, { ...lost, parent: "turn1" }),
    ];
    const job = message(20_000);
    expect(partsOf(spans, { job, leastMs: 1000 })).toEqual([
      "lost_attempt 1: 10000 [runner_gone: 6000, tool bash: 3000, prepare: 990, dispatch: 10]",
      "agent build: 7990",
      "queue.runner: 2000",
    ]);
    const { sentence, time } = why(input(job, spans));
    expect(time.parts.map(({ cause }) => cause).filter((cause) => cause !== null)).toEqual([
      "runner_lost",
      "runner_lost",
    ]);
    expect(sentence).toContain("2.0 s waiting for the runner to connect again (`runner_lost`)");
  });
});

test("a lost attempt is named, however short it was", () => {
  const { all } = messageSpans(20_000, 0);
  const tools = ["bash", "read", "edit", "grep", "glob", "list"].map((name, index) =>
    span(`execute_tool ${name}`, 1000 + index * 3000, 3900 + index * 3000, { parent: "agent2" }),
  );
  const spans = [...all.slice(0, 3), ...lostAndRepeated({ lostMs: 400, goneMs: 450, backMs: 500 }), ...tools];
  const { sentence, time } = why(input(message(20_000), spans));
  expect(time.parts.findIndex(({ name }) => name === "lost_attempt")).toBeGreaterThanOrEqual(5);
  expect(sentence).toContain("in attempt 1 that was lost (`runner_lost`)");
});

test("a lost attempt is named with the limit that ended its runner", () => {
  const { all } = messageSpans(20_000, 0);
  const lost = lostAndRepeated({ lostMs: 4000, goneMs: 10_000, backMs: 12_000 }).map((each) =>
    each.outcome === "lost"
      ? { ...each, attributes: { ...each.attributes, "valet.error.cause": "sandbox_out_of_memory" } }
      : each,
  );
  const { sentence } = why(input(message(20_000), [...all.slice(0, 3), ...lost]));
  expect(sentence).toContain("in attempt 1 that was lost (`sandbox_out_of_memory`)");
  expect(sentence).toContain("waiting for the runner to connect again (`sandbox_out_of_memory`)");
});

/**
 * Returns the spans of a turn whose runner is lost, and of the second attempt, which ends at 20,000 ms.
 * @param times when the turn is lost, when the message waits for a runner again, and when that is back; ms
 */
function lostAndRepeated({ lostMs, goneMs, backMs }: { lostMs: number; goneMs: number; backMs: number }): WhySpan[] {
  const attributes = { "valet.message.id": MESSAGE, "valet.channel.id": "main" };
  const inPrompt = { parent: `${MESSAGE}-prompt`, attributes };
  return [
    span("valet.turn", 10, lostMs, {
      outcome: "lost",
      sealed: true,
      attributes: { "error.type": "runner_lost" },
      id: "turn1",
      parent: `${MESSAGE}-dispatch`,
    }),
    span("valet.queue.wait", goneMs, backMs, { ...inPrompt, id: "wait2", reasons: [[goneMs, "runner_disconnected"]] }),
    span("valet.prompt.dispatch", backMs, backMs + 10, { ...inPrompt, id: "dispatch2" }),
    span("valet.turn", backMs + 10, 20_000, { id: "turn2", parent: "dispatch2" }),
    span("invoke_agent build", backMs + 10, 20_000, { id: "agent2", parent: "turn2" }),
  ];
}

describe("an unfinished message", () => {
  test("counts until now, and says what it is in", () => {
    const { all } = messageSpans(null, 100);
    const spans = [...all, span("execute_tool bash", 2000, null, IN_AGENT)];
    const of: WhyInput = input(message(null), spans, 45_000);
    expect(partsOf(spans, { job: message(null), leastMs: 500, nowMs: 45_000 })).toEqual([
      "tool bash: 43000",
      "agent build: 1880",
    ]);
    expect(why(of).sentence).toBe(
      "45.0 s so far: `bash` took 43.0 s; 1.9 s in the agent itself; now in the tool `bash`, for 43.0 s.",
    );
  });

  test("is without its runner while the link is down, since that was last heard; so is what waits for it", () => {
    const { all } = messageSpans(null, 100);
    const dispatch = all.find(({ name }) => name === "valet.prompt.dispatch") as WhySpan;
    const behind = { "valet.message.id": "another" };
    const spans = [
      ...all,
      span("execute_tool bash", 2000, null, IN_AGENT),
      span("valet.prompt", 30_000, null, { id: "p2", trace: OTHER, attributes: behind }),
      span("valet.queue.wait", 30_000, null, {
        ...{ id: "wait2", parent: "p2", trace: OTHER, links: [linkTo(dispatch)] },
        reasons: [[30_000, "runner_busy"]],
      }),
    ];
    const runnerGoneMs = ACCEPTED_MS + 40_000;
    const first = why({ ...input(message(null), spans, 45_000), runnerGoneMs });
    expectExact(first.time.parts, 45_000);
    expect(lines(first.time.parts).slice(0, 2)).toEqual(["tool bash: 38000", "runner_gone: 5000"]);
    expect(first.sentence).toMatch(/; now without the runner, for 5\.0 s\.$/);

    const job = message(null, { id: "another", state: "queued", traceId: OTHER, acceptedAtMs: ACCEPTED_MS + 30_000 });
    const second = why({ ...input(job, spans, 45_000), runnerGoneMs });
    expect(lines(second.time.parts)).toEqual([`queue.channel ${MESSAGE}: 15000 [tool bash: 10000, runner_gone: 5000]`]);
  });

  test("may wait in the queue, or for the first token", () => {
    const queued = [
      span("valet.prompt", 0, null, { id: "p", attributes: { "valet.message.id": MESSAGE } }),
      span("valet.queue.wait", 0, null, { parent: "p", reasons: [[0, "capacity"]] }),
    ];
    expect(partsOf(queued, { job: message(null, { state: "queued" }), nowMs: 5000 })).toEqual(["queue.capacity: 5000"]);
    const { all } = messageSpans(null, 100);
    const chat = (attributes: Record<string, number>) => span("chat glm", 200, null, { ...IN_AGENT, attributes });
    const heard = { "valet.last_heard_ms": Date.now() * 2 };
    const of = { job: message(null), nowMs: 5000, leastMs: 1000 };
    expect(partsOf([...all, chat({})], of)).toEqual(["model.first_token glm: 4800"]);
    expect(partsOf([...all, chat(heard)], of)).toEqual(["model.streaming glm: 4800"]);
    const at = (ms: number) => chat({}).startMs - 200 + ms;
    const first = { ...heard, "valet.llm.last_request_ms": at(210), "valet.llm.first_content_ms": at(3200) };
    const apart = ["model.first_token glm: 3000", "model.streaming glm: 1800"];
    expect(partsOf([...all, chat(first)], of)).toEqual(apart);
    // The first piece of an earlier try.
    const again = { ...first, "valet.last_heard_ms": at(3300), "valet.llm.last_request_ms": at(3500) };
    expect(partsOf([...all, chat(again)], of)).toEqual(["model.first_token glm: 4800"]);
    // A clock that runs ahead or behind.
    for (const ms of [-9000, 90_000]) {
      const parts = partsOf(
        [...all, chat({ ...first, "valet.llm.last_request_ms": 0, "valet.llm.first_content_ms": at(ms) })],
        of,
      );
      expect(parts).toEqual([ms < 0 ? "model.streaming glm: 4800" : "model.first_token glm: 4800"]);
    }
  });

  test("may stream in a second try, or have been cut off while it streamed", () => {
    const { all } = messageSpans(null, 100);
    const at = (ms: number) => span("x", ms, null).startMs;
    const told = { "valet.llm.last_request_ms": at(2200), "valet.llm.first_content_ms": at(3200) };
    const chat = (endMs: number | null) => span("chat glm", 200, endMs, { ...IN_AGENT, id: "c", attributes: told });
    const tries = [
      span("valet.llm.try", 200, 1200, {
        parent: "c",
        id: "t1",
        attributes: { "valet.outcome": "error", "error.type": "provider_overloaded" },
      }),
      span("valet.retry.wait", 1200, 2200, { parent: "c" }),
      span("valet.llm.try", 2200, null, { parent: "c", id: "t2" }),
    ];
    const of = { job: message(null), nowMs: 5000, leastMs: 900 };
    expect(partsOf([...all, chat(null), ...tries], of)).toEqual([
      "model.retry glm: 2000",
      "model.streaming glm: 1800",
      "model.first_token glm: 1000",
    ]);
    const lost = { ...chat(5000), attributes: { ...told, "valet.outcome": "lost", "error.type": "runner_lost" } };
    expect(partsOf([...all, lost], of)).toEqual(["model.first_token glm: 3000", "model.streaming glm: 1800"]);
  });

  test("without any span all of its time is unattributed", () => {
    expect(partsOf([], { job: message(null, { traceId: null }), nowMs: 1234 })).toEqual(["unattributed: 1234"]);
    expect(partsOf([], { job: message(0) })).toEqual([]);
  });
});

test("spans of other sessions and other messages of the same trace do not count", () => {
  const { all } = messageSpans(10_000, 100);
  const foreign = messageSpans(10_000, 100, { id: "msg_2" }).all;
  const other = all.map((each): WhySpan => ({ ...each, sessionId: `${SESSION}2`, traceId: OTHER }));
  expect(partsOf([...foreign, ...other, ...all])).toEqual(partsOf(all));
});

test("many tools are told apart as long as their number is bounded", () => {
  const { all } = messageSpans(10_000, 100);
  const tools = Array.from({ length: 90 }, (_, n) =>
    span(`execute_tool t${n}`, 200 + n * 100, 280 + n * 100, { ...IN_AGENT, id: `tool${n}` }),
  );
  const { parts } = why(input(message(10_000), [...all, ...tools])).time;
  expect(parts.length).toBeLessThan(40);
  const rest = parts.find(({ name, detail }) => name === "tool" && detail === null);
  expect(rest?.spanCount).toBeGreaterThan(50);
  expect(rest?.spans.length).toBe(20);
});

test.each([
  [
    "valet.sandbox.hibernate",
    "sandbox_hibernating",
    "3.0 s so far: 3.0 s waiting for the sandbox to hibernate; now hibernating the sandbox, for 3.0 s.",
  ],
  [
    "valet.sandbox.spawn",
    "sandbox_starting",
    "3.0 s so far: 3.0 s waiting for the sandbox to start; now waiting for the sandbox to start, for 3.0 s.",
  ],
])("a wait for a %s of which nothing more is known says so once", (name, reason, sentence) => {
  const operation = span(name, 0, null, { trace: OTHER, id: "o".repeat(16) });
  const { all } = messageSpans(null, 5000, wait([[0, reason]], [operation]));
  const queued = all.filter((each) => each.name === "valet.prompt" || each.name === "valet.queue.wait");
  const open = queued.map((each) => ({ ...each, endMs: null, outcome: null }));
  const view = why(input(message(null, { state: "queued" }), [...open, operation], 3000));
  expect(view.sentence).toBe(sentence);
});
