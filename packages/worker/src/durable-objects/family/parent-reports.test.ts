/** A child's reports to its parent, on the real objects of both, whatever the parent does meanwhile. */
import { runInDurableObject } from "cloudflare:test";
import { ERRORS } from "@valet/shared/spans";
import { describe, expect, test, vi } from "vitest";
import { eventually } from "../../../test/eventually.ts";
import { NO_WORK } from "../../../test/fake-runner.ts";
import { ask, sessionIn, spawned, systemMessage, working } from "../../../test/family.ts";
import { rowsReadBy } from "../../../test/rows-read.ts";
import { boot, expectSound, hibernate, linksOf, loseSandbox, outcomeOf, tailOf } from "../../../test/sandbox.ts";
import { CALLER, TestSession, valueIn } from "../../../test/session.ts";
import { SessionAgent } from "../session-agent.ts";

const ANSWER = [{ type: "text" as const, id: "prt_1", text: "There are three." }];

describe("a child's message is done:", () => {
  test("the answer reaches the parent's agent, which answers, and the traces of both are linked", async () => {
    const { parent, runner, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    await childRunner.end(attemptId, { parts: ANSWER });

    const { dispatch } = await runner.next("prompt");
    runner.send({ type: "attempt-accepted", attemptId: dispatch.attemptId });
    for (const words of [child.id, "Counting", "completed", "$0.0100", "There are three."]) {
      expect(dispatch.content).toContain(words);
    }
    await runner.end(dispatch.attemptId);
    const message = await systemMessage(parent, child.id);
    expect(message).toMatchObject({ status: "done", outcome: "ok", channel: "main" });

    const report = await child.onlySpan("valet.child_session.report");
    const [first] = await child.spans("valet.prompt");
    expect(report).toMatchObject({ parentSpanId: undefined, kind: 4 });
    expect(report.traceId).not.toBe(first?.traceId);
    expect(linksOf(report, "caused_by")).toEqual([first?.spanId]);
    expect(report.attributes).toMatchObject({
      "valet.parent_session.id": parent.id,
      "valet.child_session.event": "completed",
      "valet.outcome": "ok",
    });
    const prompt = await parent.onlySpan("valet.prompt");
    expect(prompt).toMatchObject({
      parentSpanId: undefined,
      attributes: { "valet.message.source": "system", "valet.child_session.id": child.id },
      links: [{ type: "caused_by", traceId: report.traceId, spanId: report.spanId }],
    });
    await expectSound(parent);
    await expectSound(child);
  });

  test("the report goes to the channel that the child was spawned from, and waits for the turn there", async () => {
    const { session: parent, runner } = await TestSession.running();
    await parent.send("spawn one", { channel: "side" });
    const turn = await runner.accept();
    const answer = await ask(runner, { action: "spawn", prompt: "count" }, turn.attemptId);
    const child = TestSession.of(sessionIn(answer));
    const { runner: childRunner, attemptId } = await working(child);
    await childRunner.end(attemptId);
    const { id } = await systemMessage(parent, child.id);
    await parent.messageIs(id, { status: "queued", queueReason: "system_message", channel: "side" });
    await runner.end(turn.attemptId);
    expect(await runner.accept()).toMatchObject({ messageId: id, channel: "side" });
    await parent.messageIs(id, { status: "accepted" });
  });

  test("the report is sent when nothing is left to do, once for all messages of the parent", async () => {
    const { parent, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    const second = { id: "msg_second", parentSessionId: parent.id, content: "and more", sentBy: {} };
    valueIn(await child.stub.takeParentMessage(second, CALLER));
    await child.send("a person's own question");
    await childRunner.end(attemptId);
    for (let turn = 0; turn < 2; turn++) {
      expect(await child.spans("valet.child_session.report")).toEqual([]);
      await childRunner.end((await childRunner.accept()).attemptId, { parts: ANSWER });
    }
    await systemMessage(parent, child.id);
    expect(await child.spans("valet.child_session.report")).toHaveLength(1);
  });

  test("a person's messages to the child are not reported to the parent", async () => {
    const { parent, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    await childRunner.end(attemptId);
    await systemMessage(parent, child.id);
    await child.send("another question");
    await childRunner.end((await childRunner.accept()).attemptId);
    expect(await child.spans("valet.child_session.report")).toHaveLength(1);
    expect(valueIn(await parent.stub.messages()).messages).toHaveLength(1);
  });

  test("an error is reported, and the spans recorded so far are handed to export", async () => {
    const { parent, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    const failed = { outcome: "error", errorType: "model_chain_exhausted", cause: "provider_timeout" } as const;
    await childRunner.end(attemptId, { ...failed, parts: [] });
    const { content } = await systemMessage(parent, child.id);
    expect(content).toContain("error, model_chain_exhausted");
    expect(content).toContain("`provider_timeout`");
    await eventually(async () => {
      const report = await child.onlySpan("valet.child_session.report");
      expect([report.isOpen, report.attributes["valet.child_session.event"]]).toEqual([false, "error"]);
    });
    await eventually(async () => expect(await tailOf(child)).toBe(0));
  });
});

describe("a child fails or ends:", () => {
  test("its sandbox does not start", async () => {
    const { parent, child } = await spawned();
    const childRunner = await (await child.connect()).hello();
    childRunner.send({ type: "stage", stage: "failed", errorType: "git_clone_failed" });
    await child.reaches("error");
    const { content } = await systemMessage(parent, child.id);
    expect(content).toContain("error, git_clone_failed. The clone failed");
    expect(content).toContain(ERRORS.git_clone_failed.remedy);
    const report = await child.onlySpan("valet.child_session.report");
    expect(report.parentSpanId).toBeUndefined();
    expect(linksOf(report, "caused_by")).toEqual([(await child.onlySpan("valet.sandbox.spawn")).spanId]);
    await eventually(async () => expect(outcomeOf(await child.onlySpan(report.name))).toEqual(["ok", undefined]));
    await eventually(async () => expect(await tailOf(child)).toBe(0));
  });

  test("a person terminates it while the parent is hibernated, which wakes the parent", async () => {
    const { parent, runner, child } = await spawned();
    const { runner: childRunner } = await working(child);
    await hibernate(parent, runner);
    valueIn(await child.stub.terminate(CALLER));
    await childRunner.next("shutdown");
    childRunner.send({ type: "stopped" });
    await child.reaches("terminated");
    const { id, content } = await systemMessage(parent, child.id);
    expect(content).toContain("terminated");
    const awake = await boot(parent);
    expect(await awake.accept()).toMatchObject({ messageId: id });
    const prompt = await parent.onlySpan("valet.prompt");
    const restore = await parent.onlySpan("valet.sandbox.restore");
    expect(linksOf(restore, "caused_by")).toEqual([prompt.spanId]);
    const report = await child.onlySpan("valet.child_session.report");
    expect(linksOf(prompt, "caused_by")).toEqual([report.spanId]);
    expect(report.parentSpanId).toBeUndefined();
    expect(linksOf(report, "caused_by")).toEqual([(await child.onlySpan("valet.session.terminate")).spanId]);
    await eventually(async () => expect(await tailOf(child)).toBe(0));
  });

  test("it completes while the parent is hibernated", async () => {
    const { parent, runner, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    await hibernate(parent, runner);
    await childRunner.end(attemptId, { parts: ANSWER });
    await systemMessage(parent, "There are three.");
    expect((await parent.view()).status).toBe("restoring");
  });

  test("it fails while the parent is hibernated", async () => {
    const { parent, runner, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    await hibernate(parent, runner);
    await childRunner.end(attemptId, { outcome: "error", errorType: "stuck_turn", parts: [] });
    await systemMessage(parent, "stuck_turn");
    expect((await parent.view()).status).toBe("restoring");
  });

  test("the loss of its runner is not reported while its message is retried", async () => {
    const { child } = await spawned();
    const { runner: childRunner } = await working(child);
    await loseSandbox(child, childRunner);
    const again = await boot(child);
    expect(await child.spans("valet.child_session.report")).toEqual([]);
    await again.end((await again.accept()).attemptId);
    await eventually(async () => {
      const { attributes } = await child.onlySpan("valet.child_session.report");
      expect(attributes["valet.child_session.event"]).toBe("completed");
    });
  });
});

test("a report that the parent could not accept is repeated, in order", async () => {
  const { parent, child } = await spawned();
  const { runner: childRunner, attemptId } = await working(child);
  const take = vi.spyOn(SessionAgent.prototype, "takeChildReport").mockRejectedValue(new Error("the test breaks it"));
  await childRunner.end(attemptId, { parts: ANSWER });
  await eventually(() => expect(take).toHaveBeenCalled());
  valueIn(await child.stub.terminate(CALLER));
  await childRunner.next("shutdown");
  childRunner.send({ type: "stopped" });
  await child.reaches("terminated");
  expect(valueIn(await parent.stub.messages()).messages).toEqual([]);
  take.mockRestore();
  await child.elapse("parent-report");
  await systemMessage(parent, "terminated");
  const { messages } = valueIn(await parent.stub.messages());
  expect(messages.map(({ content }) => /completed|terminated/.exec(content)?.[0])).toEqual(["completed", "terminated"]);
  await eventually(async () => expect(await child.timers()).not.toContain("parent-report"));
});

describe("a report is delivered once", () => {
  test("though it arrives twice", async () => {
    const { parent, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    await childRunner.end(attemptId);
    const { id } = await systemMessage(parent, child.id);
    const report = { id, childSessionId: child.id, event: "completed", costUsd: 0, reportedBy: {} } as const;
    valueIn(await parent.stub.takeChildReport(report, CALLER));
    expect(valueIn(await parent.stub.messages()).messages).toHaveLength(1);
  });

  test.each(["crash", "evict"] as const)("though the child's object goes (%s) before delivery", async (how) => {
    const { parent, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    // As if the parent had not answered before the object went: the report is sent again.
    await childRunner.end(attemptId, { parts: ANSWER });
    await systemMessage(parent, child.id);
    const { traceId, spanId } = await child.onlySpan("valet.child_session.report");
    await runInDurableObject(child.stub, (_object, { storage }) => {
      const report = {
        id: `${child.id}:again`,
        childSessionId: child.id,
        event: "error",
        costUsd: 0,
        reportedBy: {},
      };
      storage.sql.exec(
        "INSERT INTO durable_calls VALUES ('parent-report', '', 1, ?, 1, 1)",
        JSON.stringify({ report, span: { traceId, spanId } }),
      );
    });
    await (how === "crash" ? child.crash() : child.evict("close"));
    await child.view();
    await systemMessage(parent, "did not complete");
    await eventually(async () => expect(await child.timers()).not.toContain("parent-report"));
  });

  test("though the child's object dies during delivery", async () => {
    const { parent, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    childRunner.send({
      type: "turn-ended",
      attemptId,
      outcome: "ok",
      parts: ANSWER,
      summary: NO_WORK,
    });
    await eventually(async () => expect(await child.spans("valet.child_session.report")).toHaveLength(1));
    await child.crash();
    await systemMessage(parent, "There are three.");
    await eventually(async () => {
      expect(outcomeOf(await child.onlySpan("valet.child_session.report"))).toEqual(["ok", undefined]);
    });
  });
});

test("a child that works does not read the messages of its parent, however many it has answered", async () => {
  const { child } = await spawned();
  await working(child);
  const sql = await runInDurableObject(child.stub, (_object, { storage }) => {
    storage.sql.exec(
      `INSERT INTO parent_messages
       WITH RECURSIVE copies (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM copies WHERE i < 2000) SELECT 'msg_' || i FROM copies`,
    );
    return storage.sql;
  });
  const read = await rowsReadBy(sql, () => child.send("more"));
  const rows = [...read].flatMap(([query, { most }]) => (query.includes("FROM parent_messages") ? [most] : []));
  expect(rows.length).toBeGreaterThan(0);
  expect(Math.max(...rows)).toBe(1);
});
