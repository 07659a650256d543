/**
 * Compares spans of all services with the catalogue, where types cannot: for missing attributes, and for values from
 * variables.
 */
import type { TraceSpan } from "../packages/cli/src/trace-tree.ts";
import { COMMON_ATTRIBUTES, HTTP_METHODS, SPANS, type SpanDefinition } from "../packages/shared/src/spans.ts";

const METHOD = `(?:${HTTP_METHODS.join("|")}|HTTP)`;
const DEFINITIONS = Object.entries<SpanDefinition>(SPANS).map(([name, definition]) => {
  const pattern = name
    .replaceAll(".", "\\.")
    .replace("{method}", METHOD)
    .replaceAll(/\{\w+\}/g, ".+");
  return { pattern: new RegExp(`^${pattern}$`), definition };
});
/** Attributes that say how a span ended. */
const OUTCOME = ["valet.outcome", "valet.outcome.reason", "error.type"];

/** Returns every difference between ended spans and the catalogue: names, emitters and attributes. */
export function uncatalogued(spans: readonly TraceSpan[]): string[] {
  return spans.flatMap(({ name, service, attributes }) => {
    const found = DEFINITIONS.find(({ pattern }) => pattern.test(name))?.definition;
    if (found === undefined) return [`no span is called ${name}`];
    const { emitters, required, optional, fixed = {} } = found;
    const wrong: string[] = required.filter((key) => attributes[key] === undefined).map((key) => `no ${key}`);
    const allowed = new Set<string>([
      ...COMMON_ATTRIBUTES,
      ...required,
      ...optional,
      ...Object.keys(fixed),
      ...OUTCOME,
    ]);
    wrong.push(...Object.keys(attributes).filter((key) => !allowed.has(key)));
    const services = emitters.map((emitter) => `valet-${emitter === "session-agent" ? "worker" : emitter}`);
    if (!services.includes(service)) wrong.push(`emitted by ${service}`);
    return wrong.map((what) => `${name}: ${what}`);
  });
}
