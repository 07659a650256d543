import { afterEach, expect, test, vi } from "vitest";

vi.stubGlobal("location", { origin: "http://valet.test" });
// The client reads where it is as soon as it is loaded.
const { readChildren } = await import("./timeline-reads.ts");

afterEach(() => vi.unstubAllGlobals());

/** Answers as the API does: the newest children first, and a cursor if there are more. */
function answerChildren(count: number): URL[] {
  const asked: URL[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const url = new URL(request.url);
    asked.push(url);
    const limit = Number(url.searchParams.get("limit"));
    const sessions = Array.from({ length: Math.min(limit, count) }, (_, n) => ({ id: `ses_${count - n}` }));
    return Response.json({ sessions, ...(count > limit && { nextCursor: "more" }) });
  });
  return asked;
}

test("of many children the newest are read, which may work now, and no more of them than are shown", async () => {
  const asked = answerChildren(2000);
  const { children, hasOlder } = await readChildren("ses_a", 3, new AbortController().signal);
  expect(children.map(({ id }) => id)).toEqual(["ses_1998", "ses_1999", "ses_2000"]);
  expect(hasOlder).toBe(true);
  expect(asked.map(({ pathname, search }) => pathname + search)).toEqual([
    "/api/sessions?parentSessionId=ses_a&limit=3",
  ]);
});

test("of few children all are read, the oldest first", async () => {
  answerChildren(2);
  const { children, hasOlder } = await readChildren("ses_a", 3, new AbortController().signal);
  expect(children.map(({ id }) => id)).toEqual(["ses_1", "ses_2"]);
  expect(hasOlder).toBe(false);
});
