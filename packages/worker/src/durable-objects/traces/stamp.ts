/**
 * Sets the attributes that the object itself decides, on everything that it stores: the session, the user, the repository, the
 * branch, the parent session, who answered a person's wait, the deployment and, for a runner's spans, the emitter. A sandbox is hostile input: it can neither choose nor override these attributes.
 * Values that the catalogue declares `double` are converted on the way. Pure.
 */
import {
  DOUBLE_KEYS,
  originAttributes,
  SERVICES,
  SESSION_KEYS,
  type SessionOrigin,
  STAMPED_KEYS,
  sessionAttributes,
} from "@valet/shared/spans";
import {
  type AttributeList,
  attributesToObject,
  encodeResource,
  type OpenSpan,
  type Resource,
  withAttributes,
} from "@valet/shared/tracing";
import { ADOPTED_MARK, mayBeAdopted } from "./adopted-spans.ts";
import type { ReceivedSpan, SpanGroup } from "./otlp-request.ts";

export interface Stamp {
  readonly sessionId: string;
  /** The object's own resource, whose deployment attributes apply to everything that it stores. */
  readonly resource: Resource;
  /** The runner that sent the spans; absent for the Worker and the broker, which name themselves. */
  readonly runnerInstanceId?: string | undefined;
  /** What is known of spans beyond what they say themselves; nothing in the benchmark of the trace plane. */
  readonly known?: KnownOfSpans | undefined;
}

/** What the object knows of its session's spans. */
export interface KnownOfSpans {
  /** Returns for whom and on what the spans of a trace are. */
  originOf(traceId: string): SessionOrigin;
  /** Returns the user who answered the agent's request with this id. */
  answeredBy(requestId: string): string | undefined;
  /** How far the sandbox's clock is ahead of the object's, in ms, as its runner's hello has said; 0 if that is not known. */
  runnerAheadMs(): number;
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
  for (const span of group.spans) stampSpan(span, stamp);
  const resource = group.isAdopted ? stampAdopted(group.resource, stamp) : stampResource(group.resource, stamp);
  return { ...group, resource };
}

/** Returns a runner's open span as it is stored: it is shown while it is open, and exported if it is sealed. */
export function stampOpenSpan(span: OpenSpan, { sessionId, known }: Pick<Stamp, "sessionId" | "known">): OpenSpan {
  const own = attributesToObject(span.attributes);
  const kept = Object.entries(own).filter(([key]) => !isChosenByObject(key));
  const answerer = REQUEST_IDS.map((key) => own[key]).find((id) => typeof id === "string");
  const attributes = {
    ...Object.fromEntries(kept),
    ...sessionAttributes(sessionId),
    ...decided(known, span.context.traceId, answerer),
  };
  return withAttributes(span, Object.entries(attributes).flat() as AttributeList);
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

/** A program keeps its name and instance, but not Valet's; who runs it, and where, it cannot choose. */
function stampAdopted(text: string, { sessionId, resource }: Stamp): string {
  const { attributes = [], ...others } = JSON.parse(text) as Attributed;
  const name = attributes.find(({ key }) => key === "service.name")?.value.stringValue;
  const isValets = typeof name !== "string" || SERVICES.some((each) => each === name);
  const kept = attributes.filter(({ key }) =>
    key.startsWith("service.") ? !(isValets && key === "service.name") : !IDENTITY.test(key),
  );
  const named = isValets ? [{ key: "service.name", value: { stringValue: "unknown_service" } }] : [];
  const marks = [ADOPTED_MARK, { key: "valet.session.id", value: { stringValue: sessionId } }];
  return stampResource(JSON.stringify({ ...others, attributes: [...named, ...kept, ...marks] }), {
    sessionId,
    resource,
  });
}

function stampSpan({ source, traceId, isAdopted }: ReceivedSpan, { sessionId, runnerInstanceId, known }: Stamp): void {
  const span = source as Span;
  for (const each of [span, ...(span.events ?? []), ...(span.links ?? [])]) toDoubles(each);
  const { attributes = [] } = span;
  // The Worker knows the user of its request; the user of a trace may be another one.
  const requestUser = runnerInstanceId === undefined ? attributes.find(({ key }) => key === "user.id") : undefined;
  const id = attributes.find(({ key }) => REQUEST_IDS.includes(key))?.value.stringValue;
  const stamped = {
    ...decided(known, traceId, id),
    ...(typeof requestUser?.value.stringValue === "string" && { "user.id": requestUser.value.stringValue }),
  };
  // Attributes that name the session rightly stay where they are.
  const isNamed = new Set<string>();
  const isKept = ({ key, value }: KeyValue) => {
    if (!SESSION_KEYS.some((each) => each === key))
      return !isChosenByObject(key) && (isAdopted !== true || mayBeAdopted(key));
    if (value.stringValue !== sessionId || isNamed.has(key)) return false;
    isNamed.add(key);
    return true;
  };
  span.attributes = [
    ...attributes.filter(isKept),
    ...SESSION_KEYS.filter((key) => !isNamed.has(key)).map((key) => ({ key, value: { stringValue: sessionId } })),
    ...Object.entries(stamped).map(([key, stringValue]) => ({ key, value: { stringValue } })),
    ...(isAdopted === true ? [ADOPTED_MARK] : []),
  ];
}

/** The ids of the agent's requests to a person, on the spans of the waits for their answers. */
const REQUEST_IDS: readonly string[] = ["valet.permission.id", "valet.question.id"];

/** Whether a span of a sandbox, or of the broker, must not have this attribute: the object decides it. */
function isChosenByObject(key: string): boolean {
  return STAMPED_KEYS.some((each) => each === key) || /^(?:user|enduser)\./.test(key);
}

/** Returns the attributes that the object decides. @param requestId the agent's request that the span waited for */
function decided(known: KnownOfSpans | undefined, traceId: string, requestId: unknown): Record<string, string> {
  const answerer = typeof requestId === "string" ? known?.answeredBy(requestId) : undefined;
  return {
    ...originAttributes(known?.originOf(traceId) ?? {}),
    ...(answerer !== undefined && { "valet.answered_by": answerer }),
  };
}

function toDoubles({ attributes = [] }: Attributed): void {
  for (const each of attributes) {
    if (!DOUBLE_KEYS.has(each.key) || each.value.intValue === undefined) continue;
    each.value = { doubleValue: Number(each.value.intValue) };
  }
}
