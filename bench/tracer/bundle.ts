import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import type { Measurement } from "../lib/table.ts";
import { NAMES } from "./names.ts";

interface Entry {
  readonly name: string;
  /** The imports of a program that records spans, batches them and sends them as OTLP/HTTP JSON. */
  readonly code: string;
  /** The folder in which the imports are resolved. */
  readonly folder: string;
}

// Resolved from inside the exporter, so that its siblings have the versions that it was published with and none is
// bundled twice.
const official3Folder = dirname(createRequire(import.meta.url).resolve("@opentelemetry/exporter-trace-otlp-http"));

// Ours alone includes reading and writing contexts of callers.
const OURS = "Tracer, BatchSpanProcessor, OtlpExporter, extractFromHeaders, injectIntoHeaders";
const PEERS: readonly Entry[] = [
  {
    name: NAMES.official3,
    code: `export { TracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace";
      export { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";`,
    folder: official3Folder,
  },
  {
    name: NAMES.official2,
    code: `export { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
      export { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";`,
    folder: join(import.meta.dirname, "official-2"),
  },
  {
    name: NAMES.effect,
    code: `export { layer as tracer } from "effect/observability/OtlpTracer";
      export { layerJson } from "effect/observability/OtlpSerialization";
      export { layer as client } from "effect/http/FetchHttpClient";
      export { provide, runPromise, withSpan } from "effect/Effect";`,
    folder: import.meta.dirname,
  },
];

/** The import conditions: esbuild's own for pages, wrangler's for Workers. */
const CONDITIONS: Readonly<{ [place: string]: readonly string[] | undefined }> = {
  page: undefined,
  Worker: ["workerd", "worker", "browser"],
};

/** Measures the sizes, minified by esbuild and gzip'd, that a page and a Worker have to load. */
export async function measureBundles(): Promise<{ tracer: Measurement[]; withConfig: Measurement[] }> {
  const ours = (imports: string): Entry => ({
    name: NAMES.valet,
    code: `export { ${imports} } from "@valet/shared/tracing"`,
    folder: import.meta.dirname,
  });
  return {
    tracer: await sizes("", [ours(OURS), ...PEERS]),
    withConfig: await sizes(", with env config", [ours(`${OURS}, readTracingConfig`), ...PEERS]),
  };
}

async function sizes(suffix: string, entries: readonly Entry[]): Promise<Measurement[]> {
  const measurements = [];
  for (const [place, conditions] of Object.entries(CONDITIONS)) {
    const samples = Object.fromEntries(
      await Promise.all(entries.map(async (entry) => [entry.name, [await gzippedSize(entry, conditions)]])),
    );
    measurements.push({ name: `${place}${suffix}`, unit: "bytes" as const, samples });
  }
  return measurements;
}

async function gzippedSize({ code, folder }: Entry, conditions: readonly string[] | undefined): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: folder },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    ...(conditions && { conditions: [...conditions] }),
    external: ["node:*", "cloudflare:*"],
    write: false,
    logLevel: "error",
  });
  return gzipSync(outputFiles[0]?.contents ?? "", { level: 9 }).length;
}
