/** The owner's own tokens: made with no more rights than their maker, listed without secrets, revoked. */
import { type CreatedToken, MAX_TOKENS, type TokenList } from "@valet/shared/protocol/tokens";
import { expect, test, vi } from "vitest";
import { call, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { makeToken } from "../../database/setup.ts";

const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();

async function make(token: string, body: object): Promise<CreatedToken> {
  const response = await call("POST", "/api/tokens", { token, body });
  expect(response.status).toBe(201);
  return response.json();
}

const list = async (token: string) => (await (await call("GET", "/api/tokens", { token })).json<TokenList>()).tokens;
const statusOf = async (token: string) => (await call("GET", "/api/sessions", { token })).status;
const refusal = async (response: Promise<Response>) => {
  const {
    status,
    type,
    detail = "",
  } = await (await response).json<{ status: number; type: string; detail?: string }>();
  return [status, type.replace("urn:valet:problem:", ""), detail];
};

test("a token is made, works, is listed without its secret, and is refused once it is revoked", async () => {
  const token = await signIn();
  const made = await make(token, { name: "laptop", expiresAt: inHours(1) });
  expect(await statusOf(made.token)).toBe(200);
  const tokens = await list(token);
  expect(tokens.map(({ name, isCurrent }) => [name, isCurrent])).toEqual([
    ["test", true],
    ["laptop", false],
  ]);
  const [own, laptop] = tokens;
  expect(laptop).toMatchObject({ id: made.id, expiresAt: made.expiresAt, createdBy: own?.id, isExpired: false });
  expect(JSON.stringify(tokens)).not.toContain(made.token);
  expect((await call("DELETE", `/api/tokens/${made.id}`, { token })).status).toBe(204);
  expect(await refusal(call("GET", "/api/sessions", { token: made.token }))).toEqual([
    401,
    "unauthorized",
    "the token is unknown, or was revoked",
  ]);
  expect(await refusal(call("DELETE", `/api/tokens/${made.id}`, { token }))).toEqual([404, "token-not-found", ""]);
});

test("an expired token is refused with the time of its end, and still listed", async () => {
  const token = await signIn();
  const made = await make(token, { name: "short", expiresAt: inHours(1) });
  const past = inHours(-1);
  await bindings.DB.prepare("UPDATE tokens SET expires_at = ? WHERE name = 'short'").bind(past).run();
  expect(await refusal(call("GET", "/api/sessions", { token: made.token }))).toEqual([
    401,
    "unauthorized",
    `the token expired at ${past}`,
  ]);
  expect((await list(token)).find(({ id }) => id === made.id)).toMatchObject({ isExpired: true });
});

test("a token makes none with more rights than its own", async () => {
  const token = await signIn();
  const expiresAt = inHours(2);
  const short = await make(token, { name: "short", expiresAt });
  const more = { name: "more", expiresAt: inHours(3) };
  expect((await refusal(call("POST", "/api/tokens", { token: short.token, body: more })))[1]).toBe(
    "token-exceeds-its-maker",
  );
  const speaks = { name: "bot", speaksForOthers: true };
  expect((await refusal(call("POST", "/api/tokens", { token: short.token, body: speaks })))[0]).toBe(403);
  // Without a time of its own it ends with its maker; an offset changes nothing about that.
  expect((await make(short.token, { name: "same" })).expiresAt).toBe(expiresAt);
  await bindings.DB.prepare("UPDATE tokens SET speaks_for_others = 1 WHERE name = 'short'").run();
  expect(await make(short.token, speaks)).toMatchObject({ speaksForOthers: true });
});

test("another owner's tokens are neither listed nor revoked", async () => {
  const [mine, other] = [await signIn(), await signIn()];
  const made = await make(other, { name: "theirs" });
  expect((await list(mine)).map(({ name }) => name)).toEqual(["test"]);
  expect((await call("DELETE", `/api/tokens/${made.id}`, { token: mine })).status).toBe(404);
  expect(await statusOf(made.token)).toBe(200);
});

test("an owner has a limited number of tokens; those that expired long ago make room", async () => {
  const owner = crypto.randomUUID();
  const token = await signIn(owner);
  const { statement } = makeToken(owner, "x", { expiresAt: inHours(1) });
  const row = bindings.DB.prepare(statement.sql);
  await bindings.DB.batch(
    Array.from({ length: MAX_TOKENS - 1 }, (_, i) =>
      row.bind(`${owner}-${i}-`.padEnd(64, "0"), ...statement.params.slice(1)),
    ),
  );
  expect((await refusal(call("POST", "/api/tokens", { token, body: { name: "one more" } })))[1]).toBe(
    "too-many-tokens",
  );
  await bindings.DB.prepare("UPDATE tokens SET expires_at = ? WHERE owner_id = ? AND name = 'x'")
    .bind(inHours(-25), owner)
    .run();
  await make(token, { name: "one more" });
  expect(await list(token)).toHaveLength(2);
});

test.each([
  {},
  { name: "" },
  { name: "a\nb" },
  { name: "a", expiresAt: "2001-01-01T00:00:00Z" },
  { name: "a", owner: "b" },
])("%j makes no token", async (body) => {
  expect((await call("POST", "/api/tokens", { token: await signIn(), body })).status).toBe(400);
});

test("the last use is recorded once an hour, not with every request", async () => {
  const token = await signIn();
  await statusOf(token);
  const first = await vi.waitFor(async () => {
    const [own] = await list(token);
    expect(own?.lastUsedAt).toEqual(expect.any(String));
    return own?.lastUsedAt;
  }, 20_000);
  await statusOf(token);
  expect((await list(token))[0]?.lastUsedAt).toBe(first);
});
