/**
 * State directories of earlier versions, opened by this one. Each is kept in `tests/states` as it was when its `valet
 * up` was killed: with a hibernated session whose agent had written a file, and one during a turn.
 *
 * To make one: in a working copy of that version, run `valet up` on `/tmp/valet-<version>/state` with a scripted model;
 * create a session on `file:///tmp/valet-<version>/repository` that answers a message by `echo kept > notes.txt` and
 * hibernates, and another that has answered a message and runs `echo half > unfinished.txt; sleep 600`; write both ids
 * to `sessions.json` beside the state; then SIGKILL `up` and workerd. Leave out caches (`home/.bun`, `tmp`, `*-shm`),
 * pack the folder with `tar` and compress it with Brotli.
 */

import { execFileSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { STATE_FORMAT } from "../packages/cli/src/system/state-format.ts";
import { waitFor } from "../packages/cli/src/wait.ts";
import { type ScriptedModel, startScriptedModel } from "../packages/scripted-model/src/index.ts";
import { scenario } from "./soak/scenario.ts";
import { ValetProcess } from "./soak/valet-process.ts";
import { modelVariables } from "./valet-up.ts";

const STATES = join(import.meta.dirname, "states");
const TIMEOUT_MS = 120_000;

let model: ScriptedModel;
const folders: string[] = [];

beforeAll(async () => {
  model = await startScriptedModel({ scenario });
});

afterAll(async () => {
  await model?.close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Unpacks a state directory to another path than the one at which it was written. */
function unpack(name: string): { state: string; sleeping: string; running: string } {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "valet-state-")));
  folders.push(folder);
  execFileSync("tar", ["-x", "-C", folder], { input: brotliDecompressSync(readFileSync(join(STATES, name))) });
  return { state: join(folder, "state"), ...JSON.parse(readFileSync(join(folder, "sessions.json"), "utf8")) };
}

/** Returns the contents of the files with this name in the state's sandbox folders. */
function workspaceFile(state: string, name: string): string[] {
  return globSync(`broker/sandboxes/*/workspace/${name}`, { cwd: state }).map((path) =>
    readFileSync(join(state, path), "utf8"),
  );
}

describe.each(["ad59303.tar.br", "3297def.tar.br"])("the state %s", (name) => {
  let valet: ValetProcess;
  let opened: ReturnType<typeof unpack>;

  beforeAll(async () => {
    opened = unpack(name);
    valet = await ValetProcess.start(opened.state, modelVariables(model));
  }, TIMEOUT_MS);

  afterAll(async () => {
    await valet?.stop();
  }, 60_000);

  const ended = (sessionId: string, id: string) =>
    waitFor(
      `the end of ${id}`,
      async () => (await valet.api.messages(sessionId)).find((message) => message.id === id),
      (message) => message?.status === "done",
      TIMEOUT_MS,
    );

  test("is opened, with its token, and restricted to its owner", async () => {
    const { token } = JSON.parse(readFileSync(join(unpack(name).state, "secrets.json"), "utf8"));
    expect(JSON.parse(readFileSync(join(opened.state, "secrets.json"), "utf8")).token).toBe(token);
    expect((await valet.api.sessions()).map(({ id }) => id).sort()).toEqual([opened.running, opened.sleeping].sort());
    expect(statSync(opened.state).mode & 0o777).toBe(0o700);
    expect(existsSync(join(opened.state, "workerd.json"))).toBe(false);
    expect(JSON.parse(readFileSync(join(opened.state, "format.json"), "utf8"))).toEqual({ format: STATE_FORMAT });
  });

  test("is opened without a failure, though sessions wake before the database has the tables of this version", () => {
    expect(valet.log()).not.toContain("failed");
  });

  test(
    "has a hibernated session: it remembers the conversation, wakes with its files, and answers",
    async () => {
      const before = await valet.api.messages(opened.sleeping);
      expect(before).toMatchObject([{ id: "msg_before", outcome: "ok", content: "remember: blue" }]);
      expect((await valet.api.session(opened.sleeping)).status).toBe("hibernated");
      await valet.api.sendMessage(opened.sleeping, { content: "quickly", id: "after" });
      expect(await ended(opened.sleeping, "after")).toMatchObject({ outcome: "ok", attempts: 1 });
      expect(workspaceFile(opened.state, "notes.txt")).toEqual(["kept\n"]);
      expect((await valet.api.traces(opened.sleeping)).length).toBeGreaterThan(before.length);
    },
    TIMEOUT_MS,
  );

  test(
    "has a running turn: it is lost, its message is retried once with the same files, and the next is answered",
    async () => {
      expect(await ended(opened.running, "msg_running")).toMatchObject({ outcome: "ok", attempts: 2 });
      expect(workspaceFile(opened.state, "unfinished.txt")).toEqual(["half\n"]);
      const turns = await valet.api.turns(opened.running);
      expect(turns.map(({ outcome }) => outcome).sort()).toEqual(["lost", "ok", "ok"]);
      await valet.api.sendMessage(opened.running, { content: "quickly", id: "after" });
      expect(await ended(opened.running, "after")).toMatchObject({ outcome: "ok", attempts: 1 });
    },
    TIMEOUT_MS,
  );
});
