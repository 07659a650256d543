/** What turns changed: as the runner reports it, as the session stores it, and as the API answers, also while the session sleeps. */
import { runInDurableObject } from "cloudflare:test";
import { gzipSync } from "node:zlib";
import { type ChangeFacts, DiffView } from "@valet/shared/protocol/changes";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { TurnList } from "@valet/shared/protocol/session-api";
import { beforeAll, describe, expect, test } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import { NO_WORK } from "../../../test/fake-runner.ts";
import { TestSession } from "../../../test/session.ts";
import { upgradeSchema } from "../core/schema.ts";
import type { JobStore } from "../queue/job-store.ts";
import { SESSION_MIGRATIONS } from "../session-schema.ts";
import { TurnChanges } from "./turn-changes.ts";

const REPOSITORY = { repoUrl: "ssh://git@git.example/a.git" };
const FACTS: ChangeFacts = {
  commits: 1,
  commit_list: [{ id: "a".repeat(40), subject: "a commit" }],
  files_changed: 2,
  lines_added: 3,
  lines_removed: 1,
  head_branch: "main",
  head_revision: "a".repeat(40),
  files: [
    { path: "a.txt", previous_path: null, kind: "added", lines_added: 3, lines_removed: 1 },
    { path: "b.bin", previous_path: null, kind: "modified", lines_added: null, lines_removed: null },
  ],
  is_patch_whole: true,
};
const patchOf = (name: string) => `diff --git a/${name} b/${name}\n--- a/${name}\n+++ b/${name}\n@@ -1 +1 @@\n-a\n+ä\n`;
const packed = (text: string) => gzipSync(text).toString("base64");

function report(attemptId: string, more: Partial<FromRunnerOf<"turn-changes">> = {}): FromRunnerOf<"turn-changes"> {
  return { type: "turn-changes", attemptId, sharedWith: [], tookMs: 20, ...more };
}

let token: string;
beforeAll(async () => {
  token = await signIn();
});

async function start(input = {}) {
  const { id } = await createSession(token, { ...REPOSITORY, ...input });
  const session = TestSession.of(id);
  const runner = await (await session.connect()).ready();
  const turn = async (more: Partial<FromRunnerOf<"turn-changes">> | undefined, end = {}) => {
    const messageId = await session.send("work");
    const { attemptId } = await runner.accept();
    await runner.end(attemptId, end);
    if (more !== undefined) {
      runner.send(report(attemptId, more));
      await runner.next("turn-changes-ack");
    }
    return { messageId, attemptId };
  };
  const diff = async (query = "") => {
    const response = await call("GET", `/api/sessions/${id}/diff${query}`, { token });
    expect(response.status, query).toBe(200);
    return DiffView.parse(await response.json());
  };
  const read = (query: string, headers = {}) => call("GET", `/api/sessions/${id}/diff${query}`, { token, headers });
  return { id, session, runner, turn, diff, read };
}

describe("a report", () => {
  test("is in the turn's record, in D1 and in the diff, and once only", async () => {
    const { id, runner, turn, diff } = await start();
    const { messageId, attemptId } = await turn({ facts: FACTS, patch: packed(patchOf("a.txt")) });
    runner.send(report(attemptId, { unknown: "timeout" }));
    await runner.next("turn-changes-ack");
    const counts = { commits: 1, files_changed: 2, lines_added: 3, lines_removed: 1, head_branch: "main" };
    const { turns } = TurnList.parse(await (await call("GET", `/api/sessions/${id}/turns`, { token })).json());
    expect(turns).toMatchObject([{ ...counts, head_revision: "a".repeat(40), changes_unknown: null }]);
    await eventually(async () => {
      const row = await bindings.DB.prepare("SELECT * FROM turns WHERE attempt_id = ?").bind(attemptId).first();
      expect(row).toMatchObject({ ...counts, changes_unknown: null });
    });
    const costs = await bindings.DB.prepare("SELECT turns FROM session_costs WHERE session_id = ?").bind(id).first();
    expect(costs).toEqual({ turns: 1 });
    expect(await diff()).toEqual({
      session_id: id,
      omitted_turns: 0,
      turns: [
        {
          turn_id: attemptId,
          message_ids: [messageId],
          ended_at: turns[0]?.ended_at,
          unknown: null,
          shared_with: [],
          ...counts,
          commit_list: FACTS.commit_list,
          head_revision: "a".repeat(40),
          files: FACTS.files,
          patch: "whole",
        },
      ],
      commits: 1,
      files_changed: 2,
      lines_added: 3,
      lines_removed: 1,
      unknown_turns: 0,
      files: FACTS.files,
      patch: patchOf("a.txt"),
    });
  });

  test("may be that they are unknown, of a reason of a newer runner, too", async () => {
    const { turn, diff } = await start();
    await turn({ unknown: "timeout" });
    expect(await diff()).toMatchObject({
      turns: [{ unknown: "timeout", commits: null, files: [], patch: "none" }],
      files_changed: null,
      lines_added: null,
      unknown_turns: 1,
      patch: "",
    });
    await turn({ unknown: "a_reason_of_tomorrow" });
    expect((await diff()).turns[0]?.unknown).toBe("not_reported");
  });

  test("names the messages that ran at the same time", async () => {
    const { session, runner, diff } = await start();
    const [first, second] = [await session.send("1", { channel: "a" }), await session.send("2", { channel: "b" })];
    const [one, two] = [await runner.accept(), await runner.accept()];
    await runner.end(one.attemptId);
    runner.send(report(one.attemptId, { facts: FACTS, sharedWith: [two.attemptId, "att_of_nobody"] }));
    await runner.next("turn-changes-ack");
    await runner.end(two.attemptId);
    const [mine, other] = one.messageId === first ? [first, second] : [second, first];
    expect((await diff(`?to=${mine}`)).turns[0]).toMatchObject({ message_ids: [mine], shared_with: [other] });
  });

  test("before the end of its attempt waits for that, and one of an unknown attempt is acknowledged", async () => {
    const { session, runner, diff } = await start();
    await session.send("work");
    const { attemptId } = await runner.accept();
    runner.send(report(attemptId, { facts: FACTS }));
    runner.send(report("att_of_nobody", { facts: FACTS }));
    expect(await runner.next("turn-changes-ack")).toMatchObject({ attemptId: "att_of_nobody" });
    await runner.end(attemptId);
    expect((await diff()).turns[0]).toMatchObject({ unknown: "not_reported" });
    runner.send(report(attemptId, { facts: FACTS }));
    expect(await runner.next("turn-changes-ack")).toMatchObject({ attemptId });
    expect((await diff()).turns[0]).toMatchObject({ unknown: null, commits: 1 });
  });
});

describe("without a report", () => {
  test("it is not known of a turn without tools either: an attachment or a hook may have changed files", async () => {
    const { turn, diff } = await start();
    await turn(undefined, { summary: { ...NO_WORK, toolCalls: 0 } });
    expect(await diff()).toMatchObject({
      turns: [{ unknown: "not_reported", commits: null, files_changed: null, patch: "none" }],
      lines_added: null,
      unknown_turns: 1,
    });
  });

  test("it is not known, and why depends on the session and its sandbox", async () => {
    const { turn, diff, session } = await start();
    await turn(undefined);
    expect((await diff()).turns[0]?.unknown).toBe("not_reported");
    await session.stub.hibernate({ ownerId: "x" });
    const without = await createSession(token);
    const bare = TestSession.of(without.id);
    const runner = await (await bare.connect()).ready();
    await bare.send("work");
    await runner.end((await runner.accept()).attemptId);
    const response = await call("GET", `/api/sessions/${without.id}/diff`, { token });
    expect(DiffView.parse(await response.json()).turns[0]?.unknown).toBe("not_a_repository");
  });

  test("a session without turns has no changes", async () => {
    const { diff } = await start();
    expect(await diff()).toMatchObject({ turns: [], commits: 0, files: [], patch: "" });
  });
});

describe("several turns", () => {
  test("from and to are turns, messages, or the first one; the patches are in order", async () => {
    const { turn, diff, read } = await start();
    const one = await turn({ facts: FACTS, patch: packed(patchOf("a.txt")) });
    const two = await turn({ facts: { ...FACTS, files: FACTS.files.slice(0, 1), files_changed: 1 } });
    const three = await turn({ facts: FACTS, patch: packed(patchOf("c.txt")) });
    expect((await diff()).turns.map(({ turn_id }) => turn_id)).toEqual([three.attemptId]);
    expect((await diff(`?to=${one.messageId}`)).patch).toBe(patchOf("a.txt"));
    const all = await diff("?from=first");
    expect(all).toMatchObject({ commits: 3, lines_added: 9, files_changed: 2 });
    expect(all.patch).toBe(patchOf("a.txt") + patchOf("c.txt"));
    expect((await diff(`?from=${one.attemptId}&to=${two.messageId}`)).turns).toHaveLength(2);
    const refused = await read(`?from=${three.messageId}&to=${one.messageId}`);
    expect([refused.status, await refused.json()]).toMatchObject([400, { type: "urn:valet:problem:invalid-input" }]);
    const unknown = await read("?to=msg_of_nobody");
    expect([unknown.status, await unknown.json()]).toMatchObject([404, { type: "urn:valet:problem:turn-not-found" }]);
  });

  test("with Accept: text/x-diff the answer is the patch, byte by byte", async () => {
    const { turn, read } = await start();
    const latin1 = Buffer.from(patchOf("a.txt"), "latin1");
    await turn({ facts: FACTS, patch: gzipSync(latin1).toString("base64") });
    const response = await read("", { accept: "text/x-diff" });
    expect(response.headers.get("content-type")).toBe("text/x-diff");
    expect(Buffer.from(await response.arrayBuffer())).toEqual(latin1);
    expect((await read("", { accept: "*/*" })).headers.get("content-type")).toContain("application/json");
  });
});

describe("a large diff", () => {
  test("is read without its patches, or file by file", async () => {
    const { turn, diff, read } = await start();
    const one = await turn({ facts: FACTS, patch: packed(patchOf("a.txt") + patchOf("b.txt")) });
    await turn({ facts: FACTS, patch: packed(patchOf("b.txt")) });
    const lists = await diff("?from=first&patch=none");
    expect(lists).toEqual({ ...(await diff("?from=first")), patch: "" });
    expect(lists.turns.map(({ patch }) => patch)).toEqual(["whole", "whole"]);
    expect((await diff(`?to=${one.messageId}&file=b.txt`)).patch).toBe(patchOf("b.txt"));
    expect((await diff("?from=first&file=b.txt")).patch).toBe(patchOf("b.txt") + patchOf("b.txt"));
    expect((await diff("?from=first&file=no.txt")).patch).toBe("");
    expect((await read("?patch=some")).status).toBe(400);
  });

  test("has names and lines of any encoding", async () => {
    const { turn, read } = await start();
    const umlaut = patchOf("ä.txt");
    const latin1 = Buffer.concat([
      Buffer.from(umlaut),
      Buffer.from(patchOf("b.txt").replace("new", "n\u00e4w"), "latin1"),
    ]);
    await turn({ facts: FACTS, patch: gzipSync(latin1).toString("base64") });
    const bytes = async (file: string) =>
      Buffer.from(await (await read(`?file=${encodeURIComponent(file)}`, { accept: "text/x-diff" })).arrayBuffer());
    expect((await bytes("ä.txt")).toString()).toBe(umlaut);
    expect(Buffer.concat([await bytes("ä.txt"), await bytes("b.txt")])).toEqual(latin1);
  });
});

test("a patch that is no gzip, or is larger than one may be, is not shown", async () => {
  const { turn, diff } = await start();
  await turn({ facts: FACTS, patch: Buffer.from("no gzip").toString("base64") });
  expect((await diff()).turns[0]).toMatchObject({ patch: "dropped", commits: 1 });
  await turn({ facts: FACTS, patch: gzipSync(Buffer.alloc(64 * 1024 * 1024)).toString("base64") });
  expect(await diff()).toMatchObject({ turns: [{ patch: "dropped" }], patch: "" });
});

test("the session sleeps and the diff answers", async () => {
  const { turn, diff, session, runner } = await start();
  await turn({ facts: FACTS, patch: packed(patchOf("a.txt")) });
  const before = await diff();
  const hibernated = call("POST", `/api/sessions/${session.id}/hibernate`, { token });
  await runner.next("shutdown");
  runner.send({ type: "stopped" });
  await hibernated;
  await session.reaches("hibernated");
  await session.evict();
  expect(await diff()).toEqual(before);
});

test("the oldest lists and patches go first, and the counts stay", () =>
  runInDurableObject(new TestSession().stub, (_object, { storage }) => {
    upgradeSchema(storage, SESSION_MIGRATIONS);
    const { sql } = storage;
    const jobs = {
      attempt: (id: string) => ({ id, state: "ended", jobIds: [] }),
    } as unknown as JobStore;
    const changes = new TurnChanges({
      sql,
      jobs,
      transactions: { afterCommit: () => {} } as never,
      runnerSpans: { take: () => undefined },
      link: { send: () => true },
      record: () => {},
      sessionPatchBytes: 3000,
    });
    const bytes = Buffer.alloc(1000, 1).toString("base64");
    for (const id of ["1", "2", "3", "4"])
      changes.onFrame(report(id, { facts: { ...FACTS, files: [] }, patch: bytes }));
    expect(["1", "2", "3", "4"].map((id) => changes.patchOf(id)?.length)).toEqual([undefined, undefined, 1000, 1000]);
    expect(changes.of("1")).toMatchObject({ commits: 1, has_details: true });
    // One that is larger than the limit alone stays until the next.
    changes.onFrame(report("5", { facts: FACTS, patch: Buffer.alloc(4000).toString("base64") }));
    expect(sql.exec("SELECT attempt_id FROM turn_patches").toArray()).toEqual([{ attempt_id: "5" }]);
    changes.onFrame(report("6", { facts: FACTS, patch: bytes }));
    expect(sql.exec("SELECT attempt_id FROM turn_patches").toArray()).toEqual([{ attempt_id: "6" }]);
  }));
