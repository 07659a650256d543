import { expect, test } from "vitest";
import { ByteReports } from "./byte-reports.ts";

function setUp() {
  let nowMs = 10_000;
  const sent: number[] = [];
  let pending = Promise.withResolvers<void>();
  const reports = new ByteReports(
    nowMs,
    (atMs) => {
      sent.push(atMs);
      return pending.promise;
    },
    () => nowMs,
  );
  const heardAt = (ms: number) => {
    nowMs = ms;
    reports.heard();
  };
  const answer = async () => {
    pending.resolve();
    await pending.promise;
    pending = Promise.withResolvers<void>();
  };
  return { sent, heardAt, answer };
}

test("the first bytes are reported at once, unless the beginning of the response was reported just before", async () => {
  const { sent, heardAt, answer } = setUp();
  heardAt(10_400);
  expect(sent).toEqual([]);
  heardAt(11_000);
  expect(sent).toEqual([11_000]);
  await answer();
  for (let ms = 11_100; ms < 13_500; ms += 100) {
    heardAt(ms);
    await answer();
  }
  expect(sent).toEqual([11_000, 12_000, 13_000]);
});

test("a runner that does not answer has one report open, not more", async () => {
  const { sent, heardAt, answer } = setUp();
  for (let ms = 12_000; ms < 60_000; ms += 500) heardAt(ms);
  expect(sent).toEqual([12_000]);
  await answer();
  heardAt(60_000);
  expect(sent).toEqual([12_000, 60_000]);
});
