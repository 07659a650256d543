/** The trace plane of `trace-plane-worker.ts` in a workerd process of its own, that can be killed and started again. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { bundleWorker } from "../packages/cli/src/system/worker-bundle.ts";
import type { TracePlaneConfig } from "./trace-plane-config.ts";

export interface TracePlaneProcess {
  /** Base of the object's routes. */
  readonly url: string;
  /** Of the `/runner` route. */
  readonly webSocketUrl: string;
  /** The CPU time that it has taken so far, in seconds. */
  cpuSeconds(): number;
  /** SIGKILL, as a crash would. Resolves when nothing of it runs any more. */
  kill(): Promise<void>;
}

/** The worker as the one module that workerd loads. */
export function bundleTracePlane(): Promise<string> {
  return bundleWorker(join(import.meta.dirname, "trace-plane-worker.ts"));
}

/**
 * @param directory keeps the object from one process to the next
 * @param onLog is given each line that the worker logs
 */
export async function startTracePlane(
  module: string,
  directory: string,
  config: TracePlaneConfig,
  onLog: (message: string) => void = () => {},
): Promise<TracePlaneProcess> {
  const known = new Set(workerdChildren());
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      resourcePersistencePath: directory,
      cf: false,
      telemetry: { enabled: false },
      handleStructuredLogs: ({ message }) => onLog(message),
      workers: [
        {
          name: "trace-plane",
          modules: [{ type: "ESModule", path: "index.js", contents: module }],
          compatibilityDate: "2026-10-01",
          compatibilityFlags: ["nodejs_compat"],
          durableObjects: { TRACE_PLANE: { className: "TracePlane", useSQLite: true } },
          bindings: { CONFIG: { ...config } },
        },
      ],
    }),
  );
  const { host } = await miniflare.ready;
  const [pid] = workerdChildren().filter((each) => !known.has(each));
  if (pid === undefined) throw new Error("workerd has started, and no process of that name is seen in /proc");
  return {
    url: `http://${host}`,
    webSocketUrl: `ws://${host}/runner`,
    cpuSeconds: () => cpuSecondsOf(pid),
    kill: () => {
      process.kill(pid, "SIGKILL");
      // In the same breath, or Miniflare would start another in its place.
      return miniflare.dispose();
    },
  };
}

function workerdChildren(): number[] {
  const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim().split(" ");
  return children.filter(Boolean).map(Number).filter(isWorkerd);
}

/** The kernel counts in ticks of 10 ms. */
function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const [userTicks, systemTicks] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return (Number(userTicks) + Number(systemTicks)) / 100;
}

function isWorkerd(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "workerd";
  } catch {
    return false;
  }
}
