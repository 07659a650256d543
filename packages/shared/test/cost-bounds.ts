/** What says that a cost, or a sum of costs, is a lower bound. */
const BOUNDS = ["isCostPartial", "calls_without_cost", "turns_without_cost"];

interface Schema {
  /** Within the same document: `#/a/b`. */
  readonly $ref?: string;
  readonly type?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly description?: string;
}

interface Cost {
  /** Of the object that has it. */
  readonly path: string;
  /** Whether something in the object says whether a part of the cost is unknown. */
  readonly isBounded: boolean;
}

/** Returns the costs of all objects in a JSON schema. @param path of the schema */
export function costsIn(root: unknown, path = ""): Cost[] {
  const walk = (node: unknown, at: string, isPart = false): Cost[] => {
    if (typeof node !== "object" || node === null) return [];
    // A part of an `allOf` was looked at with the others.
    const { cost_usd, known, ...others } = isPart ? {} : propertiesOf(root, node);
    const isBounded = BOUNDS.some((name) => name in others) || saysOfCost(root, known);
    return [
      ...(isFigure(root, cost_usd) ? [{ path: at, isBounded }] : []),
      ...Object.entries(node).flatMap(([key, value]) =>
        key === "allOf" && Array.isArray(value)
          ? value.flatMap((each, index) => walk(each, `${at}/allOf/${index}`, true))
          : walk(value, `${at}/${key}`),
      ),
    ];
  };
  return walk(root, path);
}

/** Returns a schema with the schemas that it references, and those that it lists under one of `keywords`, at any depth. */
function parts(root: unknown, schema: Schema, keywords: readonly ("allOf" | "anyOf" | "oneOf")[]): Schema[] {
  const found = new Set([schema]);
  // A set's iteration includes what is added meanwhile; a schema that refers to itself is in it once.
  for (const each of found) {
    if (typeof each.$ref === "string") found.add(resolve(root, each.$ref));
    for (const part of keywords.flatMap((keyword) => each[keyword] ?? [])) found.add(part);
  }
  return [...found];
}

/** Returns the properties of an object, also those by `$ref` and `allOf`. */
function propertiesOf(root: unknown, node: Schema): Readonly<Record<string, Schema>> {
  // A reference alone is the object that it leads to, which is looked at where it stands.
  if (node.properties === undefined && node.allOf === undefined) return {};
  return Object.assign({}, ...parts(root, node, ["allOf"]).map(({ properties }) => properties));
}

function resolve(root: unknown, reference: string): Schema {
  const keys = reference.split("/").slice(1);
  const found = keys.reduce<unknown>((at, key) => (at as Readonly<Record<string, unknown>> | undefined)?.[key], root);
  if (!reference.startsWith("#/") || found === undefined) throw new Error(`The schema has no ${reference}.`);
  return found as Schema;
}

/** The costs in statistics are distributions, which say themselves whether they are partial. */
function isFigure(root: unknown, cost: Schema | undefined): boolean {
  if (cost === undefined) return false;
  return parts(root, cost, ["allOf", "anyOf", "oneOf"]).some(({ type }) => {
    const types = [type].flat();
    return types.includes("number") || types.includes("integer");
  });
}

/** Other figures may have a `known` as well. */
function saysOfCost(root: unknown, known: Schema | undefined): boolean {
  if (known === undefined) return false;
  const all = parts(root, known, ["allOf"]);
  return all.some(({ type }) => type === "boolean") && all.some(({ description = "" }) => /\bcost\b/.test(description));
}
