/**
 * What the object says itself of everything that it stores, whoever sent it: whose it is, which deployment it comes from, and,
 * of a runner's spans, who emitted them. A sandbox is hostile input: it neither chooses these attributes nor overrides them.
 * What is declared `double` becomes one on the way. Pure.
 */
import { DOUBLE_KEYS, SESSION_KEYS, sessionAttributes } from "@valet/shared/spans";
import {
  type AttributeList,
  attributesToObject,
  encodeResource,
  type OpenSpan,
  type Resource,
} from "@valet/shared/tracing";
import type { ReceivedSpan, SpanGroup } from "./otlp-request.ts";

export interface Stamp {
  readonly sessionId: string;
  /** The object's own resource: what it says of the deployment holds for all that it stores. */
  readonly resource: Resource;
  /** The runner whose spans they are; without one they come from the Worker or the broker, which name themselves. */
  readonly runnerInstanceId?: string | undefined;
}

interface KeyValue {
  readonly key: string;
  value: { intValue?: unknown; [type: string]: unknown };
}
interface Attributed {
  attributes?: KeyValue[];
}
interface Span extends Attributed {
  readonly events?: readonly Attributed[];
  readonly links?: readonly Attributed[];
}

/** What a resource says of the process that emits; all else in the object's own holds for the deployment. */
const ONE_PROCESS = /^(?:service\.(?:name|version|instance\.id)|valet\..*)$/;
/** What says of a resource who emits, and for whom. */
const IDENTITY =
  /^(?:service\.(?:name|namespace|instance\.id)|session\.id|gen_ai\.conversation\.id|(?:valet|user|enduser|deployment|vcs)\..*)$/;

/** A received group as it is stored. Its spans, which were parsed for this, are changed in place. */
export function stampGroup(group: SpanGroup, stamp: Stamp): SpanGroup {
  for (const span of group.spans) stampSpan(span, stamp.sessionId);
  return { ...group, resource: stampResource(group.resource, stamp) };
}

/** Likewise of a span that a runner has begun: it is shown while it is open, and exported if it is sealed. */
export function stampOpenSpan(span: OpenSpan, sessionId: string): OpenSpan {
  const attributes = Object.entries({ ...attributesToObject(span.attributes), ...sessionAttributes(sessionId) });
  return { ...span, attributes: attributes.flat() as AttributeList };
}

function stampResource(text: string, { sessionId, resource, runnerInstanceId }: Stamp): string {
  const isRunners = runnerInstanceId !== undefined;
  const deployment = Object.entries(resource).filter(([key]) => !ONE_PROCESS.test(key));
  const emitter = isRunners && {
    "service.name": "valet-runner",
    "service.instance.id": runnerInstanceId,
    "valet.session.id": sessionId,
  };
  const stamped = JSON.parse(encodeResource({ ...Object.fromEntries(deployment), ...emitter })) as Required<Attributed>;
  const keys = new Set(stamped.attributes.map(({ key }) => key));
  const { attributes = [], ...others } = JSON.parse(text) as Attributed;
  const isKept = ({ key }: KeyValue) =>
    !keys.has(key) && (!isRunners || key === "valet.generation" || !IDENTITY.test(key));
  return JSON.stringify({ attributes: [...attributes.filter(isKept), ...stamped.attributes], ...others });
}

function stampSpan({ source }: ReceivedSpan, sessionId: string): void {
  const span = source as Span;
  for (const each of [span, ...(span.events ?? []), ...(span.links ?? [])]) toDoubles(each);
  const { attributes = [] } = span;
  const said = attributes.filter(({ key }) => SESSION_KEYS.some((each) => each === key));
  const keys = new Set(said.map(({ key, value }) => (value.stringValue === sessionId ? key : undefined)));
  if (said.length === keys.size && SESSION_KEYS.every((key) => keys.has(key))) return;
  span.attributes = [
    ...attributes.filter((each) => !said.includes(each)),
    ...SESSION_KEYS.map((key) => ({ key, value: { stringValue: sessionId } })),
  ];
}

function toDoubles({ attributes = [] }: Attributed): void {
  for (const each of attributes) {
    if (!DOUBLE_KEYS.has(each.key) || each.value.intValue === undefined) continue;
    each.value = { doubleValue: Number(each.value.intValue) };
  }
}
