/**
 * Sets the attributes that the object itself decides, on everything that it stores: the session, the deployment and,
 * for a runner's spans, the emitter. A sandbox is hostile input: it can neither choose nor override these attributes.
 * Values that the catalogue declares `double` are converted on the way. Pure.
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
  /** The object's own resource, whose deployment attributes apply to everything that it stores. */
  readonly resource: Resource;
  /** The runner that sent the spans; absent for the Worker and the broker, which name themselves. */
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

/** Resource attributes of the emitting process; all others of the object's own resource describe the deployment. */
const ONE_PROCESS = /^(?:service\.(?:name|version|instance\.id)|valet\..*)$/;
/** Resource attributes that identify the emitter and the session. */
const IDENTITY =
  /^(?:service\.(?:name|namespace|instance\.id)|session\.id|gen_ai\.conversation\.id|(?:valet|user|enduser|deployment|vcs)\..*)$/;

/** Returns a received group as it is stored. Changes its parsed spans in place. */
export function stampGroup(group: SpanGroup, stamp: Stamp): SpanGroup {
  for (const span of group.spans) stampSpan(span, stamp.sessionId);
  return { ...group, resource: stampResource(group.resource, stamp) };
}

/** Returns a runner's open span as it is stored: it is shown while it is open, and exported if it is sealed. */
export function stampOpenSpan(span: OpenSpan, sessionId: string): OpenSpan {
  const attributes = Object.entries({ ...attributesToObject(span.attributes), ...sessionAttributes(sessionId) });
  return { ...span, attributes: attributes.flat() as AttributeList };
}

/** Returns the encoded resource of a runner's spans that the object itself writes or shows: it knows no version of the runner. */
export function runnerResource(object: Pick<Stamp, "sessionId" | "resource">, runnerInstanceId: string): string {
  const { sessionId, resource } = object;
  return stampResource("{}", { sessionId, resource, runnerInstanceId });
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
  const named = attributes.filter(({ key }) => SESSION_KEYS.some((each) => each === key));
  const keys = new Set(named.map(({ key, value }) => (value.stringValue === sessionId ? key : undefined)));
  if (named.length === keys.size && SESSION_KEYS.every((key) => keys.has(key))) return;
  span.attributes = [
    ...attributes.filter((each) => !named.includes(each)),
    ...SESSION_KEYS.map((key) => ({ key, value: { stringValue: sessionId } })),
  ];
}

function toDoubles({ attributes = [] }: Attributed): void {
  for (const each of attributes) {
    if (!DOUBLE_KEYS.has(each.key) || each.value.intValue === undefined) continue;
    each.value = { doubleValue: Number(each.value.intValue) };
  }
}
