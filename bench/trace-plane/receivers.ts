/** OTLP receivers in processes of their own: the runner's, and a Collector where one is on the `PATH`. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { BATCH_SPANS, type Encoding, makeBodies } from "./otlp-load.ts";

interface Endpoint {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Receiver {
  /** Batches are spread over them, since what one call may send is bounded. */
  readonly endpoints: readonly Endpoint[];
  stop(): Promise<void>;
}

const BUN = join(import.meta.dirname, "../../node_modules/.bin/bun");
/** A call may send 10,000 spans. */
const CALL_BATCHES = 16;
/** Exporters of programs that run at once. */
const AT_ONCE = 4;
const START_TIMEOUT_MS = 10_000;
const CONTENT_TYPES = { protobuf: "application/x-protobuf", JSON: "application/json" } as const;

/** @param batches how many it is to take */
export async function startRunnerReceiver(batches: number): Promise<Receiver> {
  const calls = Math.ceil(batches / CALL_BATCHES);
  const child = spawn(BUN, [join(import.meta.dirname, "receiver-process.ts"), String(calls)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  return { endpoints: JSON.parse(line) as Endpoint[], stop: () => ended(child, () => child.stdin.end()) };
}

/** Returns the path of a Collector; `undefined` if there is none. */
export function findCollector(): string | undefined {
  const paths = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "otelcol"));
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Starts a Collector that throws away what it has taken: nothing of it is on a disk. */
export async function startCollector(path: string): Promise<Receiver> {
  const folder = mkdtempSync(join(tmpdir(), "valet-bench-collector-"));
  const address = `127.0.0.1:${await freePort()}`;
  const config = {
    receivers: { otlp: { protocols: { http: { endpoint: address } } } },
    exporters: { nop: {} },
    service: {
      telemetry: { metrics: { level: "none" }, logs: { level: "error" } },
      pipelines: { traces: { receivers: ["otlp"], exporters: ["nop"] } },
    },
  };
  writeFileSync(join(folder, "config.yaml"), JSON.stringify(config));
  const child = spawn(path, ["--config", join(folder, "config.yaml")], { stdio: ["ignore", "ignore", "inherit"] });
  const endpoint = { url: `http://${address}/v1/traces`, headers: {} };
  const stop = async () => {
    await ended(child, () => child.kill());
    rmSync(folder, { recursive: true, force: true });
  };
  const deadline = Date.now() + START_TIMEOUT_MS;
  while ((await post(endpoint, "JSON", "{}").catch(() => 0)) !== 200) {
    if (Date.now() > deadline || child.exitCode !== null) {
      await stop();
      throw new Error(`${path} does not take traces`);
    }
    await sleep(50);
  }
  return { endpoints: [endpoint], stop };
}

/**
 * Sends batches, as several exporters do at once. The first fifth is warm-up.
 * @returns spans per second
 * @throws if one is not taken
 */
export async function sendAll(receiver: Receiver, encoding: Encoding, name: string, batches: number): Promise<number> {
  const bodies = makeBodies(encoding, name, batches);
  const warmUp = Math.floor(batches / 5);
  let next = 0;
  const exporter = async (until: number) => {
    while (next < until) {
      const index = next++;
      const endpoint = receiver.endpoints[Math.floor(index / CALL_BATCHES) % receiver.endpoints.length] as Endpoint;
      const status = await post(endpoint, encoding, bodies[index] as string);
      if (status !== 200) throw new Error(`a batch was answered with ${status}`);
    }
  };
  const send = (until: number) => Promise.all(Array.from({ length: AT_ONCE }, () => exporter(until)));
  await send(warmUp);
  const started = performance.now();
  await send(batches);
  return ((batches - warmUp) * BATCH_SPANS) / ((performance.now() - started) / 1000);
}

/** @returns the status; 206 if not all was taken */
async function post(
  { url, headers }: Endpoint,
  encoding: Encoding,
  body: string | Uint8Array<ArrayBuffer>,
): Promise<number> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": CONTENT_TYPES[encoding], ...headers },
    body,
  });
  const answer = await response.text();
  return response.ok && /[1-9]/.test(answer) ? 206 : response.status;
}

async function ended(child: ChildProcess, end: () => void): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  end();
  await exit;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
