/**
 * Runs the trace plane of `trace-plane-worker.ts` in a workerd process of its own, which can be killed and restarted.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { bundleWorker } from "../packages/cli/src/system/worker-bundle.ts";
import type { TracePlaneConfig } from "./trace-plane-config.ts";

export interface TracePlaneProcess {
  /** The base URL of the object's routes. */
  readonly url: string;
  /** The URL of the `/runner` route. */
  readonly webSocketUrl: string;
  /** Returns the CPU time used so far, in seconds. */
  cpuSeconds(): number;
  /** Kills workerd with SIGKILL, like a crash. Resolves when the process has exited. */
  kill(): Promise<void>;
}

/** Bundles the worker into the one module that workerd loads. */
export function bundleTracePlane(): Promise<string> {
  return bundleWorker(join(import.meta.dirname, "trace-plane-worker.ts"));
}

/**
 * Starts workerd.
 * @param directory stores the object between processes
 * @param onLog receives each line that the worker logs
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
      // At once, or Miniflare would restart workerd.
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
