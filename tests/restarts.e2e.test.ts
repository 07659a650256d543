/**
 * Sessions over restarts of `valet up`: their files stay, nothing waits for lost runners, and no attempt is used up.
 */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { waitFor } from "../packages/cli/src/wait.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { ScriptedSystem } from "./scripted-system.ts";

const TIMEOUT_MS = 90_000;
/** One after a crash, and one after a stop. That more use up no attempt to recover is tested in the Worker's package. */
const RESTARTS = 2;

const scenario = parseScenario(
  JSON.stringify({
    name: "restarts",
    rules: [
      { name: "title", when: { agent: "title" }, reply: [{ text: "Restarts" }] },
      {
        name: "work",
        when: { userContains: "work" },
        turn: [
          [{ tool: "bash", arguments: { command: "echo more >> work.txt" } }, { usage: { input: 80, output: 3 } }],
          [{ text: "Done." }, { usage: { input: 90, output: 3 } }],
        ],
      },
    ],
  }),
  "restarts",
);

let system: ScriptedSystem;

beforeAll(async () => {
  // With this grace period, waiting for a lost runner would exceed the test's timeout.
  system = await ScriptedSystem.start(scenario, { VALET_GRACE_MS: String(10 * TIMEOUT_MS) });
}, TIMEOUT_MS);

afterAll(() => system?.close(), TIMEOUT_MS);

test(
  "an awake session continues with its files after each restart, whether `up` was killed or stopped",
  async () => {
    const { id } = await system.api.createSession({});
    const work = async (messageId: string) => {
      await system.api.sendMessage(id, { content: "work", id: messageId });
      return waitFor(
        "the message's end",
        async () => (await system.api.messages(id)).find((message) => message.id === messageId),
        (message) => message?.status === "done",
        TIMEOUT_MS,
      );
    };
    expect(await work("before")).toMatchObject({ outcome: "ok" });
    for (let restarts = 1; restarts <= RESTARTS; restarts++) {
      if (restarts % 2 === 0) await system.valet.stop();
      else await system.valet.crash();
      await system.startAgain();
      expect(await work(`after-${restarts}`), `restart ${restarts}`).toMatchObject({ outcome: "ok", attempts: 1 });
      const [file, ...others] = globSync("broker/sandboxes/*/workspace/work.txt", { cwd: system.stateDir });
      expect(others).toEqual([]);
      expect(readFileSync(join(system.stateDir, file ?? ""), "utf8")).toBe("more\n".repeat(restarts + 1));
    }
    expect((await system.api.session(id)).status).toBe("running");
  },
  3 * TIMEOUT_MS,
);
