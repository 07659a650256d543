/** What the programs that the real OpenCode starts, and the files that an agent may write, get of its secrets: nothing. */
import { Database } from "bun:sqlite";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { parseScenario } from "@valet/scripted-model";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { dispatchOf, MODEL, RealAgent } from "../../test/real-agent.ts";
import { JobRunner } from "../jobs/job-runner.ts";
import { SecretValues } from "../secrets/secret-values.ts";
import { OpenCodeAgent } from "./agent.ts";
import { OpenCode } from "./opencode.ts";
import type { OpenCodeOptions } from "./opencode-options.ts";

const MODEL_KEY = "key-of-the-model";
const PROVIDER_KEY = "key-of-the-provider";
const rules = [
  {
    name: "greps",
    when: { userContains: "[grep]" },
    turn: [[{ tool: "grep", arguments: { pattern: "a" } }], [{ text: "Done." }]],
  },
  {
    name: "env",
    when: { userContains: "[env]" },
    turn: [[{ tool: "bash", arguments: { command: "env" } }], [{ text: "Done." }]],
  },
];

let real: RealAgent;
/** Every secret of this test's OpenCode, its password included. */
let secrets: string[];
/** Receives what is sent to the agent's own server. */
let received: string[];
let url: string;

beforeEach(async () => {
  real = new RealAgent();
  secrets = [];
  received = [];
  const server = createServer((request, response) => {
    received.push(`${request.url} ${JSON.stringify(request.headers)}`);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ config: { provider: { valet: { options: { baseURL: url } } } } }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  closeServer = () => server.close();
});
let closeServer: () => void;
afterEach(async () => {
  await real.stop();
  closeServer();
});

/** Puts programs first in `PATH` that write down the environment they are started with. */
function spyOnPrograms(): { readonly path: string; seen(name: string): string } {
  const folder = temporaryFolder();
  for (const name of ["git", "rg"]) {
    const program = name === "git" ? execFileSync("/bin/sh", ["-c", "command -v git"]).toString().trim() : "/bin/true";
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\ntr '\\0' '\\n' </proc/$$/environ >>${folder}/${name}.seen\nexec ${program} "$@"\n`);
    chmodSync(path, 0o755);
  }
  return {
    path: [folder, process.env.PATH].join(delimiter),
    seen: (name) => readFileSync(join(folder, `${name}.seen`), "utf8"),
  };
}

interface Choices {
  readonly env?: Readonly<Record<string, string>>;
  readonly model?: string;
  readonly providerKeys?: Readonly<Record<string, string>>;
  /** Called when the workspace has its commit, before OpenCode starts. */
  spoil?(): void;
}

/** Starts OpenCode. @returns how to run a turn, and how to start OpenCode again */
async function start({ env = {}, model = MODEL, providerKeys = {}, spoil }: Choices = {}) {
  let options: OpenCodeOptions | undefined;
  await real.start({
    scenario: parseScenario(JSON.stringify({ name: "secrets", rules }), "secrets"),
    tools: { answer: async () => ({ ok: false, error: "none" }), permitModelCall: async () => ({}) },
    env,
    change: (usual) => {
      spoil?.();
      const known = {
        add: (...values: (string | undefined)[]) => secrets.push(...values.flatMap((value) => value || [])),
      };
      const change = {
        ...(spoil === undefined && { secrets: Object.assign(new SecretValues(), known) }),
        modelAccess: { ...usual.modelAccess, model, providerKeys },
      };
      options = { ...usual, ...change };
      return change;
    },
  });
  let opencode = real.opencode;
  return {
    run: async (text: string) => {
      const runner = new JobRunner({
        agent: new OpenCodeAgent(opencode),
        tracer: real.tracer,
        captureContent: false,
        defaultModel: model,
        stuckTurnMs: 20_000,
        workspace: real.workspace,
        env: process.env,
        onPart: () => {},
        onStep: () => {},
        onCommand: async () => {},
        onWorking: () => {},
        onAsked: () => {},
      });
      return runner.run(dispatchOf(text)).done;
    },
    restart: () => {
      const again = new OpenCode(options as OpenCodeOptions);
      onTestFinished(() => again.stop());
      opencode = again;
    },
  };
}

test("no program that OpenCode starts has a secret in its environment, not the first one either", async () => {
  const programs = spyOnPrograms();
  const { run } = await start({
    env: { PATH: programs.path },
    providerKeys: { ANTHROPIC_API_KEY: PROVIDER_KEY },
  });
  expect((await run("[grep]")).outcome).toBe("ok");
  const { parts } = await run("[env]");
  const seen = [programs.seen("git"), programs.seen("rg"), JSON.stringify(parts)];
  expect(secrets).toEqual(expect.arrayContaining([MODEL_KEY, PROVIDER_KEY]));
  expect(secrets.length).toBeGreaterThanOrEqual(4);
  for (const text of seen) {
    expect(text).toContain("HOME=");
    for (const secret of secrets) expect(text).not.toContain(secret);
  }
}, 90_000);

test("OpenCode's git runs nothing that an agent has put into a repository's configuration", async () => {
  const stolen = join(temporaryFolder(), "stolen");
  const { run } = await start({
    spoil: () => {
      const program = `sh -c "env >>${stolen}"`;
      const settings = {
        "core.repositoryformatversion": "1",
        "extensions.partialClone": "e",
        "remote.e.promisor": "true",
        "remote.e.url": "ssh://x/y",
        "core.sshCommand": program,
        "core.fsmonitor": program,
        "core.pager": program,
        "core.editor": program,
        "diff.external": program,
      };
      for (const [name, value] of Object.entries(settings)) {
        execFileSync("git", ["config", name, value], { cwd: real.workspace });
      }
      // A commit that is missing is fetched.
      writeFileSync(join(real.workspace, ".git/HEAD"), "1".repeat(40));
    },
  });
  expect((await run("[env]")).outcome).toBe("ok");
  expect(existsSync(stolen)).toBe(false);
}, 90_000);

test("a catalogue of models that an agent has left in its home is not read", async () => {
  const models = { "planted-1": { id: "planted-1", name: "Planted", limit: { context: 9, output: 9 } } };
  const { run } = await start({
    model: "anthropic/planted-1",
    providerKeys: { ANTHROPIC_API_KEY: PROVIDER_KEY },
    spoil: () => {
      const folder = join(real.home, ".cache/opencode");
      mkdirSync(folder, { recursive: true });
      const planted = {
        id: "anthropic",
        name: "Anthropic",
        env: ["ANTHROPIC_API_KEY"],
        npm: "@ai-sdk/anthropic",
        api: `${url}/v1`,
        models,
      };
      writeFileSync(join(folder, "models.json"), JSON.stringify({ anthropic: planted }));
    },
  });
  expect(await run("Hello.")).toMatchObject({ outcome: "error", summary: { modelCalls: 0 } });
  expect(received).toEqual([]);
}, 90_000);

test("an account that an agent has put into OpenCode's database configures nothing", async () => {
  const { run, restart } = await start();
  expect((await run("[env]")).outcome).toBe("ok");
  await real.opencode.stop();
  const path = join(real.home, ".local/share/opencode/opencode.db");
  const database = new Database(path);
  const insert = (table: string, values: Record<string, unknown>) => {
    const columns = database.query(`SELECT name, "notnull", type FROM pragma_table_info('${table}')`).all() as {
      name: string;
      notnull: number;
      type: string;
    }[];
    const row = columns.map(
      ({ name, notnull, type }) => values[name] ?? (notnull ? (/int/i.test(type) ? 9e12 : "x") : null),
    );
    database.run(`INSERT INTO ${table} VALUES (${columns.map(() => "?").join()})`, row as never);
  };
  insert("account", { id: "acc_1", url, email: "a@b.c", access_token: "t", refresh_token: "r" });
  insert("account_state", { id: 1, active_account_id: "acc_1", active_org_id: "org_1" });
  database.close();
  restart();
  expect((await run("[env]")).outcome).toBe("ok");
  expect(received).toEqual([]);
}, 90_000);
