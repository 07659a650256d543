/** Does each fault of the trace plane many times on real parts, and compares the certificates with what the backend has. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import type { ApiClient } from "../../packages/cli/src/api-client.ts";
import { waitFor, waitForStatus } from "../../packages/cli/src/wait.ts";
import type { MessageCertificate } from "../../packages/shared/src/protocol/certificate.ts";
import type { Answer, Answering } from "../../packages/shared/test/otlp-receiver.ts";
import type { TraceReceiver } from "../otlp-receiver.ts";
import { disagreements } from "./check-certificates.ts";
import { inParallel } from "./in-parallel.ts";
import { again } from "./session-course.ts";
import type { Part, ValetProcess } from "./valet-process.ts";

const REJECT_ALL = { status: 200, isTaken: false } as const;
const JSON_TYPE = { "content-type": "application/json" };

type Fault = ReturnType<Answering>;

/** Answers after which spans wait. */
const DELAYS: Readonly<Record<string, Fault>> = {
  "429 with Retry-After": { status: 429, headers: { "retry-after": "1" } },
  "503": { status: 503 },
  "a web page": { status: 200, headers: { "content-type": "text/html" }, body: "<html>", isTaken: false },
  "a hang": "hang",
};

/** Answers after which spans are lost. */
const LOSSES: Readonly<Record<string, Fault>> = {
  "400": { status: 400 },
  "a partial success": { ...REJECT_ALL, headers: JSON_TYPE, body: '{"partialSuccess":{"rejectedSpans":"1000"}}' },
  "a partial success in protobuf": {
    ...REJECT_ALL,
    headers: { "content-type": "application/x-protobuf" },
    body: Uint8Array.of(0x0a, 3, 0x08, 0xe8, 0x07),
  },
};

/** What a session has to itself. */
const KILLS: readonly Part[] = ["runner", "opencode"];

/** What needs a clock, a disk or an eviction in the test's hands: each of its tests is one fault. */
const SIMULATED = "src/durable-objects/traces/trace-faults.test.ts";

const TIMEOUT_MS = 120_000;

/** The backend of the rounds: the faults of each session come and go. */
export class FaultyBackend {
  readonly #faults = new Map<string, Fault>();
  readonly answer: Answering = (delivery) => {
    const taken: Answer = { status: 200, headers: JSON_TYPE, body: "{}" };
    if (this.#faults.size === 0) return taken;
    // A request holds spans of one session, and each span names it.
    const { text } = delivery;
    return [...this.#faults].find(([sessionId]) => text.includes(sessionId))?.[1] ?? taken;
  };

  /** Answers a session's requests like this from now on. */
  fail(sessionId: string, fault: Fault): void {
    this.#faults.set(sessionId, fault);
  }

  heal(sessionId: string): void {
    this.#faults.delete(sessionId);
  }
}

export interface FaultWorld {
  readonly valet: ValetProcess;
  readonly backend: FaultyBackend;
  readonly receiver: TraceReceiver;
  readonly report: (line: string) => void;
  /** Epoch ms; no round begins later. */
  readonly deadlineMs: number;
}

export interface FaultRounds {
  /** How often each fault was done. */
  readonly rounds: Readonly<Record<string, number>>;
  readonly faults: readonly string[];
}

type Round = (sessionId: string, messageId: string) => Promise<MessageCertificate>;

/**
 * @param times how often each fault is done
 * @param width how many faults are done at the same time, each in a session of its own
 */
export async function runFaultRounds(world: FaultWorld, times: number, width: number): Promise<FaultRounds> {
  const rounds: Record<string, number> = {};
  const faults: string[] = [];
  /** @param round returns what is wrong after it */
  const repeat = async (name: string, round: (count: number) => Promise<readonly string[]>) => {
    rounds[name] = 0;
    for (let count = 0; count < times && Date.now() < world.deadlineMs; count++) {
      const found = await round(count);
      faults.push(...found.map((fault) => `${name}, round ${count + 1}: ${fault}`));
      rounds[name]++;
    }
    world.report(`${name}: ${rounds[name]} rounds, ${faults.length} faults so far`);
    if (rounds[name] < times) faults.push(`${name}: there was time for ${rounds[name]} of ${times} rounds only`);
  };
  const inSession = async (name: string, round: Round) => {
    const { api } = world.valet;
    const { id } = await again(() => api.createSession({ title: name }));
    await waitForStatus(api, id, ["running"], TIMEOUT_MS);
    await repeat(name, (count) => checked(world, id, () => round(id, `${id}-${count}`)));
    await again(() => api.change(id, "terminate"));
  };
  const killing =
    (part: Part): Round =>
    (sessionId, id) =>
      kill(world, part, sessionId, id);
  const delaying =
    (fault: Fault): Round =>
    (sessionId, id) =>
      delay(world, fault, sessionId, id);
  const losing =
    (fault: Fault): Round =>
    (sessionId, id) =>
      lose(world, fault, sessionId, id);
  const work = [
    ...KILLS.map((part) => () => inSession(`${part} is killed`, killing(part))),
    ...Object.entries(DELAYS).map(
      ([name, fault]) =>
        () =>
          inSession(name, delaying(fault)),
    ),
    ...Object.entries(LOSSES).map(
      ([name, fault]) =>
        () =>
          inSession(name, losing(fault)),
    ),
    () => repeat("simulated", runSimulated),
  ];
  await inParallel(work.length, width, (index) => work[index]!());
  // All sessions lose it.
  await inSession("workerd is killed", killing("workerd"));
  return { rounds, faults };
}

/** Runs a round, and returns what is wrong after it. The backend is well again then. */
async function checked(world: FaultWorld, id: string, round: () => Promise<MessageCertificate>): Promise<string[]> {
  const { valet, backend, receiver } = world;
  try {
    const { traces } = await round();
    const ids = traces.map(({ traceId }) => traceId);
    return await again(() => disagreements(valet.api, id, ids, receiver));
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  } finally {
    backend.heal(id);
  }
}

/** Sends a message, and waits until it is done. */
async function answered({ api }: ValetProcess, sessionId: string, id: string): Promise<void> {
  await again(() => api.sendMessage(sessionId, { content: "Answer at once.", id }));
  await reaches(api, sessionId, id, "done");
}

function reaches(api: ApiClient, sessionId: string, id: string, status: "accepted" | "done") {
  const message = async () => (await again(() => api.messages(sessionId))).find((each) => each.id === id);
  return waitFor(`the message to be ${status}`, message, (found) => found?.status === status, TIMEOUT_MS);
}

/** Waits until the message's certificate is as expected. @throws Error with the last one, after a timeout */
async function certified(
  api: ApiClient,
  sessionId: string,
  id: string,
  what: string,
  isExpected: (certificate: MessageCertificate) => boolean,
): Promise<MessageCertificate> {
  let last: MessageCertificate | undefined;
  const certificate = async () => {
    last = await again(() => api.certifyMessage(sessionId, id));
    return last;
  };
  try {
    return await waitFor(what, certificate, isExpected, TIMEOUT_MS);
  } catch (error) {
    throw new Error(`${(error as Error).message} The last certificate was ${JSON.stringify(last)}`);
  }
}

/** The message's spans wait while the fault lasts, and arrive once it is over. */
async function delay({ valet, backend }: FaultWorld, fault: Fault, sessionId: string, id: string) {
  const { api } = valet;
  backend.fail(sessionId, fault);
  await answered(valet, sessionId, id);
  const hasFailed = ({ traces }: MessageCertificate) =>
    traces.some((trace) => trace.open === 0 && (trace.export?.waiting ?? 0) > 0 && trace.export?.reason != null);
  await certified(api, sessionId, id, "the export's failure", hasFailed);
  backend.heal(sessionId);
  await again(() => api.resend(sessionId));
  return certified(api, sessionId, id, "a complete trace", ({ state }) => state === "complete");
}

/** Spans of the message are lost, and the certificate says so. */
async function lose({ valet, backend }: FaultWorld, fault: Fault, sessionId: string, id: string) {
  backend.fail(sessionId, fault);
  await answered(valet, sessionId, id);
  const isSettled = ({ state, traces }: MessageCertificate) =>
    state === "incomplete" && traces.every((trace) => trace.open === 0 && trace.export?.waiting === 0);
  return certified(valet.api, sessionId, id, "an incomplete trace of which nothing waits", isSettled);
}

/** A process is killed while a tool of the turn runs. Nothing that the session has heard of is lost. */
async function kill({ valet }: FaultWorld, part: Part, sessionId: string, id: string) {
  const { api } = valet;
  await again(() => api.sendMessage(sessionId, { content: "Answer slowly.", id }));
  await reaches(api, sessionId, id, "accepted");
  if (!valet.kill(part, part === "workerd" ? undefined : sessionId)) throw new Error(`${part} was not running`);
  await reaches(api, sessionId, id, "done");
  return certified(api, sessionId, id, "a complete trace", ({ state }) => state === "complete");
}

/** Runs the faults that are simulated in workerd. @returns what failed */
async function runSimulated(): Promise<string[]> {
  const cwd = resolve(import.meta.dirname, "../../packages/worker");
  const vitest = resolve(import.meta.dirname, "../../node_modules/vitest/vitest.mjs");
  const child = spawn(process.execPath, [vitest, "run", SIMULATED], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const [code] = await once(child, "close");
  return code === 0 ? [] : [output.slice(-2000)];
}
