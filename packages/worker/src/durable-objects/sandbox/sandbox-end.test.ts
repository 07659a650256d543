/**
 * How sandboxes end, on the real object with a scripted broker (test/broker.node.ts): every operation with its span and its
 * outcome, also where the broker fails or answers late. No process is started here; what the broker's drivers do is shown in
 * their own tests.
 */
import { describe, expect, test } from "vitest";
import { eventually } from "../../../test/eventually.ts";
import { FakeRunner } from "../../../test/fake-runner.ts";
import { asleep, boot, expectSound, hibernate, linksOf, outcomeOf } from "../../../test/sandbox.ts";
import { CALLER, TestSession, valueIn } from "../../../test/session.ts";

describe("hibernate", () => {
  test("takes a snapshot, stops the runner, ends the sandbox", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    expect((await session.view()).status).toBe("hibernating");
    expect(await runner.next("shutdown")).toMatchObject({ reason: "hibernate" });
    expect((await session.broker.calls()).map(({ call }) => call)).toEqual(["create", "snapshot"]);
    runner.send({ type: "stopped" });
    const view = await session.reaches("hibernated");
    expect([view.agent, view.sandbox]).toEqual(["none", undefined]);
    expect((await session.broker.calls()).map(({ call }) => call)).toEqual(["create", "snapshot", "terminate"]);
    // The broker deletes the sandbox's other snapshots, whose answers the session has not received.
    expect((await session.broker.calls("terminate"))[0]?.path).toMatch(/\?keeps=snp_\d+$/);
    const operation = await session.onlySpan("valet.sandbox.hibernate");
    expect(operation).toMatchObject({
      parentSpanId: undefined,
      attributes: {
        "valet.hibernate.reason": "requested",
        "valet.outcome": "ok",
        "valet.snapshot.id": expect.any(String),
      },
    });
    expect(linksOf(operation, "caused_by")).toEqual(["b".repeat(16)]);
    expect(linksOf(operation, "follows")).toEqual([(await session.onlySpan("valet.sandbox.spawn")).spanId]);
    for (const name of ["valet.sandbox.snapshot", "valet.sandbox.delete"]) {
      const call = await session.onlySpan(name);
      expect(call).toMatchObject({ parentSpanId: operation.spanId, kind: 3, attributes: { "valet.outcome": "ok" } });
      expect(call.endNs).toBeLessThanOrEqual(operation.endNs);
    }
    expect((await session.onlySpan("valet.sandbox.snapshot")).attributes["valet.snapshot.size_bytes"]).toBe(1234);
    await eventually(() => expect(runner.closed).toBeDefined());
    await expectSound(session);
  });

  test("begins by itself after the idle timeout", async () => {
    const session = new TestSession();
    await session.create({ idleTimeoutMs: 50 });
    const runner = await (await session.connect()).ready();
    // On a busy machine the session hibernates before this test could read that it is running.
    expect(await runner.next("shutdown")).toMatchObject({ reason: "hibernate" });
    expect((await session.onlySpan("valet.sandbox.hibernate")).attributes["valet.hibernate.reason"]).toBe(
      "idle_timeout",
    );
  });

  test("does not begin while a turn is running or a message waits", async () => {
    const { session, runner } = await TestSession.running();
    expect(await session.timers()).toContain("idle");
    await session.send("work");
    const { attemptId } = await runner.accept();
    expect(await session.timers()).not.toContain("idle");
    expect(await session.stub.hibernate(CALLER)).toMatchObject({ ok: false, problem: { status: 409 } });
    expect(await session.spans("valet.sandbox.hibernate")).toEqual([]);
    await runner.end(attemptId);
    expect(await session.timers()).toContain("idle");
  });

  test("is idempotent; in a state that does not allow it, it is refused and records no span", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    runner.send({ type: "stopped" });
    await session.reaches("hibernated");
    expect(valueIn(await session.stub.hibernate(CALLER)).status).toBe("hibernated");
    await session.onlySpan("valet.sandbox.hibernate");

    const starting = new TestSession();
    await starting.create();
    expect(await starting.stub.hibernate(CALLER)).toMatchObject({
      problem: { status: 409, detail: expect.stringContaining("starting") },
    });
    expect(await starting.spans("valet.sandbox.hibernate")).toEqual([]);
  });

  test("does not wait for a runner that does not stop, or is not connected", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    await session.elapse("stop");
    await session.reaches("hibernated");

    const { session: other, runner: gone } = await TestSession.running();
    gone.close();
    await eventually(async () => expect((await other.view()).agent).toBe("disconnected"));
    valueIn(await other.stub.hibernate(CALLER));
    await other.reaches("hibernated");
    await expectSound(other);
  });

  test("of a sandbox that is gone ends the session with that reason", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ snapshot: [{ problem: { status: 409, code: "sandbox_gone" } }] });
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    runner.close();
    await session.reaches("terminated");
    const operation = await session.onlySpan("valet.sandbox.hibernate");
    const end = await session.onlySpan("valet.session.terminate");
    expect(outcomeOf(operation)).toEqual(["error", "sandbox_gone"]);
    expect(end.attributes).toMatchObject({ "valet.terminate.reason": "sandbox_gone", "valet.outcome": "ok" });
    expect(linksOf(end, "caused_by")).toEqual([operation.spanId]);
  });

  describe("without a snapshot", () => {
    const full = {
      problem: { status: 500, code: "snapshot_failed", detail: "files could not be copied: no space left on device" },
    };

    test.each([
      ["somebody asks for", "requested"],
      ["the idle timeout begins", "idle_timeout"],
    ] as const)(
      "that %s: the session stays awake, shows why, and retries until a snapshot is taken",
      async (_who, reason) => {
        const { session, runner } = await TestSession.running();
        await session.broker.script({ snapshot: [full, full] });
        if (reason === "requested") valueIn(await session.stub.hibernate(CALLER));
        else await session.elapse("idle");
        const awake = await eventually(async () => {
          const view = await session.view();
          expect(view).toMatchObject({ status: "running", sleepProblem: { failures: 1 } });
          return view;
        });
        expect(awake.sleepProblem).toMatchObject({ errorType: "snapshot_failed", detail: full.problem.detail });
        expect(Date.parse(awake.sleepProblem?.retryAt ?? "")).toBeGreaterThan(Date.now());
        expect(await session.broker.calls("terminate")).toEqual([]);
        // No runner receives a shutdown, and the session works as before.
        const id = await session.send("still there?");
        const { attemptId } = await runner.accept();
        // No time is set while it works, and a retry does not disturb it.
        expect((await session.view()).sleepProblem).not.toHaveProperty("retryAt");
        await session.elapse("sleep");
        expect(await session.broker.calls("snapshot")).toHaveLength(1);
        await runner.end(attemptId);
        expect((await session.message(id)).outcome).toBe("ok");

        // What is due survives the object; each further wait is longer.
        valueIn(await session.stub.hibernate(CALLER));
        const again = await eventually(async () => {
          const view = await session.view();
          expect(view).toMatchObject({ status: "running", sleepProblem: { failures: 2 } });
          return view;
        });
        expect(again.sleepProblem?.since).toBe(awake.sleepProblem?.since);
        await session.evict();
        expect(await session.timers()).toContain("sleep");
        // Idle again before that, it waits all the same.
        await session.elapse("idle");
        expect(await session.broker.calls("snapshot")).toHaveLength(2);
        await session.elapse("sleep");
        await runner.next("shutdown");
        runner.send({ type: "stopped" });
        const asleep = await session.reaches("hibernated");
        expect(asleep.sleepProblem).toBeUndefined();
        expect(await session.timers()).not.toContain("sleep");
        const hibernates = await session.spans("valet.sandbox.hibernate");
        expect(hibernates.map((span) => [span.attributes["valet.hibernate.reason"], ...outcomeOf(span)])).toEqual([
          [reason, "error", "snapshot_failed"],
          ["requested", "error", "snapshot_failed"],
          ["retry", "ok", undefined],
        ]);
        expect(await session.spans("valet.session.terminate")).toEqual([]);
        await expectSound(session);
      },
    );

    /** A session whose hibernate failed, and which has worked since then. */
    async function usedAfterFailure() {
      const { session, runner } = await TestSession.running();
      await session.broker.script({ snapshot: [full] });
      valueIn(await session.stub.hibernate(CALLER));
      await eventually(async () => expect((await session.view()).sleepProblem).toBeDefined());
      const id = await session.send("still there?");
      await runner.end((await runner.accept()).attemptId);
      await eventually(async () => expect((await session.message(id)).outcome).toBe("ok"));
      return { session, runner };
    }

    test("a session that was used since then hibernates after the idle timeout, not with the retry", async () => {
      const { session } = await usedAfterFailure();
      await session.elapse("sleep");
      expect((await session.view()).status).toBe("running");
      expect(await session.broker.calls("snapshot")).toHaveLength(1);
      expect(await session.timers()).toContain("idle");
    });

    test("a session that was used since then, and is idle for its timeout when the retry is due, hibernates with the retry", async () => {
      const { session, runner } = await usedAfterFailure();
      await session.elapse("idle");
      expect((await session.view()).status).toBe("running");
      await session.elapse("sleep");
      await runner.next("shutdown");
    });

    test("a person's terminate ends the session, and its sleep problem", async () => {
      const { session, runner } = await TestSession.running();
      await session.broker.script({ snapshot: [full] });
      valueIn(await session.stub.hibernate(CALLER));
      await eventually(async () => expect((await session.view()).sleepProblem).toBeDefined());
      valueIn(await session.stub.terminate(CALLER));
      await runner.next("shutdown");
      runner.send({ type: "stopped" });
      expect((await session.reaches("terminated")).sleepProblem).toBeUndefined();
      expect(await session.timers()).not.toContain("sleep");
    });
  });

  test("is given up if the broker is down, and the session continues", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ snapshot: [{ reset: true }] });
    valueIn(await session.stub.hibernate(CALLER));
    await session.reaches("running");
    expect(outcomeOf(await session.onlySpan("valet.sandbox.hibernate"))).toEqual(["error", "broker_unreachable"]);
    await session.send("still there?");
    await runner.next("prompt");
    expect(await session.timers()).not.toContain("idle");
  });

  test("is skipped if a message arrives before the runner is stopped", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ snapshot: [{ hold: true }] });
    valueIn(await session.stub.hibernate(CALLER));
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    const id = await session.send("wait!");
    expect((await session.message(id)).queueReason).toBe("sandbox_hibernated");
    await session.broker.letGo();
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    expect(outcomeOf(await session.onlySpan("valet.sandbox.hibernate"))).toEqual(["skipped", "session_busy"]);
    const wait = await session.onlySpan("valet.queue.wait");
    expect(wait.links.map(({ spanId }) => spanId)).toEqual([
      (await session.onlySpan("valet.sandbox.hibernate")).spanId,
    ]);
    await expectSound(session);
  });

  test("replaces the previous snapshot, which is deleted", async () => {
    const session = await asleep();
    const [first] = await session.broker.calls("snapshot");
    valueIn(await session.stub.wake(CALLER));
    await hibernate(session, await boot(session));
    await eventually(async () => expect(await session.broker.calls("deleteSnapshot")).toHaveLength(1));
    const [restored] = await session.broker.calls("restore");
    const [deleted] = await session.broker.calls("deleteSnapshot");
    expect(deleted?.path).toContain(restored?.body?.snapshotId);
    expect(first).toBeDefined();
  });
});

describe("terminate", () => {
  test("ends everything once and finally", async () => {
    const { session, runner } = await TestSession.running();
    const running = await session.send("running");
    const { attemptId } = await runner.accept();
    const queued = await session.send("queued");
    valueIn(await session.stub.terminate(CALLER));
    valueIn(await session.stub.terminate(CALLER));
    expect(await runner.next("abort")).toMatchObject({ attemptId, reason: "session_terminated" });
    await runner.next("shutdown");
    await runner.end(attemptId, { outcome: "aborted", errorType: "session_terminated" });
    runner.send({ type: "stopped" });
    await session.reaches("terminated");
    for (const id of [running, queued]) {
      expect(await session.message(id)).toMatchObject({ outcome: "aborted", outcomeReason: "session_terminated" });
    }
    const end = await session.onlySpan("valet.session.terminate");
    expect(end).toMatchObject({ attributes: { "valet.terminate.reason": "requested", "valet.outcome": "ok" } });
    expect((await session.onlySpan("valet.sandbox.delete")).parentSpanId).toBe(end.spanId);
    await expectSound(session);

    expect(await session.stub.sendMessage({ content: "hello?" }, CALLER)).toMatchObject({ problem: { status: 409 } });
    expect(await session.stub.wake(CALLER)).toMatchObject({ problem: { status: 409 } });
    expect(await session.stub.hibernate(CALLER)).toMatchObject({ problem: { status: 409 } });
    expect(valueIn(await session.stub.terminate(CALLER)).status).toBe("terminated");
    expect(await session.broker.calls("terminate")).toHaveLength(1);
    const late = await FakeRunner.open(session.stub, await session.credentials());
    expect((await late.next("refused")).reason).toBe("stale_generation");
  });

  test("of a hibernated session deletes its snapshot", async () => {
    const session = await asleep();
    valueIn(await session.stub.terminate(CALLER));
    await session.reaches("terminated");
    await eventually(async () => expect(await session.broker.calls("deleteSnapshot")).toHaveLength(1));
    expect(await session.broker.calls("terminate")).toHaveLength(1);
  });

  test("of a starting session aborts the spawn, and ends the sandbox that arrives too late", async () => {
    const session = new TestSession();
    await session.broker.script({ create: [{ hold: true }] });
    await session.create({ prompt: "hello" });
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    valueIn(await session.stub.terminate(CALLER));
    await session.reaches("terminated");
    expect(outcomeOf(await session.onlySpan("valet.sandbox.spawn"))).toEqual(["aborted", "session_terminated"]);
    expect(outcomeOf(await session.onlySpan("valet.prompt"))).toEqual(["aborted", "session_terminated"]);
    await session.broker.letGo();
    await eventually(async () => expect(await session.broker.calls("terminate")).toHaveLength(1));
    await eventually(async () => expect((await session.spans()).filter(({ isOpen }) => isOpen)).toEqual([]));
    await expectSound(session);
  });

  test("works while the session hibernates, recovers or is in error", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ snapshot: [{ hold: true }] });
    valueIn(await session.stub.hibernate(CALLER));
    valueIn(await session.stub.terminate(CALLER));
    await runner.next("shutdown");
    runner.send({ type: "stopped" });
    await session.reaches("terminated");
    expect(outcomeOf(await session.onlySpan("valet.sandbox.hibernate"))).toEqual(["aborted", "session_terminated"]);
    await session.broker.letGo();
    await eventually(async () => expect(await session.broker.calls("deleteSnapshot")).toHaveLength(1));

    const failed = new TestSession();
    await failed.broker.script({ create: [{ problem: { status: 500, code: "start_failed" } }] });
    await failed.create();
    await failed.reaches("error");
    valueIn(await failed.stub.terminate(CALLER));
    await failed.reaches("terminated");
    await expectSound(failed);

    const recovering = new TestSession();
    await recovering.broker.script({ create: [{ reset: true }] });
    await recovering.create();
    await recovering.reaches("recovering");
    valueIn(await recovering.stub.terminate(CALLER));
    await recovering.reaches("terminated");
    expect(await recovering.timers()).not.toContain("recover");
    await expectSound(recovering);
  });

  test("ends the session even if the broker is down; the sandbox is ended when the broker is back", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ terminate: [{ reset: true }] });
    valueIn(await session.stub.terminate(CALLER));
    await runner.next("shutdown");
    runner.send({ type: "stopped" });
    await session.reaches("terminated");
    expect(outcomeOf(await session.onlySpan("valet.session.terminate"))).toEqual(["error", "broker_unreachable"]);
    await eventually(async () => expect(await session.broker.calls("terminate")).toHaveLength(2));
    // The session keeps no snapshot, so the broker deletes all of the sandbox, both times that it is asked.
    for (const { path } of await session.broker.calls("terminate")) expect(path).toMatch(/\?keeps=$/);
  });
});
