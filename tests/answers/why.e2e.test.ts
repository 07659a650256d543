/**
 * Twelve messages of which it is known why they took long, cost more or failed, on the whole system; the answer `why` must say so.
 * Five are asked about while they wait, too. All but those of a child session and a failed clone share a session, each in a channel of its
 * own, one after the other.
 */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeDemoRepository } from "../../packages/cli/src/demo/demo-repository.ts";
import { waitFor, waitForStatus } from "../../packages/cli/src/wait.ts";
import type { SendMessage } from "../../packages/shared/src/protocol/session-api.ts";
import type { Part, WhyView } from "../../packages/shared/src/protocol/why.ts";
import { commandOf, livingProcesses, resume } from "../processes.ts";
import { ScriptedSystem } from "../scripted-system.ts";
import { runCli } from "../valet-up.ts";
import { expectLargest, expectSound, MARGIN_MS } from "./check-answer.ts";
import { CACHED, FIRST_COMMAND, PLANTED_MS, PRICES, script } from "./model-script.ts";

const TIMEOUT_MS = 240_000;
const DEBOUNCE_MS = 2000;
const GRACE_MS = 3000;

let system: ScriptedSystem;
/** The session of the messages. */
let shared: string;
/** A repository that has lost a file, so that it can be reached but not be cloned. */
let broken: { folder: string; url: string };

beforeAll(async () => {
  broken = await makeDemoRepository();
  const git = (...args: string[]) => execFileSync("git", args, { cwd: broken.folder, encoding: "utf8" }).trim();
  const blob = git("rev-parse", "HEAD:src/greet.js");
  rmSync(join(broken.folder, ".git/objects", blob.slice(0, 2), blob.slice(2)));
  system = await ScriptedSystem.start(script, {
    VALET_MODEL_PRICES: `${PRICES.input}/${PRICES.output}/${PRICES.cached}`,
    VALET_COLLECT_DEBOUNCE_MS: String(DEBOUNCE_MS),
    VALET_GRACE_MS: String(GRACE_MS),
    VALET_MAX_AWAKE: "6",
  });
  ({ id: shared } = await system.api.createSession({}));
  // The agent is prepared by its first message, which takes longer than what is planted on a busy machine.
  await ended(await send("[quick]"));
}, TIMEOUT_MS);

afterAll(async () => {
  await system?.close();
  if (broken !== undefined) rmSync(broken.folder, { recursive: true, force: true });
}, TIMEOUT_MS);

let sent = 0;
/** Sends a message in a channel of its own, unless one is named. @returns its id */
async function send(content: string, more: Partial<SendMessage> = {}): Promise<string> {
  const channel = `channel-${++sent}`;
  return (await system.api.sendMessage(shared, { content, channel, ...more })).messageId;
}

const whyOf = (messageId: string, sessionId = shared) => system.api.why(sessionId, "message", messageId);

async function ended(messageId: string, sessionId = shared): Promise<WhyView> {
  const ask = () => system.api.message(sessionId, messageId);
  await waitFor(`the end of ${messageId}`, ask, (message) => message?.status === "done", TIMEOUT_MS);
  return whyOf(messageId, sessionId);
}

/** Returns the first sound answer about an unfinished message whose sentence matches. */
async function meanwhile(messageId: string, pattern: RegExp): Promise<WhyView> {
  const seen: string[] = [];
  const ask = async () => {
    const view = await whyOf(messageId);
    seen.push(view.sentence);
    return view;
  };
  const matches = ({ sentence, outcome }: WhyView) => outcome !== null || pattern.test(sentence);
  const view = await waitFor(String(pattern), ask, matches, TIMEOUT_MS);
  expectSound(view);
  expect(view, seen.join("\n")).toMatchObject({ outcome: null, sentence: expect.stringMatching(pattern) });
  expect(view.sentence).toContain(" so far: ");
  return view;
}

/** Resolves once this long has passed: the delay that is planted. */
async function plant(sinceMs: number): Promise<void> {
  const passed = async () => Date.now() - sinceMs;
  await waitFor("the planted delay", passed, (ms) => ms >= PLANTED_MS, TIMEOUT_MS);
}

const within = (part: Part, name: Part["name"]) => part.parts.find((inner) => inner.name === name);
const partOf = (view: WhyView, name: Part["name"]) => view.time.parts.find((part) => part.name === name);

describe("a message of which it is known why it took long", () => {
  test(
    "slow first token",
    async () => {
      const id = await send("[first token]");
      await meanwhile(id, /now waiting for the first token of `\S+`, for /);
      const view = await ended(id);
      expectLargest(view, { name: "model.first_token", cause: null }, PLANTED_MS);
      expect(view.sentence).toMatch(/the model took \S+ m?s, \S+ m?s of it until the first token/);
      expect(view.failure).toBeNull();
    },
    TIMEOUT_MS,
  );

  test(
    "busy channel",
    async () => {
      const first = await send("[tool]", { channel: "busy" });
      await waitFor(
        "its tool",
        () => whyOf(first),
        ({ sentence }) => sentence.includes("now in the tool `bash`"),
        TIMEOUT_MS,
      );
      const second = await send("[quick]", { channel: "busy" });
      const waits = await meanwhile(second, /waiting for message `\S+` in the channel, of which .* in the tool `bash`/);
      expect(waits.state).toBe("queued");
      const view = await ended(second);
      const [busy, waiting] = await Promise.all([first, second].map((id) => system.api.message(shared, id)));
      const waitedMs = Date.parse(busy?.endedAt as string) - Date.parse(waiting?.acceptedAt as string);
      const largest = expectLargest(view, { name: "queue.channel", detail: first }, waitedMs);
      expect(largest.parts[0]).toMatchObject({ name: "tool", detail: "bash" });
    },
    TIMEOUT_MS,
  );

  test(
    "failing tool",
    async () => {
      const id = await send("[failing tool]");
      await meanwhile(id, /now in the tool `bash`, for /);
      const view = await ended(id);
      expectLargest(view, { name: "tool", detail: "bash", cause: "exit code 3" }, PLANTED_MS);
      expect(view.sentence).toMatch(/`bash` took \S+ s \(exit code 3\)/);
      expect(view.failure).toBeNull();
    },
    TIMEOUT_MS,
  );

  test(
    "a tool that ran into its own limit",
    async () => {
      const view = await ended(await send("[tool limit]"));
      expectLargest(view, { name: "tool", detail: "bash", cause: "tool_timeout" }, PLANTED_MS);
      expect(view.sentence).toMatch(/`bash` took \S+ s \(`tool_timeout`\)/);
    },
    TIMEOUT_MS,
  );

  test(
    "retried provider",
    async () => {
      const id = await send("[retried]");
      const waits = await meanwhile(id, /now retrying `\S+` after `\S+`, for /);
      expect(waits.failure?.sentence).toMatch(/^The message has not ended: /);
      const view = await ended(id);
      expectLargest(view, { name: "model.retry", cause: "provider_overloaded" }, PLANTED_MS);
    },
    TIMEOUT_MS,
  );

  test(
    "a sub-agent that took it all",
    async () => {
      const view = await ended(await send("[sub-agent]"));
      const largest = expectLargest(view, { name: "sub_agent", detail: "general" }, PLANTED_MS);
      expect(largest.parts[0]).toMatchObject({ name: "tool", detail: "bash" });
      expect(largest.parts[0]?.ms).toBeGreaterThanOrEqual(PLANTED_MS - MARGIN_MS);
      expect(view.money.by.some(({ sub_agent, agent }) => sub_agent && agent === "general")).toBe(true);
    },
    TIMEOUT_MS,
  );

  test(
    "a person who did not answer",
    async () => {
      const id = await send("[question]");
      await meanwhile(id, /now waiting for a person's answer, for /);
      const { questions } = await waitFor(
        "the question",
        () => system.api.session(shared),
        (session) => session.questions.length > 0,
        TIMEOUT_MS,
      );
      await plant(Date.now());
      await system.api.replyQuestion(shared, questions[0]?.id as string, [["Hello"]]);
      const view = await ended(id);
      expectLargest(view, { name: "question" }, PLANTED_MS);
    },
    TIMEOUT_MS,
  );

  test(
    "a collected batch",
    async () => {
      const batch = { queueMode: "collect", channel: "batch" } as const;
      const [first, last] = [await send("[quick]", batch), await send("[quick]", batch)];
      for (const id of [first, last]) expectLargest(await ended(id), { name: "queue.collect" }, DEBOUNCE_MS);
    },
    TIMEOUT_MS,
  );

  test(
    "a child session",
    async () => {
      const parentMessage = await send("[child]");
      const view = await ended(parentMessage);
      expectSound(view);
      const children = async () =>
        (await system.api.sessions()).filter(({ parentSessionId }) => parentSessionId === shared);
      const [child] = await waitFor("the child", children, ({ length }) => length === 1, TIMEOUT_MS);
      const childId = child?.id as string;
      expect(view.time.parts).toContainEqual(expect.objectContaining({ name: "child_session", detail: childId }));
      // Its parent's agent does not wait for it: it hears of the end by a message.
      expect(view.time.parts).not.toContainEqual(expect.objectContaining({ name: "tool", detail: "bash" }));
      const report = async () => (await system.api.messages(shared)).find(({ source }) => source === "system");
      const found = await waitFor("its report", report, (message) => message?.status === "done", TIMEOUT_MS);
      expectSound(await whyOf(found?.id as string));
      const told = await whyOf(parentMessage);
      expect(told.sessions).toMatchObject([
        { sessionId: childId, reading: "read", work: [{ role: "work", outcome: "ok" }] },
      ]);
      // This model reports no usage.
      expect(told.money.children).toMatchObject([{ sessionId: childId, cost_usd: null, known: false }]);
      const [task] = await system.api.messages(childId);
      const own = await whyOf(task?.id as string, childId);
      expectSound(own);
      expect(partOf(own, "queue.sandbox")).toMatchObject({ detail: "start", cause: "session_created" });
      const tool = partOf(own, "tool");
      expect(tool?.detail).toBe("bash");
      expect(tool?.ms).toBeGreaterThanOrEqual(PLANTED_MS - MARGIN_MS);
    },
    TIMEOUT_MS,
  );
});

describe("a session that is restored, and loses its runner and its agents", () => {
  test(
    "slow restore, and a lost cache that cost money",
    async () => {
      const conversation = { channel: "cached" };
      await ended(await send("[fills the cache]", conversation));
      await system.api.change(shared, "hibernate");
      await waitForStatus(system.api, shared, ["hibernated"], TIMEOUT_MS);
      const id = await send("[finds no cache]", conversation);
      const agents = await waitFor(
        "the agent's process",
        async () => system.valet.find("opencode", shared),
        (pids) => pids.length > 0,
        TIMEOUT_MS,
      );
      const stopped = Date.now();
      for (const pid of agents) process.kill(pid, "SIGSTOP");
      try {
        await meanwhile(id, /now starting the agent, for /);
        await plant(stopped);
      } finally {
        for (const pid of agents) resume(pid);
      }
      const view = await ended(id);
      const restore = expectLargest(view, { name: "queue.sandbox", detail: "restore" }, PLANTED_MS);
      expect(within(restore, "sandbox.agent_start")?.ms).toBeGreaterThanOrEqual(PLANTED_MS - MARGIN_MS);
      expect(view.sentence).toMatch(/waiting for the sandbox to restore, of which \S+ m?s starting the agent/);
      const [lost] = view.money.avoidable;
      expect(lost).toMatchObject({ reason: "cache_lost_restore" });
      expect(lost?.cost_usd).toBeCloseTo((CACHED * (PRICES.input - PRICES.cached)) / 1e6, 6);
    },
    TIMEOUT_MS,
  );

  test(
    "a killed runner",
    async () => {
      const id = await send("[tool of a killed runner]");
      await meanwhile(id, /now in the tool `bash`, for /);
      // A span begins before its command.
      const isRunning = async () => livingProcesses().some((pid) => commandOf(pid).trim() === FIRST_COMMAND);
      await waitFor("its command", isRunning, Boolean, TIMEOUT_MS);
      expect(system.valet.kill("runner", shared)).toBe(true);
      const ask = () => whyOf(id);
      const fails = ({ failure, outcome }: WhyView) => failure !== null || outcome !== null;
      const trouble = await waitFor("another attempt", ask, fails, TIMEOUT_MS);
      expect(trouble).toMatchObject({ outcome: null, failure: { type: "runner_lost", outcome: "lost" } });
      const view = await ended(id);
      expectSound(view);
      expect(view).toMatchObject({ outcome: "ok", failure: null });
      const lost = partOf(view, "lost_attempt");
      expect(lost).toMatchObject({ detail: "1", cause: "runner_lost" });
      expect(lost?.parts).toContainEqual(expect.objectContaining({ name: "tool", detail: "bash" }));
      expect(partOf(view, "tool")?.ms).toBeGreaterThanOrEqual(PLANTED_MS - MARGIN_MS);
      expect(view.sentence).toContain("in attempt 1 that was lost (`runner_lost`)");
    },
    TIMEOUT_MS,
  );

  test.each([
    ["after a text, in a tool", "[text and tool]", /now in the tool `bash`, for /, "tool", "execute_tool bash"],
    [
      "in the middle of a text",
      "[half a text]",
      /now (?:streaming|waiting).* `\S+`, for /,
      "model.streaming",
      "chat scripted",
    ],
  ] as const)(
    "a killed agent: %s",
    async (_when, content, doing, part, open) => {
      const id = await send(content);
      await meanwhile(id, doing);
      await waitFor(
        "the text",
        () => system.api.message(shared, id),
        (message) => message?.parts.some(({ type }) => type === "text") === true,
        TIMEOUT_MS,
      );
      expect(system.valet.kill("opencode", shared)).toBe(true);
      const view = await ended(id);
      expectSound(view);
      expect(view).toMatchObject({ outcome: "error", failure: { type: "opencode_died", outcome: "error" } });
      const { sentence, cause, evidence, remedy } = view.failure ?? {};
      expect(sentence).toMatch(
        /^The message failed: the OpenCode process exited unexpectedly \(`opencode_died`\), while .* was in progress\.$/,
      );
      expect(cause).toMatchObject({ type: "opencode_died" });
      expect(evidence?.[0]).toMatchObject({ name: open });
      expect(remedy).toMatch(/^Try again\./);
      expect(view.time.parts).toContainEqual(expect.objectContaining({ name: part, cause: "opencode_died" }));
      // The agent's process is replaced, and the next message is answered.
      expect(await ended(await send("[quick]"))).toMatchObject({
        outcome: "ok",
        failure: null,
      });
    },
    TIMEOUT_MS,
  );
});

test(
  "a failed clone",
  async () => {
    const { id } = await system.api.createSession({ repoUrl: broken.url, prompt: "[quick]" });
    const [message] = await system.api.messages(id);
    const view = await ended(message?.id as string, id);
    expectSound(view);
    expect(view).toMatchObject({ outcome: "error", failure: { type: "git_repository_damaged" } });
    const { cause, evidence } = view.failure ?? {};
    expect(cause).toMatchObject({ type: "git_repository_damaged" });
    expect(evidence?.[0]).toMatchObject({ name: "valet.runner.git_clone" });
    const [start] = view.time.parts;
    expect(start).toMatchObject({ name: "queue.sandbox", detail: "start", cause: "git_repository_damaged" });
    expect(start?.parts).toContainEqual(expect.objectContaining({ name: "sandbox.clone" }));
  },
  TIMEOUT_MS,
);

test(
  "`valet why` finds the session of a message",
  async () => {
    const id = await send("[quick]");
    await ended(id);
    const { code, stdout } = await runCli(["--state", system.stateDir, "why", id, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ sessionId: shared, messageId: id });
    const unknown = await runCli(["--state", system.stateDir, "why", "msg_unknown"]);
    expect(unknown).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("Messages are looked for in the newest 100 sessions"),
    });
  },
  TIMEOUT_MS,
);
