// Compares the names of the catalogue with those in the code. The type checker holds spans and attributes to the
// catalogue where a tracer starts and changes them; this test finds entries that no code uses, and names without an
// entry.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseSync } from "@swc/core";
import { expect, test } from "vitest";
import {
  ADOPTED_KEY,
  ATTRIBUTES,
  type AttributeDefinition,
  ERRORS,
  type ErrorDefinition,
  EVENTS,
  LINK_TYPES,
  RESOURCE_ATTRIBUTES,
  SESSION_KEYS,
  SPANS,
  type SpanDefinition,
  STAMPED_KEYS,
} from "../packages/shared/src/spans.ts";

const PACKAGES = resolve(import.meta.dirname, "../packages");
type Emitter = SpanDefinition["emitters"][number];
/** The source folders of each emitter. */
const SOURCES = { worker: "worker/src", "session-agent": "worker/src", runner: "runner/src", broker: "sandbox/src" };
/**
 * Code that emitters share, without the catalogue itself, and the plugin, which reports the agent's events to the
 * runner.
 */
const SHARED = ["shared/src", "opencode-plugin/src"];
const CATALOGUE = /shared\/src\/spans\//;

/**
 * The texts in code: string literals, property names, and the beginnings of template literals. Excludes types and
 * imports.
 */
class Texts {
  readonly whole = new Set<string>([...SESSION_KEYS, ...STAMPED_KEYS, ADOPTED_KEY]);
  readonly beginnings = new Set<string>();

  constructor(...folders: string[]) {
    for (const folder of folders) {
      for (const entry of readdirSync(join(PACKAGES, folder), { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (!path.endsWith(".ts") || path.endsWith(".test.ts") || CATALOGUE.test(path)) continue;
        this.#read(parseSync(readFileSync(path, "utf8"), { syntax: "typescript" }).body);
      }
    }
  }

  #read(node: unknown): void {
    if (Array.isArray(node)) for (const each of node) this.#read(each);
    if (node === null || typeof node !== "object" || Array.isArray(node)) return;
    const { type, value, cooked, key, expression } = node as Readonly<Record<string, unknown>>;
    if (type === "ImportDeclaration") return;
    if (typeof type === "string" && type.startsWith("Ts")) return this.#read(expression);
    if (type === "StringLiteral") this.whole.add(value as string);
    if (type === "TemplateLiteral") this.beginnings.add(beginningOf(node));
    if (type === "KeyValueProperty" && (key as { type: string }).type === "Identifier") {
      this.whole.add((key as { value: string }).value);
    }
    if (cooked === undefined) for (const each of Object.values(node)) this.#read(each);
  }
}

function beginningOf(template: object): string {
  const { quasis } = template as { readonly quasis: readonly { readonly cooked: string }[] };
  return quasis[0]?.cooked ?? "";
}

const shared = new Texts(...SHARED);
const own = Object.fromEntries(Object.entries(SOURCES).map(([name, folder]) => [name, new Texts(folder)]));

/** Returns whether the code of an emitter can produce a name: as a literal, or from a beginning and another text. */
function isUsed(name: string, emitters: readonly Emitter[] = Object.keys(SOURCES) as Emitter[]): boolean {
  const texts = [shared, ...emitters.flatMap((emitter) => own[emitter] ?? [])];
  const isText = (text: string) => texts.some(({ whole }) => whole.has(text));
  const ends = texts.flatMap(({ beginnings }) =>
    [...beginnings].filter((text) => text !== "" && name.startsWith(text)).map((text) => name.slice(text.length)),
  );
  return isText(name) || ends.some((end) => end.startsWith("{") || isText(end));
}

test("each span is started by each of its emitters", () => {
  const unsaid = Object.entries<SpanDefinition>(SPANS).flatMap(([name, { emitters }]) => {
    // The name of a request's span has no constant part.
    if (name.startsWith("{")) return [];
    return emitters.filter((emitter) => !isUsed(name, [emitter])).map((emitter) => `${name}: ${emitter}`);
  });
  expect(unsaid).toEqual([]);
});

test("each attribute of a span is set by an emitter of the span", () => {
  const unsaid = Object.entries<SpanDefinition>(SPANS).flatMap(([name, { required, optional, emitters }]) =>
    [...required, ...optional].filter((key) => !isUsed(key, emitters)).map((key) => `${name}: ${key}`),
  );
  expect(unsaid).toEqual([]);
});

test("each attribute, event and link type is used", () => {
  const names = [
    ...Object.keys(ATTRIBUTES),
    ...Object.keys(RESOURCE_ATTRIBUTES),
    ...Object.keys(EVENTS),
    ...LINK_TYPES,
  ];
  expect(names.filter((name) => !isUsed(name))).toEqual([]);
});

test("each error type is used by each of its reporters", () => {
  const unsaid = Object.entries<ErrorDefinition>(ERRORS).flatMap(([type, { reporters }]) =>
    reporters.filter((reporter) => !isUsed(type, [reporter])).map((reporter) => `${type}: ${reporter}`),
  );
  expect(unsaid).toEqual([]);
});

test("each value of a closed list is used, unless callers choose it or earlier versions used it", () => {
  const chosen = ["http.request.method", "valet.workflow.on_failure"];
  const former = Object.entries<ErrorDefinition>(ERRORS).flatMap(([type, { reporters }]) =>
    reporters.length ? [] : type,
  );
  const unsaid = Object.entries<AttributeDefinition>(ATTRIBUTES).flatMap(([key, { values = [] }]) =>
    values.filter((value) => !isUsed(value) && !chosen.includes(key) && !former.includes(value)),
  );
  expect(unsaid).toEqual([]);
});

test("every name that looks like Valet's or the conventions' is in the catalogue", () => {
  const known = new Set([SPANS, ATTRIBUTES, RESOURCE_ATTRIBUTES, EVENTS].flatMap((table) => Object.keys(table)));
  /** The scope of open spans, the events of webhooks, OpenCode's event names, and keys of content in other programs' spans. */
  const others =
    /^(?:valet\.open|gen_ai\.(?:input\.messages|system_instructions|tool\.definitions|prompt|completion)|session\.(?:status|error|created|state|attention)|server\.connected)$/;
  const name =
    /^(?:valet|gen_ai|http|url|vcs|process|exception|server|session|service|user_agent|error|network|client)\.[a-z0-9_.]+$/;
  const found = [shared, ...Object.values(own)].flatMap(({ whole }) => [...whole]);
  expect(found.filter((text) => name.test(text) && !known.has(text) && !others.test(text))).toEqual([]);
  const begun = [shared, ...Object.values(own)].flatMap(({ beginnings }) => [...beginnings]);
  const ours = begun.filter((text) => /^(?:valet|gen_ai)\./.test(text));
  expect(ours.filter((text) => ![...known].some((each) => each.startsWith(text.trim())))).toEqual([]);
});
