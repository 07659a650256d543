/** Says at once, where Valet starts, that its spans will not reach the backend that its environment names. */
import type { EnvironmentRecord } from "@valet/shared/tracing";
import { checkTelemetry, checkTelemetryVariables, type Finding } from "./check-telemetry.ts";

/** Reports the variables that keep spans from the backend. Valet starts nevertheless: it stores its spans in any case. */
export function reportTelemetryVariables(env: EnvironmentRecord, report: (line: string) => void): void {
  const faults = checkTelemetryVariables(env).filter(isFault);
  for (const { name, detail } of faults) report(`TELEMETRY IS MISCONFIGURED: ${name} ${detail}.`);
}

/** Asks the backend whether it takes spans, and reports if it does not. Never rejects. */
export async function reportBackend(env: EnvironmentRecord, report: (line: string) => void): Promise<void> {
  const findings = await Promise.all(checkTelemetry(env)).catch(() => []);
  const fault = findings.find((finding) => finding.name === "backend" && isFault(finding));
  if (fault !== undefined)
    report(`THE BACKEND TAKES NO SPANS: ${fault.detail}. \`pnpm valet doctor\` checks it again.`);
}

const isFault = ({ state }: Finding) => state === "missing";
