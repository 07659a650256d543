import manifest from "../package.json" with { type: "json" };
import manifest2 from "./official-2/package.json" with { type: "json" };

/** The contenders' names in the tables. */
export const NAMES = {
  valet: "valet",
  /** OpenTelemetry's SDK for JavaScript, newest version. */
  official3: `official ${manifest.dependencies["@opentelemetry/sdk-trace"]}`,
  /** Its newest version that runs on Node 20. */
  official2: `official ${manifest2.dependencies["@opentelemetry/sdk-trace-base"]}`,
  /** Its API alone, as a library sees it without an SDK. */
  officialApi: `official API ${manifest.dependencies["@opentelemetry/api"]}`,
  effect: `effect ${manifest.dependencies.effect}`,
} as const;
