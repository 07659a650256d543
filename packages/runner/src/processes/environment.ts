/** What the agent and commands get of the runner's environment. */

/** Of our own variables, those that tools may see and the broker tells processes by. */
const PASSED_ON = new Set(["VALET_SANDBOX_ID", "VALET_SESSION_ID", "VALET_GENERATION", "VALET_WORKSPACE"]);
/** An endpoint in the environment switches on OpenCode's own exporter; a context would be one for all that the agent does. */
const NEVER = /^(?:OTEL_|OPENCODE_|TRACEPARENT$|TRACESTATE$)/;

/** Whether a variable is kept from the agent and from commands, whoever set it. */
export function isNeverPassedOn(name: string): boolean {
  return NEVER.test(name);
}

/** The runner's environment without anything about telemetry, a turn's context, the link or its token. */
export function withoutOurs(inherited: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(inherited)) {
    if (value === undefined || isNeverPassedOn(key) || (key.startsWith("VALET_") && !PASSED_ON.has(key))) continue;
    env[key] = value;
  }
  return env;
}
