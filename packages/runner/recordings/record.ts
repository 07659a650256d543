/**
 * Records what the real OpenCode says on `/event` in courses that a turn can take.
 *
 *     node packages/runner/recordings/record.ts [name ...]     all of them, or those named
 *
 * It starts OpenCode with a scripted model, drives it over HTTP, and writes two files for each course beside itself:
 * `<name>.jsonl`, each event as `{"at": ms, "event": {...}}`, and `<name>.calls.jsonl`, whose first line has the epoch
 * time of `at` 0 and the others the HTTP calls that were made. Ids and times differ from run to run; what a course
 * shows is described in README.md.
 */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { loadScenario, loadShippedScenario, type Scenario, startScriptedModel } from "../../scripted-model/src/index.ts";
import { type OpenCode, type OpenCodeEvent, startOpenCode } from "../../scripted-model/test/opencode.ts";

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** OpenCode sends a diff and a last user message after a session's idle; nothing tells when it is through. */
const settleMs = 500;

interface Call {
  at: number;
  method: string;
  path: string;
  body: unknown;
  /** When the answer had come. */
  answeredAt: number;
}

/** What a course uses to drive OpenCode. */
interface Driver {
  createSession(): Promise<string>;
  /** Sends a prompt under a new message id, which it returns as soon as OpenCode has taken the prompt. */
  prompt(session: string, text: string): Promise<string>;
  call(method: "GET" | "POST", path: string, body?: unknown): Promise<unknown>;
  /** The first event from now on, or from `from` on, that fits. */
  waitFor(fits: (event: OpenCodeEvent) => boolean, from?: number): Promise<OpenCodeEvent>;
  /** Where the events end now, for `waitFor`. */
  mark(): number;
}

interface Course {
  name: string;
  scenario: Promise<Scenario>;
  permission?: unknown;
  run(driver: Driver): Promise<void>;
}

const own = loadScenario(here("scenario.yaml"));
const idle = (session: string) => (event: OpenCodeEvent) =>
  event.type === "session.idle" && event.properties.sessionID === session;
const toolRunning = (session: string) => (event: OpenCodeEvent) =>
  event.type === "message.part.updated" &&
  event.properties.part.sessionID === session &&
  event.properties.part.state?.status === "running";

/** Prompts and waits for the end of the turn. */
async function turn(driver: Driver, session: string, text: string): Promise<void> {
  const from = driver.mark();
  await driver.prompt(session, text);
  await driver.waitFor(idle(session), from);
}

const courses: Course[] = [
  {
    name: "simple",
    scenario: own,
    run: async (driver) => turn(driver, await driver.createSession(), "Fix the greeting and run the tests."),
  },
  {
    name: "two-channels",
    scenario: own,
    async run(driver) {
      const [first, second] = [await driver.createSession(), await driver.createSession()];
      await Promise.all([
        turn(driver, first, "Answer on the first channel."),
        turn(driver, second, "Answer on the second channel."),
      ]);
    },
  },
  {
    name: "subagent",
    scenario: loadShippedScenario("subagent"),
    run: async (driver) => turn(driver, await driver.createSession(), "Ask a sub-agent to count the functions."),
  },
  {
    name: "parallel-tools",
    scenario: own,
    run: async (driver) => turn(driver, await driver.createSession(), "Run three tools side by side."),
  },
  {
    name: "retry",
    scenario: loadShippedScenario("failures"),
    run: async (driver) => turn(driver, await driver.createSession(), "Answer me past the rate limit."),
  },
  {
    name: "abort-then-prompt",
    scenario: loadShippedScenario("long-tool"),
    async run(driver) {
      const session = await driver.createSession();
      await driver.prompt(session, "Take your time.");
      await driver.waitFor(toolRunning(session));
      await sleep(300);
      const from = driver.mark();
      await driver.call("POST", `/session/${session}/abort`);
      const message = await driver.prompt(session, "Never mind, stop.");
      await driver.waitFor(answered(message), from);
      await driver.waitFor(idle(session), driver.mark());
    },
  },
  {
    name: "abort-race",
    scenario: loadShippedScenario("long-tool"),
    async run(driver) {
      const session = await driver.createSession();
      await driver.prompt(session, "Take your time.");
      await driver.waitFor(toolRunning(session));
      await sleep(300);
      const [, message] = await Promise.all([
        driver.call("POST", `/session/${session}/abort`),
        driver.prompt(session, "Never mind, stop."),
      ]);
      await driver.waitFor(answered(message));
      await driver.waitFor(idle(session), driver.mark());
    },
  },
  {
    name: "abort-in-retry",
    scenario: loadShippedScenario("failures"),
    async run(driver) {
      const session = await driver.createSession();
      await driver.prompt(session, "Ask the broken provider.");
      await driver.waitFor(({ type, properties }) => type === "session.status" && properties.status.type === "retry");
      await sleep(300);
      await driver.call("POST", `/session/${session}/abort`);
      await driver.waitFor(idle(session));
    },
  },
  {
    name: "prompt-while-busy",
    scenario: loadShippedScenario("long-tool"),
    async run(driver) {
      const session = await driver.createSession();
      await driver.prompt(session, "Take your time.");
      await driver.waitFor(toolRunning(session));
      await sleep(300);
      const message = await driver.prompt(session, "Never mind, stop.");
      await driver.waitFor(answered(message));
      await driver.waitFor(idle(session));
    },
  },
  {
    name: "error",
    scenario: loadShippedScenario("failures"),
    run: async (driver) => turn(driver, await driver.createSession(), "Try the refused key."),
  },
  {
    name: "cut-stream",
    scenario: loadShippedScenario("failures"),
    run: async (driver) => turn(driver, await driver.createSession(), "Show me a cut stream."),
  },
  {
    name: "permission",
    scenario: own,
    permission: { "*": "allow", bash: "ask" },
    async run(driver) {
      const session = await driver.createSession();
      for (const reply of ["once", "reject"]) {
        const from = driver.mark();
        await driver.prompt(session, "List the files.");
        const asked = await driver.waitFor((event) => event.type === "permission.asked", from);
        await sleep(300);
        await driver.call("POST", `/permission/${asked.properties.id}/reply`, { reply });
        await driver.waitFor(idle(session), from);
      }
    },
  },
  {
    name: "question",
    scenario: own,
    async run(driver) {
      const session = await driver.createSession();
      await driver.prompt(session, "Ask me which greeting I prefer.");
      const asked = await driver.waitFor((event) => event.type === "question.asked");
      await sleep(300);
      await driver.call("POST", `/question/${asked.properties.id}/reply`, { answers: [["Good day"]] });
      await driver.waitFor(idle(session));
    },
  },
  {
    name: "compaction",
    scenario: own,
    async run(driver) {
      const session = await driver.createSession();
      await turn(driver, session, "Say hello.");
      const model = { providerID: "scripted", modelID: "scripted-1" };
      const from = driver.mark();
      await driver.call("POST", `/session/${session}/summarize`, model);
      await driver.waitFor(idle(session), from);
      await turn(driver, session, "Say hello again.");
    },
  },
  {
    name: "auto-compaction",
    scenario: own,
    run: async (driver) => turn(driver, await driver.createSession(), "Fill the context."),
  },
];

/** The end of an assistant message that answers a user message. */
function answered(message: string): (event: OpenCodeEvent) => boolean {
  return ({ type, properties }) =>
    type === "message.updated" && properties.info.parentID === message && properties.info.time.completed !== undefined;
}

/** An id in OpenCode's own form: 48 bits of time and counter in hex, which ascend, and 14 random characters. */
function newMessageId(): string {
  const time = (BigInt(Date.now()) * 0x1000n + 1n) & 0xffff_ffff_ffffn;
  return `msg_${time.toString(16).padStart(12, "0")}${randomBytes(7).toString("hex")}`;
}

function driverOf(opencode: OpenCode, startedAt: number, calls: Call[]): Driver {
  const call: Driver["call"] = async (method, path, body) => {
    const entry: Call = { at: Date.now() - startedAt, method, path, body, answeredAt: Number.NaN };
    calls.push(entry);
    const answer = await opencode.call(method, path, body);
    entry.answeredAt = Date.now() - startedAt;
    return answer;
  };
  return {
    call,
    mark: () => opencode.events.length,
    waitFor: (fits, from) => opencode.waitFor(fits, from),
    async createSession() {
      const session = (await call("POST", "/session", {})) as { id: string };
      return session.id;
    },
    async prompt(session, text) {
      const messageID = newMessageId();
      await call("POST", `/session/${session}/prompt_async`, { messageID, parts: [{ type: "text", text }] });
      return messageID;
    },
  };
}

async function record(course: Course): Promise<void> {
  const model = await startScriptedModel({ scenario: await course.scenario });
  try {
    const opencode = await startOpenCode({ modelUrl: model.url, permission: course.permission ?? "allow" });
    try {
      const startedAt = opencode.events[0]?.at ?? Date.now();
      const calls: Call[] = [];
      await course.run(driverOf(opencode, startedAt, calls));
      await sleep(settleMs);
      const lines = (values: unknown[]) =>
        values.map((value) => `${JSON.stringify(value).replaceAll(opencode.workspace, "/workspace")}\n`).join("");
      const events = opencode.events.map(({ at, event }) => ({ at: at - startedAt, event }));
      await writeFile(here(`${course.name}.jsonl`), lines(events));
      await writeFile(here(`${course.name}.calls.jsonl`), lines([{ startedAt }, ...calls]));
    } finally {
      await opencode.stop();
    }
  } finally {
    await model.close();
  }
}

const names = process.argv.slice(2);
for (const course of courses.filter(({ name }) => names.length === 0 || names.includes(name))) {
  await record(course);
  process.stdout.write(`${course.name}\n`);
}
