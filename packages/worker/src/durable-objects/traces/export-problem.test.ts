/** The export problem of a session, with a clock and a backend that the test controls. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { SessionView } from "@valet/shared/protocol/session-view";
import { expect, test, vi } from "vitest";
import { StandInBroker } from "../../../test/course/broker.ts";
import { Host } from "../../../test/course/host.ts";
import { CALLER, valueIn } from "../../../test/session.ts";

const { STORAGE } = env as unknown as { STORAGE: DurableObjectNamespace };
const HOST = "otlp.test:4317";
const VARIABLES = {
  OTEL_EXPORTER_OTLP_ENDPOINT: `https://${HOST}/otlp`,
  OTEL_EXPORTER_OTLP_HEADERS: "authorization=canary",
  OTEL_BSP_SCHEDULE_DELAY: "1000",
};
const NOW = Date.UTC(2026, 0, 1);

interface Setting {
  readonly host: Host;
  /** The backend's next answers. */
  readonly answers: { next: () => Response };
  /** The Worker's log lines. */
  readonly logged: Record<string, unknown>[];
  readonly posts: () => number;
  /** The export problem that was last projected to D1. */
  readonly projected: () => SessionView["exportProblem"];
}

const RealResponse = Response;
const answer = (status: number, body: string | null = null, headers: Record<string, string> = {}) => {
  return new RealResponse(body, { status, headers });
};

/** Runs a test with a new session, which has spans. */
async function withSession(work: (setting: Setting) => Promise<void>): Promise<void> {
  await runInDurableObject(STORAGE.get(STORAGE.newUniqueId()), async (_object, real) => {
    vi.useFakeTimers({ now: NOW, toFake: ["Date", "setTimeout", "clearTimeout"] });
    const logged: Record<string, unknown>[] = [];
    const log = vi.spyOn(console, "error").mockImplementation((line) => logged.push(JSON.parse(line)));
    const host = new Host(
      real,
      new StandInBroker(
        () => {},
        () => {},
      ),
      VARIABLES,
    );
    const platform = { fetch, Response, WebSocketPair };
    const answers = { next: () => answer(200) };
    let posts = 0;
    const { globals } = host;
    const toBroker = globals.fetch as typeof fetch;
    Object.assign(globalThis, globals, {
      fetch: async (url: string, init: RequestInit) => {
        if (!url.startsWith("https://otlp.test")) return toBroker(url, init);
        posts++;
        return answers.next();
      },
    });
    try {
      valueIn(await host.agent.create({ id: "ses_course" }, CALLER));
      await host.settle();
      const projected = () => host.database.session?.exportProblem;
      await work({ host, answers, logged, posts: () => posts, projected });
    } finally {
      Object.assign(globalThis, platform);
      log.mockRestore();
      vi.useRealTimers();
    }
  });
}

/** Ends a span of the session, which then waits to be sent. */
async function endSpan(host: Host): Promise<void> {
  const { messageId } = valueIn(await host.agent.sendMessage({ content: "work" }, CALLER));
  valueIn(await host.agent.withdraw(messageId, CALLER));
}

test("the session's view shows the problem after a minute, until the spans have arrived", () =>
  withSession(async ({ host, answers, logged, projected }) => {
    answers.next = () => answer(401);
    await endSpan(host);
    await host.pass(59_000);
    expect(projected()).toBeUndefined();
    await host.pass(4000);
    const problem = projected();
    expect(problem).toEqual({
      since: expect.any(String),
      reason: "HTTP 401",
      waitingSpans: expect.any(Number),
      stopped: false,
    });
    expect(problem?.waitingSpans).toBeGreaterThan(0);
    expect(Date.parse(problem?.since ?? "") - NOW).toBeLessThan(5000);
    expect(valueIn(await host.agent.view()).exportProblem).toEqual(problem);

    const failures = logged.filter(({ type }) => type === "export_failed");
    expect(failures[0]).toMatchObject({
      host: HOST,
      session: "ses_course",
      status: 401,
      hint: expect.stringMatching(/gRPC/),
    });
    expect(JSON.stringify(logged)).not.toContain("canary");
    expect(JSON.stringify(logged)).not.toContain("/otlp");

    answers.next = () => answer(200);
    await host.pass(3_600_000);
    expect(projected()).toBeUndefined();
    expect(host.database.session).toMatchObject({ id: "ses_course" });
  }));

test("`resend` sends at once, also after the export has stopped", () =>
  withSession(async ({ host, answers, posts, projected }) => {
    answers.next = () => answer(200, null, { "content-type": "text/html" });
    await endSpan(host);
    for (let hours = 0; hours < 30; hours++) await host.pass(3_600_000);
    expect(projected()).toMatchObject({ reason: "web page", stopped: true });
    const before = posts();
    for (let hours = 0; hours < 30; hours++) await host.pass(3_600_000);
    expect(posts()).toBe(before);

    const waits = valueIn(await host.agent.resend());
    const hint = expect.stringMatching(/gRPC/);
    expect(waits).toEqual({ exported: true, waitingSpans: expect.any(Number), reason: "web page", hint });
    expect(posts()).toBe(before + 1);

    answers.next = () => answer(200, "{}");
    expect(valueIn(await host.agent.resend())).toEqual({ exported: true, waitingSpans: 0 });
    await host.pass(1000);
    expect(projected()).toBeUndefined();
    // A second `resend` finds nothing to do.
    expect(valueIn(await host.agent.resend())).toEqual({ exported: true, waitingSpans: 0 });
  }));

test("the view shows the reason of the last attempt, whichever the problem began with", () =>
  withSession(async ({ host, answers, projected }) => {
    answers.next = () => answer(401);
    await endSpan(host);
    await host.pass(70_000);
    const { since } = projected() ?? {};
    expect(projected()).toMatchObject({ reason: "HTTP 401" });
    answers.next = () => answer(200, null, { "content-type": "text/html" });
    expect(valueIn(await host.agent.resend())).toMatchObject({ reason: "web page" });
    await host.pass(4000);
    expect(projected()).toMatchObject({ reason: "web page", since });
    answers.next = () => answer(503);
    await host.pass(3_600_000);
    expect(projected()).toMatchObject({ reason: "HTTP 503", since });
  }));

test("`resend` includes the tail, without waiting for its timer", () =>
  withSession(async ({ host, posts }) => {
    await endSpan(host);
    expect(posts()).toBe(0);
    expect(valueIn(await host.agent.resend())).toEqual({ exported: true, waitingSpans: 0 });
    expect(posts()).toBe(1);
  }));

test("an object that died while it showed a problem removes the problem after its restart", () =>
  withSession(async ({ host, answers, projected }) => {
    answers.next = () => answer(404);
    await endSpan(host);
    await host.pass(70_000);
    expect(projected()).toMatchObject({ reason: "HTTP 404" });
    await host.crash();
    answers.next = () => answer(200);
    await host.pass(3_600_000);
    expect(projected()).toBeUndefined();
  }));

test("an answer that is not a backend's is logged once per host, whichever session received it", async () => {
  const logged: Record<string, unknown>[] = [];
  const odd = async (setting: Setting) => {
    setting.answers.next = () => answer(200, "thanks");
    for (const posts of [1, 2]) {
      await endSpan(setting.host);
      await setting.host.pass(2000);
      expect(setting.posts()).toBe(posts);
      // The answer's body arrives with real events.
      while (valueIn(await setting.host.agent.resend()).waitingSpans > 0) await scheduler.wait(1);
    }
    logged.push(...setting.logged);
  };
  await withSession(odd);
  await withSession(odd);
  const warnings = logged.filter(({ type }) => type === "unexpected_answer");
  expect(warnings).toEqual([expect.objectContaining({ host: HOST, session: "ses_course" })]);
});
