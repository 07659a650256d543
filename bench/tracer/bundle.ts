import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import type { Measurement } from "../lib/table.ts";
import { NAMES } from "./names.ts";

interface Entry {
  readonly name: string;
  /** What a program imports that records spans, batches them and sends them as OTLP/HTTP JSON. */
  readonly code: string;
  /** Where from. */
  readonly folder: string;
}

// From inside the exporter all its siblings come in the versions that it was published with, so that none is there twice.
const official3Folder = dirname(createRequire(import.meta.url).resolve("@opentelemetry/exporter-trace-otlp-http"));

// Reading and writing callers' contexts counts for ours only.
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

/** What imports resolve by: esbuild's own conditions for pages, wrangler's for Workers. */
const CONDITIONS: Readonly<{ [place: string]: readonly string[] | undefined }> = {
  page: undefined,
  Worker: ["workerd", "worker", "browser"],
};

/** Sizes, minified by esbuild and gzip'd, of what a page and a Worker have to load. */
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
