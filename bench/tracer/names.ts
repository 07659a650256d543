import manifest from "../package.json" with { type: "json" };
import manifest2 from "./official-2/package.json" with { type: "json" };

/** The contenders, as the tables name them. */
export const NAMES = {
  valet: "valet",
  /** OpenTelemetry's SDK for JavaScript, newest. */
  official3: `official ${manifest.dependencies["@opentelemetry/sdk-trace"]}`,
  /** The newest of it that runs on Node 20. */
  official2: `official ${manifest2.dependencies["@opentelemetry/sdk-trace-base"]}`,
  /** Its API alone, as a library finds it where nobody has set up an SDK. */
  officialApi: `official API ${manifest.dependencies["@opentelemetry/api"]}`,
  effect: `effect ${manifest.dependencies.effect}`,
} as const;
