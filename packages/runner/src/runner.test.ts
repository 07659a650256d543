/** A runner's link, its end, and what it does beside its start and its attempts. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createAgent } from "../test/agent.ts";
import { config, dispatch, framesOf, spansOf, startLinkServer } from "../test/link-server.ts";
import { PATIENT_MS, setUp, TRACEPARENT } from "../test/runner.ts";

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

test("the runner sends signs of life while it works", async () => {
  const { server, ready, agent } = setUp({ runner: { link: { firstDelayMs: 5, maxDelayMs: 20, signMs: 5 } } });
  await ready();
  expect(server.connections[0]?.pings).toBe(0);
  server.send({ type: "prompt", dispatch: dispatch("att_1") });
  await server.waitUntil(() => ((server.connections[0]?.pings ?? 0) > 3 ? true : undefined));
  agent.end("att_1");
  await server.frame("turn-ended");
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
