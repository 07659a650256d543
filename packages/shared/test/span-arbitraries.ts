import fc from "fast-check";
import {
  type Attributes,
  type AttributeValue,
  type EpochTime,
  type ReadableSpan,
  type SpanContext,
  SpanKind,
  StatusCode,
} from "../src/tracing/index.ts";
import { createRecorder, only } from "./recorder.ts";
import { contexts } from "./w3c-arbitraries.ts";

/** The last whole second that 64 bits of nanoseconds count. */
const LAST_SECOND = 18_446_744_072;

/** Plain text, what JSON escapes, characters outside the first plane, and halves of such. */
export const texts = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({
    unit: fc.constantFrom("a", '"', "\\", "\0", "\n", "\x7f", "é", "\u2028", "😀", "\ud800", "\udc00", "\ufffd"),
    maxLength: 6,
  }),
);

/** Few enough that they repeat; two that differ only in what is no text. */
const keys = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("a", "b", "http.route", "__proto__", "toString", "\ud800", "\udfff") },
  texts,
);

export const numbers = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(-0, 2 ** 53, 2 ** 53 + 2, -(2 ** 53) - 2, 2 ** 63 - 1024, 2 ** 63, -(2 ** 63), 1e20, 1e21, 5e-324),
);

export const bigints = fc.oneof(
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
  fc.constantFrom(2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, -(2n ** 63n), -(2n ** 63n) - 1n, 0n),
);

const { values } = fc.letrec<{ values: AttributeValue; lists: AttributeValue[] }>((tie) => ({
  values: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    texts,
    numbers,
    bigints,
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array({ maxLength: 5 }),
    tie("lists"),
  ),
  lists: fc.array(tie("values"), { maxLength: 4 }),
}));

const attributes: fc.Arbitrary<Attributes> = fc
  .array(fc.tuple(keys, values), { maxLength: 5 })
  .map((entries) => Object.fromEntries(entries));

const times: fc.Arbitrary<EpochTime> = fc
  .tuple(
    fc.oneof(fc.constantFrom(0, 1, LAST_SECOND), fc.nat({ max: LAST_SECOND })),
    fc.oneof(fc.constantFrom(0, 1, 999_999_999), fc.nat({ max: 999_999_999 })),
  )
  .map(([seconds, nanos]) => ({ seconds, nanos }));

const spanContexts: fc.Arbitrary<SpanContext> = fc
  .tuple(contexts, fc.constantFrom("", "vendor=1", "a=1,b=2"), fc.boolean())
  .map(([context, traceState, isRemote]) => ({ ...context, traceState, isRemote }));

const links = fc.record({ context: spanContexts, attributes });

const options = fc.record({
  parent: fc.option(spanContexts, { nil: undefined }),
  kind: fc.constantFrom(...Object.values(SpanKind)),
  startTime: times,
  attributes,
  links: fc.array(links, { maxLength: 2 }),
});

const limits = fc.record({
  attributes: fc.nat({ max: 6 }),
  events: fc.nat({ max: 3 }),
  links: fc.nat({ max: 3 }),
  attributesPerEvent: fc.nat({ max: 3 }),
  attributesPerLink: fc.nat({ max: 3 }),
  attributeValueLength: fc.constantFrom(0, 3, 1000),
});

/** Spans as a tracer makes them of any input: some that lost something to their limits, half of them still open. */
export const spans: fc.Arbitrary<ReadableSpan> = fc
  .record({
    name: texts,
    options,
    limits,
    events: fc.array(fc.tuple(texts, attributes, times), { maxLength: 4 }),
    later: fc.array(links, { maxLength: 2 }),
    status: fc.option(fc.tuple(fc.constantFrom(...Object.values(StatusCode)), texts)),
    end: fc.option(times),
  })
  .map(({ name, options, limits, events, later, status, end }) => {
    const { tracer, started } = createRecorder({ limits, sampler: () => ({ decision: "sample" }) });
    const span = tracer.startSpan(name, options);
    for (const event of events) span.addEvent(...event);
    for (const link of later) span.addLink(link);
    if (status !== null) span.setStatus(...status);
    if (end !== null) span.end(end);
    return only(started);
  });
