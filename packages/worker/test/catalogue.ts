/** Checks spans against the catalogue. Types cannot check for missing attributes, or for values from variables. */
import { COMMON_ATTRIBUTES, EVENTS, KINDS, SESSION_KEYS, SPANS, type SpanDefinition } from "@valet/shared/spans";
import { expect } from "vitest";
import type { SeenSpan } from "./session.ts";

const DEFINITIONS: Readonly<Record<string, SpanDefinition>> = SPANS;

/** Expects the SessionAgent's spans of a session to match the catalogue: names, attributes, outcomes, links, events, parents. */
export function expectCatalogued(sessionId: string, spans: readonly SeenSpan[]): void {
  expect(uncatalogued(sessionId, spans)).toEqual([]);
}

/** Returns every difference between the SessionAgent's spans and the catalogue. */
export function uncatalogued(sessionId: string, spans: readonly SeenSpan[]): string[] {
  const names = new Map(spans.map(({ spanId, name }) => [spanId, name]));
  return spans.flatMap((span) => {
    const definition = DEFINITIONS[span.name];
    if (definition === undefined || !definition.emitters.includes("session-agent")) return [];
    // A parent that is not among them is the test's.
    const parent = span.parentSpanId === undefined ? "root" : names.get(span.parentSpanId);
    const wrong = [...wrongIn(span, definition, sessionId), ...(span.isOpen ? [] : missingAtEnd(span, definition))];
    if (parent !== undefined && !definition.parents.some((each) => isNamed(each, parent)))
      wrong.push(`below ${parent}`);
    return wrong.map((what) => `${span.name}: ${what}`);
  });
}

/** @param pattern a name of the catalogue, such as `execute_tool {tool}` */
function isNamed(pattern: string, name: string): boolean {
  const [fixed = "", variable] = pattern.split("{");
  return variable === undefined ? name === pattern : name.startsWith(fixed);
}

function wrongIn({ name, attributes, ...span }: SeenSpan, definition: SpanDefinition, sessionId: string): string[] {
  const { kind, links } = definition;
  const allowed = allowedIn(definition);
  const wrong = Object.keys(attributes).filter((key) => !allowed.has(key));
  for (const [key, value] of Object.entries(definition.fixed ?? {})) {
    if (attributes[key] !== value) wrong.push(`${key} is ${attributes[key]}`);
  }
  for (const key of SESSION_KEYS) if (attributes[key] !== sessionId) wrong.push(`${key} is ${attributes[key]}`);
  if (span.kind !== KINDS[kind]) wrong.push(`kind ${span.kind}`);
  for (const { type } of span.links) if (!(links as readonly unknown[]).includes(type)) wrong.push(`link ${type}`);
  for (const event of span.events) {
    const { spans: holders } = EVENTS[event.name as keyof typeof EVENTS] ?? { spans: [] };
    if (holders !== "any" && !(holders as readonly string[]).includes(name)) wrong.push(`event ${event.name}`);
  }
  return wrong;
}

/** Spans that report, and end with no outcome. */
const WITHOUT_OUTCOME = new Set(["valet.trace_plane.dropped"]);

function missingAtEnd({ name, attributes }: SeenSpan, { required, fixed = {}, errors = [] }: SpanDefinition): string[] {
  const wrong: string[] = required.filter((key) => attributes[key] === undefined).map((key) => `no ${key}`);
  for (const [key, value] of Object.entries(fixed)) if (attributes[key] !== value) wrong.push(`${key} is not ${value}`);
  const { "valet.outcome": outcome, "error.type": errorType, "valet.outcome.reason": reason } = attributes;
  if (WITHOUT_OUTCOME.has(name)) return wrong;
  if (outcome === undefined) wrong.push("no outcome");
  const why = outcome === "error" || outcome === "lost" ? errorType : reason;
  const other = outcome === "error" || outcome === "lost" ? reason : errorType;
  const isKnown = outcome === "ok" ? why === undefined : [...errors, "_OTHER"].includes(why as string);
  if (!isKnown || other !== undefined) wrong.push(`${outcome} with ${errorType} and ${reason}`);
  return wrong;
}

const allowedKeys = new Map<SpanDefinition, ReadonlySet<string>>();

function allowedIn(definition: SpanDefinition): ReadonlySet<string> {
  const known = allowedKeys.get(definition);
  if (known !== undefined) return known;
  const { required, optional, fixed = {} } = definition;
  const allowed = new Set<string>([
    ...COMMON_ATTRIBUTES,
    ...Object.keys(fixed),
    ...required,
    ...Object.keys(fixed),
    ...optional,
    "valet.outcome",
    "valet.outcome.reason",
    "error.type",
  ]);
  allowedKeys.set(definition, allowed);
  return allowed;
}
