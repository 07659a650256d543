import type { ATTRIBUTES } from "./attributes.ts";

type DoubleKey = {
  [K in keyof typeof ATTRIBUTES]: (typeof ATTRIBUTES)[K]["type"] extends "double" ? K : never;
}[keyof typeof ATTRIBUTES];

const DOUBLES: Readonly<Record<DoubleKey, true>> = {
  "gen_ai.request.temperature": true,
  "gen_ai.request.top_p": true,
  "gen_ai.response.time_to_first_chunk": true,
  "valet.llm.cost_usd": true,
  "valet.llm.price.input": true,
  "valet.llm.price.cache_read": true,
  "valet.llm.price.cache_write": true,
  "valet.clock.offset_ms": true,
};

/**
 * The attributes that the catalogue declares `double`, for tracers (`doubleKeys`) and stores. It is a separate list to keep the
 * catalogue's text out of bundles. It does not compile if a key is missing.
 */
export const DOUBLE_KEYS: ReadonlySet<string> = new Set(Object.keys(DOUBLES));
