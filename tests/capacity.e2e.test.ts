/** More sessions than this system may have awake: real sandboxes, one at a time, until every session has its answer. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { waitFor } from "../packages/cli/src/wait.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { ScriptedSystem } from "./scripted-system.ts";

const TIMEOUT_MS = 300_000;
const SESSIONS = 3;

const scenario = parseScenario(
  JSON.stringify({
    name: "capacity",
    rules: [
      { name: "title", when: { agent: "title" }, reply: [{ text: "Capacity" }] },
      { name: "work", when: { userContains: "work" }, turn: [[{ text: "Done." }]] },
    ],
  }),
  "capacity",
);

let system: ScriptedSystem;

beforeAll(async () => {
  system = await ScriptedSystem.start(scenario, { VALET_MAX_AWAKE: "1", VALET_MAX_STARTING: "1" });
}, TIMEOUT_MS);

afterAll(() => system?.close(), TIMEOUT_MS);

/** Returns the sandboxes that have a folder now. */
function sandboxes(): string[] {
  return readdirSync(join(system.stateDir, "broker/sandboxes")).filter((name) => !name.includes("."));
}

test(
  "each waits with its place and is answered in its turn; one that hibernates for another is answered after it wakes",
  async () => {
    const { api } = system;
    const ids: string[] = [];
    for (let nth = 0; nth < SESSIONS; nth++) ids.push((await api.createSession({ prompt: "work" })).id);
    let most = 0;
    const places = new Map<string, Set<number>>();
    const look = async (id: string) => {
      most = Math.max(most, sandboxes().length);
      const [message] = await api.messages(id);
      const { queueReason, capacityPlace } = message ?? {};
      if (queueReason === "capacity" && capacityPlace !== undefined) {
        places.set(id, (places.get(id) ?? new Set()).add(capacityPlace));
      }
      return message;
    };
    const answers = ids.map((id) =>
      waitFor(
        `the answer of ${id}`,
        () => look(id),
        (message) => message?.status === "done",
        TIMEOUT_MS,
      ),
    );
    expect((await Promise.all(answers)).map((message) => message?.outcome)).toEqual(ids.map(() => "ok"));
    expect(most).toBe(1);
    expect(places.get(ids.at(-1) as string)).toContain(1);
    expect(Math.max(...(places.get(ids.at(-1) as string) ?? []))).toBeGreaterThan(1);

    const [first = ""] = ids;
    await waitFor(
      "the first to sleep",
      () => api.session(first),
      ({ status }) => status === "hibernated",
      TIMEOUT_MS,
    );
    await api.sendMessage(first, { content: "work", id: "again" });
    const again = async () => (await api.messages(first)).find(({ id }) => id === "again");
    const woken = await waitFor("the answer", again, (message) => message?.status === "done", TIMEOUT_MS);
    expect(woken).toMatchObject({ outcome: "ok" });
    expect(sandboxes()).toHaveLength(1);
  },
  TIMEOUT_MS,
);
