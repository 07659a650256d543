/** A runner's start: from its hello to ready, and how it fails. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { startShares } from "@valet/shared/limits";
import type { FromRunner } from "@valet/shared/protocol/runner-link";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createAgent } from "../test/agent.ts";
import { config, dispatch, framesOf, spansOf } from "../test/link-server.ts";
import { setUp, TRACEPARENT, typesOf, useRepository } from "../test/runner.ts";

const repository = useRepository();

describe("the start", () => {
  test("goes from hello to ready, with its spans in the trace of the sandbox's start", async () => {
    const greeting = [config({ clockOffsetMs: 2.5 }), { type: "repo-config", repoUrl: repository().url } as const];
    const { server, ready, span, workspace, agent } = setUp({ greeting });
    await ready();
    expect(typesOf(server.received)).toEqual(["hello", "connected", "git_setup", "opencode_starting", "ready"]);
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
