/** The tools for child sessions, on real objects of the parent and its children. The test plays the runners. */
import { runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import { FakeRunner } from "../../../test/fake-runner.ts";
import { ask, childrenOf, requestOf, sessionIn, spawned, TOOL_CALL, working } from "../../../test/family.ts";
import { boot, expectSound, linksOf, outcomeOf } from "../../../test/sandbox.ts";
import { CALLER, TestSession, valueIn } from "../../../test/session.ts";
import { listSessions } from "../../database/sessions.ts";
import { SessionAgent } from "../session-agent.ts";
import { MAX_DEPTH, MAX_OPEN_CHILDREN } from "./family.ts";

const SPAWN = { action: "spawn", prompt: "count", title: "Counting" } as const;

describe("a child that is spawned", () => {
  test("is a session of the same owner with the parent's repository and models", async () => {
    const repo = { repoUrl: "https://user:secret@github.com/org/repo", branch: "main" };
    const { parent, child } = await spawned({ ...repo, model: "valet/big", models: ["valet/small"] });
    const view = await child.view();
    expect(view).toMatchObject({
      parentSessionId: parent.id,
      title: "Counting",
      repoUrl: "https://github.com/org/repo",
      branch: "main",
      model: "valet/big",
      models: ["valet/small"],
      status: "starting",
    });
    const listed = await listSessions(bindings.DB, CALLER.ownerId, 10, { parentSessionId: parent.id });
    expect(listed.map(({ id }) => id)).toEqual([child.id]);
    // The parent's credentials for the repository are the child's, too.
    const runner = await (await child.connect()).hello();
    const { credentials } = await runner.next("repo-config");
    expect(credentials).toEqual({ username: "user", password: "secret" });
  });

  test("is created without credentials when no key can open the parent's any more", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: "https://user:secret@github.com/org/repo" });
    await eventually(async () => expect((await session.view()).sandbox).toBeDefined());
    await runInDurableObject(session.stub, (_object, { storage }) => {
      const sealed = JSON.stringify({ keyId: "00000000", sealed: "A".repeat(80) });
      storage.sql.exec("UPDATE session SET record = json_set(record, '$.credentials', json(?))", sealed);
    });
    await session.evict("close");
    const runner = await (await session.connect()).ready();
    const child = TestSession.of(sessionIn(await ask(runner, SPAWN)));
    expect(await child.view()).toMatchObject({ parentSessionId: session.id, repoUrl: "https://github.com/org/repo" });
    expect(await (await (await child.connect()).hello()).next("repo-config")).not.toHaveProperty("credentials");
  });

  test("works on another repository without the parent's credentials", async () => {
    const { session, runner } = await TestSession.running({ repoUrl: "https://user:secret@github.com/org/repo" });
    const other = { ...SPAWN, repo: "https://github.com/other/repo", branch: "next" };
    const child = TestSession.of(sessionIn(await ask(runner, other)));
    expect(await child.view()).toMatchObject({ repoUrl: other.repo, branch: "next", parentSessionId: session.id });
    const repo = await (await (await child.connect()).hello()).next("repo-config");
    expect(repo).not.toHaveProperty("credentials");
  });

  test("is linked to the tool call that requested it, and its sandbox to the spawn", async () => {
    const { parent, child } = await spawned();
    const spawn = await parent.onlySpan("valet.child_session.spawn");
    const { traceId } = await parent.onlySpan("valet.sandbox.spawn");
    expect(spawn).toMatchObject({ traceId, parentSpanId: TOOL_CALL.spanId, kind: 3 });
    expect(spawn.attributes).toMatchObject({ "valet.outcome": "ok", "valet.child_session.id": child.id });
    const { runner } = await working(child);
    const prompt = await child.onlySpan("valet.prompt");
    expect(prompt).toMatchObject({
      parentSpanId: undefined,
      attributes: { "valet.message.source": "system", "valet.parent_session.id": parent.id },
      links: [{ type: "spawned_by", traceId, spanId: TOOL_CALL.spanId }],
    });
    expect(linksOf(await child.onlySpan("valet.sandbox.spawn"), "caused_by")).toEqual([spawn.spanId]);
    expect((await child.spans("valet.queue.wait"))[0]?.attributes["valet.queue.reason"]).toBe("initial_prompt");
    expect(runner.closed).toBeUndefined();
  });

  test("keeps its spawn span out of traces of other sessions, whatever the runner sends", async () => {
    const { session, runner } = await TestSession.running();
    runner.send(requestOf(SPAWN));
    TestSession.of(sessionIn((await runner.next("child-session-response")).answer));
    const spawn = await session.onlySpan("valet.child_session.spawn");
    expect(spawn).toMatchObject({ parentSpanId: undefined, traceId: expect.not.stringContaining(TOOL_CALL.traceId) });
  });

  test("is created once for repeated requests, each of which is answered", async () => {
    const { session, runner } = await TestSession.running();
    const frame = requestOf(SPAWN);
    runner.send(frame);
    runner.send(frame);
    const { answer } = await runner.next("child-session-response");
    runner.send(frame);
    expect((await runner.next("child-session-response")).answer).toEqual(answer);
    TestSession.of(sessionIn(answer));
    expect(Object.keys(await childrenOf(session))).toEqual([sessionIn(answer)]);
    expect(await session.spans("valet.child_session.spawn")).toHaveLength(1);
  });

  test("is created once though the parent's object dies during the spawn", async () => {
    const { session, runner } = await TestSession.running();
    const { generation, token } = await session.credentials();
    const frame = requestOf(SPAWN);
    runner.send(frame);
    await eventually(async () => expect(Object.keys(await childrenOf(session))).toHaveLength(1));
    await session.crash();
    const again = await FakeRunner.open(session.stub, { token, generation, instanceId: runner.instanceId });
    await again.hello({ ready: true });
    again.send(frame);
    const { answer } = await again.next("child-session-response");
    const child = TestSession.of(sessionIn(answer));
    expect(await childrenOf(session)).toEqual({ [child.id]: "open" });
    expect(await child.view()).toMatchObject({ parentSessionId: session.id, queueLength: 1 });
    await expectSound(session);
  });

  test("is created once though the parent's object was evicted and the answer was lost", async () => {
    const { session, runner } = await TestSession.running();
    const frame = requestOf(SPAWN);
    runner.send(frame);
    await eventually(async () => expect(Object.values(await childrenOf(session))).toEqual(["open"]));
    runner.close();
    await session.evict();
    const { generation, token } = await session.credentials();
    const again = await FakeRunner.open(session.stub, { token, generation, instanceId: runner.instanceId });
    await again.hello({ ready: true });
    again.send(frame);
    TestSession.of(sessionIn((await again.next("child-session-response")).answer));
    expect(Object.keys(await childrenOf(session))).toHaveLength(1);
    expect(outcomeOf(await session.onlySpan("valet.child_session.spawn"))).toEqual(["ok", undefined]);
  });
});

describe("a child that could not work", () => {
  const advertised = (...lines: string[]) =>
    new Response(lines.join(""), { headers: { "content-type": "application/x-git-upload-pack-advertisement" } });

  /** Answers for git hosts. @returns the requests to them */
  function gitHosts(answer: (url: string) => Response) {
    const seen: { readonly url: string; readonly authorization: string | null }[] = [];
    const { fetch } = globalThis;
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
      const { url, headers } = new Request(input, init);
      if (!url.includes("git")) return fetch(input, init);
      seen.push({ url, authorization: headers.get("authorization") });
      return answer(url);
    });
    return seen;
  }

  afterEach(() => void vi.restoreAllMocks());

  test.each([
    [
      "has no such repository",
      { repo: "https://github.com/other/gone" },
      () => new Response(null, { status: 404 }),
      "repo",
    ],
    ["has no such branch", { branch: "misspelt" }, refsWithout, "branch"],
  ])(
    "since the host %s is refused with the API's error, which the agent's tool returns",
    async (_what, named, answer, field) => {
      const seen = gitHosts(answer);
      const { session, runner } = await TestSession.running({ repoUrl: "https://user:secret@github.com/org/repo" });
      const refused = await ask(runner, { ...SPAWN, ...named });
      expect(refused).toEqual({
        ok: false,
        error: expect.stringMatching(
          new RegExp(`^The input is invalid: no session was created \\(\`invalid-input\`\\)\\. \`${field}\`: .+\\.$`),
        ),
      });
      expect(await childrenOf(session)).toEqual({});
      expect(outcomeOf(await session.onlySpan("valet.child_session.spawn"))).toEqual([
        "error",
        "child_session_refused",
      ]);
      // Only its own repository is asked for with the session's credentials.
      const isOwn = !("repo" in named);
      expect(seen[0]?.authorization).toBe(isOwn ? `Basic ${btoa("user:secret")}` : null);
      expect(JSON.stringify(refused)).not.toContain("secret");
    },
  );

  test("is ended if an earlier try created it before the refusal", async () => {
    const { session, runner } = await TestSession.running();
    const create = vi.spyOn(SessionAgent.prototype, "create");
    let isGone = false;
    gitHosts(() => new Response(null, { status: isGone ? 404 : 502 }));
    create.mockImplementationOnce(async function (this: SessionAgent, ...args) {
      create.mockRestore();
      await SessionAgent.prototype.create.apply(this, args);
      isGone = true;
      throw new Error("its answer is lost");
    });
    const frame = requestOf({ ...SPAWN, repo: "https://github.com/other/repo" });
    runner.send(frame);
    await eventually(() => expect(isGone).toBe(true));
    await session.elapse("child-request");
    expect((await runner.next("child-session-response")).answer).toMatchObject({ ok: false });
    await eventually(async () =>
      expect(Object.values(await childrenOf(session))).toEqual([expect.stringMatching(/^end/)]),
    );
  });

  function refsWithout(url: string): Response {
    if (url.includes("/info/refs")) return advertised("000eversion 2\n0000");
    return new Response("0000", { headers: { "content-type": "application/x-git-upload-pack-result" } });
  }
});

describe("a child whose object does not answer", () => {
  const broken = () => Promise.reject(new Error("the test breaks it"));

  test("is created once it does, with the id that was chosen for it", async () => {
    const { session, runner } = await TestSession.running();
    const create = vi.spyOn(SessionAgent.prototype, "create").mockImplementation(broken);
    runner.send(requestOf(SPAWN));
    await eventually(() => expect(create).toHaveBeenCalledTimes(1));
    const [id] = Object.keys(await childrenOf(session));
    create.mockRestore();
    await session.elapse("child-request");
    const child = TestSession.of(sessionIn((await runner.next("child-session-response")).answer));
    expect(child.id).toBe(id);
    expect(await childrenOf(session)).toEqual({ [child.id]: "open" });
  });

  test("leaves a turn that is aborted meanwhile, and is created all the same", async () => {
    const { session, runner } = await TestSession.running();
    await session.send("spawn one");
    const { attemptId } = await runner.accept();
    const create = vi.spyOn(SessionAgent.prototype, "create").mockImplementation(broken);
    runner.send({ ...requestOf(SPAWN), attemptId });
    await eventually(() => expect(create).toHaveBeenCalledTimes(1));
    valueIn(await session.stub.abort(CALLER));
    await runner.end(attemptId, { outcome: "aborted", errorType: "user_abort" });
    const span = await session.onlySpan("valet.child_session.spawn");
    expect([span.isOpen, ...outcomeOf(span)]).toEqual([false, "aborted", "user_abort"]);
    create.mockRestore();
    await session.elapse("child-request");
    const child = TestSession.of(sessionIn((await runner.next("child-session-response")).answer));
    expect(await childrenOf(session)).toEqual({ [child.id]: "open" });
  });

  test("is given up after several tries, and terminated in case it was created", async () => {
    const { session, runner } = await TestSession.running();
    const create = vi.spyOn(SessionAgent.prototype, "create").mockImplementation(broken);
    runner.send(requestOf(SPAWN));
    await eventually(async () => {
      await session.elapse("child-request").catch(() => {});
      expect(runner.heard.some(({ type }) => type === "child-session-response")).toBe(true);
    });
    create.mockRestore();
    const { answer } = await runner.next("child-session-response");
    expect(answer).toEqual({ ok: false, error: expect.stringContaining("does not answer") });
    expect(outcomeOf(await session.onlySpan("valet.child_session.spawn"))).toEqual(["error", "child_session_refused"]);
    const [id] = Object.keys(await childrenOf(session));
    await eventually(async () => expect(await childrenOf(session)).toEqual({ [id as string]: "ended" }));
    const late = new TestSession(id);
    const again = await late.stub.create({ id: late.id, parentSessionId: session.id, origin: { depth: 1 } }, CALLER);
    expect(again).toMatchObject({ ok: false });
  });

  test("learns of its parent's end once it answers", async () => {
    const { parent, child } = await spawned();
    const end = vi.spyOn(SessionAgent.prototype, "endAsChild").mockImplementation(broken);
    valueIn(await parent.stub.terminate(CALLER));
    await eventually(() => expect(end).toHaveBeenCalled());
    end.mockRestore();
    expect((await child.view()).status).toBe("starting");
    await parent.elapse("child-end");
    await child.reaches("terminated");
  });
});

describe("a request is refused, with a reason that the agent can read,", () => {
  test("when a session has the maximum number of children, until one has ended", async () => {
    const { session, runner } = await TestSession.running();
    const ids: string[] = [];
    for (let i = 0; i < MAX_OPEN_CHILDREN; i++) ids.push(sessionIn(await ask(runner, SPAWN)));
    expect(await ask(runner, SPAWN)).toEqual({ ok: false, error: expect.stringContaining("open child sessions") });
    const refused = (await session.spans("valet.child_session.spawn")).at(-1);
    expect(outcomeOf(refused)).toEqual(["error", "child_session_refused"]);
    expect(refused?.parentSpanId).toBe(TOOL_CALL.spanId);
    expect(await ask(runner, { action: "end", session: ids[0] as string })).toMatchObject({ ok: true });
    const next = sessionIn(await ask(runner, SPAWN));
    expect(ids).not.toContain(next);
  });

  test("when the agent exceeds the rate limit", async () => {
    const { session, runner } = await TestSession.running();
    const frames = Array.from({ length: 200 }, () => requestOf({ action: "end", session: "ses_other" }));
    for (const frame of frames) runner.send(frame);
    const answers = await eventually(() => {
      const responses = runner.heard.filter((frame) => frame.type === "child-session-response");
      expect(responses).toHaveLength(frames.length);
      return responses.map(({ answer }) => (answer.ok ? "" : answer.error));
    });
    expect(answers.filter((error) => error.includes("Too many"))).toHaveLength(140);
    expect((await session.view()).status).toBe("running");
  });

  test("when the agent exceeds the rate limit, but not for an hour because the clock was an hour fast", async () => {
    const { runner } = await TestSession.running();
    const hourAhead = Date.now() + 3_600_000;
    const clock = vi.spyOn(Date, "now").mockReturnValue(hourAhead);
    onTestFinished(() => clock.mockRestore());
    for (let i = 0; i < 60; i++) await ask(runner, { action: "end", session: "ses_other" });
    const refused = { ok: false, error: expect.stringContaining("Too many") };
    expect(await ask(runner, { action: "end", session: "ses_other" })).toEqual(refused);
    clock.mockRestore();
    expect(await ask(runner, { action: "end", session: "ses_other" })).not.toEqual(refused);
  });

  test("when the family has the maximum depth", async () => {
    let { session, runner } = await TestSession.running();
    for (let depth = 1; depth <= MAX_DEPTH; depth++) {
      session = TestSession.of(sessionIn(await ask(runner, SPAWN)));
      runner = await boot(session);
    }
    expect(await ask(runner, SPAWN)).toEqual({ ok: false, error: expect.stringContaining("deep") });
  });

  test.each([
    [{ ...SPAWN, repo: "ext::sh -c id" }, "repoUrl"],
    [{ ...SPAWN, repo: "file:///etc" }, "repoUrl"],
    [{ ...SPAWN, branch: "--upload-pack=id" }, "branch"],
    [{ action: "message", session: "ses_other", message: "hello" } as const, "no open child"],
    [{ action: "end", session: "ses_other" } as const, "no open child"],
  ])("when it is %j", async (request, words) => {
    const { session, runner } = await TestSession.running();
    expect(await ask(runner, request)).toEqual({ ok: false, error: expect.stringContaining(words) });
    expect(await childrenOf(session)).toEqual({});
  });
});

describe("an open child", () => {
  test("is listed with its state and its cost", async () => {
    const { runner, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    await childRunner.end(attemptId);
    await eventually(async () => {
      expect(await ask(runner, { action: "list" })).toEqual({
        ok: true,
        sessions: [
          { id: child.id, title: "Counting", status: "running", agent: "idle", queueLength: 0, costUsd: 0.01 },
        ],
      });
    });
  });

  test("receives a message of its parent's agent once, linked to the tool call", async () => {
    const { parent, runner, child } = await spawned();
    const { runner: childRunner, attemptId } = await working(child);
    await childRunner.end(attemptId);
    const { traceId } = await parent.onlySpan("valet.sandbox.spawn");
    const frame = requestOf({ action: "message", session: child.id, message: "again" }, undefined, traceId);
    runner.send(frame);
    runner.send(frame);
    expect((await runner.next("child-session-response")).answer).toMatchObject({ ok: true });
    const dispatch = await childRunner.accept();
    expect(dispatch).toMatchObject({ content: "again", channel: "main" });
    const prompt = (await child.spans("valet.prompt")).at(-1);
    expect(prompt).toMatchObject({
      parentSpanId: undefined,
      attributes: { "valet.parent_session.id": parent.id },
      links: [{ type: "caused_by", traceId, spanId: TOOL_CALL.spanId }],
    });
    expect(valueIn(await child.stub.messages()).messages).toHaveLength(2);
  });

  test("is terminated at the request of its parent's agent, which gets no further reports of it", async () => {
    const { parent, runner, child } = await spawned();
    const { runner: childRunner } = await working(child);
    expect(await ask(runner, { action: "end", session: child.id })).toMatchObject({ ok: true });
    expect(await childRunner.next("shutdown")).toMatchObject({ reason: "terminate" });
    childRunner.send({ type: "stopped" });
    await child.reaches("terminated");
    await eventually(async () => {
      expect(outcomeOf(await child.onlySpan("valet.child_session.report"))).toEqual(["ok", undefined]);
    });
    expect(valueIn(await parent.stub.messages()).messages).toEqual([]);
    expect(await ask(runner, { action: "message", session: child.id, message: "hello" })).toMatchObject({ ok: false });
  });

  test("ends with its parent, without a report", async () => {
    const { parent, runner, child } = await spawned();
    const { runner: childRunner } = await working(child);
    valueIn(await parent.stub.terminate(CALLER));
    await childRunner.next("shutdown");
    childRunner.send({ type: "stopped" });
    await child.reaches("terminated");
    const terminate = await child.onlySpan("valet.session.terminate");
    expect(terminate.attributes["valet.terminate.reason"]).toBe("parent_session_terminated");
    expect(linksOf(terminate, "caused_by")).toEqual([(await parent.onlySpan("valet.session.terminate")).spanId]);
    await eventually(async () => {
      const report = await child.onlySpan("valet.child_session.report");
      expect(outcomeOf(report)).toEqual(["skipped", "parent_session_gone"]);
      expect(report.parentSpanId).toBeUndefined();
      expect(linksOf(report, "caused_by")).toEqual([terminate.spanId]);
    });
    runner.send({ type: "stopped" });
    await parent.reaches("terminated");
    await eventually(async () => expect(await childrenOf(parent)).toEqual({ [child.id]: "ended" }));
  });

  test("ends with its parent though the parent's object dies before it has called the child", async () => {
    const { parent, child } = await spawned();
    valueIn(await parent.stub.terminate(CALLER));
    await parent.crash();
    await eventually(async () => expect((await child.view()).status).toBe("terminated"));
  });
});

test("a session whose parent ended before its creation is never created", async () => {
  const never = new TestSession();
  const { session: parent } = await TestSession.running();
  valueIn(await never.stub.endAsChild(parent.id, "parent_session_terminated", CALLER));
  const created = await never.stub.create({ id: never.id, parentSessionId: parent.id, origin: { depth: 1 } }, CALLER);
  expect(created).toMatchObject({ ok: false, problem: { status: 409 } });
  expect(await never.stub.view()).toMatchObject({ ok: false, problem: { status: 404 } });
});

test("requests about another owner's session, or one outside the family, are refused", async () => {
  const { session } = await TestSession.running();
  const stranger = { ownerId: "own_2" };
  const message = { id: "msg_1", parentSessionId: "ses_other", content: "hello", sentBy: {} };
  const report = { id: "rep_1", childSessionId: "ses_x", event: "terminated", costUsd: 0, reportedBy: {} } as const;
  for (const result of [
    await session.stub.adoptChild("ses_x", stranger),
    await session.stub.takeChildReport(report, stranger),
    await session.stub.takeParentMessage(message, CALLER),
    await session.stub.endAsChild("ses_other", "requested", CALLER),
  ]) {
    expect(result).toMatchObject({ ok: false, problem: { status: 404 } });
  }
  expect((await session.view()).status).toBe("running");
});
