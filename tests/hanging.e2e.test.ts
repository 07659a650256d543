/** What `valet trace` shows while a provider hangs: silent, sending comments only, or silent after some text. */
import { afterAll, beforeAll, test } from "vitest";
import { treeLines } from "../packages/cli/src/commands/trace.ts";
import { readSpans } from "../packages/cli/src/trace-tree.ts";
import { waitFor } from "../packages/cli/src/wait.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { ScriptedSystem } from "./scripted-system.ts";

const TIMEOUT_MS = 300_000;

const scenario = parseScenario(
  JSON.stringify({
    name: "hanging",
    rules: [
      { name: "silent", when: { userContains: "[silent]" }, reply: ["hang"] },
      { name: "comments", when: { userContains: "[comments]" }, reply: [{ ping: { everyMs: 200 } }] },
      { name: "stops", when: { userContains: "[stops]" }, reply: [{ text: "I beg" }, "hang"] },
    ],
  }),
  "hanging",
);

let system: ScriptedSystem;

beforeAll(async () => {
  system = await ScriptedSystem.start(scenario);
}, TIMEOUT_MS);

afterAll(() => system?.close(), TIMEOUT_MS);

/** Returns what stands behind the age of the `chat` that is open in any trace of a session. */
async function chatNote(id: string): Promise<string> {
  for (const { traceId } of await system.api.traces(id)) {
    for (const line of treeLines(readSpans(await system.api.trace(id, traceId)))) {
      const [, note] = /… chat \S+ {2}open [^,]+, (.*)$/.exec(line) ?? [];
      if (note !== undefined) return note;
    }
  }
  return "";
}

test(
  "the open model call says what was heard last of its provider",
  async () => {
    const { api } = system;
    const { id } = await api.createSession({ prompt: "[silent]" });
    const see = (pattern: RegExp) =>
      waitFor(
        String(pattern),
        () => chatNote(id),
        (note) => pattern.test(note),
        TIMEOUT_MS,
      );
    const abort = async () => {
      await api.change(id, "abort");
      await waitFor(
        "rest",
        () => api.session(id),
        ({ agent }) => agent === "idle",
        TIMEOUT_MS,
      );
    };
    await see(/^no byte yet$/);
    await abort();

    await api.sendMessage(id, { content: "[comments]" });
    await see(/^no text yet, last byte \d+ s ago$/);
    // They go on: a later byte is heard.
    const since = Date.now();
    const heardMs = async () => {
      const [, ageS] = /^no text yet, last byte (\d+) s ago$/.exec(await chatNote(id)) ?? [];
      return ageS === undefined ? 0 : Date.now() - Number(ageS) * 1000;
    };
    await waitFor("another byte", heardMs, (ms) => ms > since + 2000, TIMEOUT_MS);
    await abort();

    await api.sendMessage(id, { content: "[stops]" });
    await see(/^last text .+ ago$/);
    await abort();
  },
  TIMEOUT_MS,
);
