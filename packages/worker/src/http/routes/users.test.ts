/** On whose behalf requests are made: a property of the token, and the `user` that a request names. */
import { expect, test } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";

/** Returns a token of a new owner whose requests may name a user. */
async function signInForOthers(): Promise<{ token: string; owner: string }> {
  const owner = crypto.randomUUID();
  const token = await signIn(owner);
  await bindings.DB.prepare("UPDATE tokens SET speaks_for_others = 1 WHERE owner_id = ?").bind(owner).run();
  return { token, owner };
}

const json = async (response: Promise<Response>) => (await response).json<Record<string, unknown>>();

test("by default a request is made for the owner of its token", async () => {
  const owner = crypto.randomUUID();
  const token = await signIn(owner);
  const { id } = await createSession(token, { prompt: "work" });
  expect(await json(call("GET", `/api/sessions/${id}`, { token }))).toMatchObject({ userId: owner });
  expect(await json(call("GET", `/api/sessions/${id}/messages`, { token }))).toMatchObject({
    messages: [{ userId: owner }],
  });
});

test("a token that speaks for others names the user of what it asks for", async () => {
  const { token, owner } = await signInForOthers();
  const { id } = await createSession(token, { user: "ann" });
  const path = `/api/sessions/${id}`;
  for (const [messageId, user] of [
    ["m1", "bob"],
    ["m2", undefined],
  ]) {
    const body = { id: messageId, content: "work", user };
    expect((await call("POST", `${path}/messages`, { token, body })).status).toBe(202);
  }
  await call("POST", `${path}/workflows`, {
    token,
    body: { id: "w", name: "w", steps: [{ name: "a", run: "b" }], user: "cy" },
  });
  expect((await call("DELETE", `${path}/messages/m1?user=dan`, { token })).status).toBe(200);
  expect((await call("DELETE", `${path}/workflows/w?user=eve`, { token })).status).toBe(200);
  expect((await call("DELETE", `${path}/queue?user=fay`, { token })).status).toBe(200);
  expect(await json(call("GET", `${path}/messages`, { token }))).toMatchObject({
    messages: [
      { id: "m1", userId: "bob", abortedBy: "dan" },
      { id: "m2", userId: owner, abortedBy: "fay" },
    ],
  });
  expect(await json(call("GET", `${path}/workflows/w`, { token }))).toMatchObject({ userId: "cy", abortedBy: "eve" });
  expect(await json(call("POST", `${path}/terminate?user=gus`, { token }))).toMatchObject({
    userId: "ann",
    terminatedBy: "gus",
  });
});

test("a token that does not speak for others is refused a user, wherever one is named", async () => {
  const owner = crypto.randomUUID();
  const token = await signIn(owner);
  const { id } = await createSession(token);
  const path = `/api/sessions/${id}`;
  const steps = [{ name: "a", run: "b" }];
  const requests: [method: string, path: string, body?: object][] = [
    ["POST", "/api/sessions", { user: "ann" }],
    ["POST", `${path}/messages`, { content: "x", id: "refused", user: "ann" }],
    ["POST", `${path}/workflows`, { name: "w", steps, user: "ann" }],
    ["POST", `${path}/permissions/p`, { reply: "once", user: "ann" }],
    ["POST", `${path}/questions/q`, { answers: null, user: "ann" }],
    ...["abort", "hibernate", "wake", "terminate"].map((name): [string, string] => [
      "POST",
      `${path}/${name}?user=ann`,
    ]),
    ["DELETE", `${path}/messages/m?user=ann`],
    ["DELETE", `${path}/workflows/w?user=ann`],
    ["DELETE", `${path}/queue?user=ann`],
  ];
  for (const [method, target, body] of requests) {
    const response = await call(method, target, { token, ...(body && { body }) });
    expect(response.status, `${method} ${target}`).toBe(403);
    expect(await response.json()).toMatchObject({ type: "urn:valet:problem:may-not-speak-for-others" });
  }
  expect(await json(call("GET", `${path}/messages`, { token }))).toMatchObject({ messages: [] });
  expect(await json(call("GET", "/api/sessions", { token }))).toMatchObject({ sessions: [{ id, userId: owner }] });
});

test.each([
  ["", "empty"],
  ["a".repeat(129), "too long"],
  ["a\nb", "a control character"],
])("the user %j is refused", async (user) => {
  const { token } = await signInForOthers();
  expect((await call("POST", "/api/sessions", { token, body: { user } })).status).toBe(400);
});
