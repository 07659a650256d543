import type { Redact } from "./attributes.ts";

export const redactSecrets: Redact = (_key, value) => value;
