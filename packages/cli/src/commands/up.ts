import { join } from "node:path";
import type { Command } from "commander";
import { type GlobalOptions, print, printJson, report } from "../context.ts";
import { ExitCode } from "../errors.ts";
import { flushBeforeStop, reportWaiting } from "../flush-spans.ts";
import { exitSoon } from "../output.ts";
import { becomeHost } from "../system/host-process.ts";
import { startSystem } from "../system/system.ts";
import { parseLimit, parsePort } from "./arguments.ts";

interface UpOptions extends GlobalOptions {
  readonly port?: number;
  readonly maxAwake?: number;
  readonly maxStarting?: number;
}

export function addUp(program: Command): void {
  program
    .command("up")
    .description("start everything on this machine and keep it running until SIGINT or SIGTERM")
    .option("--port <n>", "the port of the API; a free one unless given", parsePort)
    .option(
      "--max-awake <n>",
      "sandboxes awake at once (VALET_MAX_AWAKE); as many as memory allows unless given",
      parseLimit,
    )
    .option(
      "--max-starting <n>",
      "sandboxes starting at once (VALET_MAX_STARTING); one for each core unless given",
      parseLimit,
    )
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<UpOptions>();
      const env = becomeHost();
      const stopped = new Promise<void>((resolve) => {
        process.once("SIGINT", () => resolve()).once("SIGTERM", () => resolve());
      });
      if (!options.json) report("Starting the Worker, the sandbox broker and the model …");
      const system = await startSystem({
        stateDir: options.state,
        port: options.port,
        capacity: { awake: options.maxAwake, starting: options.maxStarting },
        env,
        report,
        scenario: "demo",
      });
      if (options.json) {
        printJson({ url: system.url, token: system.token });
      } else {
        print(`Valet is up.

  address  ${system.url}
  token    ${system.token}
  state    ${options.state} (what the Worker logs: ${join("log", "worker.log")})
  room     ${system.capacity.awake} sandboxes awake at once, ${system.capacity.starting} starting; more wait for their turn
  model    ${system.isScripted ? "scripted: it plays the demo and knows nothing else; see the README for yours" : "as configured"}

Try:  pnpm valet prompt --repo <url> "What does this project do?"
Stop: Ctrl-C`);
      }
      await reportWaiting(system, env);
      const failure = await Promise.race([stopped, system.failed]);
      // Whether its output could be written is no matter of its result.
      process.exitCode = failure === undefined ? ExitCode.OK : ExitCode.FAILED;
      if (failure !== undefined) report(`valet: the Worker crashed and cannot be started again: ${failure.message}`);
      if (!options.json) report("Stopping …");
      if (failure === undefined) await flushBeforeStop(system, env);
      await system.stop();
      await exitSoon();
    });
}
