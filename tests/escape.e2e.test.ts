/**
 * The agent that tries: by its real shell it looks for what is not its own. Everything that it must not get contains a canary, which
 * these tests plant; an agent that reads all that it can must not meet one. Where this machine allows no wall, they are skipped.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readConnection } from "../packages/cli/src/system/state.ts";
import { readSpans } from "../packages/cli/src/trace-tree.ts";
import { findNoNetwork, findNoWall } from "../packages/sandbox/src/index.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { plantBait, tryNetwork } from "./escape/network.ts";
import { SEARCH_FILES, SEARCH_MEMORY } from "./escape/secrets.ts";
import { ScriptedSystem } from "./scripted-system.ts";

const TIMEOUT_MS = 120_000;
const CANARY = `canary-${crypto.randomUUID()}`;
const WRITTEN_BYTES = 16 * 1024;
const isRoot = process.getuid?.() === 0;
const missing = await findNoWall();
const noNetwork = missing ?? (await findNoNetwork());
const bait = await plantBait(`${CANARY}-loopback`);

const plant = (name: string) => `${CANARY}-${name}`;
const bash = (command: string) => [
  [{ tool: "bash", arguments: { command, description: "Tries" } }],
  [{ text: "Done." }],
];

const scenario = parseScenario(
  JSON.stringify({
    name: "escape",
    rules: [
      {
        name: "victim",
        when: { userContains: "[victim]" },
        turn: bash(`echo ${plant("workspace")} > kept.txt; echo ${plant("home")} > ~/kept.txt; sleep 0.1`),
      },
      {
        name: "tries",
        when: { userContains: "[tries]" },
        turn: bash(`(${SEARCH_FILES}; ${SEARCH_MEMORY}\n) > seen.txt; echo looked`),
      },
      {
        name: "connects",
        when: { userContains: "[connects]" },
        turn: bash(`(${tryNetwork(bait)}) > answered.txt 2>&1; echo tried`),
      },
      {
        name: "writes",
        when: { userContains: "[writes]" },
        turn: [
          [{ tool: "write", arguments: { filePath: "large.txt", content: "x".repeat(WRITTEN_BYTES) } }],
          [{ text: "Done." }],
        ],
      },
      { name: "kills", when: { userContains: "[kills]" }, turn: bash("kill -9 -1; echo killed") },
      { name: "other", when: {}, turn: [[{ text: "Still here." }]] },
    ],
  }),
  "escape",
);

describe.skipIf(missing !== undefined)(
  `an agent behind a wall${missing === undefined ? "" : ` (skipped: ${missing.reason})`}`,
  () => {
    let system: ScriptedSystem;
    /** A session with something to find. */
    let victim: string;
    /** Another one, whose agent tries. */
    let attacker: string;
    let planted: string;
    let inHome: string;
    let inPrograms: string | undefined;

    beforeAll(async () => {
      planted = mkdtempSync(join(tmpdir(), "valet-escape-"));
      writeFileSync(join(planted, "secret"), plant("tmp"), { mode: 0o644 });
      inHome = mkdtempSync(join(homedir(), ".valet-escape-"));
      writeFileSync(join(inHome, "credentials"), plant("host-home"));
      if (isRoot) {
        // What only root may read, where everybody may read the rest: an ordinary user cannot put it there.
        inPrograms = mkdtempSync("/opt/valet-escape-");
        chmodSync(inPrograms, 0o755);
        writeFileSync(join(inPrograms, "settings"), plant("settings-of-a-program"), { mode: 0o600 });
        mkdirSync(join(inPrograms, "keys"), { mode: 0o700 });
        writeFileSync(join(inPrograms, "keys", "key"), plant("key-of-a-program"));
      }
      system = await ScriptedSystem.start(scenario, {
        // A key of the backend and a variable of the host: neither may be anywhere behind the wall.
        OTEL_EXPORTER_OTLP_HEADERS: `authorization=${plant("otlp")}`,
        VALET_MODEL_API_KEY: plant("model-key"),
        SOME_KEY_OF_THE_HOST: plant("environment"),
      });
      const create = async () => (await system.api.createSession({})).id;
      [victim, attacker] = await Promise.all([create(), create()]);
      expect(await say(victim, "[victim]")).toMatchObject({ outcome: "ok" });
    }, TIMEOUT_MS);

    afterAll(async () => {
      bait.close();
      await system?.close();
      for (const folder of [planted, inHome, inPrograms ?? planted]) rmSync(folder, { recursive: true, force: true });
    }, TIMEOUT_MS);

    const say = (sessionId: string, content: string) => system.say(sessionId, content, TIMEOUT_MS);

    test(
      "it finds no canary: not of another session, the model's key, the host's home, environment or telemetry, and no secret of the broker or of OpenCode",
      async () => {
        expect(await say(attacker, "[tries]")).toMatchObject({ outcome: "ok" });
        const seen = workspaceFile("seen.txt");
        expect(seen.match(new RegExp(`${CANARY}-[\\w-]+`, "g")) ?? []).toEqual([]);
        for (const secret of Object.values(
          JSON.parse(readFileSync(join(system.stateDir, "secrets.json"), "utf8")),
        ).flat()) {
          if (typeof secret === "string" && secret.length >= 16) expect(seen).not.toContain(secret);
        }
        expect(seen).not.toContain("VALET_RUNNER_TOKEN");
        // What OpenCode is started with: its password and the secret of the runner's server for tools.
        const own = secretsOfAgents();
        expect(own.length).toBeGreaterThanOrEqual(2);
        for (const secret of own) expect(seen).not.toContain(secret);
        // Neither does it read anything of the machine that is not for everybody, such as the keys of servers, even if the broker is root.
        expect(seen.match(/^private \S+/gm) ?? []).toEqual([]);
        expect(seen).toContain("looked at private files");
        expect(seen).toContain("looked at memory");
        expect(seen).toMatch(/^process \d+ opencode/m);
        expect(seen).not.toMatch(/^attached opencode/m);
      },
      TIMEOUT_MS,
    );

    const reason = noNetwork === undefined ? "" : ` (skipped: ${noNetwork.reason})`;
    describe.skipIf(noNetwork !== undefined)(`with a network of its own${reason}`, () => {
      test(
        "nothing of this machine answers it but what it needs",
        async () => {
          expect(await say(attacker, "[connects]")).toMatchObject({ outcome: "ok" });
          const answered = workspaceFile("answered.txt");
          expect(answered).not.toContain(CANARY);
          // Refused at once, as opposed to a timeout.
          expect(answered.match(/metadata \d+/g)).toEqual(Array(5).fill("metadata 7"));
          const open = [...answered.matchAll(/^open (\d+)$/gm)].map(([, port]) => Number(port));
          const { url, brokerUrl } = readConnection(system.stateDir) ?? {};
          const others = [url, brokerUrl].map((each) => Number(new URL(each as string).port));
          for (const port of [bait.port, ...others]) expect(open).not.toContain(port);
          // OpenCode itself, the runner's two servers, and the model.
          expect(open).toContain(Number(new URL(system.model.url).port));
          expect(new Set(open).size).toBeLessThanOrEqual(4);
        },
        TIMEOUT_MS,
      );
    });

    test(
      "what OpenCode itself writes counts, although it hides from the runner's user, and the start says which wall stands",
      async () => {
        const { outcome, traceId } = await say(attacker, "[writes]");
        expect(outcome).toBe("ok");
        const turn = (await system.api.turns(attacker)).find((each) => each.trace_id === traceId);
        expect(turn?.disk_written_bytes).toBeGreaterThanOrEqual(WRITTEN_BYTES);
        const traces = await system.api.traces(attacker);
        const spans = await Promise.all(
          traces.map(async (each) => readSpans(await system.api.trace(attacker, each.traceId))),
        );
        const starts = spans.flat().filter(({ name }) => name === "valet.sandbox.spawn");
        expect(starts.map(({ attributes }) => attributes["valet.sandbox.isolation"])).toEqual(["bwrap"]);
      },
      TIMEOUT_MS,
    );

    test(
      "it ends its own processes and nobody else's",
      async () => {
        await say(attacker, "[kills]");
        // The session goes on, whatever became of that turn, and so does everybody else.
        expect(await say(attacker, "Are you there?")).toMatchObject({ outcome: "ok" });
        expect(await say(victim, "Are you there?")).toMatchObject({ outcome: "ok" });
        expect((await system.api.session(victim)).generation).toBe(1);
      },
      TIMEOUT_MS,
    );

    /** Returns the secrets in the environments of the OpenCodes that this system runs. */
    function secretsOfAgents(): string[] {
      return readdirSync("/proc")
        .map((pid) => readIfAllowed(join("/proc", pid, "environ")))
        .filter((environment) => environment.includes(system.stateDir))
        .flatMap((environment) => environment.split("\0"))
        .flatMap((each) => /^(?:OPENCODE_SERVER_PASSWORD|VALET_TOOLS_SECRET)=(.+)/.exec(each)?.[1] ?? []);
    }

    /** Reads a file of the only workspace that has it. */
    function workspaceFile(name: string): string {
      const folder = join(system.stateDir, "broker", "sandboxes");
      const found = readdirSync(folder)
        .map((each) => join(folder, each, "workspace", name))
        .filter((path) => existsSync(path));
      expect(found).toHaveLength(1);
      return readFileSync(found[0] as string, "utf8");
    }
  },
);

function readIfAllowed(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
