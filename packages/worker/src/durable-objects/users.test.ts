/** For whom a session works, on what, and who had a hand in it: on spans, in views, in turn records and in D1. */
import { type Attributes, extractFromHeaders, type SpanContext } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { bindings } from "../../test/bindings.ts";
import { eventually } from "../../test/eventually.ts";
import { NO_WORK } from "../../test/fake-runner.ts";
import { makeFrame } from "../../test/otlp.ts";
import { CALLER, TestSession, valueIn } from "../../test/session.ts";

const as = (userId: string) => ({ ...CALLER, userId });

/** Creates a running session of ann on a repository. */
async function running() {
  const session = new TestSession();
  TestSession.of(session.id);
  const input = { id: session.id, repoUrl: "https://bot:secret@git.test/team/app.git", branch: "main" };
  valueIn(await session.stub.create(input, as("ann")));
  const runner = await (await session.connect()).ready();
  await session.reaches("running");
  return { session, runner };
}

const WHERE = { "vcs.repository.url.full": "https://git.test/team/app", "vcs.ref.head.name": "main" };

/** Returns a runner's span below a dispatch. */
function spansBelow(session: TestSession, traceparent: string | undefined, name: string, attributes: Attributes) {
  const parent = extractFromHeaders({ traceparent }) as SpanContext;
  return makeFrame({ sessionId: session.id, name, parent, attributes });
}

test("every span names the user, the repository and the branch; a sandbox cannot choose them", async () => {
  const { session, runner } = await running();
  const { messageId } = valueIn(await session.stub.sendMessage({ content: "work", id: "m1" }, as("bob")));
  const { attemptId, traceparent } = await runner.accept();
  const forged = {
    "user.id": "eve",
    "user.email": "eve@corp.test",
    "enduser.id": "eve",
    "vcs.repository.url.full": "https://git.test/other",
    "vcs.ref.head.name": "other",
    "valet.parent_session.id": "ses_other",
    "valet.answered_by": "eve",
    "valet.permission.id": "per_1",
    "valet.permission.type": "bash",
  };
  runner.send({ type: "permission-asked", attemptId, permissionId: "per_1", permission: "bash", detail: "ls" });
  await eventually(async () => expect((await session.view()).permissions).toHaveLength(1));
  valueIn(await session.stub.replyPermission("per_1", "once", as("cleo")));
  const spans = {
    instanceId: runner.instanceId,
    seq: 1,
    otlp: spansBelow(session, traceparent, "valet.permission.wait", forged),
  };
  await runner.end(attemptId, { spans });

  const all = await session.spans();
  for (const { name, attributes } of all) expect({ name, ...attributes }).toMatchObject({ name, ...WHERE });
  const usersOf = (name: string) => all.filter((each) => each.name === name).map((each) => each.attributes["user.id"]);
  expect(usersOf("valet.sandbox.spawn")).toEqual(["ann"]);
  for (const name of ["valet.prompt", "valet.queue.wait", "valet.prompt.dispatch"])
    expect(usersOf(name)).toEqual(["bob"]);
  const { attributes } = await session.onlySpan("valet.permission.wait");
  expect(attributes).toMatchObject({ "user.id": "bob", "valet.answered_by": "cleo" });
  for (const key of ["user.email", "enduser.id", "valet.parent_session.id"]) expect(attributes).not.toHaveProperty(key);

  expect(await session.message(messageId)).toMatchObject({ userId: "bob" });
  expect(await session.view()).toMatchObject({ userId: "ann" });
  const record = {
    user_id: "bob",
    repository: "https://git.test/team/app",
    branch: "main",
    parent_session_id: null,
    message_trace_id: traceparent?.split("-")[1],
    aborted_by: null,
  };
  const { turns } = valueIn(await session.stub.turns());
  expect(turns).toMatchObject([{ ...record, answered_by: ["cleo"] }]);
  await eventually(async () => {
    const row = await bindings.DB.prepare("SELECT * FROM turns WHERE attempt_id = ?").bind(attemptId).first();
    expect(row).toMatchObject({ ...record, answered_by: '["cleo"]' });
  });
});

test("the user of a trace survives an eviction, and the last dispatch decides between users of one trace", async () => {
  const { session, runner } = await running();
  for (const user of ["bob", "ann"]) {
    valueIn(await session.stub.sendMessage({ content: "work", id: `m-${user}` }, as(user)));
    const { attemptId, traceparent } = await runner.accept();
    await session.evict();
    const otlp = spansBelow(session, traceparent, "chat m", { "user.id": "eve" });
    const seq = user === "bob" ? 1 : 2;
    await runner.end(attemptId, { spans: { instanceId: runner.instanceId, seq, otlp } });
  }
  const chats = await session.spans("chat m");
  expect(chats.map(({ attributes }) => attributes["user.id"])).toEqual(["bob", "ann"]);
});

test("who ended work early is on its span, in its view and in the record of its turn", async () => {
  const { session, runner } = await running();
  const send = (id: string, more = {}) => session.stub.sendMessage({ content: id, id, ...more }, as("ann"));
  valueIn(await send("aborted"));
  const { attemptId } = await runner.accept();
  valueIn(await send("withdrawn"));
  valueIn(await send("cleared"));
  valueIn(await session.stub.withdraw("withdrawn", as("bob")));
  valueIn(await session.stub.clearQueue(as("cleo")));
  valueIn(await session.stub.abort(as("dan")));
  await runner.end(attemptId, { outcome: "aborted", errorType: "user_abort", summary: NO_WORK });
  valueIn(await send("steered"));
  const steered = await runner.accept();
  valueIn(await session.stub.sendMessage({ content: "x", id: "steers", queueMode: "steer" }, as("fay")));
  await runner.end(steered.attemptId, { outcome: "aborted", errorType: "steered", summary: NO_WORK });
  await runner.accept();
  valueIn(await session.stub.terminate(as("gus")));
  await session.reaches("terminating");

  const by = { withdrawn: "bob", cleared: "cleo", aborted: "dan", steered: "fay" };
  const prompts = await session.spans("valet.prompt");
  for (const [id, user] of Object.entries(by)) {
    expect(await session.message(id)).toMatchObject({ userId: "ann", abortedBy: user });
    const prompt = prompts.find(({ attributes }) => attributes["valet.message.id"] === id);
    expect(prompt?.attributes, id).toMatchObject({ "user.id": "ann", "valet.aborted_by": user });
  }
  const { turns } = valueIn(await session.stub.turns());
  expect(turns.map(({ message_ids: [id], aborted_by }) => [id, aborted_by])).toEqual([
    ["aborted", "dan"],
    ["steered", "fay"],
  ]);
  expect(await session.view()).toMatchObject({ terminatedBy: "gus" });
  expect((await session.onlySpan("valet.session.terminate")).attributes).toMatchObject({ "user.id": "gus" });
});

test("a hibernate and a wake are for the user who asks for them", async () => {
  const { session } = await running();
  valueIn(await session.stub.hibernate(as("bob")));
  valueIn(await session.stub.wake(as("cleo")));
  await eventually(async () => {
    const spans = await session.spans();
    const userOf = (name: string) => spans.find((span) => span.name === name)?.attributes["user.id"];
    expect(userOf("valet.sandbox.hibernate")).toBe("bob");
  });
});
