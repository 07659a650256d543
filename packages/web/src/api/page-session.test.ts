import { afterEach, beforeEach, expect, test, vi } from "vitest";

const refused = () =>
  new Response(JSON.stringify({ type: "urn:valet:problem:unauthorized", title: "A ticket is needed", status: 401 }), {
    status: 401,
    headers: { "content-type": "application/problem+json" },
  });
const accepted = () =>
  new Response(JSON.stringify({ sessions: [] }), { headers: { "content-type": "application/json" } });

let session: typeof import("./page-session.ts");
/** What the server answers, by the path. */
let answers: Record<string, () => Response>;
let asked: Request[];

beforeEach(async () => {
  vi.resetModules();
  vi.stubGlobal("location", new URL("https://valet.test/"));
  asked = [];
  vi.stubGlobal("fetch", async (input: string | Request, init?: RequestInit) => {
    const request = new Request(input instanceof Request ? input : new URL(input, "https://valet.test"), init);
    asked.push(request);
    return answers[new URL(request.url).pathname]?.();
  });
  session = await import("./page-session.ts");
});
afterEach(() => vi.unstubAllGlobals());

test("a link that was used already is no error where the browser is signed in", async () => {
  answers = { "/api/page-sessions": refused, "/api/sessions": accepted };
  await expect(session.signInWithTicket("tkt")).resolves.toBeUndefined();
});

test("a link that was used already says so where it is not", async () => {
  answers = { "/api/page-sessions": refused, "/api/sessions": refused };
  await expect(session.signInWithTicket("tkt")).rejects.toMatchObject({ status: 401 });
});

test("a token is sent with each request, and forgotten if it is not valid or at signing out", async () => {
  answers = { "/api/sessions": refused };
  await expect(session.signInWithToken("wrong")).rejects.toMatchObject({ status: 401 });
  answers = { "/api/sessions": accepted, "/api/page-sessions/current": refused };
  await session.signInWithToken("right");
  await session.signOut();
  answers = { "/api/page-sessions": accepted };
  await session.signInWithTicket("tkt");
  const tokens = asked.map(({ headers }) => headers.get("authorization"));
  expect(tokens).toEqual(["Bearer wrong", "Bearer right", "Bearer right", null]);
  expect(asked.every(({ headers }) => headers.has("x-valet-csrf"))).toBe(true);
});
