import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startShares } from "@valet/shared/limits";
import type { FromRunner } from "@valet/shared/protocol/runner-link";
import { parseTraceparent } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { createAgent, DONE } from "../test/agent.ts";
import { temporaryFolder } from "../test/folder.ts";
import { makeRepository, type Repository } from "../test/git-server.ts";
import {
  config,
  dispatch,
  framesOf,
  type LinkServer,
  type LinkServerOptions,
  readSpans,
  spansOf,
  startLinkServer,
  workflowDispatch,
} from "../test/link-server.ts";
import { runCommand } from "./jobs/command.ts";
import { Runner } from "./runner.ts";
import type { RunnerOptions } from "./runner-options.ts";
import { SpanOutbox } from "./spans/span-outbox.ts";
import { createTracing, openSpanText, type RunnerTracer, runnerResource, type Tracing } from "./spans/tracing.ts";
import { Journal } from "./state/journal.ts";

const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

let repository: Repository;
beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), "valet-runner-"));
  repository = makeRepository(folder);
  return () => rmSync(folder, { recursive: true });
});

interface SetUpOptions extends LinkServerOptions {
  readonly maxAloneMs?: number;
  readonly home?: string;
  readonly agent?: ReturnType<typeof createAgent>;
  readonly instanceId?: string;
  readonly server?: LinkServer;
  readonly runner?: Partial<RunnerOptions>;
}

/** For a stop in which nothing hangs: enough for all of it, however long this machine pauses. */
const PATIENT_MS = 20_000;

let instances = 0;

function setUp(options: SetUpOptions = {}) {
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

const types = (frames: readonly FromRunner[]) =>
  frames.filter(({ type }) => type !== "spans").map((frame) => (frame.type === "stage" ? frame.stage : frame.type));

test("warnings are sent once, and again on a new link", async () => {
  const agent = createAgent();
  const { server } = setUp({
    agent,
    greeting: [config(), { type: "repo-config" }],
    runner: {
      startAgent: (start) => {
        for (const warning of ["mcp_server_failed", "repository_config_invalid", "mcp_server_failed"] as const) {
          start.onWarning(warning);
        }
        return agent.startAgent(start);
      },
    },
  });
  const all = { type: "warnings", warnings: ["mcp_server_failed", "repository_config_invalid"] };
  await server.frame("stage", ({ stage }) => stage === "ready");
  expect(framesOf(server.connections[0]?.frames ?? [], "warnings")).toEqual([
    { type: "warnings", warnings: ["mcp_server_failed"] },
    all,
  ]);
  server.drop();
  await server.waitUntil(() => server.connections[1]?.frames.find(({ type }) => type === "warnings"));
  expect(framesOf(server.connections[1]?.frames ?? [], "warnings")).toEqual([all]);
});

describe("a request of the agent about child sessions", () => {
  const request = { requestId: "req_1", request: { action: "list" } } as const;
  const answer = { ok: true as const, sessions: [{ id: "ses_2" }] };

  test("is sent over the link, and the answer is returned", async () => {
    const { server, ready, agent } = setUp();
    await ready();
    const traced = { ...request, attemptId: "att_1", traceparent: TRACEPARENT };
    const asking = agent.start()?.ask(traced, new AbortController().signal);
    expect(await server.frame("child-session-request")).toEqual({ type: "child-session-request", ...traced });
    server.send({ type: "child-session-response", requestId: "req_other", answer: { ok: false, error: "no" } });
    server.send({ type: "child-session-response", requestId: "req_1", answer });
    expect(await asking).toEqual(answer);
  });

  test("is resent over the next link with the same id, until it is answered", async () => {
    const { server, ready, agent } = setUp();
    await ready();
    const asking = agent.start()?.ask(request, new AbortController().signal);
    await server.frame("child-session-request");
    server.drop();
    await server.hello(1);
    await server.waitUntil(() => (framesOf(server.received, "child-session-request").length === 2 ? true : undefined));
    server.send({ type: "child-session-response", requestId: "req_1", answer });
    expect(await asking).toEqual(answer);
    server.drop();
    await server.hello(2);
    await server.waitUntil(() => server.connections[2]?.frames.find(({ type }) => type === "stage"));
    expect(framesOf(server.connections[2]?.frames ?? [], "child-session-request")).toEqual([]);
  });
});

test("reports the number of background processes on request", async () => {
  const { server, ready } = setUp();
  await ready();
  server.send({ type: "background-check", requestId: "op_1" });
  expect(await server.frame("background")).toEqual({ type: "background", requestId: "op_1", processes: 0 });
});

describe("the keys of a generation", () => {
  const repoUrl = "https://git.example/none.git";
  const secret = config({ modelAccess: { model: "valet/m", providerKeys: { OPENAI_API_KEY: "canary" } } });
  const bare = config({ modelAccess: { model: "valet/m", providerKeys: {} }, hasSecrets: true });

  test("are kept for the successor of a dead runner", async () => {
    const home = temporaryFolder();
    const first = setUp({ home, greeting: [secret, { type: "repo-config" }] });
    await first.ready();
    await first.runner.stop("runner_shutdown");
    const { ready, agent, problems } = setUp({ home, greeting: [bare, { type: "repo-config" }] });
    await ready();
    expect(agent.start()?.config.modelAccess.providerKeys).toEqual({ OPENAI_API_KEY: "canary" });
    expect(problems).toEqual([]);
  });

  test("are kept later if they could not be kept at first", async () => {
    const home = temporaryFolder();
    // A folder in place of the file has the effect of a full disk.
    mkdirSync(join(home, "secrets.new"));
    const first = setUp({ home, greeting: [secret, { type: "repo-config" }] });
    await first.ready();
    expect(first.problems).toEqual([expect.stringContaining("could not keep the keys")]);
    rmSync(join(home, "secrets.new"), { recursive: true });
    await vi.waitFor(() => expect(existsSync(join(home, "secrets"))).toBe(true), 20_000);
    await first.runner.stop("runner_shutdown");
    const { ready, agent } = setUp({ home, greeting: [bare, { type: "repo-config" }] });
    await ready();
    expect(agent.start()?.config.modelAccess.providerKeys).toEqual({ OPENAI_API_KEY: "canary" });
  });

  test("are not kept after a regular stop, or for another sandbox: its start fails with secrets_lost", async () => {
    const home = temporaryFolder();
    const first = setUp({ home, greeting: [secret, { type: "repo-config" }] });
    await first.ready();
    await first.runner.stop("session_hibernated");
    const { server, agent, span } = setUp({ home, greeting: [bare, { type: "repo-config", repoUrl }] });
    const { errorType } = await server.frame("stage", ({ stage }) => stage === "failed");
    expect(errorType).toBe("secrets_lost");
    expect((await span("valet.runner.bootstrap")).attributes).toMatchObject({ "error.type": "secrets_lost" });
    expect(agent.start()).toBeUndefined();
  });
});

test("a runner whose host does not come back ends, and one that has a link goes on", async () => {
  const maxAloneMs = 60_000;
  const lonely = setUp({ maxAloneMs });
  await lonely.ready();
  let end: string | undefined;
  void lonely.ended.then((how) => {
    end = how;
  });
  // The time without a host must not pass while the link is still made, however long this machine pauses.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  lonely.server.stop();
  await expect
    .poll(() => {
      vi.advanceTimersByTime(maxAloneMs);
      return end;
    })
    .toBe("stopped");
  expect(lonely.problems).toContain(
    "no connection to the session for long, and no work: the runner ends, and its files stay",
  );
});

test("a runner whose files somebody removed takes no work, and ends; without the workspace alone it goes on", async () => {
  const [gone, left] = [setUp(), setUp()];
  await Promise.all([gone.ready(), left.ready()]);
  rmSync(gone.home, { recursive: true });
  rmSync(left.workspace, { recursive: true, force: true });
  for (const { server } of [gone, left]) server.send({ type: "prompt", dispatch: dispatch("att_1") });
  expect(await gone.ended).toBe("stopped");
  expect(gone.problems).toContain(
    "the sandbox's workspace and home were removed: the runner ends, and the running work is lost",
  );
  expect(framesOf(gone.server.received, "attempt-accepted")).toEqual([]);
  await left.server.frame("attempt-accepted");
});

describe("a runner whose files somebody removes during a turn reports no end of it", () => {
  test.each([
    ["and ends by itself", undefined],
    ["if the agent fails for that", { ...DONE, outcome: "error", errorType: "provider_unavailable" } as const],
    ["if the agent notices nothing", DONE],
  ])("%s", async (_what, end) => {
    const { server, ready, agent, home, ended, problems } = setUp();
    await ready();
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    await server.frame("attempt-accepted");
    rmSync(home, { recursive: true });
    if (end !== undefined) agent.end("att_1", end);
    expect(await ended).toBe("stopped");
    expect(problems).toContain(
      "the sandbox's workspace and home were removed: the runner ends, and the running work is lost",
    );
    expect(framesOf(server.received, "turn-ended")).toEqual([]);
  });
});

test("a runner goes on while the folder of all sandboxes is away, as on a disk that was unmounted, and while another one is in its place", async () => {
  const sandboxes = join(temporaryFolder(), "sandboxes");
  const home = join(sandboxes, "sandbox");
  mkdirSync(home, { recursive: true });
  const { server, ready, agent, ended } = setUp({ home });
  await ready();
  renameSync(sandboxes, `${sandboxes}-elsewhere`);
  for (const [attemptId, isEmpty] of [
    ["att_1", false],
    ["att_2", true],
  ] as const) {
    // As under a mount point.
    if (isEmpty) mkdirSync(sandboxes);
    server.send({ type: "prompt", dispatch: dispatch(attemptId) });
    await server.frame("attempt-accepted", (frame) => frame.attemptId === attemptId);
    agent.end(attemptId, DONE);
    expect(await server.frame("turn-ended", (frame) => frame.attemptId === attemptId)).toMatchObject({ outcome: "ok" });
  }
  rmSync(sandboxes, { recursive: true });
  renameSync(`${sandboxes}-elsewhere`, sandboxes);
  rmSync(home, { recursive: true });
  server.send({ type: "prompt", dispatch: dispatch("att_3") });
  expect(await ended).toBe("stopped");
});

test("a runner whose files somebody removes during its start does not blame the agent or git for it", async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  const { server, home, ended, agent } = setUp({ agent: createAgent({ healthy: () => promise }) });
  await server.waitUntil(() => agent.start());
  await agent.start()?.workspaceReady;
  rmSync(home, { recursive: true });
  reject(new Error("it cannot write"));
  expect(await ended).toBe("stopped");
  expect(framesOf(server.received, "stage").map(({ stage }) => stage)).not.toContain("failed");
});

test("the runner sends signs of life while it works", async () => {
  const { server, ready, agent } = setUp({ runner: { link: { firstDelayMs: 5, maxDelayMs: 20, signMs: 5 } } });
  await ready();
  expect(server.connections[0]?.pings).toBe(0);
  server.send({ type: "prompt", dispatch: dispatch("att_1") });
  await server.waitUntil(() => ((server.connections[0]?.pings ?? 0) > 3 ? true : undefined));
  agent.end("att_1");
  await server.frame("turn-ended");
});

describe("the start", () => {
  test("goes from hello to ready, with its spans in the trace of the sandbox's start", async () => {
    const greeting = [config({ clockOffsetMs: 2.5 }), { type: "repo-config", repoUrl: repository.url } as const];
    const { server, ready, span, workspace, agent } = setUp({ greeting });
    await ready();
    expect(types(server.received)).toEqual(["hello", "connected", "git_setup", "opencode_starting", "ready"]);
    expect(framesOf(server.received, "hello")[0]).toMatchObject({ attempts: [], ready: false, generation: 1 });
    const bootstrap = await span("valet.runner.bootstrap");
    expect(bootstrap).toMatchObject({ traceId: TRACEPARENT.split("-")[1], parentSpanId: TRACEPARENT.split("-")[2] });
    expect(bootstrap.attributes).toEqual({
      "valet.session.id": "ses_1",
      "session.id": "ses_1",
      "gen_ai.conversation.id": "ses_1",
      "valet.generation": "1",
      "valet.sandbox.id": "sbx_1",
      "valet.runner.restart_count": "0",
      "valet.clock.offset_ms": 2.5,
      "valet.outcome": "ok",
    });
    for (const child of ["valet.runner.connect", "valet.runner.opencode_start", "valet.runner.git_setup"]) {
      expect(await span(child)).toMatchObject({
        parentSpanId: bootstrap.spanId,
        attributes: { "valet.outcome": "ok", "valet.session.id": "ses_1" },
      });
    }
    expect((await span("valet.runner.connect")).attributes).toMatchObject({
      "valet.connect.attempt_count": "1",
      "server.address": "127.0.0.1",
    });
    expect(readFileSync(join(workspace, "file.txt"), "utf8")).toBe("second");
    // The agent may read it by then.
    await agent.start()?.workspaceReady;
  });

  test("uses the context that arrives with the repository, unless it belongs to the bootstrap's trace", async () => {
    const other = "00-11111111111111111111111111111111-2222222222222222-01";
    const { ready, span } = setUp({ greeting: [config(), { type: "repo-config", traceparent: other }] });
    await ready();
    expect(await span("valet.runner.git_setup")).toMatchObject({
      traceId: "1".repeat(32),
      parentSpanId: "2".repeat(16),
    });
    const own = setUp({ greeting: [config(), { type: "repo-config", traceparent: TRACEPARENT }] });
    await own.ready();
    const bootstrap = await own.span("valet.runner.bootstrap");
    expect(await own.span("valet.runner.git_setup")).toMatchObject({ parentSpanId: bootstrap.spanId });
  });

  test("of a restarted runner is a separate trace, which includes the repository and links to the sandbox's start", async () => {
    const greeting = [config(), { type: "repo-config", traceparent: TRACEPARENT } as const];
    const { ready, span } = setUp({ greeting, runner: { restartCount: 1 } });
    await ready();
    const [, traceId, spanId] = TRACEPARENT.split("-");
    const bootstrap = await span("valet.runner.bootstrap");
    expect(bootstrap.parentSpanId ?? "").toBe("");
    expect(bootstrap.traceId).not.toBe(traceId);
    expect(bootstrap.links).toMatchObject([
      { traceId, spanId, attributes: [{ key: "valet.link.type", value: { stringValue: "follows" } }] },
    ]);
    for (const child of ["valet.runner.connect", "valet.runner.opencode_start", "valet.runner.git_setup"]) {
      expect(await span(child)).toMatchObject({ traceId: bootstrap.traceId, parentSpanId: bootstrap.spanId });
    }
  });

  test("fails if the repository fails, and the runner keeps running", async () => {
    const greeting = [config(), { type: "repo-config", repoUrl: "file:///nowhere" } as const];
    const { server, span } = setUp({ greeting });
    const failed = { type: "stage", stage: "failed", errorType: "git_not_found" };
    expect(await server.frame("stage", ({ stage }) => stage === "failed")).toEqual(failed);
    expect(await span("valet.runner.bootstrap")).toMatchObject({
      status: { code: 2 },
      attributes: { "valet.outcome": "error", "error.type": "git_not_found" },
    });
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    expect(await server.frame("attempt-refused")).toMatchObject({ attemptId: "att_1", errorType: "not_accepted" });
    // The failure is sent again on a new link.
    server.drop();
    await server.waitUntil(() => server.connections[1]?.frames.find(({ type }) => type === "stage"));
    expect(framesOf(server.connections[1]?.frames ?? [], "stage")).toEqual([failed]);
  });

  test("whose repository fails does not wait for a slow agent", async () => {
    const agent = createAgent({ healthy: () => new Promise(() => {}) });
    const { server } = setUp({ agent, greeting: [config(), { type: "repo-config", repoUrl: "file:///nowhere" }] });
    await server.frame("stage", ({ errorType }) => errorType === "git_not_found");
    expect(agent.isStopped()).toBe(true);
  });

  test("that failed is reported after its spans on every link, since the SessionAgent accepts nothing afterwards", async () => {
    const greeting = [config(), { type: "repo-config", repoUrl: "file:///nowhere" } as const];
    const { server } = setUp({ greeting, acknowledges: false });
    const isFailure = (frame: FromRunner) => frame.type === "stage" && frame.stage === "failed";
    for (const nth of [0, 1]) {
      const before = await server.waitUntil(() => {
        const frames = server.connections[nth]?.frames ?? [];
        const end = frames.findIndex(isFailure);
        return end < 0 ? undefined : frames.slice(0, end);
      });
      const names = spansOf(before).map(({ name }) => name.replace("valet.runner.", ""));
      expect(names.sort()).toEqual(["bootstrap", "connect", "git_clone", "git_setup", "opencode_start"]);
      server.drop();
    }
  });

  test("fails if the agent fails", async () => {
    const agent = createAgent({ healthy: () => Promise.reject(new TypeError("secret")) });
    const { server, problems } = setUp({ agent });
    await server.frame("stage", ({ errorType }) => errorType === "opencode_unhealthy");
    expect(problems).toEqual(["the agent did not start: TypeError"]);
  });

  test("ends a hanging clone before the session's own limit does, with the clone's error type", async () => {
    // It accepts the connection and never sends anything.
    const silent = createServer(() => {}).listen(0, "127.0.0.1");
    onTestFinished(() => void silent.close());
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const startMs = 2_000;
    const { server, span } = setUp({
      greeting: [config({ startMs }), { type: "repo-config", repoUrl: `https://127.0.0.1:${port}/x.git` }],
    });
    await server.frame("stage", ({ stage, errorType }) => stage === "failed" && errorType === "git_timeout");
    // How long it takes to tell that depends on how busy this machine is.
    expect(startShares(startMs).gitMs).toBeLessThan(startMs);
    const failed = { "valet.outcome": "error", "error.type": "git_timeout" };
    for (const name of ["valet.runner.git_clone", "valet.runner.git_setup", "valet.runner.bootstrap"]) {
      expect((await span(name)).attributes).toMatchObject(failed);
    }
  });

  test("is not repeated after the link broke, and continues without a link", async () => {
    const healthy = Promise.withResolvers<void>();
    const agent = createAgent({ healthy: () => healthy.promise });
    const { server, span } = setUp({ agent });
    await server.frame("stage", ({ stage }) => stage === "opencode_starting");
    server.settings.status = 503;
    server.drop();
    await server.waitUntil(() => (server.connections.length > 2 ? true : undefined));
    healthy.resolve();
    await vi.waitFor(() => expect(agent.start()).toBeDefined(), 20_000);
    delete (server.settings as { status?: number }).status;
    await server.frame("stage", ({ stage }) => stage === "ready");
    await server.waitUntil(() => (framesOf(server.received, "hello").length > 1 ? true : undefined));
    await span("valet.runner.bootstrap");
    expect(spansOf(server.received).filter(({ name }) => name === "valet.runner.opencode_start").length).toBe(1);
  });

  test("that is stopped is aborted", async () => {
    const agent = createAgent({ healthy: () => new Promise(() => {}) });
    const { server, runner, span, ended } = setUp({ agent, runner: { stopMs: 2_000 } });
    await server.frame("stage", ({ stage }) => stage === "opencode_starting");
    await runner.stop("runner_shutdown");
    expect(await ended).toBe("stopped");
    expect(await span("valet.runner.bootstrap")).toMatchObject({
      status: { code: 0 },
      attributes: { "valet.outcome": "aborted", "valet.outcome.reason": "runner_shutdown" },
    });
    expect(agent.isStopped()).toBe(true);
  });

  test("waits for its configuration, and ignores that of another runner", async () => {
    const { server, problems, agent } = setUp({ greeting: [] });
    await server.hello(0);
    server.send({ type: "repo-config" });
    server.send(config({ sessionId: "ses_2" }));
    server.send(config({ generation: 2 }));
    server.send({ type: "repo-config" });
    await vi.waitFor(() => expect(problems.length).toBe(4), 20_000);
    expect(agent.start()).toBeUndefined();
    server.send(config());
    server.send({ type: "repo-config" });
    await server.frame("stage", ({ stage }) => stage === "ready");
  });
});

describe("a dispatch", () => {
  test("is accepted with its open span; its end is sent after its spans until it is acknowledged", async () => {
    const { server, agent, ready } = setUp();
    await ready();
    server.send({ type: "prompt", dispatch: dispatch("att_1", { content: "Say hello." }) });
    const { span } = await server.frame("attempt-accepted");
    expect(JSON.parse(span ?? "{}")).toMatchObject({ name: "valet.turn" });
    expect(agent.runs).toEqual([dispatch("att_1")]);
    agent.end("att_1");
    expect(await server.frame("turn-ended")).toEqual({ type: "turn-ended", attemptId: "att_1", ...DONE });
    const at = server.received.findIndex(({ type }) => type === "turn-ended");
    expect(spansOf(server.received.slice(0, at)).map(({ name }) => name)).toContain("valet.turn");
    server.drop();
    await server.hello(1);
    server.send({ type: "shutdown", reason: "hibernate" });
    await server.frame("stopped");
    expect(framesOf(server.connections[1]!.frames, "hello")[0]?.attempts).toEqual([]);
    expect(framesOf(server.received, "turn-ended").length).toBe(1);
  });

  test("has its last spans in the frame of its end, if the SessionAgent supports that", async () => {
    const greeting = [{ ...config(), takesSpansInEnds: true }, { type: "repo-config" }] as const;
    const { server, ready, agent, outbox } = setUp({ greeting });
    await ready();
    await vi.waitFor(() => expect(outbox.isEmpty).toBe(true), 20_000);
    const before = framesOf(server.received, "spans").length;
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    await server.frame("attempt-accepted");
    agent.end("att_1");
    const { spans } = await server.frame("turn-ended");
    expect(readSpans(spans?.otlp ?? "").map(({ name }) => name)).toEqual(["valet.turn"]);
    // The acknowledgement of the end also acknowledges the spans.
    await vi.waitFor(() => expect(outbox.isEmpty).toBe(true), 20_000);
    expect(framesOf(server.received, "spans")).toHaveLength(before);

    server.send({ type: "workflow-execute", dispatch: workflowDispatch("att_2") });
    await server.frame("attempt-accepted", ({ attemptId }) => attemptId === "att_2");
    agent.endWorkflow("att_2");
    const { spans: last } = await server.frame("workflow-ended");
    expect(readSpans(last?.otlp ?? "").map(({ name }) => name)).toEqual(["valet.workflow.execute"]);
  });

  test("whose end was lost with its last spans resends both, to any version of the SessionAgent", async () => {
    const greeting = [{ ...config(), takesSpansInEnds: true }, { type: "repo-config" }] as const;
    const { server, ready, agent, outbox } = setUp({ greeting });
    await ready();
    server.settings.acknowledges = false;
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    await server.frame("attempt-accepted");
    agent.end("att_1");
    const { spans } = await server.frame("turn-ended");
    // An older version, which would ignore spans in the frame of an end.
    server.settings.greeting = [config(), { type: "repo-config" }];
    server.settings.acknowledges = true;
    server.drop();
    const again = await server.waitUntil(() => {
      const frames = server.connections[1]?.frames ?? [];
      return frames.some(({ type }) => type === "turn-ended") ? frames : undefined;
    });
    expect(framesOf(again, "spans").find(({ seq }) => seq === spans?.seq)?.otlp).toBe(spans?.otlp);
    expect(framesOf(again, "turn-ended").map((frame) => frame.spans)).toEqual([undefined]);
    await vi.waitFor(() => expect(outbox.isEmpty).toBe(true), 20_000);

    server.send({ type: "prompt", dispatch: dispatch("att_2") });
    await server.frame("attempt-accepted", ({ attemptId }) => attemptId === "att_2");
    agent.end("att_2");
    expect((await server.frame("turn-ended", ({ attemptId }) => attemptId === "att_2")).spans).toBeUndefined();
    expect(spansOf(server.received).filter(({ name }) => name === "valet.turn")).toHaveLength(2);
  });

  test("that is repeated runs once, whether it is running, ended or acknowledged", async () => {
    const { server, agent, ready, problems } = setUp({ acknowledges: false });
    await ready();
    const prompt = { type: "prompt", dispatch: dispatch("att_1") } as const;
    server.send(prompt);
    server.send(prompt);
    await server.waitUntil(() => (framesOf(server.received, "attempt-accepted").length === 2 ? true : undefined));
    const [first, second] = framesOf(server.received, "attempt-accepted");
    expect(second).toEqual(first);
    agent.end("att_1");
    await server.frame("turn-ended");
    server.send(prompt);
    await server.waitUntil(() => (framesOf(server.received, "turn-ended").length === 2 ? true : undefined));
    server.send({ type: "turn-ended-ack", attemptId: "att_1" });
    server.send({ type: "turn-ended-ack", attemptId: "att_1" });
    server.send(prompt);
    await vi.waitFor(() => expect(problems).toContain("an attempt was dispatched again after its end"), 20_000);
    expect(agent.runs.length).toBe(1);
    expect(framesOf(server.received, "turn-ended").length).toBe(2);
  });

  test("continues while the link is down; the new link carries what is unacknowledged, spans before ends", async () => {
    const { server, agent, ready } = setUp({ acknowledges: false });
    await ready();
    for (const id of ["att_1", "att_2"]) server.send({ type: "prompt", dispatch: dispatch(id) });
    await server.frame("attempt-accepted", ({ attemptId }) => attemptId === "att_2");
    const asked = { type: "permission-asked", attemptId: "att_2", permissionId: "per_1", permission: "bash" } as const;
    agent.tell({ ...asked, detail: "ls" });
    const question = { question: "Which?", header: "", options: [] };
    agent.tell({ type: "question-asked", attemptId: "att_2", questionId: "que_1", questions: [question] });
    await server.frame("question-asked");
    server.settings.status = 503;
    server.drop();
    await server.waitUntil(() => (server.isUp() ? undefined : true));
    agent.end("att_1");
    delete (server.settings as { status?: number }).status;
    await server.waitUntil(() => (framesOf(server.received, "turn-ended").length > 0 ? true : undefined));
    const { frames } = server.connections.at(-1)!;
    expect(frames.filter(({ type }) => type !== "spans").map(({ type }) => type)).toEqual([
      "hello",
      "stage",
      "attempt-accepted",
      "permission-asked",
      "question-asked",
      "turn-ended",
    ]);
    expect(framesOf(frames, "hello")[0]).toMatchObject({ attempts: ["att_2", "att_1"], ready: true });
    expect(framesOf(frames, "attempt-accepted")[0]?.attemptId).toBe("att_2");
    expect(frames.findLastIndex(({ type }) => type === "spans")).toBeLessThan(
      frames.findIndex(({ type }) => type === "turn-ended"),
    );
    expect(spansOf(frames).filter(({ name }) => name === "valet.turn").length).toBe(1);
  });

  test("can be aborted, and receives replies", async () => {
    const { server, agent, ready } = setUp();
    await ready();
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    await server.frame("attempt-accepted");
    const replies = [
      { type: "permission-reply", permissionId: "per_1", reply: "once" },
      { type: "question-reply", questionId: "que_1", answers: [["Hello"]] },
    ] as const;
    for (const reply of replies) server.send(reply as never);
    server.send({ type: "abort", attemptId: "att_2", reason: "steered" });
    server.send({ type: "abort", attemptId: "att_1", reason: "user_abort" });
    expect(await server.frame("turn-ended")).toMatchObject({ outcome: "aborted", errorType: "user_abort" });
    expect(agent.replies).toEqual(replies);
  });

  test("is refused if it cannot be recorded or started", async () => {
    const agent = createAgent();
    const { server, ready, problems } = setUp({
      agent,
      runner: {
        startAgent: (start) => {
          const started = agent.startAgent(start);
          const run = () => {
            throw new RangeError("secret");
          };
          return { ...started, agent: { ...started.agent, jobs: { ...started.agent.jobs, run } } };
        },
      },
    });
    await ready();
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    expect(await server.frame("attempt-refused")).toMatchObject({ attemptId: "att_1", errorType: "_OTHER" });
    expect(problems).toEqual(["an attempt could not begin: RangeError"]);
  });
});

describe("the successor of a dead runner", () => {
  test("delivers that runner's spans with its instance id, ends its running attempts, and resends its ends", async () => {
    const home = temporaryFolder();
    const first = setUp({ home, acknowledges: false, instanceId: "one" });
    await first.ready();
    for (const id of ["att_1", "att_2"]) first.server.send({ type: "prompt", dispatch: dispatch(id) });
    await first.server.frame("attempt-accepted", ({ attemptId }) => attemptId === "att_2");
    first.agent.end("att_1");
    await first.server.frame("turn-ended");
    const { server, agent, ready, span } = setUp({ home, instanceId: "two" });
    await ready();
    expect(framesOf(server.received, "hello")[0]).toMatchObject({ instanceId: "two", attempts: ["att_1", "att_2"] });
    const ends = framesOf(server.received, "turn-ended");
    expect(ends.map(({ attemptId, outcome, errorType }) => [attemptId, outcome, errorType])).toEqual([
      ["att_1", "ok", undefined],
      ["att_2", "error", "runner_lost"],
    ]);
    // The dead runner had already sent the context of its work.
    const [, opened] = framesOf(first.server.received, "attempt-accepted");
    const { context } = JSON.parse(opened?.span ?? "{}");
    const lost = await server.waitUntil(() =>
      spansOf(server.received).find(({ attributes }) => attributes["valet.outcome"] === "lost"),
    );
    expect(lost).toMatchObject({ name: "valet.turn", spanId: context.spanId, status: { code: 2 } });
    expect(lost.attributes).toMatchObject({ "error.type": "runner_lost", "valet.dispatch.attempt_id": "att_2" });
    expect(Number(lost.attributes["valet.last_seen_ms"])).toBeGreaterThan(Date.now() - 60_000);
    await span("valet.runner.bootstrap");
    const byInstance = framesOf(server.received, "spans").filter(({ instanceId }) => instanceId === "one");
    expect(spansOf(byInstance).map(({ name }) => name)).toEqual(spansOf(first.server.received).map(({ name }) => name));
    server.send({ type: "prompt", dispatch: dispatch("att_2") });
    server.send({ type: "prompt", dispatch: dispatch("att_3") });
    await server.frame("attempt-accepted");
    expect(agent.runs.map(({ attemptId }) => attemptId)).toEqual(["att_3"]);
  });
});

describe("a workflow", () => {
  const running = { index: 0, status: "running" } as const;
  const done = { index: 0, status: "done", outcome: "ok", output: "built" } as const;

  test("is accepted with its open span; its steps are sent, again on a new link; its end is sent until it is acknowledged", async () => {
    const { server, agent, ready } = setUp({ acknowledges: false });
    await ready();
    server.send({ type: "workflow-execute", dispatch: workflowDispatch("att_1") });
    const { span } = await server.frame("attempt-accepted");
    expect(JSON.parse(span ?? "{}")).toMatchObject({ name: "valet.workflow.execute" });
    expect(agent.executions).toEqual([workflowDispatch("att_1")]);
    for (const state of [running, done, { ...running, index: 1 }]) {
      agent.tell({ type: "workflow-step", attemptId: "att_1", state });
    }
    await server.frame("workflow-step", ({ state }) => state.index === 1);
    server.drop();
    await server.hello(1);
    await server.waitUntil(() => server.connections[1]?.frames.find(({ type }) => type === "workflow-step"));
    const again = () => framesOf(server.connections[1]?.frames ?? [], "workflow-step").map(({ state }) => state);
    await vi.waitFor(() => expect(again()).toEqual([done, { ...running, index: 1 }]), 20_000);
    agent.endWorkflow("att_1", { steps: [done] });
    const ended = { type: "workflow-ended", attemptId: "att_1", outcome: "ok", steps: [done], summary: DONE.summary };
    expect(await server.frame("workflow-ended")).toEqual(ended);
    const at = server.received.findIndex(({ type }) => type === "workflow-ended");
    expect(spansOf(server.received.slice(0, at)).map(({ name }) => name)).toContain("valet.workflow.execute");
    server.drop();
    await server.hello(2);
    await vi.waitFor(() => expect(framesOf(server.received, "workflow-ended")).toEqual([ended, ended]), 20_000);
    server.send({ type: "turn-ended-ack", attemptId: "att_1" });
    server.drop();
    expect((await server.hello(3)).attempts).toEqual([]);
  });

  test("that is dispatched again is executed once", async () => {
    const { server, agent, ready, problems } = setUp({ acknowledges: false });
    await ready();
    const frame = { type: "workflow-execute", dispatch: workflowDispatch("att_1") } as const;
    server.send(frame);
    server.send(frame);
    await vi.waitFor(() => expect(framesOf(server.received, "attempt-accepted")).toHaveLength(2), 20_000);
    agent.endWorkflow("att_1");
    await server.frame("workflow-ended");
    server.send(frame);
    await vi.waitFor(() => expect(framesOf(server.received, "workflow-ended")).toHaveLength(2), 20_000);
    server.send({ type: "turn-ended-ack", attemptId: "att_1" });
    server.send(frame);
    await vi.waitFor(() => expect(problems).toContain("an attempt was dispatched again after its end"), 20_000);
    expect(agent.executions).toHaveLength(1);
  });

  test("of a dead runner is ended by the next: done steps stay done, the running one is lost and its command killed", async () => {
    const home = temporaryFolder();
    const first = setUp({ home, acknowledges: false, instanceId: "one" });
    await first.ready();
    first.server.send({ type: "workflow-execute", dispatch: workflowDispatch("att_1") });
    await first.server.frame("attempt-accepted");
    const tracer = first.agent.start()?.tracer as RunnerTracer;
    const attributes = { "valet.workflow.step.name": "deploy" };
    const step = tracer.startSpan("valet.workflow.step deploy", { attributes });
    first.agent.tell({ type: "workflow-step", attemptId: "att_1", state: done });
    const span = openSpanText(step) as string;
    first.agent.tell({ type: "workflow-step", attemptId: "att_1", state: { ...running, index: 1 }, span });
    const ending = new AbortController();
    const command = runCommand({
      run: "touch begun; sleep 61.31",
      workspace: home,
      env: process.env,
      stepId: "att_1/1",
      context: step.context,
      timeoutMs: 60_000,
      signal: ending.signal,
    });
    await vi.waitFor(() => expect(existsSync(join(home, "begun"))).toBe(true), { timeout: 20_000 });
    const { server, span: spanNamed } = setUp({ home, instanceId: "two" });
    const ended = await server.frame("workflow-ended");
    expect(ended).toMatchObject({ attemptId: "att_1", outcome: "error", errorType: "runner_lost" });
    expect(ended.steps).toEqual([done, { index: 1, status: "done", outcome: "lost", errorType: "runner_lost" }]);
    expect(await command).toMatchObject({ exitCode: undefined });
    const lost = await spanNamed("valet.workflow.step deploy");
    expect(lost).toMatchObject({ spanId: step.context.spanId, status: { code: 2 } });
    expect(lost.attributes).toMatchObject({ "valet.outcome": "lost", "error.type": "runner_lost" });
    const execution = await spanNamed("valet.workflow.execute");
    expect(execution).toMatchObject({ attributes: { "valet.outcome": "lost" } });
    expect(execution.endTimeUnixNano).toBe(lost.endTimeUnixNano);
  });
});

describe("the end", () => {
  test("by shutdown: turns end with its reason, everything is delivered, then the end is reported", async () => {
    const { server, ended, ready, agent, home } = setUp({ runner: { stopMs: PATIENT_MS } });
    await ready();
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    await server.frame("attempt-accepted");
    server.send({ type: "shutdown", reason: "terminate" });
    await server.frame("stopped");
    expect(await ended).toBe("stopped");
    expect(framesOf(server.received, "turn-ended")[0]).toMatchObject({
      outcome: "aborted",
      errorType: "session_terminated",
    });
    expect(server.received.at(-1)).toEqual({ type: "stopped" });
    expect(agent.isStopped()).toBe(true);
    expect(readdirSync(join(home, "spans"))).toEqual([]);
  });

  test("meets its time limit, whatever hangs, and keeps what could not be delivered", async () => {
    const agent = createAgent({ hangs: true });
    const { server, runner, ended, ready, home } = setUp({ agent, acknowledges: false, runner: { stopMs: 100 } });
    await ready();
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    await server.frame("attempt-accepted");
    // It has 4 s without the setting, and what hangs does so for good. A timer is as late as the runner's on a machine that pauses.
    const late = new Promise((resolve) => setTimeout(resolve, 3_000, "late"));
    await Promise.race([runner.stop("runner_shutdown"), late]);
    expect(await Promise.race([ended, late])).toBe("stopped");
    expect(readdirSync(join(home, "spans")).length).toBe(1);
  });

  test.each(["stale_generation", "token_refused", "superseded", "protocol_unsupported"] as const)(
    "by refusal: %s",
    async (reason) => {
      const { server, ended, home } = setUp({ greeting: [{ type: "refused", reason }] });
      expect(await ended).toBe("refused");
      expect(server.connections.length).toBe(1);
      // A later runner delivers the reason of the failed start.
      const next = startLinkServer();
      const { span } = setUp({ home, server: next });
      const { attributes } = await span("valet.runner.bootstrap");
      expect(attributes).toMatchObject(
        reason === "token_refused" || reason === "protocol_unsupported"
          ? { "valet.outcome": "error", "error.type": reason }
          : {
              "valet.outcome": "superseded",
              "valet.outcome.reason": reason === "superseded" ? "runner_replaced" : reason,
            },
      );
    },
  );
});

test("a session without tracing receives no spans, and its turns are unchanged", async () => {
  const { server, agent, ready, home, ended } = setUp({
    greeting: [config({ tracing: false }), { type: "repo-config" }],
    runner: { stopMs: PATIENT_MS },
  });
  await ready();
  server.send({ type: "prompt", dispatch: dispatch("att_1") });
  expect(await server.frame("attempt-accepted")).toEqual({ type: "attempt-accepted", attemptId: "att_1" });
  agent.end("att_1");
  await server.frame("turn-ended");
  server.send({ type: "shutdown", reason: "hibernate" });
  await ended;
  expect(spansOf(server.received).filter(({ name }) => name !== "valet.runner.connect")).toEqual([]);
  expect(readdirSync(join(home, "spans"))).toEqual([]);
});
