/** Exactly one Worker serves a state directory, whatever died before: `up`, its workerd, or the sandboxes' guardian. */
import { mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ApiClient } from "../packages/cli/src/api-client.ts";
import { commandOf, killNow } from "./processes.ts";
import {
  guardiansOf,
  processesAbout,
  startUp,
  temporaryState,
  until,
  valet,
  workersOf,
  wrappersOf,
} from "./up-process.ts";
import { endUp, hasEnded, type UpProcess } from "./valet-up.ts";

type Part = "up" | "workerd" | "guardian";

const ORDERS: readonly (readonly Part[])[] = [
  ["up"],
  ["workerd"],
  ["guardian"],
  ["workerd", "up"],
  ["up", "workerd"],
  ["workerd", "workerd", "up"],
  ["guardian", "up"],
  ["up", "guardian"],
  ["workerd", "guardian", "up"],
  ["workerd", "up", "guardian"],
  ["guardian", "workerd", "up"],
  ["guardian", "up", "workerd"],
  ["up", "workerd", "guardian"],
  ["up", "guardian", "workerd"],
];

const answers = async ({ url, token }: UpProcess): Promise<boolean> => {
  const headers = { authorization: `Bearer ${token}` };
  return fetch(`${url}/api/sessions`, { headers }).then(
    ({ status }) => status === 200,
    () => false,
  );
};

async function kill(part: Part, up: UpProcess, state: string): Promise<void> {
  if (part === "up") {
    await endUp(up, "SIGKILL");
    return;
  }
  const pids = part === "workerd" ? workersOf(state) : guardiansOf(state);
  pids.forEach(killNow);
  await until(`the ${part}'s death`, () => pids.every((pid) => !livesAs(part, state).includes(pid)));
  // While `up` lives, workerd is restarted.
  if (part === "workerd" && !hasEnded(up.child)) await until("another workerd", () => answers(up));
}

function livesAs(part: Part, state: string): number[] {
  return part === "workerd" ? workersOf(state) : guardiansOf(state);
}

/** Makes a folder with the programs that the start needs, without some of them. */
function pathWithout(folder: string, ...missing: string[]): string {
  mkdirSync(folder);
  for (const bin of ["/usr/bin", "/bin"]) {
    for (const name of readdirSync(bin)) {
      if (missing.includes(name)) continue;
      try {
        symlinkSync(join(bin, name), join(folder, name));
      } catch {
        // The program is in several folders of PATH.
      }
    }
  }
  return folder;
}

describe("one Worker serves a state", () => {
  test("after every order of deaths: at the same port, with the stored data", async () => {
    const state = temporaryState();
    let up = await startUp(state);
    const { token, url } = up;
    const { port } = new URL(url);
    for (const order of ORDERS) {
      const after = `after the death of ${order.join(", then ")}`;
      for (const part of order) await kill(part, up, state);
      if (!hasEnded(up.child)) {
        await until(`an answer ${after}`, () => answers(up));
        await until(`one guardian ${after}`, () => guardiansOf(state).length === 1);
        expect(workersOf(state), after).toHaveLength(1);
        await endUp(up, "SIGKILL");
      }
      up = await startUp(state, { args: ["--port", port] });
      expect(up, after).toMatchObject({ url, token });
      expect(await answers(up), after).toBe(true);
      expect(workersOf(state), after).toHaveLength(1);
      expect(guardiansOf(state), after).toHaveLength(1);
    }
    expect(await endUp(up)).toBe(0);
    await until("the end of all", () => workersOf(state).length + guardiansOf(state).length === 0);
  }, 400_000);

  test("after concurrent starts: one succeeds, the others report it", async () => {
    const state = temporaryState();
    const starts = await Promise.allSettled([startUp(state), startUp(state), startUp(state)]);
    const [up, ...more] = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
    expect(more).toEqual([]);
    for (const start of starts) {
      if (start.status === "rejected") expect(start.reason.message).toMatch(/ended with 2: .*already runs on/s);
    }
    expect(workersOf(state)).toHaveLength(1);
    expect(await answers(up as UpProcess)).toBe(true);
  }, 60_000);
});

describe("a sandbox's processes", () => {
  test.each<[readonly Part[]]>([[["up"]], [["guardian", "up"]], [["up", "guardian"]]])(
    "end after the deaths of %j, one right after the other: runner, agent, and a command's background process",
    async (order) => {
      const state = temporaryState();
      const up = await startUp(state);
      const api = new ApiClient(up);
      const { id } = await api.createSession({});
      const mark = `VALET_SESSION_ID=${id}`;
      const run = "setsid sleep 86399 & sleep 86399";
      await api.startWorkflow(id, { name: "leaves", steps: [{ name: "leave", run }] });
      const sleeping = () => processesAbout(mark).filter((pid) => commandOf(pid).includes("86399")).length >= 2;
      await until("the command", sleeping, 60_000);
      const guardians = guardiansOf(state);
      expect(guardians).toHaveLength(1);
      for (const part of order) for (const pid of part === "up" ? [up.pid] : guardians) killNow(pid);
      const killedMs = performance.now();
      await until("the end of all", () => processesAbout(mark).length === 0, 30_000);
      const ms = Math.round(performance.now() - killedMs);
      process.stdout.write(`a sandbox's processes ended ${ms} ms after ${order.join(", then ")}\n`);
    },
    120_000,
  );
});

describe("the Worker's end", () => {
  test.each([
    ["by the kernel", []],
    ["without the kernel's help", ["setpriv"]],
    ["also without a file lock", ["setpriv", "flock"]],
  ])(
    "follows that of `up`, %s",
    async (_how, missing) => {
      const state = temporaryState();
      const PATH = pathWithout(join(state, "bin"), ...missing);
      const up = await startUp(join(state, "state"), { env: { ...process.env, PATH } });
      const [pid] = workersOf(join(state, "state"));
      expect(pid).toBeDefined();
      await endUp(up, "SIGKILL");
      const endedMs = performance.now();
      // Two seconds on an idle machine; the load of others must not fail the test.
      await until("the Worker's end", () => workersOf(join(state, "state")).length === 0, 20_000);
      process.stdout.write(`the Worker ended ${Math.round(performance.now() - endedMs)} ms after its \`up\`\n`);
    },
    60_000,
  );

  test("is logged after a crash, and the Worker serves again", async () => {
    const state = temporaryState();
    const up = await startUp(state);
    await kill("workerd", up, state);
    await until("the line", () => up.log().includes("The Worker runs again."));
    expect(up.log()).toContain("The Worker (workerd) crashed and is being restarted.");
    expect(await answers(up)).toBe(true);
  }, 60_000);

  test("may happen repeatedly, also during its start: finally it serves", async () => {
    const state = temporaryState();
    const up = await startUp(state);
    const childrenNamed = () => workersOf(state).concat(wrappersOf(up.pid));
    for (let deaths = 0; deaths < 5; deaths++) {
      await until("a Worker", () => hasEnded(up.child) || childrenNamed().length > 0);
      // A wrapper ends with its workerd, perhaps before its turn.
      childrenNamed().forEach(killNow);
    }
    await until("an answer", () => hasEnded(up.child) || answers(up), 60_000);
    expect(hasEnded(up.child), up.log()).toBe(false);
    expect(workersOf(state)).toHaveLength(1);
  }, 120_000);

  test("is not caused by the terminal: Ctrl-C reaches `up` and its Worker, and only `up` acts on it", async () => {
    const state = temporaryState();
    const up = await startUp(state);
    const [pid] = workersOf(state);
    process.kill(pid as number, "SIGINT");
    process.kill(pid as number, "SIGHUP");
    expect(await answers(up)).toBe(true);
    expect(workersOf(state)).toEqual([pid]);
    expect(await endUp(up, "SIGINT")).toBe(0);
    expect(up.log()).not.toContain("crashed");
    expect(workersOf(state)).toEqual([]);
  }, 60_000);

  test("ends `up` with a reason, when the Worker cannot be restarted", async () => {
    const state = temporaryState();
    const up = await startUp(state);
    const blocker = createServer();
    const port = Number(new URL(up.url).port);
    const [pid] = workersOf(state);
    // A program that takes the port in between keeps workerd from restarting.
    const taken = until("the port", async () => {
      blocker
        .removeAllListeners()
        .listen(port, "127.0.0.1")
        .on("error", () => {});
      await new Promise((tried) => blocker.once("listening", tried).once("error", tried));
      return blocker.listening;
    });
    process.kill(pid as number, "SIGKILL");
    await taken;
    await until("the end", () => hasEnded(up.child));
    blocker.close();
    expect(up.child.exitCode).toBe(1);
    expect(up.log()).toContain("the Worker crashed and cannot be started again");
  }, 60_000);

  test("a port in use by another program is reported", async () => {
    const state = temporaryState();
    const other = createServer().listen(0, "127.0.0.1");
    await until("the port", () => other.listening);
    const { port } = other.address() as { port: number };
    const child = valet(["--state", state, "up", "--port", String(port)]);
    let printed = "";
    child.stderr?.on("data", (chunk) => (printed += chunk));
    await until("the end", () => hasEnded(child));
    other.close();
    expect(child.exitCode).toBe(2);
    expect(printed).toContain(`Port ${port} is in use.`);
  }, 60_000);
});
