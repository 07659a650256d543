/** When the command of a workflow's step may run: the runner and its link, in the test's hands at both ends. */
import { describe, expect, test } from "vitest";
import { config, framesOf, workflowDispatch } from "../../test/link-server.ts";
import { setUp } from "../../test/runner.ts";

describe("a step with a command", () => {
  const begun = { type: "workflow-step", attemptId: "att_1", state: { index: 1, status: "running" } } as const;
  const told = { ...begun, waits: true };

  /** A runner that works on a workflow. */
  async function working(acknowledgesSteps: boolean, more: Parameters<typeof setUp>[0] = {}) {
    const greeting = [config({ acknowledgesSteps }), { type: "repo-config" }] as const;
    const set = setUp({ acknowledges: false, greeting, ...more });
    await set.ready();
    set.server.send({ type: "workflow-execute", dispatch: workflowDispatch("att_1") });
    await set.server.frame("attempt-accepted");
    const stopping = new AbortController();
    let mayRun = false;
    const waiting = set.agent
      .start()
      ?.beginCommand(begun, stopping.signal)
      .then(() => (mayRun = true));
    return { ...set, waiting, mayRun: () => mayRun, stopping };
  }

  test("is sent again on the same link until the session has stored it", async () => {
    const { server, waiting, mayRun } = await working(true);
    const sent = () => framesOf(server.connections[0]?.frames ?? [], "workflow-step");
    await server.waitUntil(() => sent()[1]);
    expect(sent().slice(0, 2)).toEqual([told, told]);
    expect(mayRun()).toBe(false);
    server.send({ type: "workflow-step-ack", attemptId: "att_1", index: 1 });
    await waiting;
  });

  test("may run it once the session has stored that, across links", async () => {
    const { server, waiting, mayRun } = await working(true);
    expect(await server.frame("workflow-step")).toEqual(told);
    server.send({ type: "workflow-step-ack", attemptId: "att_1", index: 0 });
    server.send({ type: "workflow-step-ack", attemptId: "att_2", index: 1 });
    server.send({ type: "background-check", requestId: "later" });
    await server.frame("background");
    expect(mayRun()).toBe(false);
    server.drop();
    await server.waitUntil(() => framesOf(server.connections[1]?.frames ?? [], "workflow-step")[0]);
    expect(framesOf(server.received, "workflow-step")).toEqual([told, told]);
    expect(mayRun()).toBe(false);
    server.send({ type: "workflow-step-ack", attemptId: "att_1", index: 1 });
    await waiting;
  });

  test("waits no longer once it is aborted", async () => {
    const { server, waiting, mayRun, stopping } = await working(true);
    await server.frame("workflow-step");
    expect(mayRun()).toBe(false);
    stopping.abort();
    await waiting;
  });

  test("does not wait for a session of an earlier version", async () => {
    await (await working(false)).waiting;
    const { server, waiting } = await working(true);
    await server.frame("workflow-step");
    server.settings.greeting = [config(), { type: "repo-config" }];
    server.drop();
    await waiting;
  });

  test("is no reason to go on alone while it waits", async () => {
    const { server, ended, problems } = await working(true, { maxAloneMs: 100 });
    await server.frame("workflow-step");
    server.stop();
    expect(await ended).toBe("stopped");
    expect(problems).toContain(
      "no connection to the session for long, and no work: the runner ends, and its files stay",
    );
  });
});
