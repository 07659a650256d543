import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Runtime } from "./suite.ts";

const BUN = join(import.meta.dirname, "../../node_modules/.bin/bun");

export interface RunOptions {
  readonly runtime: Runtime;
  /** Flags for Node itself. */
  readonly nodeFlags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Runs a script and parses the JSON document that it prints. Rejects with the reason when there is none: the exit code,
 * the signal, or a runtime that is not installed.
 */
export function runJson<T>(script: string, args: readonly string[], options: RunOptions): Promise<T> {
  const { runtime, nodeFlags = [], env } = options;
  if (runtime === "bun" && !existsSync(BUN)) throw new Error("Bun is not installed: run `pnpm install`");
  const command = runtime === "bun" ? BUN : process.execPath;
  const flags = runtime === "bun" ? [] : nodeFlags;
  const child = spawn(command, [...flags, script, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  return new Promise((resolve, reject) => {
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(JSON.parse(output));
      else reject(new Error(`${runtime} ${script} ${args.join(" ")} ended with ${signal ?? `status ${code}`}`));
    });
  });
}

/** Returns the version that a runtime reports. */
export function runtimeVersion(runtime: Runtime): Promise<string> {
  return runJson<string>("--print", ["JSON.stringify(process.versions.bun ?? process.versions.node)"], { runtime });
}
