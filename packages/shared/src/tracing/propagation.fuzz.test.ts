import fc from "fast-check";
import { expect } from "vitest";
import { fuzz } from "../../test/fuzz-runs.ts";
import { contexts, traceparents, tracestates } from "../../test/w3c-arbitraries.ts";
import { judgeTraceparent, judgeTracestate, passOn, withoutOws } from "../../test/w3c-oracle.ts";
import type { SpanContext } from "./context.ts";
import {
  type EnvironmentRecord,
  extractFromEnvironment,
  extractFromHeaders,
  type HeaderRecord,
  injectIntoEnvironment,
  injectIntoHeaders,
} from "./propagation.ts";

const requests = fc.record({
  parents: fc.oneof(
    { weight: 6, arbitrary: fc.tuple(traceparents) },
    { weight: 1, arbitrary: fc.array(traceparents, { maxLength: 3 }) },
  ),
  states: fc.array(tracestates, { maxLength: 2 }),
  parentName: fc.constantFrom("traceparent", "Traceparent", "TRACEPARENT"),
  stateName: fc.constantFrom("tracestate", "TraceState", "TRACESTATE"),
});

/** What the letter of Level 2 makes of the fields. */
function judge(parents: string[], states: string[]): SpanContext | undefined {
  const [parent] = parents;
  // A comma joins fields, whoever put it there: then there are several.
  if (parent === undefined || parents.length > 1 || parent.includes(",")) return undefined;
  const judged = judgeTraceparent(withoutOws(parent));
  if (judged === undefined) return undefined;
  const { traceId, spanId, flags } = judged;
  return {
    traceId,
    spanId,
    traceFlags: flags % 4,
    traceState: passOn(judgeTracestate(states.join(",")) ?? []),
    isRemote: true,
  };
}

fuzz("R28 a record of fields is read as the letter says", requests, ({ parents, states, parentName, stateName }) => {
  expect(extractFromHeaders({ [stateName]: states, [parentName]: parents })).toEqual(judge(parents, states));
});

fuzz("R28 Headers, joined fields and an environment are read like a record", requests, (request) => {
  // Only what HTTP can carry gets into Headers.
  const carried = (values: string[]) => values.filter((value) => /^[\t\x20-\x7e]*$/.test(value));
  const [parents, states] = [carried(request.parents), carried(request.states)];
  const expected = judge(parents, states);

  const headers = new Headers();
  for (const value of parents) headers.append(request.parentName, value);
  for (const value of states) headers.append(request.stateName, value);
  expect(extractFromHeaders(headers)).toEqual(expected);

  const joined = { [request.parentName]: parents.join(", "), [request.stateName]: states.join(", ") };
  expect(extractFromHeaders(joined)).toEqual(expected);
  expect(extractFromEnvironment({ TRACEPARENT: parents.join(), TRACESTATE: states.join() })).toEqual(expected);
});

fuzz(
  "what is injected is extracted, whatever the carrier held before",
  fc.tuple(contexts, traceparents, tracestates),
  ([ids, parent, state]) => {
    const context = { ...ids, traceState: passOn(judgeTracestate(state) ?? []) };
    const record: HeaderRecord = { TraceParent: [parent, parent], TRACESTATE: state };
    injectIntoHeaders(context, record);
    expect(extractFromHeaders(record)).toEqual(context);

    const headers = new Headers({ TraceParent: "old", TRACESTATE: "old=1" });
    injectIntoHeaders(context, headers);
    expect(extractFromHeaders(headers)).toEqual(context);

    const env: EnvironmentRecord = { TRACEPARENT: parent, TRACESTATE: state };
    injectIntoEnvironment(context, env);
    expect(extractFromEnvironment(env)).toEqual(context);
  },
);
