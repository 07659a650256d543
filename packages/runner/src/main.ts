/** The runner's process: reads the settings, runs the runner, and exits with its exit code (see bin.ts). */
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { certificateVariables } from "@valet/shared/certificate-variables";
import { PROVIDER_KEYS } from "@valet/shared/protocol/model-access";
import { createAnchoredClock, exceptionType, limitVariables, type SpanProcessor } from "@valet/shared/tracing";
import { authorVariables } from "./git/commit-author.ts";
import { HOOKS_FOLDER } from "./git/commit-hooks.ts";
import { agentFiles, PLUGIN, PRELOAD, relayProgram } from "./installed-files.ts";
import { measureSandbox } from "./measure-sandbox.ts";
import { CONFIG_FOLDER, startOpenCodeAgent } from "./opencode-agent.ts";
import { pluginProblem } from "./plugin-file.ts";
import { endWithHost } from "./processes/lifeline.ts";
import { AgentOtlp } from "./receiver/agent-otlp.ts";
import { Runner, type RunnerEnd } from "./runner.ts";
import { SecretValues } from "./secrets/secret-values.ts";
import {
  earlierStateFolder,
  readInput,
  readSettings,
  type Settings,
  SettingsError,
  wasStartedAhead,
} from "./settings.ts";
import { SpanOutbox } from "./spans/span-outbox.ts";
import { createTracing, runnerResource, type Tracing } from "./spans/tracing.ts";
import { Journal } from "./state/journal.ts";
import { JOURNAL_FILE, openStateFolder, SPANS_FOLDER, setJournalAside } from "./state/state-folder.ts";

const EXIT_CODES: Record<RunnerEnd, number> = { stopped: 0, refused: 77 };
const BUG = 70;
const FOLDER_UNUSABLE = 74;
/** Not a final exit code: the supervisor of the container ends all processes, and starts the runner again. */
const UNENDABLE = 75;
const WRONG_START = 78;
const INPUT_TIMEOUT_MS = 10_000;

import { Bubblewrap } from "./wall/bubblewrap.ts";
import { LimitedWall } from "./wall/limited-wall.ts";
import { AGENT_USER, OtherUser } from "./wall/other-user.ts";
import { OwnNetwork } from "./wall/own-network.ts";
import { parseOwnLimits } from "./wall/process-limits.ts";
import { NO_WALL, type Wall } from "./wall/wall.ts";

/** The secrets, which must not appear anywhere, including spans and logs. */
const secrets = new SecretValues();
const say = (text: string) => console.error(`valet runner: ${secrets.redact(text)}`);

/** Runs until the runner ends or `stopRequested` resolves, then exits the process. */
export async function main(stopRequested: Promise<void>): Promise<never> {
  // Only the names of errors, since their messages may quote people, models and files.
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      say(`${event}: ${exceptionType(error)}`);
      process.exit(BUG);
    });
  }
  try {
    process.exit(await run(stopRequested));
  } catch (error) {
    say(error instanceof SettingsError ? error.message : `the state folder cannot be used: ${exceptionType(error)}`);
    process.exit(error instanceof SettingsError ? WRONG_START : FOLDER_UNUSABLE);
  }
}

async function run(stopRequested: Promise<void>): Promise<number> {
  const stopped = stopRequested.then(() => undefined);
  const isAhead = wasStartedAhead(process.env);
  // What is wrong is said before the input has come. If the runner was started ahead, the settings come with it.
  const known = isAhead ? undefined : validSettings();
  const input = await Promise.race([readInput(Bun.stdin.stream(), isAhead ? undefined : INPUT_TIMEOUT_MS), stopped]);
  if (input === undefined) return EXIT_CODES.stopped;
  const { token, restartCount, restartCause } = input;
  if (isAhead) Object.assign(process.env, input.env);
  const given = known ?? validSettings();
  if (given.lifeline !== undefined) void endWithHost(given.lifeline, given.sandboxId);
  // Otherwise the agent would use this context for all its work.
  for (const name of ["TRACEPARENT", "TRACESTATE", "BAGGAGE"]) delete process.env[name];
  // The limits apply to Valet's spans, not to those of programs that the agent runs.
  for (const name of Object.keys(limitVariables(process.env))) delete process.env[name];
  secrets.add(...PROVIDER_KEYS.map((name) => process.env[name]));
  const instanceId = randomUUID();
  const folder = openStateFolder({
    path: given.stateFolder,
    earlierPath: earlierStateFolder(given.home),
    onProblem: say,
  });
  const settings = { ...given, stateFolder: folder };
  nameAuthor(settings);
  // First, since it is built in processes of its own.
  const wall = wallOf(settings);
  const journal = openJournal(folder, settings.generation);
  let tracing: Tracing | undefined;
  const outbox = new SpanOutbox({
    folder: join(folder, SPANS_FOLDER),
    instanceId,
    resource: runnerResource(settings, instanceId),
    onDropped: (counts) => tracing?.reportDropped(counts),
    onDiskError: (error) => say(`cannot write spans to disk; they are only kept in memory: ${exceptionType(error)}`),
  });
  const agentOtlp = new AgentOtlp({
    ...settings,
    outbox,
    redact: (text) => secrets.redact(text),
    onRefused: (counts) => tracing?.reportRefused(counts),
    now: createAnchoredClock(),
  });
  const processors: SpanProcessor = {
    onStart(span) {
      agentOtlp.onStart(span);
      outbox.onStart(span);
    },
    onEnd(span) {
      agentOtlp.onEnd(span);
      outbox.onEnd(span);
    },
  };
  tracing = createTracing(processors, settings, undefined, secrets);
  const runner = new Runner({
    settings,
    token,
    restartCount,
    restartCause,
    instanceId,
    tracing,
    outbox,
    agentOtlp,
    journal,
    wall,
    usage: measureSandbox(wall, settings, readOwnLimits(), (error) => {
      say(`${error.message}; whatever restarts the runner ends them`);
      process.exit(UNENDABLE);
    }),
    startAgent: startOpenCodeAgent,
    onProblem: say,
    secrets,
  });
  void stopRequested.then(() => runner.stop("runner_shutdown"));
  const end = await runner.run();
  await wall.close();
  return EXIT_CODES[end];
}

/** Names the author of commits for the agent and commands, whose environment is that of this process. Never throws. */
function nameAuthor({ agentFolder, stateFolder }: Settings): void {
  try {
    Object.assign(process.env, authorVariables(agentFolder ?? stateFolder, process.env.GIT_CONFIG_SYSTEM));
  } catch (error) {
    say(`commits outside the session's repository have no author: ${exceptionType(error)}`);
  }
}

/** @throws SettingsError */
function validSettings(): Settings {
  const settings = readSettings(process.env, process.cwd());
  for (const url of [PLUGIN, pathToFileURL(PRELOAD).href]) {
    const problem = pluginProblem(url, settings.isolation === "user");
    if (problem !== undefined) throw new SettingsError(problem);
  }
  return settings;
}

/** Returns the wall that the broker asks for, which programs enter under the broker's limits. */
function wallOf(settings: Settings): Wall {
  const wall = plainWallOf(settings);
  const { limits } = settings;
  return limits === undefined ? wall : new LimitedWall(wall, limits, readOwnLimits());
}

/** Begins to build the wall: of the runner's folder, the agent only sees what is made for it. */
function plainWallOf({ isolation, networkFolder, workspace, home, stateFolder, limits }: Settings): Wall {
  if (isolation === "user") return new OtherUser(AGENT_USER);
  if (isolation !== "bwrap") return NO_WALL;
  const { PATH = "", TMPDIR } = process.env;
  const configuration = join(stateFolder, CONFIG_FOLDER);
  const hooks = join(stateFolder, HOOKS_FOLDER);
  for (const folder of [configuration, hooks]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  return new Bubblewrap({
    own: [workspace, home, ...(TMPDIR === undefined ? [] : [TMPDIR]), hooks],
    readable: [...agentFiles(), ...Object.values(certificateVariables(process.env))],
    home,
    configuration,
    network:
      networkFolder === undefined ? undefined : new OwnNetwork({ folder: networkFolder, relays: relayProgram() }),
    path: PATH,
    // The rest is for programs.
    temporaryBytes: limits && Math.floor(limits.memoryBytes / 2),
  });
}

function readOwnLimits() {
  return parseOwnLimits(readFileSync("/proc/self/limits", "utf8"));
}

/** Opens the journal. Sets an unusable one aside, which loses the attempts in it but not the session. */
function openJournal(folder: string, generation: number): Journal {
  const open = () => new Journal(join(folder, JOURNAL_FILE), generation);
  try {
    return open();
  } catch (error) {
    say(`the journal cannot be used and was set aside: ${exceptionType(error)}`);
    setJournalAside(folder);
    return open();
  }
}
