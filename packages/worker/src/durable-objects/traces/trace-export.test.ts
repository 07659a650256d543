import { gunzipSync } from "node:zlib";
import { type Diagnostic, Tracer } from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { upgradeFromAd59303 } from "../../../test/old-tables.ts";
import { attributeOf, SESSION, spansOf } from "../../../test/otlp.ts";
import { TraceExport } from "./trace-export.ts";
import { TraceStore } from "./trace-store.ts";

type Answer = () => Response | Promise<Response>;

const ok: Answer = () => new Response();
const busy: Answer = () => new Response(null, { status: 503, headers: { "retry-after": "7" } });
const refused: Answer = () => new Response(null, { status: 400 });

/** Returns a store and an export to a backend with scripted answers; the bytes sent are kept. */
function setUp(
  storage: DurableObjectStorage,
  answers: Answer[],
  options: {
    url?: string;
    headers?: Record<string, string>;
    compression?: "gzip" | "none";
    judge?: (body: Uint8Array) => Response;
  } = {},
) {
  let now = 1_700_000_000_000;
  const diagnostics: Diagnostic[] = [];
  const sent: { encoding: string | null; bytes: Uint8Array; status?: number }[] = [];
  const store = new TraceStore(storage.sql, {
    transact: (work) => storage.transactionSync(work),
    sessionId: SESSION,
    resource: { "service.name": "valet-worker" },
    segmentDelayMs: 5000,
    maxBytes: 1e9,
    now: () => now,
  });
  const fetch = async (_url: unknown, init?: RequestInit) => {
    const headers = new Headers(init?.headers);
    const bytes = new Uint8Array(init?.body as Uint8Array);
    if (options.judge !== undefined) {
      const answer = options.judge(bytes);
      sent.push({ encoding: headers.get("content-encoding"), bytes, status: answer.status });
      return answer;
    }
    sent.push({ encoding: headers.get("content-encoding"), bytes });
    return (answers.length > 1 ? (answers.shift() as Answer) : (answers[0] as Answer))();
  };
  const exporting = new TraceExport(storage.sql, store, {
    sessionId: SESSION,
    url: "url" in options ? options.url : "http://127.0.0.1:1/v1/traces",
    headers: options.headers ?? {},
    compression: options.compression ?? "gzip",
    timeoutMs: 1000,
    now: () => now,
    onDiagnostic: (diagnostic) => diagnostics.push(diagnostic),
    fetch: fetch as never,
  });
  const tracer = new Tracer({ scope: { name: "test" }, processor: store });
  /** Ends each span in a segment of its own. */
  const endTogether = (...names: string[]) => {
    for (const name of names) tracer.startSpan(name, { attributes: { "valet.session.id": SESSION } }).end();
    store.fold((id) => exporting.isSettled(id));
  };
  const end = (...names: string[]) => {
    for (const name of names) {
      tracer.startSpan(name, { attributes: { "valet.session.id": SESSION } }).end();
      store.fold((id) => exporting.isSettled(id));
    }
  };
  const pass = (ms: number) => (now += ms);
  return { store, exporting, sent, answers, diagnostics, end, endTogether, pass, now: () => now };
}
type SetUp = ReturnType<typeof setUp>;
const HOUR_MS = 3_600_000;

function sentNames(sent: { bytes: Uint8Array }[]): string[][] {
  return sent.map(({ bytes }) => spansOf(gunzipSync(bytes).toString()).map(({ name }) => name));
}

describe("the cursor", () => {
  test("visits the segments in order, one POST each, with the bytes as stored", () =>
    inStorage(async (storage) => {
      const { store, exporting, sent, end } = setUp(storage, [ok]);
      end("a", "b", "c");
      const stored = store.segments.nextSampled(0)?.body;
      await exporting.start();
      expect(sentNames(sent)).toEqual([["a"], ["b"], ["c"]]);
      expect(sent[0]).toEqual({ encoding: "gzip", bytes: stored });
      expect(exporting.dueAtMs()).toBeUndefined();
    }));

  test("stays at a failed POST, and the same bytes are sent again when they are due", () =>
    inStorage(async (storage) => {
      const { exporting, sent, end, pass, now } = setUp(storage, [busy, ok]);
      end("a", "b");
      await exporting.start();
      expect(exporting.dueAtMs()).toBe(now() + 7000);
      await exporting.start();
      expect(sent).toHaveLength(1);
      pass(7000);
      await exporting.start();
      expect(sentNames(sent)).toEqual([["a"], ["a"], ["b"]]);
      expect(sent[1]?.bytes).toEqual(sent[0]?.bytes);
    }));

  test("sets an alarm during a POST, since nothing else would wake an object that dies during it", () =>
    inStorage(async (storage) => {
      let answer = (_response: Response) => {};
      const held: Answer = () => new Promise((resolve) => (answer = resolve));
      const { exporting, end, pass, now } = setUp(storage, [held]);
      end("a");
      expect(exporting.dueAtMs()).toBeGreaterThanOrEqual(now());
      pass(1000);
      const run = exporting.start();
      expect(exporting.dueAtMs()).toBeGreaterThan(now());
      answer(new Response());
      await run;
      expect(exporting.dueAtMs()).toBeUndefined();
    }));

  test("survives a restart of the object", async () => {
    const name = crypto.randomUUID();
    await inStorage(async (storage) => {
      const { exporting, end } = setUp(storage, [ok]);
      end("a");
      await exporting.start();
      end("b");
    }, name);
    await inStorage(async (storage) => {
      const { exporting, sent } = setUp(storage, [ok]);
      await exporting.start();
      expect(sentNames(sent)).toEqual([["b"]]);
    }, name);
  });

  test("is moved by one run at a time", () =>
    inStorage(async (storage) => {
      const { exporting, sent, end } = setUp(storage, [ok]);
      end("a", "b");
      await Promise.all([exporting.start(), exporting.start(), exporting.start()]);
      expect(sentNames(sent)).toEqual([["a"], ["b"]]);
    }));
});

describe("lost spans are counted and reported to the backend", () => {
  test("a refused segment is skipped", () =>
    inStorage(async (storage) => {
      const { exporting, sent, diagnostics, end } = setUp(storage, [refused, ok]);
      end("refused");
      await exporting.start();
      end("later");
      await exporting.start();
      const [report] = spansOf(gunzipSync(sent[1]?.bytes as Uint8Array).toString()).filter(
        ({ name }) => name !== "later",
      );
      expect(attributeOf(report, "valet.dropped_spans.not_retryable")).toBe("1");
      expect(diagnostics).toMatchObject([{ type: "export_failed", status: 400, spans: 1 }]);
    }));

  test("the counts of a refused report are in the next one", () =>
    inStorage(async (storage) => {
      const { exporting, sent, end } = setUp(storage, [refused, refused, refused, ok]);
      for (const name of ["a", "b", "c", "d"]) {
        end(name);
        await exporting.start();
      }
      // a, b and c, and the two reports sent with b and c.
      const reports = spansOf(gunzipSync(sent[3]?.bytes as Uint8Array).toString()).filter(({ name }) => name !== "d");
      expect(reports.map((each) => attributeOf(each, "valet.dropped_spans.not_retryable"))).toEqual(["5"]);
    }));

  test.each([
    ["refuses all", refused],
    ["rejects a span of each request", () => new Response('{"partialSuccess":{"rejectedSpans":1}}')],
  ] as const)("a report alone, to a backend that %s, causes no further report", (_name, answer) =>
    inStorage(async (storage) => {
      const { exporting, sent, end } = setUp(storage, Array<Answer>(20).fill(answer));
      end("lost");
      // Whatever became of the span, then of its report.
      for (let times = 0; times < 10; times++) await exporting.start();
      expect(sent.length).toBeLessThanOrEqual(2);
      // The next span is sent all the same.
      end("later");
      await exporting.start();
      const told = sent.flatMap(({ bytes }) =>
        spansOf(gunzipSync(bytes as Uint8Array).toString()).map(({ name }) => name),
      );
      expect(told).toContain("later");
    }),
  );

  test("spans that the backend rejected from a segment are counted, too", () =>
    inStorage(async (storage) => {
      const partial: Answer = () => new Response('{"partialSuccess":{"rejectedSpans":"1","errorMessage":"old"}}');
      const { exporting, sent, diagnostics, end } = setUp(storage, [partial, ok]);
      end("rejected");
      await exporting.start();
      end("later");
      await exporting.start();
      const [report] = spansOf(gunzipSync(sent[1]?.bytes as Uint8Array).toString()).filter(
        ({ name }) => name !== "later",
      );
      expect(attributeOf(report, "valet.dropped_spans.rejected")).toBe("1");
      expect(diagnostics).toEqual([{ type: "partial_success", session: SESSION, rejectedSpans: 1, message: "old" }]);
    }));
});

/**
 * Sends everything that becomes due, with the clock set to each due time, until nothing is due or `untilMs` has come.
 */
async function follow({ exporting, pass, now }: SetUp, untilMs: number): Promise<number[]> {
  const attempts: number[] = [];
  for (let due = exporting.dueAtMs(); due !== undefined && due <= untilMs; due = exporting.dueAtMs()) {
    pass(Math.max(due - now(), 0));
    attempts.push(now());
    await exporting.start();
  }
  return attempts;
}

describe("a problem that only a person can fix stops the cursor:", () => {
  const page: Answer = () => new Response("<!doctype html>", { headers: { "content-type": "text/html" } });
  const status =
    (code: number): Answer =>
    () =>
      new Response(null, { status: code });

  test.each<[string, Answer]>([
    ["401", status(401)],
    ["403", status(403)],
    ["404", status(404)],
    ["405", status(405)],
    ["301", status(301)],
    ["307", status(307)],
    ["a web page", page],
  ])("%s loses nothing, and all spans arrive once it is fixed", (_what, answer) =>
    inStorage(async (storage) => {
      const wrong = setUp(storage, [answer]);
      wrong.end("a", "b");
      await follow(wrong, wrong.now() + 2 * HOUR_MS);
      expect(wrong.exporting.isSettled(1)).toBe(false);
      expect(wrong.diagnostics).toContainEqual(
        expect.objectContaining({ type: "export_failed", session: SESSION, spans: 1, retryInMs: expect.any(Number) }),
      );
      // The object restarts with another key.
      const right = setUp(storage, [ok], { headers: { authorization: "right" } });
      expect(right.exporting.dueAtMs()).toBeLessThanOrEqual(right.now() + 100);
      right.pass(100);
      await right.exporting.start();
      expect(sentNames(right.sent)).toEqual([["a"], ["b"]]);
      expect(right.exporting.shortfall()).toBeUndefined();
    }),
  );

  test("another endpoint counts as a change; the same endpoint, or another order of headers, does not", () =>
    inStorage(async (storage) => {
      const headers = { a: "1", b: "2" };
      const first = setUp(storage, [status(401)], { headers });
      first.end("a");
      await follow(first, first.now() + 2 * HOUR_MS);
      const due = first.exporting.dueAtMs();
      expect(setUp(storage, [ok], { headers: { b: "2", a: "1" } }).exporting.dueAtMs()).toBe(due);
      const elsewhere = setUp(storage, [ok], { headers, url: "http://127.0.0.1:2/v1/traces" });
      expect(elsewhere.exporting.dueAtMs()).toBeLessThan(due as number);
    }));

  test("the key itself is not stored, only a hash", () =>
    inStorage(async (storage) => {
      setUp(storage, [ok], { headers: { authorization: "canary" } });
      expect(JSON.stringify(storage.sql.exec("SELECT * FROM trace_export").one())).not.toContain("canary");
    }));

  test("the delay doubles up to an hour, with a jitter of a fifth that differs between sessions", () =>
    inStorage(async (storage) => {
      const all = setUp(storage, [status(401)]);
      all.end("a");
      const attempts = await follow(all, all.now() + 20 * HOUR_MS);
      const waits = attempts.slice(1).map((at, i) => at - (attempts[i] as number));
      waits.forEach((wait, i) => {
        const middle = Math.min(1000 * 2 ** i, HOUR_MS);
        expect(wait).toBeGreaterThanOrEqual(0.8 * middle);
        expect(wait).toBeLessThanOrEqual(1.2 * middle + 1);
      });
      expect(waits.length).toBeGreaterThan(25);
      expect(new Set(waits.slice(13)).size).toBeGreaterThan(5);
    }));

  test("a backend that asks for an immediate retry is not retried in a loop", () =>
    inStorage(async (storage) => {
      const all = setUp(storage, [() => new Response(null, { status: 503, headers: { "retry-after": "0" } })]);
      all.end("a");
      await all.exporting.start();
      expect(all.sent).toHaveLength(1);
      expect(all.exporting.dueAtMs()).toBeGreaterThanOrEqual(all.now() + 500);
    }));
});

describe("after a day of failures the export stops by itself", () => {
  const away: Answer = () => {
    throw new TypeError("fetch failed");
  };

  /** Returns a session whose export has stopped, with the clock at that time. */
  async function stopped(storage: DurableObjectStorage, answer: Answer) {
    const all = setUp(storage, [answer]);
    all.end("a");
    const began = all.now();
    const attempts = await follow(all, began + 100 * HOUR_MS);
    expect(all.exporting.dueAtMs()).toBeUndefined();
    const lasted = (attempts.at(-1) as number) - began;
    expect(lasted).toBeGreaterThanOrEqual(24 * HOUR_MS);
    expect(lasted).toBeLessThan(26 * HOUR_MS);
    expect(all.exporting.problem()).toMatchObject({ isStopped: true, waitingSpans: 1 });
    all.answers.splice(0, 1, ok);
    return all;
  }

  test.each<[string, Answer]>([
    ["a wrong key", () => new Response(null, { status: 401 })],
    ["an unreachable backend", away],
  ])("with %s, and continues with the next span", (_what, answer) =>
    inStorage(async (storage) => {
      const all = await stopped(storage, answer);
      await all.exporting.start();
      expect(sentNames(all.sent).slice(-1)).toEqual([["a"]]);
      const before = all.sent.length;
      all.end("b");
      await follow(all, all.now() + HOUR_MS);
      expect(sentNames(all.sent).slice(before)).toEqual([["a"], ["b"]]);
      expect(all.exporting.problem()).toBeUndefined();
    }),
  );

  test("the next span is retried for another day", () =>
    inStorage(async (storage) => {
      const all = await stopped(storage, away);
      all.answers.splice(0, 1, away);
      all.end("b");
      const began = all.now();
      const attempts = await follow(all, began + 100 * HOUR_MS);
      expect((attempts.at(-1) as number) - began).toBeGreaterThanOrEqual(24 * HOUR_MS);
      expect(all.exporting.problem()).toMatchObject({ sinceMs: expect.any(Number), waitingSpans: 2, isStopped: true });
    }));

  test("it continues on `resend`, also after a restart of the object", () =>
    inStorage(async (storage) => {
      await stopped(storage, away);
      const all = setUp(storage, [ok]);
      all.pass(30 * HOUR_MS);
      expect(all.exporting.dueAtMs()).toBeUndefined();
      all.exporting.tryAgain();
      expect(all.exporting.dueAtMs()).toBeLessThanOrEqual(all.now());
      await all.exporting.start();
      expect(sentNames(all.sent)).toEqual([["a"]]);
    }));
});

describe("a segment that is too large for the backend", () => {
  const names = (count: number) => Array.from({ length: count }, (_, i) => `s${i}`);

  /** Answers like a backend that accepts at most this many spans per request. */
  const upTo = (most: number) => (body: Uint8Array) =>
    new Response(null, { status: spansOf(gunzipSync(body).toString()).length > most ? 413 : 200 });

  test.each([1, 2, 3, 5, 7])("is halved until it fits, %i spans per request", (most) =>
    inStorage(async (storage) => {
      const all = setUp(storage, [], { judge: upTo(most) });
      all.endTogether(...names(11));
      all.endTogether(...names(11));
      await all.exporting.start();
      const taken = all.sent.flatMap(({ bytes, status }) =>
        status === 200 ? spansOf(gunzipSync(bytes).toString()).map(({ name }) => name) : [],
      );
      expect(taken).toEqual([...names(11), ...names(11)]);
      expect(all.exporting.shortfall()).toBeUndefined();
      expect(all.exporting.dueAtMs()).toBeUndefined();
    }),
  );

  test("is split until the one span that is too large is found, dropped and counted", () =>
    inStorage(async (storage) => {
      const judge = (body: Uint8Array) =>
        new Response(null, { status: gunzipSync(body).toString().includes('"s2"') ? 413 : 200 });
      const all = setUp(storage, [], { judge });
      all.endTogether(...names(5));
      await all.exporting.start();
      all.end("later");
      await all.exporting.start();
      const taken = all.sent
        .filter(({ status }) => status === 200)
        .flatMap(({ bytes }) => spansOf(gunzipSync(bytes).toString()));
      const report = taken.find(({ name }) => name === "valet.trace_plane.dropped");
      expect(taken.filter((span) => span !== report).map(({ name }) => name)).toEqual([
        "s0",
        "s1",
        "s3",
        "s4",
        "later",
      ]);
      expect(attributeOf(report, "valet.dropped_spans.too_large")).toBe("1");
    }));

  test("continues where it was after a restart of the object", () =>
    inStorage(async (storage) => {
      const first = setUp(storage, [], {
        judge: (body) => {
          const count = spansOf(gunzipSync(body).toString()).length;
          return new Response(null, { status: count > 3 ? 413 : first.sent.length > 2 ? 503 : 200 });
        },
      });
      first.endTogether(...names(12));
      await first.exporting.start();
      expect(first.exporting.shortfall()).toMatchObject({ waitingSpans: 9, reason: "HTTP 503" });
      const second = setUp(storage, [ok]);
      second.pass(60_000);
      await second.exporting.start();
      expect(sentNames(second.sent).flat()).toEqual(names(12).slice(3));
    }));

  test("is sent without compression if so configured, also in parts", () =>
    inStorage(async (storage) => {
      const judge = (body: Uint8Array) =>
        new Response(null, { status: spansOf(new TextDecoder().decode(body)).length > 1 ? 413 : 200 });
      const all = setUp(storage, [], { judge, compression: "none" });
      all.endTogether("a", "b");
      await all.exporting.start();
      expect(all.sent.map(({ status }) => status)).toEqual([413, 200, 200]);
    }));
});

describe("a problem", () => {
  const no: Answer = () => new Response(null, { status: 401 });

  test("appears after a minute, is logged once, and is gone when the spans have arrived", () =>
    inStorage(async (storage) => {
      const all = setUp(storage, [no]);
      all.end("a");
      const began = all.now();
      await follow(all, began + 60_000);
      expect(all.exporting.problem()).toBeUndefined();
      expect(all.exporting.hasProblemChanged).toBe(false);
      expect(all.exporting.shortfall()).toMatchObject({ reason: "HTTP 401", waitingSpans: 1 });
      all.pass((all.exporting.problemDueAtMs() as number) - all.now());
      expect(all.now()).toBeLessThanOrEqual(began + 60_001);
      expect(all.exporting.hasProblemChanged).toBe(true);
      all.exporting.noteShown();
      expect(all.exporting.hasProblemChanged).toBe(false);
      expect(all.exporting.problemDueAtMs()).toBeUndefined();
      expect(all.exporting.problem()).toEqual({
        sinceMs: began,
        reason: "HTTP 401",
        status: 401,
        waitingSpans: 1,
        isStopped: false,
      });
      all.answers.splice(0, 1, ok);
      await follow(all, all.now() + HOUR_MS);
      expect(all.exporting.hasProblemChanged).toBe(true);
      expect(all.exporting.problem()).toBeUndefined();
    }));

  test("also appears when nothing answers", () =>
    inStorage(async (storage) => {
      const all = setUp(storage, [() => new Promise(() => {})]);
      all.end("a");
      void all.exporting.start();
      all.pass(61_000);
      expect(all.exporting.problem()).toMatchObject({ reason: "waiting", waitingSpans: 1 });
    }));

  test("also appears when the backend refuses everything, until a person has seen it", () =>
    inStorage(async (storage) => {
      const all = setUp(storage, [refused]);
      all.end("a");
      await all.exporting.start();
      all.pass(61_000);
      expect(all.exporting.problem()).toMatchObject({ reason: "HTTP 400", waitingSpans: 0 });
      all.exporting.tryAgain();
      expect(all.exporting.problem()).toBeUndefined();
    }));

  test("does not appear without a backend", () =>
    inStorage(async (storage) => {
      const all = setUp(storage, [ok], { url: undefined as never });
      all.end("a");
      all.pass(61_000);
      expect(all.exporting.problem()).toBeUndefined();
      expect(all.exporting.problemDueAtMs()).toBeUndefined();
    }));
});

test("a database of the first version is migrated", () =>
  inStorage(async (storage) => {
    upgradeFromAd59303(storage, "INSERT INTO trace_export VALUES (1, 1, 3, 0)");
    const { exporting, sent, end } = setUp(storage, [ok]);
    end("sent before", "waits");
    await exporting.start();
    expect(sentNames(sent)).toEqual([["waits"]]);
  }));

test("with compression `none`, plain JSON is sent", () =>
  inStorage(async (storage) => {
    const { exporting, sent, end } = setUp(storage, [ok], { compression: "none" });
    end("a");
    await exporting.start();
    expect(sent[0]?.encoding).toBeNull();
    expect(spansOf(new TextDecoder().decode(sent[0]?.bytes))).toHaveLength(1);
  }));

test("without an endpoint nothing is due, sent or counted as lost", () =>
  inStorage(async (storage) => {
    const { exporting, sent, end } = setUp(storage, [ok], { url: undefined as never });
    end("a");
    expect(exporting.dueAtMs()).toBeUndefined();
    await exporting.start();
    expect(sent).toEqual([]);
    expect(exporting.isSettled(1)).toBe(true);
  }));
