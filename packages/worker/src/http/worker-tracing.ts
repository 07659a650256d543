/** How the Worker traces its own requests, as its variables say. */
import {
  type Diagnostic,
  type EnvironmentRecord,
  type Resource,
  readTracingConfig,
  type TracingConfig,
} from "@valet/shared/tracing";
import packageJson from "../../package.json" with { type: "json" };
import type { Env } from "../env.ts";

export const SCOPE = { name: packageJson.name, version: packageJson.version };

export interface WorkerTracing {
  readonly config: TracingConfig;
  readonly resource: Resource;
}

const known = new WeakMap<Env, WorkerTracing>();

/** Read once for each environment, which is once in an isolate: a bad variable is warned of once. */
export function workerTracing(env: Env): WorkerTracing {
  const before = known.get(env);
  if (before !== undefined) return before;
  // Bindings are among the variables; their names are none that OpenTelemetry has.
  const config = readTracingConfig(env as EnvironmentRecord, warn);
  const resource = {
    "service.name": "valet-worker",
    ...config.resource,
    "service.version": packageJson.version,
    "service.instance.id": crypto.randomUUID(),
  };
  const tracing = { config, resource };
  known.set(env, tracing);
  return tracing;
}

/** Diagnostics hold no values of variables and no content; an error is a bug of ours. */
export function warn(diagnostic: Diagnostic): void {
  const error = diagnostic.type === "sink_error" && { error: (diagnostic.error as Error)?.stack };
  console.error(JSON.stringify({ message: "tracing", ...diagnostic, ...error }));
}
