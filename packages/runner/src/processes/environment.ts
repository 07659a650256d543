/** Decides which variables of the runner's environment the agent and commands receive. */

/** The variables of Valet that tools may see, and by which the broker recognises processes. */
const PASSED_ON = new Set(["VALET_SANDBOX_ID", "VALET_SESSION_ID", "VALET_GENERATION", "VALET_WORKSPACE"]);
/**
 * An OTLP endpoint would switch on OpenCode's own exporter, and a context would become the parent of all its spans. Baggage comes
 * from outside, and nobody of the session has written it.
 */
const NEVER = /^(?:OTEL_|OPENCODE_|TRACEPARENT$|TRACESTATE$|BAGGAGE$)/;

/** Returns whether the agent and commands never receive this variable, whoever set it. */
export function isNeverPassedOn(name: string): boolean {
  return NEVER.test(name);
}

/** Returns the environment without variables about telemetry, trace context, the link or its token. */
export function withoutOurs(inherited: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(inherited)) {
    if (value === undefined || isNeverPassedOn(key) || (key.startsWith("VALET_") && !PASSED_ON.has(key))) continue;
    env[key] = value;
  }
  return env;
}
