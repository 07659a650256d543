import { execFile } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { isDirectoryLocked } from "@valet/sandbox";
import { Health } from "@valet/shared/protocol/session-api";
import type { Command } from "commander";
import { checkTelemetry, type Finding } from "../check-telemetry.ts";
import { type GlobalOptions, print, printJson } from "../context.ts";
import { ExitCode } from "../errors.ts";
import { BUN, RUNNER } from "../system/programs.ts";
import { readConnection } from "../system/state.ts";
import { UP_ROLE } from "../system/state-directory.ts";
import { openableFormat } from "../system/state-format.ts";

const run = promisify(execFile);

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("say what is missing on this machine, and how to get it")
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const findings = await Promise.all<Finding>([
        checkNode(),
        checkProgram("git", "git", ["--version"], "install git"),
        checkProgram("Bun", BUN, ["--version"], "run `npx --yes pnpm@12 install`: it comes from the lockfile"),
        checkProgram(
          "OpenCode",
          openCode(),
          ["--version"],
          "run `npx --yes pnpm@12 install`: it comes from the lockfile",
        ),
        checkRipgrep(),
        checkModel(),
        ...checkTelemetry(process.env),
        checkSystem(options.state),
      ]);
      if (options.json) printJson({ ok: findings.every(({ state }) => state !== "missing"), findings });
      else for (const { name, state, detail } of findings) print(`${state.padEnd(7)}  ${name}: ${detail}`);
      if (findings.some(({ state }) => state === "missing")) process.exitCode = ExitCode.FAILED;
    });
}

/** The runner's: the CLI has none of its own. */
function openCode(): string {
  return join(dirname(createRequire(realpathSync(RUNNER)).resolve("opencode-ai/package.json")), "bin/opencode.exe");
}

async function checkNode(): Promise<Finding> {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const ok = major > 22 || (major === 22 && minor >= 12);
  const hint = ok ? "" : ": install Node 22.12 or newer; on Linux `npx --yes pnpm@12 install` brings one";
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
    "not on the PATH: the agent's tools `glob` and `grep` fetch it from GitHub when first used; install ripgrep";
  return { name: "ripgrep", state: "note", detail };
}

async function checkModel(): Promise<Finding> {
  const { VALET_MODEL_BASE_URL, VALET_MODEL, ANTHROPIC_API_KEY, OPENAI_API_KEY } = process.env;
  if (VALET_MODEL_BASE_URL && !VALET_MODEL) {
    return { name: "model", state: "missing", detail: "VALET_MODEL_BASE_URL is set; set VALET_MODEL too" };
  }
  if (VALET_MODEL_BASE_URL) return { name: "model", state: "ok", detail: `${VALET_MODEL} at VALET_MODEL_BASE_URL` };
  if (ANTHROPIC_API_KEY || OPENAI_API_KEY || VALET_MODEL) {
    return { name: "model", state: "ok", detail: VALET_MODEL ?? "by the key of a provider" };
  }
  const detail = "scripted: set VALET_MODEL_BASE_URL and VALET_MODEL, or ANTHROPIC_API_KEY, for a real one";
  return { name: "model", state: "note", detail };
}

async function checkSystem(stateDir: string): Promise<Finding> {
  const connection = readConnection(stateDir);
  const idle: Finding = { name: "system", state: "note", detail: `nothing runs on ${stateDir}: pnpm valet up` };
  if (!existsSync(stateDir)) return idle;
  try {
    openableFormat(stateDir);
  } catch (error) {
    return { name: "system", state: "missing", detail: (error as Error).message };
  }
  if (connection === undefined) return idle;
  try {
    const response = await fetch(`${connection.url}/api/health`, { signal: AbortSignal.timeout(5000) });
    const health = Health.safeParse(await response.json());
    if (!health.success) return idle;
    const { sessions = 0, waitingSpans = 0, since = "", reason = "" } = health.data.export ?? {};
    if (sessions === 0) return { name: "system", state: "ok", detail: `runs at ${connection.url}` };
    const detail = `runs at ${connection.url}; spans of ${sessions} ${sessions === 1 ? "session" : "sessions"} do not reach the backend since ${since} (${reason}; ${waitingSpans} wait): mend what \`backend\` says, then \`pnpm valet resend --all\``;
    return { name: "system", state: "missing", detail };
  } catch {
    if (!(await isDirectoryLocked(stateDir, UP_ROLE))) return idle;
    const detail = `\`valet up\` runs on ${stateDir}, but does not answer at ${connection.url}: see what it prints, or end it and start it again`;
    return { name: "system", state: "missing", detail };
  }
}
