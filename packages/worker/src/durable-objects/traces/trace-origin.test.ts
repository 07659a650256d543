import { expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { makeSpans, SESSION } from "../../../test/otlp.ts";
import { TraceOrigin } from "./trace-origin.ts";

test("a trace whose first spans were rolled back is not the session's", () =>
  inStorage((storage) => {
    const { sql } = storage;
    const origin = new TraceOrigin(sql, SESSION, () => false);
    const [span] = makeSpans({});
    const { traceId, spanId } = span?.context ?? { traceId: "", spanId: "" };
    const begin = () =>
      storage.transactionSync(() => {
        sql.exec("INSERT INTO trace_open (span_id, trace_id, owner, span) VALUES (?, ?, '', '')", spanId, traceId);
        expect(origin.isOwn(traceId)).toBe(true);
        throw new Error("database or disk is full");
      });
    expect(begin).toThrow("full");
    origin.forget();
    expect(origin.isOwn(traceId)).toBe(false);
  }));
