/** The whole system, with processes that are killed during a turn: runner, OpenCode, workerd. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { waitFor, waitForStatus } from "../packages/cli/src/wait.ts";
import { certified } from "./certified.ts";
import { startOtlpReceiver, type TraceReceiver } from "./otlp-receiver.ts";
import { ScriptedSystem } from "./scripted-system.ts";
import { faultsIn } from "./soak/check-traces.ts";
import { scenario } from "./soak/scenario.ts";
import type { Part } from "./soak/valet-process.ts";

const TIMEOUT_MS = 90_000;

let receiver: TraceReceiver;
let system: ScriptedSystem;
let sessionId: string;
/** The runners that waited before the session was created. */
let waiting: readonly number[];
const messageIds: string[] = [];

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  system = await ScriptedSystem.start(scenario, {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_BSP_SCHEDULE_DELAY: "200",
    VALET_GRACE_MS: "10000",
  });
  waiting = await waitFor(
    "a runner that waits",
    async () => system.valet.waiting(),
    (pids) => pids.length > 0,
    TIMEOUT_MS,
  );
  ({ id: sessionId } = await system.api.createSession({}));
  await waitForStatus(system.api, sessionId, ["running"], TIMEOUT_MS);
}, 180_000);

afterAll(async () => {
  await system?.close();
  await receiver?.close();
}, 60_000);

/** Returns the session's only message with this content, or `undefined` while the Worker is down. */
async function messageOf(id: string) {
  const messages = await system.api.messages(sessionId).catch(() => []);
  return messages.find((message) => message.id === id);
}

/** Sends a message, and kills a process once its tool runs. @returns the message when it is done */
async function killInTurn(part: Part, id: string) {
  messageIds.push(id);
  await system.api.sendMessage(sessionId, { content: "slowly", id });
  const slowCalls = () => system.model.requests().filter(({ rule }) => rule === "slow").length;
  const before = slowCalls();
  await waitFor(
    "the turn",
    async () => slowCalls(),
    (count) => count > before,
    TIMEOUT_MS,
  );
  expect(system.valet.kill(part, part === "workerd" ? undefined : sessionId)).toBe(true);
  return waitFor(
    "the message",
    () => messageOf(id),
    (message) => message?.status === "done",
    TIMEOUT_MS,
  );
}

test("the session has the runner that waited for it", () => {
  expect(waiting).toHaveLength(1);
  expect(system.valet.find("runner", sessionId)).toEqual(waiting);
});

test(
  "the runner is killed during a turn: the message is retried once",
  async () => {
    expect(await killInTurn("runner", "runner")).toMatchObject({ outcome: "ok", attempts: 2 });
  },
  TIMEOUT_MS,
);

test(
  "OpenCode is killed during a turn: the message fails with the reason, and the next is answered",
  async () => {
    expect(await killInTurn("opencode", "opencode")).toMatchObject({ outcome: "error", errorType: "opencode_died" });
    messageIds.push("next");
    await system.api.sendMessage(sessionId, { content: "quickly", id: "next" });
    const next = await waitFor(
      "the next",
      () => messageOf("next"),
      (message) => message?.status === "done",
      TIMEOUT_MS,
    );
    expect(next).toMatchObject({ outcome: "ok" });
  },
  TIMEOUT_MS,
);

test(
  "workerd is killed during a turn: the message ends, and so does every operation",
  async () => {
    expect(await killInTurn("workerd", "workerd")).toMatchObject({ outcome: "ok" });
    await system.api.change(sessionId, "terminate");
    await waitForStatus(system.api, sessionId, ["terminated"], TIMEOUT_MS);
    const faults = async () => faultsIn(receiver.spans(), messageIds);
    const isExported = () => receiver.spans().some(({ name }) => name === "valet.session.terminate");
    await waitFor("the spans", async () => isExported() && (await faults()).length === 0, Boolean, TIMEOUT_MS).catch(
      () => {},
    );
    expect(await faults()).toEqual([]);
    const { ok, traces } = await certified(system.api, sessionId, receiver);
    expect(ok).toBe(true);
    // The session has sealed what the killed runner had open, and says since when it knows nothing of it.
    const causes = traces.flatMap(({ sealed }) => sealed);
    expect(causes.filter(({ cause, unseenAfter }) => cause === null || unseenAfter === null)).toEqual([]);
    expect(causes.length).toBeGreaterThan(0);
    expect(system.valet.left()).toEqual([]);
  },
  TIMEOUT_MS,
);
