import { execFile } from "node:child_process";
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { promisify } from "node:util";
import type { Command } from "commander";
import { ApiClient } from "../api-client.ts";
import { ApiError } from "../api-transport.ts";
import { checkDisk } from "../check-disk.ts";
import { checkEngine } from "../check-engine.ts";
import { findHost, type HostFinding, stateOf } from "../check-host.ts";
import { checkIsolation } from "../check-isolation.ts";
import { checkLimits } from "../check-limits.ts";
import { checkModel, checkVariables, compareBackend } from "../check-settings.ts";
import { refusedFindings, systemFindings, uncheckedFindings } from "../check-system.ts";
import { checkTelemetry, type Finding } from "../check-telemetry.ts";
import { uncheckedWebhooks, webhookFindings } from "../check-webhooks.ts";
import { connect, findConnection, type GlobalOptions, printJson, printLines } from "../context.ts";
import { ExitCode, UserError } from "../errors.ts";
import { helpEnd } from "../help-text.ts";
import { paintFinding } from "../paint.ts";
import { writingProblem } from "../system/disk-error.ts";
import { BUN, RUNNER } from "../system/programs.ts";

const run = promisify(execFile);

const HELP = `
The running Valet (that of --state, or of --url) asks the provider of its model for its models, and never the model itself, which may
cost; its broker for its driver and its sandboxes; and how deliveries to your webhooks go. \`valet smoke\` has a message answered.
`;

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description(
      "check this machine, the running Valet, its model's provider and its sandbox broker, and say what to do",
    )
    .addHelpText("after", HELP + helpEnd("something is missing", "doctor --json"))
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const host = await findSystem(options);
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
        ...(host.isOther ? [] : [checkModel(process.env, host.uses), ...checkVariables(process.env, host.uses)]),
        ...checkTelemetry(process.env),
        ...compareBackend(process.env, host.uses),
        ...checkDisk(options.state),
        ...(host.isOther ? [] : [...(await checkIsolation(host.isolation, host.network)), ...checkLimits(host.limits)]),
        ...(host.isOther
          ? []
          : [...(await checkEngine(host.uses, process.env)), checkState(options, isGiven(command))]),
        host.finding,
      ]);
      findings.push(...(await host.asked));
      if (options.json) printJson({ ok: findings.every(({ state }) => state !== "missing"), findings });
      else printLines(findings.map(lineOf), { paint: paintFinding });
      if (findings.some(({ state }) => state === "missing")) process.exitCode = ExitCode.FAILED;
    });
}

interface FoundSystem extends HostFinding {
  /** Whether it is named by its URL: then this machine's state and settings are not its own. */
  readonly isOther: boolean;
  /** What it says of its model's provider and its broker. */
  readonly asked: Promise<readonly Finding[]>;
}

/** Finds the Valet that the options name, and asks it. Never rejects. */
async function findSystem(options: GlobalOptions): Promise<FoundSystem> {
  const isOther = (options.url ?? (process.env.VALET_URL || undefined)) !== undefined;
  const host = isOther ? await findOther(options) : await findHost(options.state);
  const isAnswering = host.uses !== undefined;
  return {
    ...host,
    isOther,
    asked: isAnswering ? askSystem(options) : Promise.resolve(uncheckedFindings("no Valet answers")),
  };
}

/** Looks for a Valet by its URL. What it uses is its own affair. */
async function findOther(options: GlobalOptions): Promise<HostFinding> {
  const name = "system";
  try {
    const connection = findConnection(options);
    const health = await new ApiClient(connection).health();
    return { finding: { name, source: connection.url, ...stateOf(connection.url, health) }, uses: null };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { finding: { name, state: "missing", detail: error.message }, uses: undefined };
  }
}

async function askSystem(options: GlobalOptions): Promise<readonly Finding[]> {
  try {
    const api = connect(options);
    const [system, webhooks] = await Promise.all([api.checkSystem(), askWebhooks(api)]);
    return [...systemFindings(system), ...webhooks];
  } catch (error) {
    if (error instanceof ApiError) return refusedFindings(error);
    if (!(error instanceof UserError)) throw error;
    return uncheckedFindings(error.message);
  }
}

async function askWebhooks(api: ApiClient): Promise<readonly Finding[]> {
  try {
    return webhookFindings(await api.webhooks(), api.serverNow());
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return [uncheckedWebhooks(error.message)];
  }
}

/** Returns which state directory is used, and why, and whether it can be. */
function checkState({ state }: GlobalOptions, given: boolean): Finding {
  const why = given ? "--state" : !process.env.VALET_STATE ? "the default" : "VALET_STATE";
  const found = why === "the default" && isAbsolute(state) ? "found in a folder above this one" : why;
  const name = "state directory";
  const problem = writingProblem(state);
  if (problem !== undefined) return { name, state: "missing", detail: problem };
  return { name, state: "ok", detail: `${resolve(state)} (${found})` };
}

const isGiven = (command: Command) => command.getOptionValueSourceWithGlobals("state") === "cli";

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
