import { encodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Schemas } from "../api/client.ts";

const TRACE = "a".repeat(32);
const ID = "ses_0123456789abcdefghijklmnop";

const span = (number: number): SkeletonSpan => ({
  spanId: number.toString(16).padStart(16, "0"),
  name: `span ${number}`,
  kind: 1,
  startUs: number,
  endUs: number + 1,
  outcome: "ok",
  isError: false,
  isSealed: false,
  links: [],
});
/** As it comes over the socket. */
const chunkOf = (...numbers: number[]) =>
  JSON.parse(JSON.stringify(encodeSkeleton(numbers.map(span)))) as Schemas["SkeletonChunk"];
const json = (status: number, body: object) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });
const page = (...numbers: number[]) =>
  json(200, { traceId: TRACE, chunks: [chunkOf(...numbers)], isComplete: true, next: "1" });
const away = () => json(503, {});
const answers: (() => Response)[] = [];

let LiveTrace: typeof import("./live-trace.ts").LiveTrace;
let rereads: typeof import("../api/reread.ts").rereads;

beforeEach(async () => {
  answers.length = 0;
  vi.resetModules();
  vi.stubGlobal("location", new URL("https://valet.test/"));
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => setTimeout(run));
  vi.stubGlobal("cancelAnimationFrame", clearTimeout);
  vi.stubGlobal("fetch", async () => answers.shift()?.() ?? away());
  ({ LiveTrace } = await import("./live-trace.ts"));
  ({ rereads } = await import("../api/reread.ts"));
});
afterEach(() => vi.unstubAllGlobals());

/** Returns a trace, and how many spans it shows. */
function open() {
  const trace = new LiveTrace(ID, TRACE, () => undefined);
  return { trace, count: () => (trace.state.state === "ready" ? trace.state.model.order.length : trace.state.state) };
}

test("what could not be read after a break is read again by itself, and is known as out of date meanwhile", async () => {
  answers.push(() => page(1));
  const { trace, count } = open();
  await vi.waitFor(() => expect(count()).toBe(1));
  answers.push(away, () => page(1, 2));
  await trace.read();
  expect(rereads.read()).toMatchObject({ status: 503 });
  await vi.waitFor(() => expect(count()).toBe(2), 20_000);
  expect(rereads.read()).toBeUndefined();
  trace.close();
});

test("a trace that could not be read stays one when a live event brings some of its spans", async () => {
  answers.push(away);
  const { trace, count } = open();
  await vi.waitFor(() => expect(count()).toBe("failed"));
  trace.take(chunkOf(2));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(count()).toBe("failed");
  answers.push(() => page(1, 2));
  await trace.read();
  expect(count()).toBe(2);
  trace.close();
});
