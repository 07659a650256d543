/**
 * Everything, with each sandbox in a container of a real engine, Podman or else Docker: a message, a sleep, an agent that tries, a crash
 * of the host. Skipped where this machine cannot run one. All tests share two sessions: the agent of the first works, that of the second attacks.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSpans } from "../packages/cli/src/trace-tree.ts";
import { waitFor } from "../packages/cli/src/wait.ts";
import { describeOneEngine, startEngine, type TestEngine } from "../packages/sandbox/test/engine.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { certified } from "./certified.ts";
import { makeSandboxImage } from "./containers/image.ts";
import { plantBait, tryNetwork } from "./escape/network.ts";
import { SEARCH_FILES, SEARCH_MEMORY } from "./escape/secrets.ts";
import { ATTACKS, bash, LIMITS } from "./limits/attacks.ts";
import { startOtlpReceiver, type TraceReceiver } from "./otlp-receiver.ts";
import { commandOf, livingProcesses, RUNNER, readProcess } from "./processes.ts";
import { ScriptedSystem } from "./scripted-system.ts";
import { CLI } from "./valet-up.ts";

const TIMEOUT_MS = 120_000;
/** The image has some hundred megabytes, and the machine may be busy. */
const SET_UP_MS = 300_000;
const IMAGE = "valet-sandbox-test";
const CANARY = `canary-${crypto.randomUUID()}`;
const bait = await plantBait(`${CANARY}-loopback`);

const plant = (name: string) => `${CANARY}-${name}`;
/** It ends by itself after a while. */
const FORK_BOMB = "b() { [ $SECONDS -lt 40 ] && { b | b & }; }; b; sleep 40";
/** Once the file `go` exists, it starts processes until none can be started; with the file `enough` it does nothing. sh ends when it cannot fork. */
const FILL =
  "[ -e enough ] || { until [ -e go ]; do sleep 0.1; done; rm go; sh -c 'while :; do sleep 73 >/dev/null 2>&1 & done'; sleep 40; }";
/** What it learns of itself, of the runner beside it, and of the host. */
const LOOKS = [
  "id -u; id -G; grep -E '^(CapPrm|CapEff|CapAmb|NoNewPrivs)' /proc/self/status",
  "touch /usr/x /opt/valet/x 2>&1; ls -A /sandbox/runner /root 2>&1",
  'for p in $(ls /proc | grep "^[0-9]"); do [ "$(stat -c %u /proc/$p)" = 1000 ] || { kill -0 $p && echo reached $p; }; done 2>&1',
];

const scenario = parseScenario(
  JSON.stringify({
    name: "containers",
    rules: [
      {
        name: "works",
        when: { userContains: "[works]" },
        turn: bash(`echo ${plant("workspace")} > kept.txt; echo ${plant("home")} > ~/kept.txt; ls -l kept.txt`),
      },
      { name: "reads", when: { userContains: "[reads]" }, turn: bash("cat kept.txt ~/kept.txt > both.txt") },
      {
        name: "tries",
        when: { userContains: "[tries]" },
        turn: bash(`(${SEARCH_FILES}; ${SEARCH_MEMORY}\n) > seen.txt; (${LOOKS.join("; ")}) > looks.txt; kill -9 -1`),
      },
      {
        name: "connects",
        when: { userContains: "[connects]" },
        turn: bash(`(${tryNetwork(bait, [])}) > answered.txt 2>&1`),
      },
      { name: "fills", when: { userContains: "[fills]" }, turn: bash(FILL) },
      { name: "bomb", when: { userContains: "[bomb]" }, turn: bash(FORK_BOMB) },
      ...ATTACKS,
      { name: "other", when: {}, turn: [[{ text: "Still here." }]] },
    ],
  }),
  "containers",
);

describeOneEngine(
  "sessions in containers, which answer, sleep, wake, keep an agent that tries inside, and outlive their host",
  (name) => {
    let engine: TestEngine;
    let system: ScriptedSystem;
    let receiver: TraceReceiver;
    let inHome: string;
    /** A session that has done the work of "[works]". */
    let worker: string;
    /** Another one, whose agent attacks. */
    let attacker: string;

    beforeAll(async () => {
      engine = await startEngine(name);
      await makeSandboxImage(engine, IMAGE);
      receiver = await startOtlpReceiver();
      inHome = mkdtempSync(join(homedir(), ".valet-containers-"));
      writeFileSync(join(inHome, "credentials"), plant("host-home"));
      system = await ScriptedSystem.start(
        scenario,
        {
          ...LIMITS,
          DOCKER_HOST: engine.host,
          VALET_DOCKER_IMAGE: IMAGE,
          OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
          OTEL_EXPORTER_OTLP_HEADERS: `authorization=${plant("otlp")}`,
          VALET_MODEL_API_KEY: plant("model-key"),
        },
        ["--driver", "docker"],
      );
      [{ id: worker }, { id: attacker }] = await Promise.all([
        system.api.createSession({}),
        system.api.createSession({}),
      ]);
      expect(await say(worker, "[works]")).toMatchObject({ outcome: "ok" });
    }, SET_UP_MS);

    afterAll(async () => {
      bait.close();
      await system?.close();
      await receiver?.close();
      await engine?.close();
      if (inHome !== undefined) rmSync(inHome, { recursive: true, force: true });
    }, TIMEOUT_MS);

    const volumes = () => engine.run("volume", "ls", "--quiet");
    const say = (sessionId: string, content: string) => system.say(sessionId, content, TIMEOUT_MS);
    const containersOf = async (sessionId: string) =>
      (await engine.engine.listContainers({ all: true, filters: { label: [`valet-session=${sessionId}`] } })).map(
        ({ Id }) => Id,
      );
    /** Reads a file of the session's sandbox. */
    const read = async (sessionId: string, path: string) => {
      const [id] = await containersOf(sessionId);
      return engine.run("exec", id as string, "cat", path);
    };

    test(
      "a message is answered, and its session sleeps and wakes with its files, in whole traces",
      async () => {
        const [first] = await containersOf(worker);
        await system.api.change(worker, "hibernate");
        const asleep = await waitFor(
          "hibernated",
          () => system.api.session(worker),
          ({ status }) => status === "hibernated",
          TIMEOUT_MS,
        );
        expect(asleep.status).toBe("hibernated");
        expect(await containersOf(worker)).toEqual([]);
        expect(await say(worker, "[reads]")).toMatchObject({ outcome: "ok" });
        expect(await containersOf(worker)).not.toContain(first);
        expect(await read(worker, "/sandbox/workspace/both.txt")).toBe(`${plant("workspace")}\n${plant("home")}\n`);
        await certified(system.api, worker, receiver);
      },
      TIMEOUT_MS,
    );

    test(
      "an agent that tries finds nothing of its runner, another session or the host, and ends its own processes only",
      async () => {
        await say(attacker, "[tries]");
        const looks = await read(attacker, "/sandbox/workspace/looks.txt");
        expect(looks).toMatch(/^1000\n1000\nCapPrm:\t0+\nCapEff:\t0+\nCapAmb:\t0+\nNoNewPrivs:\t1\n/);
        expect(looks.match(/Read-only file system/g)).toHaveLength(2);
        expect(looks).not.toContain("reached");
        const seen = await read(attacker, "/sandbox/workspace/seen.txt");
        expect(seen).toContain("looked at memory");
        expect(seen).toMatch(/process \d+ bun/);
        expect(seen).not.toMatch(/attached (?:bun|catatonit|opencode)/);
        expect(seen.match(new RegExp(`${CANARY}-[\\w-]+`, "g")) ?? []).toEqual([]);
        // It has killed all that it can, and the session goes on, as does the other.
        expect(await say(attacker, "Are you there?")).toMatchObject({ outcome: "ok" });
        expect(await say(worker, "Are you there?")).toMatchObject({ outcome: "ok" });
      },
      TIMEOUT_MS,
    );

    test(
      "nothing of this machine's loopback interface answers an agent, nor does a cloud's metadata",
      async () => {
        expect(await say(worker, "[connects]")).toMatchObject({ outcome: "ok" });
        const answered = await read(worker, "/sandbox/workspace/answered.txt");
        expect(answered).not.toContain(CANARY);
        // Refused at once, as opposed to a timeout.
        expect(answered.match(/metadata \d+/g)).toEqual(Array(5).fill("metadata 7"));
      },
      TIMEOUT_MS,
    );

    test(
      "an agent that takes what it can is stopped by each limit, whose name is the cause, and its session goes on",
      async () => {
        /** Attacks, and expects the cause on the tool call. */
        const attack = async (content: string, errorType: string) => {
          const message = await say(attacker, content);
          const spans = readSpans(await system.api.trace(attacker, message.traceId as string));
          const of = (name: string) => spans.filter((span) => span.name === name).map(({ attributes }) => attributes);
          expect([content, of("execute_tool bash")]).toMatchObject([content, [{ "error.type": errorType }]]);
          return { message, turn: of("valet.turn")[0] };
        };
        const { message, turn } = await attack("[memory]", "sandbox_out_of_memory");
        expect(message.outcome).toBe("ok");
        expect(turn).toMatchObject({ "valet.sandbox.isolation": "user" });
        expect(Number(turn?.["valet.usage.memory_peak_bytes"])).toBeGreaterThan(100_000_000);
        expect(Number(turn?.["valet.usage.cpu_ms"])).toBeGreaterThan(100);
        await attack("[file]", "sandbox_disk_full");
        const full = await attack("[disk]", "sandbox_disk_full");
        expect(full.message).toMatchObject({ outcome: "error", errorType: "sandbox_disk_full" });
        expect(await say(attacker, "[tidies]")).toMatchObject({ outcome: "ok" });
        await attack("[files]", "sandbox_out_of_files");
        const bombed = await say(attacker, "[bomb]");
        // On a busy machine the runner may want a thread while the bomb has them all. It ends, perhaps before it has sent the call's open
        // span, and the message gets its second attempt, with which the same may happen.
        const cause = "sandbox_out_of_processes";
        const spans = readSpans(await system.api.trace(attacker, bombed.traceId as string));
        const lost = spans.filter(
          ({ name, attributes }) => name === "valet.turn" && attributes["valet.outcome"] === "lost",
        );
        const calls = spans.filter(({ name }) => name === "execute_tool bash");
        expect(calls.length).toBeLessThanOrEqual(bombed.attempts ?? 0);
        for (const { attributes } of lost) {
          expect(attributes).toMatchObject({ "error.type": "runner_lost", "valet.error.cause": cause });
        }
        if (bombed.errorType === "runner_lost") {
          expect(bombed).toMatchObject({ outcome: "error", attempts: 2, failure: { type: "runner_lost", cause } });
          expect(lost.length).toBeGreaterThan(0);
        } else {
          expect(bombed).toMatchObject({ outcome: "error", errorType: cause });
          expect(calls.at(-1)?.attributes).toMatchObject({ "error.type": cause });
        }
        expect(await say(attacker, "Are you there?")).toMatchObject({ outcome: "ok" });
        expect((await system.api.session(attacker)).generation).toBe(1);
      },
      TIMEOUT_MS,
    );

    test(
      "a runner that ends since no process is left for it, twice, is lost by that limit, which everything names",
      async () => {
        const id = crypto.randomUUID();
        const cause = "sandbox_out_of_processes";
        const commands = async () => livingProcesses().map(commandOf);
        const tell = async (what: string) => {
          const [container] = await containersOf(attacker);
          engine.run("exec", container as string, "touch", `/sandbox/workspace/${what}`);
        };
        await system.api.sendMessage(attacker, { content: "[fills]", id });
        const isWaiting = (found: string[]) => found.some((command) => command.includes("until [ -e go ]"));
        for (const attempt of [1, 2]) {
          await waitFor(`the command of attempt ${attempt}`, commands, isWaiting, TIMEOUT_MS);
          const [runner] = livingProcesses().filter(
            (pid) =>
              RUNNER.test(readProcess(pid, "cmdline")) &&
              readProcess(pid, "environ").includes(`VALET_SESSION_ID=${attacker}`),
          );
          // Otherwise it would soon end the agent's processes.
          process.kill(runner as number, "SIGSTOP");
          await tell("go");
          const isFull = (found: string[]) => found.filter((command) => command.startsWith("sleep 73")).length > 200;
          await waitFor("a full container", commands, isFull, TIMEOUT_MS);
          // sh has ended, so a process was refused.
          const hasFilled = (found: string[]) => !found.some((command) => command.startsWith("sh -c while"));
          await waitFor("the end of what fills it", commands, hasFilled, TIMEOUT_MS);
          // As Bun does if it cannot start a thread.
          process.kill(runner as number, "SIGABRT");
          process.kill(runner as number, "SIGCONT");
          await waitFor(`the end of attempt ${attempt}`, commands, (found) => !isWaiting(found), TIMEOUT_MS);
        }
        const read = () => system.api.message(attacker, id);
        const message = await waitFor("the message", read, (each) => each?.status === "done", TIMEOUT_MS);
        expect(message).toMatchObject({
          outcome: "error",
          errorType: "runner_lost",
          attempts: 2,
          failure: { cause, message: expect.stringContaining("VALET_SANDBOX_PROCESSES") },
        });
        const spans = readSpans(await system.api.trace(attacker, message?.traceId as string));
        const lost = spans.filter(({ attributes }) => attributes["valet.outcome"] === "lost");
        expect(lost.filter(({ name }) => name === "valet.turn")).toHaveLength(2);
        for (const { attributes } of lost) {
          expect(attributes).toMatchObject({ "error.type": "runner_lost", "valet.error.cause": cause });
        }
        expect((await system.api.why(attacker, "message", id)).failure).toMatchObject({
          type: "runner_lost",
          cause: { type: cause },
          remedy: expect.stringContaining("VALET_SANDBOX_PROCESSES"),
        });
        // The model first answers the message before, with the same command.
        await tell("enough");
        expect(await say(attacker, "Are you there?")).toMatchObject({ outcome: "ok" });
        expect((await system.api.session(attacker)).generation).toBe(1);
      },
      TIMEOUT_MS,
    );

    test(
      "the demo runs in containers, says which walls stand, and leaves nothing in the engine",
      async () => {
        const before = { containers: (await engine.engine.listContainers({ all: true })).length, volumes: volumes() };
        const env = { ...process.env, DOCKER_HOST: engine.host, VALET_DOCKER_IMAGE: IMAGE };
        const args = [CLI, "demo", "--driver", "docker", "--json"];
        const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { env });
        expect(stderr).toContain("walls: containers");
        expect(stderr).toContain("clones file:///opt/valet/demo");
        expect(JSON.parse(stdout).faults).toEqual([]);
        expect(await engine.engine.listContainers({ all: true })).toHaveLength(before.containers);
        expect(volumes()).toEqual(before.volumes);
      },
      TIMEOUT_MS,
    );

    test(
      "sandboxes outlive a crash of the host, whose successor goes on with them, and end with it",
      async () => {
        const before = await containersOf(worker);
        await system.valet.crash();
        await system.startAgain();
        expect(await say(worker, "[reads]")).toMatchObject({ outcome: "ok" });
        expect(await containersOf(worker)).toEqual(before);
        await system.valet.stop();
        expect(await engine.engine.listContainers()).toEqual([]);
      },
      TIMEOUT_MS,
    );
  },
);
