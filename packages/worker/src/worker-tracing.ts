/** How the Worker traces its own requests, as its variables say. */
import {
  type Diagnostic,
  type EnvironmentRecord,
  exportHint,
  hostOf,
  type Resource,
  readTracingConfig,
  type TracingConfig,
} from "@valet/shared/tracing";
import packageJson from "../package.json" with { type: "json" };
import type { Env } from "./bindings.ts";

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

/** A diagnostic, and the session whose spans it is about where it is about one's. */
export type WorkerDiagnostic = Diagnostic & { readonly session?: string };

/** Hosts that answer as no backend does, and have been warned of: once in an isolate, whichever session met them. */
const warnedOf = new Set<string>();

/** Logs a diagnostic. It holds no value of a variable but the endpoint's host, and no content; an error is a bug of ours. */
export function warn(diagnostic: WorkerDiagnostic): void {
  const error = diagnostic.type === "callback_error" && { error: (diagnostic.error as Error)?.stack };
  log({ ...diagnostic, ...error });
}

/** Logs what happens on the way to the backend: names its host, and what to do where that is known. */
export function warnOfExport({ config }: WorkerTracing): (diagnostic: WorkerDiagnostic) => void {
  const host = hostOf(config.endpoint ?? "");
  return (diagnostic) => {
    switch (diagnostic.type) {
      case "export_failed":
        return log({ ...diagnostic, host, hint: exportHint({ host, ...diagnostic }) });
      case "unexpected_answer":
        if (warnedOf.has(host)) return;
        warnedOf.add(host);
        return log({ ...diagnostic, host, hint: "is this an OTLP endpoint? The spans count as delivered" });
      case "partial_success":
        return log({ ...diagnostic, host });
      default:
        return warn(diagnostic);
    }
  };
}

function log(diagnostic: object): void {
  console.error(JSON.stringify({ message: "tracing", ...diagnostic }));
}
