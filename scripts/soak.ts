/** Runs many sessions with faults for a long time, then checks for missing data, leftovers and growth. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { waitFor } from "../packages/cli/src/wait.ts";
import { startScriptedModel } from "../packages/scripted-model/src/index.ts";
import { startOtlpReceiver } from "../tests/otlp-receiver.ts";
import { type Backend, startBackend } from "../tests/soak/backend.ts";
import { faultsIn } from "../tests/soak/check-traces.ts";
import { ALL_ORDERS, endWithSandbox, SANDBOX_ORDERS, steadyPort, surviveDeaths } from "../tests/soak/deaths.ts";
import { FaultyBackend, runFaultRounds } from "../tests/soak/fault-rounds.ts";
import { inParallel } from "../tests/soak/in-parallel.ts";
import { scenario } from "../tests/soak/scenario.ts";
import { runSession, type SessionEnd, type SoakWorld } from "../tests/soak/session-course.ts";
import { ValetProcess } from "../tests/soak/valet-process.ts";
import { endUp, modelVariables, startUp } from "../tests/valet-up.ts";

const DEFAULTS = { sessions: 30, messages: 10, awake: 6 };
/** The time of the rounds of faults, in minutes. */
const MINUTES = 30;
const HELP = `Usage: pnpm soak [--sessions N] [--messages N] [--awake N] [--json]
       pnpm soak --faults N [--awake N] [--minutes N] [--json]

Runs N sessions (default ${DEFAULTS.sessions}) with N messages each (default ${DEFAULTS.messages}), at most N at a time (default ${DEFAULTS.awake}; each takes some 600 MB), on
real parts and a scripted model. Kills runners, agents and workerd, hibernates sessions, sends messages twice, and lets
the backend refuse for a while. Then kills \`valet up\`, workerd and what ends the sandboxes, on another state, in every order. Exits
with 0 if every message has one outcome, every span is complete, no process or folder is left over, neither broker nor workerd
goes on growing, and one Worker serves the other state after each order. If broker or workerd
has grown, up to two thirds of the sessions more are run to see whether it goes on. Progress goes to standard error; --json prints the
result as one line.

With --faults, does each fault of the trace plane N times instead: what a backend may answer, and what may be killed, each during a
message of a session that has this fault only; the clock, the disk, evictions and the link are simulated. Of the faults, --awake are
done at the same time, but for the death of workerd, which all sessions would have. After each the certificate must agree with the ids
that the backend has. No round begins after so many minutes (default ${MINUTES}), and what was not done counts as a failure.
`;

/** How much the broker or workerd may grow during the last third of the sessions. */
const MAX_GROWTH_MB = 64;
/**
 * If one has grown more, further thirds are run. A leak goes on, but a heap that nothing makes V8 collect is full at some time: workerd's
 * grew by 80 MB between its 100th and its 140th message, and by 4 MB in the 60 after them.
 */
const MAX_FURTHER_GROWTH_MB = 32;
const FURTHER_THIRDS = 2;
const SPANS_TIMEOUT_MS = 60_000;
/** A deletion that was interrupted by the death of workerd is repeated after the timeout of a broker call. */
const LEFT_TIMEOUT_MS = 200_000;

interface Arguments {
  readonly sessions: number;
  readonly messages: number;
  readonly awake: number;
  /** How often each fault is done; 0 for sessions with faults at random. */
  readonly faults: number;
  readonly minutes: number;
  readonly json: boolean;
  readonly help: boolean;
}

function readArguments(): Arguments {
  const number = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      sessions: number,
      messages: number,
      awake: number,
      faults: number,
      minutes: number,
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const read = (name: keyof typeof DEFAULTS | "faults" | "minutes", otherwise: number) => {
    if (values[name] === undefined) return otherwise;
    const count = Number(values[name]);
    if (!Number.isSafeInteger(count) || count < 1) {
      throw new TypeError(`--${name} must be a whole number of at least 1, not "${values[name]}"`);
    }
    return count;
  };
  return {
    sessions: read("sessions", DEFAULTS.sessions),
    messages: read("messages", DEFAULTS.messages),
    awake: read("awake", DEFAULTS.awake),
    faults: read("faults", 0),
    minutes: read("minutes", MINUTES),
    json: values.json,
    help: values.help,
  };
}

/** Returns the seconds since now, and what writes progress with them. */
function startClock() {
  const startMs = Date.now();
  const seconds = () => Math.round((Date.now() - startMs) / 1000);
  const report = (line: string): void => void process.stderr.write(`${String(seconds()).padStart(5)} s  ${line}\n`);
  return { seconds, report };
}

function printResult(result: object, json: boolean): void {
  process.stdout.write(`${JSON.stringify(result, undefined, json ? 0 : 2)}\n`);
}

type Memory = ReturnType<ValetProcess["memory"]>;

/** Returns a sentence for each part that has grown by more. */
function growthsBetween(before: Memory | undefined, after: Memory | undefined, maxMb: number): string[] {
  if (before === undefined || after === undefined) return [];
  return (["broker", "workerd"] as const).flatMap((part) => {
    const growth = after[part] - before[part];
    return growth > maxMb ? [`${part} has grown by ${growth} MB`] : [];
  });
}

async function soak({ sessions, messages, awake, json }: Arguments): Promise<boolean> {
  const { seconds, report } = startClock();
  const stateDir = mkdtempSync(join(tmpdir(), "valet-soak-"));
  const backend = await startBackend();
  const { receiver } = backend;
  const model = await startScriptedModel({ scenario });
  const valet = await ValetProcess.start(stateDir, {
    ...modelVariables(model),
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_BSP_SCHEDULE_DELAY: "500",
    VALET_GRACE_MS: "10000",
  });
  try {
    const ended: SessionEnd[] = [];
    const third = Math.ceil(sessions / 3);
    const memories: Memory[] = [];
    const world: SoakWorld = { valet, backend, report, mayKillWorkerd: () => ended.length < third };
    const run = async (count: number) => {
      const [first, all] = [ended.length, ended.length + count];
      await inParallel(count, awake, async (number) => {
        ended.push(await runSession(world, first + number, messages));
        const memory = valet.memory();
        memories.push(memory);
        report(
          `${ended.length} of ${all} sessions have ended; broker ${memory.broker} MB, workerd ${memory.workerd} MB`,
        );
      });
    };
    const growths = (maxMb: number) => growthsBetween(memories.at(-1 - third), memories.at(-1), maxMb);
    await run(sessions);
    let grown = growths(MAX_GROWTH_MB);
    for (let further = 0; further < FURTHER_THIRDS && grown.length > 0; further++) {
      report(`${grown.join(", ")}: a leak would go on, so ${third} more sessions are run`);
      await run(third);
      grown = growths(MAX_FURTHER_GROWTH_MB);
    }
    const faults = [...(await faultsOf(valet, backend, ended, messages)), ...(await deathFaults(report)), ...grown];
    const memory = { before: memories.at(-1 - third) ?? null, end: memories.at(-1) };
    const outcomes = countBy(ended.flatMap((end) => end.messages.map(({ outcome }) => String(outcome))));
    const injected = countBy(ended.flatMap((end) => end.faults));
    const figures = {
      seconds: seconds(),
      sessions: ended.length,
      messages: ended.length * messages,
      outcomes,
      injected,
    };
    const result = {
      ...figures,
      spans: receiver.spansById().size,
      refusedRequests: receiver.deliveries.length - receiver.taken.length,
      memory,
      faults,
    };
    printResult(result, json);
    return faults.length === 0;
  } finally {
    await valet.stop();
    await model.close();
    await receiver.close();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

/** Does each fault so many times. */
async function soakFaults({ faults: times, awake, minutes, json }: Arguments): Promise<boolean> {
  const { seconds, report } = startClock();
  const stateDir = mkdtempSync(join(tmpdir(), "valet-soak-"));
  const backend = new FaultyBackend();
  const receiver = await startOtlpReceiver(backend.answer);
  const model = await startScriptedModel({ scenario });
  const valet = await ValetProcess.start(stateDir, {
    ...modelVariables(model),
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    // An answer of which a busy machine has not read the end by then makes a trace undetermined.
    OTEL_EXPORTER_OTLP_TIMEOUT: "5000",
    OTEL_BSP_SCHEDULE_DELAY: "100",
    VALET_GRACE_MS: "10000",
  });
  try {
    const deadlineMs = Date.now() + minutes * 60_000;
    const { rounds, faults } = await runFaultRounds({ valet, backend, receiver, report, deadlineMs }, times, awake);
    const result = { seconds: seconds(), rounds, spans: receiver.spansById().size, faults };
    printResult(result, json);
    return faults.length === 0;
  } finally {
    await valet.stop();
    await model.close();
    await receiver.close();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

/** Kills the parts of a system in every order. @returns what was wrong first; none if nothing was */
async function deathFaults(report: (line: string) => void): Promise<string[]> {
  const state = mkdtempSync(join(tmpdir(), "valet-soak-"));
  const start = (args: readonly string[]) => startUp(state, { args });
  let up = await start(["--port", String(await steadyPort())]);
  try {
    for (const order of ALL_ORDERS) {
      up = await surviveDeaths(up, state, order, start);
      report(`one Worker serves the state after the death of ${order.join(", then ")}`);
    }
    for (const order of Object.values(SANDBOX_ORDERS)) {
      const ms = await endWithSandbox(up, state, order);
      report(`a sandbox's processes ended ${ms} ms after the death of ${order.join(", then ")}`);
      up = await start([]);
    }
    return [];
  } catch (error) {
    return [(error as Error).message];
  } finally {
    await endUp(up);
    rmSync(state, { recursive: true, force: true });
  }
}

/** Returns everything that is wrong at the end. */
async function faultsOf(
  valet: ValetProcess,
  backend: Backend,
  ended: SessionEnd[],
  messages: number,
): Promise<string[]> {
  const ids = ended.flatMap((end) => end.messages.map(({ id }) => id));
  const inSpans = () => faultsIn([...backend.receiver.spansById().values()], ids);
  await waitFor(
    "the spans",
    async () => inSpans(),
    (faults) => faults.length === 0,
    SPANS_TIMEOUT_MS,
  ).catch(() => {});
  const faults = inSpans();
  for (const { id, messages: had } of ended) {
    if (had.length !== messages) faults.push(`${id} has ${had.length} messages of ${messages}`);
    for (const message of had) if (message.outcome === undefined) faults.push(`${message.id} has no outcome`);
  }
  const left = async () => valet.left();
  await waitFor("leftovers to disappear", left, (found) => found.length === 0, LEFT_TIMEOUT_MS).catch(() => {});
  return [...faults, ...valet.left().map((left) => `left over: ${left}`)];
}

function countBy(values: readonly string[]): Record<string, number> {
  const groups = [...Map.groupBy(values, (value) => value)];
  return Object.fromEntries(groups.map(([value, each]) => [value, each.length]));
}

let given: Arguments;
try {
  given = readArguments();
} catch (error) {
  console.error(`${(error as Error).message}\nAdd --help to see how it is used.`);
  process.exit(2);
}
try {
  if (given.help) process.stdout.write(HELP);
  else if (!(await (given.faults > 0 ? soakFaults(given) : soak(given)))) process.exitCode = 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
