/** What says that a cost, or a sum of costs, is a lower bound. */
const BOUNDS = ["isCostPartial", "calls_without_cost", "turns_without_cost"];

interface Property {
  readonly type?: unknown;
  readonly anyOf?: readonly Property[];
  readonly description?: string;
}

/** Returns the paths of all objects in a JSON schema that have a cost, and nothing that says whether a part of it is unknown. */
export function costsWithoutBound(schema: unknown, path = ""): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { properties = {} } = schema as { readonly properties?: Readonly<Record<string, Property>> };
  const { cost_usd, known } = properties;
  const isBounded = BOUNDS.some((name) => name in properties) || saysOfCost(known);
  return [
    ...(isFigure(cost_usd) && !isBounded ? [path] : []),
    ...Object.entries(schema).flatMap(([key, value]) => costsWithoutBound(value, `${path}/${key}`)),
  ];
}

/** The costs in statistics are distributions, which say themselves whether they are partial. */
function isFigure(cost: Property | undefined): boolean {
  return [cost, ...(cost?.anyOf ?? [])].some((each) => [each?.type].flat().includes("number"));
}

/** Other figures may have a `known` as well. */
function saysOfCost(known: Property | undefined): boolean {
  return known?.type === "boolean" && /\bcost\b/.test(known.description ?? "");
}
