/** The variables by which commands take part in their session's trace. */
import { expect, test } from "vitest";
import { commandEnvironment } from "./command-environment.ts";

const CONTEXT = { traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags: 1, traceState: "", isRemote: false };

test.each([
  ["has its span's context", CONTEXT, { TRACEPARENT: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` }],
  [
    "that is not sampled, with a state, says both",
    { ...CONTEXT, traceFlags: 0, traceState: "vendor=1" },
    { TRACEPARENT: `00-${"a".repeat(32)}-${"b".repeat(16)}-00`, TRACESTATE: "vendor=1" },
  ],
  ["without a trace has none", { ...CONTEXT, traceId: "0".repeat(32) }, {}],
])("a command %s", (_what, context, variables) => {
  expect(commandEnvironment({ context })).toEqual(variables);
});
