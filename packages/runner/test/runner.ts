/** A runner in this process, with a scripted SessionAgent and an agent whose jobs the test ends. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FromRunner } from "@valet/shared/protocol/runner-link";
import { parseTraceparent } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { beforeAll, onTestFinished } from "vitest";
import { Runner } from "../src/runner.ts";
import type { RunnerOptions } from "../src/runner-options.ts";
import { SpanOutbox } from "../src/spans/span-outbox.ts";
import { createTracing, runnerResource, type Tracing } from "../src/spans/tracing.ts";
import { Journal } from "../src/state/journal.ts";
import { createAgent } from "./agent.ts";
import { temporaryFolder } from "./folder.ts";
import { makeRepository, type Repository } from "./git-server.ts";
import { config, type LinkServer, type LinkServerOptions, spansOf, startLinkServer } from "./link-server.ts";

/** The context of the sandbox's start. */
export const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

/** Makes a repository that the tests of a file share. */
export function useRepository(): () => Repository {
  let repository: Repository;
  beforeAll(() => {
    const folder = mkdtempSync(join(tmpdir(), "valet-runner-"));
    repository = makeRepository(folder);
    return () => rmSync(folder, { recursive: true });
  });
  return () => repository;
}

interface SetUpOptions extends LinkServerOptions {
  readonly maxAloneMs?: number;
  readonly home?: string;
  readonly agent?: ReturnType<typeof createAgent>;
  readonly instanceId?: string;
  readonly server?: LinkServer;
  readonly runner?: Partial<RunnerOptions>;
}

/** For a stop in which nothing hangs: enough for all of it, however long this machine pauses. */
export const PATIENT_MS = 20_000;

let instances = 0;

/** Starts a runner with a link to a scripted SessionAgent; it is stopped after the test. */
export function setUp(options: SetUpOptions = {}) {
  const { home = temporaryFolder(), agent = createAgent(), instanceId = `instance-${++instances}` } = options;
  const server = options.server ?? startLinkServer({ greeting: [config(), { type: "repo-config" }], ...options });
  const identity = { sessionId: "ses_1", generation: 1 };
  const problems: string[] = [];
  let tracing: Tracing | undefined;
  const outbox = new SpanOutbox({
    folder: join(home, "spans"),
    instanceId,
    resource: runnerResource(identity, instanceId),
    onDropped: (counts) => tracing?.reportDropped(counts),
    frameDelayMs: 5,
  });
  tracing = createTracing(outbox, identity);
  const workspace = join(home, "workspace");
  const runner = new Runner({
    settings: {
      ...identity,
      url: server.url,
      workspace,
      home,
      sandboxId: "sbx_1",
      allowFile: true,
      stateFolder: home,
      isRestored: false,
      parent: parseTraceparent(TRACEPARENT),
      ...withoutUndefined({ maxAloneMs: options.maxAloneMs }),
    },
    token: "token",
    restartCount: 0,
    instanceId,
    tracing,
    outbox,
    journal: new Journal(join(home, "journal.sqlite"), 1),
    startAgent: agent.startAgent,
    onProblem: (problem) => problems.push(problem),
    link: { firstDelayMs: 5, maxDelayMs: 20 },
    stopMs: 300,
    ...options.runner,
  });
  onTestFinished(() => runner.stop("runner_shutdown"));
  const ended = runner.run();
  const ready = () => server.frame("stage", ({ stage }) => stage === "ready");
  const span = async (name: string) => {
    const find = () => spansOf(server.received).find((each) => each.name === name);
    return await server.waitUntil(find);
  };
  return { server, runner, agent, ended, ready, span, problems, home, workspace, outbox };
}

/** Returns the types of the frames but for spans, and the stages of the start by their names. */
export const typesOf = (frames: readonly FromRunner[]) =>
  frames.filter(({ type }) => type !== "spans").map((frame) => (frame.type === "stage" ? frame.stage : frame.type));
