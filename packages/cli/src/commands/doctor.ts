import { execFile } from "node:child_process";
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Command } from "commander";
import { checkDisk } from "../check-disk.ts";
import { findHost } from "../check-host.ts";
import { checkModel, compareBackend } from "../check-settings.ts";
import { checkTelemetry, type Finding } from "../check-telemetry.ts";
import { type GlobalOptions, printJson, printLines } from "../context.ts";
import { ExitCode } from "../errors.ts";
import { helpEnd } from "../help-text.ts";
import { paintFinding } from "../paint.ts";
import { BUN, RUNNER } from "../system/programs.ts";

const run = promisify(execFile);

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("check what this machine lacks, and say how to install it")
    .addHelpText("after", helpEnd("something is missing", "doctor --json"))
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const host = await findHost(options.state);
      const findings = await Promise.all<Finding>([
        checkNode(),
        checkProgram("git", "git", ["--version"], "install git"),
        checkProgram("Bun", BUN, ["--version"], "run `npx --yes pnpm@12 install`, which installs it from the lockfile"),
        checkProgram(
          "OpenCode",
          openCode(),
          ["--version"],
          "run `npx --yes pnpm@12 install`, which installs it from the lockfile",
        ),
        checkRipgrep(),
        checkModel(process.env, host.uses),
        ...checkTelemetry(process.env),
        ...compareBackend(process.env, host.uses),
        ...checkDisk(options.state),
        host.finding,
      ]);
      if (options.json) printJson({ ok: findings.every(({ state }) => state !== "missing"), findings });
      else printLines(findings.map(lineOf), { paint: paintFinding });
      if (findings.some(({ state }) => state === "missing")) process.exitCode = ExitCode.FAILED;
    });
}

function lineOf({ name, state, detail, source }: Finding): string {
  return `${state.padEnd(7)}  ${name}: ${detail}${source === undefined ? "" : ` (${source})`}`;
}

/** Returns the path of the runner package's OpenCode; the CLI does not depend on it. */
function openCode(): string {
  return join(dirname(createRequire(realpathSync(RUNNER)).resolve("opencode-ai/package.json")), "bin/opencode.exe");
}

async function checkNode(): Promise<Finding> {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  // From 22.18 on, Node runs TypeScript without a flag.
  const ok = major > 22 || (major === 22 && minor >= 18);
  const hint = ok ? "" : ": install Node 22.18 or newer; on Linux `npx --yes pnpm@12 install` installs one";
  return { name: "Node", state: ok ? "ok" : "missing", detail: `${process.versions.node}${hint}` };
}

async function checkProgram(name: string, command: string, args: string[], hint: string): Promise<Finding> {
  try {
    const { stdout } = await run(command, args, { timeout: 20_000 });
    return { name, state: "ok", detail: stdout.trim().split("\n")[0] ?? "" };
  } catch {
    return { name, state: "missing", detail: hint };
  }
}

async function checkRipgrep(): Promise<Finding> {
  const found = await checkProgram("ripgrep", "rg", ["--version"], "");
  if (found.state === "ok") return found;
  const detail =
    "not on the PATH: the agent's tools `glob` and `grep` download it from GitHub on first use; install ripgrep to avoid that";
  return { name: "ripgrep", state: "note", detail };
}
