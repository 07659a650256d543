// What the catalogue names and what the code names are the same. Types hold spans and attributes to the catalogue where a tracer
// begins and changes them; this finds entries that no code names, and names that no entry has, wherever they stand.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseSync } from "@swc/core";
import { expect, test } from "vitest";
import {
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
} from "../packages/shared/src/spans.ts";

const PACKAGES = resolve(import.meta.dirname, "../packages");
type Emitter = SpanDefinition["emitters"][number];
/** Where the code of each emitter is. */
const SOURCES = { worker: "worker/src", "session-agent": "worker/src", runner: "runner/src", broker: "sandbox/src" };
/** Code that emitters share, without the catalogue itself; and the plugin, which tells the runner what happens in the agent. */
const SHARED = ["shared/src", "opencode-plugin/src"];
const CATALOGUE = /shared\/src\/spans\//;

/** The texts in code: string literals, names of properties, and how template literals begin. Types and imports are none. */
class Texts {
  readonly whole = new Set<string>(SESSION_KEYS);
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

/** Whether the code of one of them can say a name: as it stands, or put together of its beginning and of a text or what comes. */
function isSaid(name: string, emitters: readonly Emitter[] = Object.keys(SOURCES) as Emitter[]): boolean {
  const texts = [shared, ...emitters.flatMap((emitter) => own[emitter] ?? [])];
  const isText = (text: string) => texts.some(({ whole }) => whole.has(text));
  const ends = texts.flatMap(({ beginnings }) =>
    [...beginnings].filter((text) => text !== "" && name.startsWith(text)).map((text) => name.slice(text.length)),
  );
  return isText(name) || ends.some((end) => end.startsWith("{") || isText(end));
}

test("each span is begun by each of those who are said to emit it", () => {
  const unsaid = Object.entries<SpanDefinition>(SPANS).flatMap(([name, { emitters }]) => {
    // A request's span has no word of its own in its name.
    if (name.startsWith("{")) return [];
    return emitters.filter((emitter) => !isSaid(name, [emitter])).map((emitter) => `${name}: ${emitter}`);
  });
  expect(unsaid).toEqual([]);
});

test("each attribute of a span is set by one of those who emit the span", () => {
  const unsaid = Object.entries<SpanDefinition>(SPANS).flatMap(([name, { required, optional, emitters }]) =>
    [...required, ...optional].filter((key) => !isSaid(key, emitters)).map((key) => `${name}: ${key}`),
  );
  expect(unsaid).toEqual([]);
});

test("each attribute, event and type of link is set by someone", () => {
  const names = [
    ...Object.keys(ATTRIBUTES),
    ...Object.keys(RESOURCE_ATTRIBUTES),
    ...Object.keys(EVENTS),
    ...LINK_TYPES,
  ];
  expect(names.filter((name) => !isSaid(name))).toEqual([]);
});

test("each error type is said by each of those who are said to report it", () => {
  const unsaid = Object.entries<ErrorDefinition>(ERRORS).flatMap(([type, { reporters }]) =>
    reporters.filter((reporter) => !isSaid(type, [reporter])).map((reporter) => `${type}: ${reporter}`),
  );
  expect(unsaid).toEqual([]);
});

test("each value of a closed list is said by someone, unless callers choose it or earlier versions said it", () => {
  const chosen = ["http.request.method", "valet.workflow.on_failure"];
  const former = Object.entries<ErrorDefinition>(ERRORS).flatMap(([type, { reporters }]) =>
    reporters.length ? [] : type,
  );
  const unsaid = Object.entries<AttributeDefinition>(ATTRIBUTES).flatMap(([key, { values = [] }]) =>
    values.filter((value) => !isSaid(value) && !chosen.includes(key) && !former.includes(value)),
  );
  expect(unsaid).toEqual([]);
});

test("whatever looks like a name of ours or of the conventions is in the catalogue", () => {
  const known = new Set([SPANS, ATTRIBUTES, RESOURCE_ATTRIBUTES, EVENTS].flatMap((table) => Object.keys(table)));
  /** The scope of open spans; and what OpenCode calls its events. */
  const others = /^(?:valet\.open|session\.(?:status|error|created)|server\.connected)$/;
  const name =
    /^(?:valet|gen_ai|http|url|vcs|process|exception|server|session|service|user_agent|error|network|client)\.[a-z0-9_.]+$/;
  const said = [shared, ...Object.values(own)].flatMap(({ whole }) => [...whole]);
  expect(said.filter((text) => name.test(text) && !known.has(text) && !others.test(text))).toEqual([]);
  const begun = [shared, ...Object.values(own)].flatMap(({ beginnings }) => [...beginnings]);
  const ours = begun.filter((text) => /^(?:valet|gen_ai)\./.test(text));
  expect(ours.filter((text) => ![...known].some((each) => each.startsWith(text.trim())))).toEqual([]);
});
