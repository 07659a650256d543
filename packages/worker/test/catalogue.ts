/** Holds spans to the catalogue, which types alone cannot do for what is missing or comes from a variable. */
import { COMMON_ATTRIBUTES, EVENTS, KINDS, SPANS, type SpanDefinition } from "@valet/shared/spans";
import { expect } from "vitest";
import type { SeenSpan } from "./session.ts";

const DEFINITIONS: Readonly<Record<string, SpanDefinition>> = SPANS;
const SESSION_KEYS = ["valet.session.id", "session.id", "gen_ai.conversation.id"];

/** The SessionAgent's spans of a session are as the catalogue has them: names, attributes, outcomes, links, events, parents. */
export function expectCatalogued(sessionId: string, spans: readonly SeenSpan[]): void {
  const names = new Map(spans.map(({ spanId, name }) => [spanId, name]));
  for (const span of spans) {
    const definition = DEFINITIONS[span.name];
    if (definition === undefined || !definition.emitters.includes("session-agent")) continue;
    const { kind, required, optional, errors = [], links, parents } = definition;
    const { attributes, parentSpanId, isOpen, name } = span;
    const allowed = new Set<string>([...COMMON_ATTRIBUTES, ...required, ...optional, "valet.outcome", "error.type"]);
    expect(
      Object.keys(attributes).filter((key) => !allowed.has(key)),
      name,
    ).toEqual([]);
    for (const key of SESSION_KEYS) expect(attributes[key], `${name} ${key}`).toBe(sessionId);
    expect(span.kind, name).toBe(KINDS[kind]);
    for (const link of span.links) expect(links, name).toContain(link.type);
    for (const event of span.events) {
      const { spans: holders } = EVENTS[event.name as keyof typeof EVENTS] ?? { spans: [] };
      expect(holders === "any" || (holders as readonly string[]).includes(name), `${name} ${event.name}`).toBe(true);
    }
    const parent = parentSpanId === undefined ? "root" : names.get(parentSpanId);
    // A parent that is not among them is the caller's, who is the test.
    if (parent !== undefined) expect(parents, name).toContain(parent);
    if (isOpen) continue;
    expect(
      required.filter((key) => attributes[key] === undefined),
      name,
    ).toEqual([]);
    const { "valet.outcome": outcome, "error.type": errorType } = attributes;
    expect(outcome, name).toBeDefined();
    if (outcome === "ok") expect(errorType, name).toBeUndefined();
    else expect([...errors, "_OTHER"], name).toContain(errorType);
  }
}
