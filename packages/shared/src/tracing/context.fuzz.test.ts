import fc from "fast-check";
import { expect, test } from "vitest";
import { fuzz } from "../../test/fuzz-runs.ts";
import { contexts, traceparents } from "../../test/w3c-arbitraries.ts";
import { judgeTraceparent } from "../../test/w3c-oracle.ts";
import { formatTraceparent, parseTraceparent } from "./context.ts";

fuzz("R26 R27 a traceparent, whole or mutated, is read as its grammar says", traceparents, (header) => {
  const judged = judgeTraceparent(header);
  const context = parseTraceparent(header);
  expect(context?.traceId).toBe(judged?.traceId);
  expect(context?.spanId).toBe(judged?.spanId);
  expect(context?.traceFlags).toBe(judged && judged.flags % 4);
});

fuzz(
  "R26 R27 what was read is written as version 00 with no unknown flag, and read back as the same",
  traceparents,
  (header) => {
    const context = parseTraceparent(header);
    if (context === undefined) return;
    const written = formatTraceparent(context);
    const judged = judgeTraceparent(header);
    expect(written).toBe(`00-${judged?.traceId}-${judged?.spanId}-0${Number(judged?.flags) % 4}`);
    expect(formatTraceparent(parseTraceparent(written) ?? expect.fail("own header refused"))).toBe(written);
  },
);

fuzz("every context comes back from its traceparent", contexts, (context) => {
  expect(parseTraceparent(formatTraceparent(context))).toEqual(context);
});

test("the inputs hold enough of every case", () => {
  const judged = fc
    .sample(traceparents, 2000)
    .map((header) => ({ header, valid: judgeTraceparent(header) !== undefined }));
  const count = (wanted: (header: string) => boolean) =>
    judged.filter((each) => each.valid && wanted(each.header)).length;
  expect(judged.filter((each) => !each.valid).length).toBeGreaterThan(500);
  expect(count((header) => header.startsWith("00"))).toBeGreaterThan(100);
  expect(count((header) => !header.startsWith("00"))).toBeGreaterThan(50);
  expect(count((header) => header.length > 55)).toBeGreaterThan(3);
});
