/** What a deletion does with spans that wait for the backend. The test controls the clock. */
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { type HostedSession, withHost } from "../../../test/course/with-host.ts";
import { CALLER, spansIn, valueIn } from "../../../test/session.ts";
import { EXPORT_MS } from "./deletion-rules.ts";

const VARIABLES = { OTEL_EXPORTER_OTLP_ENDPOINT: "https://otlp.test", OTEL_BSP_SCHEDULE_DELAY: "5000" };
const RealResponse = Response;

/** Deletes the session, whose broker answers. @returns how long it took, in ms */
async function remove({ host }: HostedSession): Promise<number> {
  const beganMs = Date.now();
  valueIn(await host.agent.deleteSession(CALLER));
  for (let round = 0; !host.isErased && round < 1000; round++) {
    await host.settle();
    while (host.broker.pending > 0) {
      host.broker.answer(0, "ok");
      await host.settle();
    }
    await host.pass(500);
  }
  expect(host.isErased).toBe(true);
  expect(host.failures).toEqual([]);
  return Date.now() - beganMs;
}

test("a backend that takes them has every span of the session before its data is removed, the deletion's too", async () => {
  const received: string[] = [];
  let stored = 0;
  await withHost(
    VARIABLES,
    async (session) => {
      await session.boot();
      session.host.onErase = () => {
        const [row] = session.storage.sql.exec("SELECT TOTAL(spans) AS spans FROM trace_segments").toArray();
        stored = row?.spans as number;
      };
      expect(await remove(session)).toBeLessThan(EXPORT_MS);
      expect(session.host.database.tombstone?.at(-2)).toBe(0);
    },
    async (body) => {
      received.push(...spansIn(gunzipSync(body as Uint8Array).toString()).map(({ name }) => name));
      return new RealResponse(null, { status: 200 });
    },
  );
  expect(received).toEqual(
    expect.arrayContaining(["valet.sandbox.spawn", "valet.session.terminate", "valet.session.delete"]),
  );
  expect(received).toHaveLength(stored);
});

test("a backend that does not take them is waited for, for a minute, and the tombstone counts what it lacks", async () => {
  await withHost(
    VARIABLES,
    async (session) => {
      await session.boot();
      expect(await remove(session)).toBeGreaterThanOrEqual(EXPORT_MS);
      expect(session.host.database.tombstone?.at(-2)).toBeGreaterThan(2);
    },
    async () => new RealResponse(null, { status: 503 }),
  );
});
