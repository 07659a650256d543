import { type Attributes, type ReadableSpan, type Sampler, Tracer } from "../src/tracing/index.ts";

/** A span as a processor gets it at its end. */
export function endedSpan({
  name = "work",
  attributes,
  sampler,
}: {
  name?: string;
  attributes?: Attributes;
  sampler?: Sampler;
} = {}): ReadableSpan {
  let ended: ReadableSpan | undefined;
  const processor = {
    onStart: () => {},
    onEnd: (span: ReadableSpan) => {
      ended = span;
    },
  };
  new Tracer({ scope: { name: "test" }, processor, sampler }).startSpan(name, { attributes }).end();
  if (ended === undefined) throw new Error("the tracer's processor got no span");
  return ended;
}
