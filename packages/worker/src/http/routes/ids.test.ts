import { FoundIds } from "@valet/shared/protocol/found-ids";
import { expect, test, vi } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";

async function find(token: string, path: string): Promise<FoundIds> {
  const response = await call("GET", path, { token });
  expect(response.status).toBe(200);
  return FoundIds.parse(await response.json());
}

const idsOf = ({ ids }: FoundIds) => ids.map(({ kind, id }) => `${kind} ${id}`);

test("an owner's sessions are found by the beginning of their ids, with or without the prefix, and nobody else's", async () => {
  const token = await signIn();
  const tail = "0".repeat(22);
  const [first, second] = [`ses_ab1x${tail}`, `ses_ab2x${tail}`];
  await createSession(token, { id: first, title: "the first" });
  await createSession(token, { id: second });
  const other = await signIn();
  await createSession(other, { id: `ses_ab3x${tail}` });
  expect(await find(token, "/api/ids?prefix=ses_ab1")).toEqual({
    ids: [{ kind: "session", id: first, at: expect.any(String), title: "the first" }],
    hasMore: false,
  });
  expect(idsOf(await find(token, "/api/ids?prefix=ab"))).toEqual([`session ${first}`, `session ${second}`]);
  expect(await find(token, "/api/ids?prefix=b")).toEqual({ ids: [], hasMore: false });
  expect(idsOf(await find(other, "/api/ids?prefix=ses_"))).toEqual([`session ses_ab3x${tail}`]);
  for (const prefix of ["", "%25", "a".repeat(129)]) {
    expect((await call("GET", `/api/ids?prefix=${prefix}`, { token })).status).toBe(400);
  }
});

test("an answer names ten sessions, and says that there are more", async () => {
  const token = await signIn();
  const { id } = await createSession(token);
  const { DB } = bindings;
  const copies = Array.from({ length: 10 }, (_, i) =>
    DB.prepare(
      `INSERT INTO sessions (id, owner_id, status, created_at, updated_at, version, view)
       SELECT ?1, owner_id, status, created_at, updated_at, version, view FROM sessions WHERE id = ?2`,
    ).bind(`ses_${String(i).repeat(26)}`, id),
  );
  await DB.batch(copies);
  const found = await find(token, "/api/ids?prefix=ses_");
  expect([found.ids.length, found.hasMore]).toEqual([10, true]);
});

test("a session's messages, workflows and traces are found by the beginning of their ids, and those of other sessions are not", async () => {
  const token = await signIn();
  const { id } = await createSession(token);
  const session = `/api/sessions/${id}`;
  const post = (path: string, body: object) => call("POST", session + path, { token, body });
  // No beginning of a trace's id, which is hexadecimal and random.
  await post("/messages", { id: "msg_xy1", content: "hello" });
  await post("/messages", { id: "xy2", content: "hello" });
  await post("/workflows", { id: "wfl_xy3", name: "check", steps: [{ name: "build", run: "make" }] });
  const sent = (await (await post("/messages", { id: "zz", content: "hello" })).json()) as { traceId: string };
  expect(idsOf(await find(token, `${session}/ids?prefix=xy`)).toSorted()).toEqual([
    "message msg_xy1",
    "message xy2",
    "workflow wfl_xy3",
  ]);
  expect(idsOf(await find(token, `${session}/ids?prefix=msg_`))).toEqual(["message msg_xy1"]);
  await vi.waitFor(async () => {
    const found = await find(token, `${session}/ids?prefix=${sent.traceId.slice(0, 12)}`);
    expect(idsOf(found)).toEqual([`trace ${sent.traceId}`]);
  }, 20_000);
  const other = await createSession(token);
  expect(await find(token, `/api/sessions/${other.id}/ids?prefix=xy`)).toEqual({ ids: [], hasMore: false });
  expect((await call("GET", `${session}/ids?prefix=xy`, { token: await signIn() })).status).toBe(404);
});
