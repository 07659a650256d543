/** Sessions over restarts of `valet up`: their files stay, nobody waits for runners that are gone, and no attempt is used up. */

import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { waitFor } from "../packages/cli/src/wait.ts";
import { parseScenario, type ScriptedModel, startScriptedModel } from "../packages/scripted-model/src/index.ts";
import { ValetProcess } from "./soak/valet-process.ts";
import { modelVariables } from "./valet-up.ts";

const TIMEOUT_MS = 90_000;
/** More than the attempts that a session has to recover. */
const RESTARTS = 4;

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

let model: ScriptedModel;
let stateDir: string;
let valet: ValetProcess;

const start = () =>
  ValetProcess.start(stateDir, {
    ...modelVariables(model),
    // Whoever waits for a runner that is gone waits for longer than this test.
    VALET_GRACE_MS: String(10 * TIMEOUT_MS),
  });

beforeAll(async () => {
  model = await startScriptedModel({ scenario });
  stateDir = mkdtempSync(join(tmpdir(), "valet-restarts-"));
  valet = await start();
}, TIMEOUT_MS);

afterAll(async () => {
  await valet?.stop();
  await model?.close();
  if (stateDir !== undefined) rmSync(stateDir, { recursive: true, force: true });
}, TIMEOUT_MS);

test(
  "a session that was awake works on with its files after each, whether `up` was killed or stopped",
  async () => {
    const { id } = await valet.api.createSession({});
    const work = async (messageId: string) => {
      await valet.api.sendMessage(id, { content: "work", id: messageId });
      return waitFor(
        "the message's end",
        async () => (await valet.api.messages(id)).find((message) => message.id === messageId),
        (message) => message?.status === "done",
        TIMEOUT_MS,
      );
    };
    expect(await work("before")).toMatchObject({ outcome: "ok" });
    for (let restarts = 1; restarts <= RESTARTS; restarts++) {
      if (restarts % 2 === 0) await valet.stop();
      else await valet.crash();
      valet = await start();
      expect(await work(`after-${restarts}`), `restart ${restarts}`).toMatchObject({ outcome: "ok", attempts: 1 });
      const [file, ...others] = globSync("broker/sandboxes/*/workspace/work.txt", { cwd: stateDir });
      expect(others).toEqual([]);
      expect(readFileSync(join(stateDir, file ?? ""), "utf8")).toBe("more\n".repeat(restarts + 1));
    }
    expect((await valet.api.session(id)).status).toBe("running");
  },
  3 * TIMEOUT_MS,
);
