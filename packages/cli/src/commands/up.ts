import { join } from "node:path";
import type { Isolation } from "@valet/shared/protocol/sandbox-broker";
import type { Command } from "commander";
import { type GlobalOptions, print, printJson, report } from "../context.ts";
import { ExitCode } from "../errors.ts";
import { flushBeforeStop, reportWaiting } from "../flush-spans.ts";
import { helpEnd } from "../help-text.ts";
import { isolationText } from "../isolation-text.ts";
import { limitsText } from "../limits-text.ts";
import { exitSoon } from "../output.ts";
import { reportBackend, reportTelemetryVariables } from "../report-telemetry.ts";
import { signInLine } from "../sign-in-line.ts";
import { becomeHost } from "../system/host-process.ts";
import { shrinkHeap } from "../system/small-heap.ts";
import type { HostDriver } from "../system/system.ts";
import { driverOption, isolationOption, parseLimit, parsePort, refuseIsolation } from "./arguments.ts";

interface UpOptions extends GlobalOptions {
  readonly port?: number;
  readonly maxAwake?: number;
  readonly maxStarting?: number;
  readonly isolation?: Isolation;
  readonly driver?: HostDriver;
}

export function addUp(program: Command): void {
  program
    .command("up")
    .description("start everything on this machine and run until SIGINT or SIGTERM")
    .option("--port <n>", "the port of the API; a free one if omitted", parsePort)
    .option("--max-awake <n>", "sandboxes awake at once (VALET_MAX_AWAKE); limited by memory if omitted", parseLimit)
    .option(
      "--max-starting <n>",
      "sandboxes starting at once (VALET_MAX_STARTING); one per core if omitted",
      parseLimit,
    )
    .addOption(driverOption())
    .addOption(isolationOption())
    .addHelpText(
      "after",
      helpEnd(
        "the Worker crashed and cannot be started again",
        "up",
        "up --port 8787 --max-awake 4",
        "up --driver docker",
      ),
    )
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<UpOptions>();
      refuseIsolation(command, options);
      // Loaded here, since the other commands start in half the time without it.
      const { startSystem } = await import("../system/system.ts");
      const env = becomeHost();
      reportTelemetryVariables(env, report);
      const stopped = new Promise<void>((resolve) => {
        process.once("SIGINT", () => resolve()).once("SIGTERM", () => resolve());
      });
      if (!options.json) report("Starting the Worker, the sandbox broker and the model …");
      const system = await startSystem({
        stateDir: options.state,
        port: options.port,
        capacity: { awake: options.maxAwake, starting: options.maxStarting },
        isolation: options.isolation,
        driver: options.driver,
        env,
        report,
        scenario: "demo",
      });
      shrinkHeap();
      const signInUrl = await system.signInUrl();
      if (options.json) {
        const { url, token, isolation, network = null, limits } = system;
        printJson({ url, token, signInUrl: signInUrl ?? null, isolation, network, limits });
      } else {
        print(`Valet is up.

  address  ${system.url}
  token    ${system.token}
  state    ${options.state} (Worker log: ${join("log", "worker.log")})
  room     ${system.capacity.awake} sandboxes awake at once, ${system.capacity.starting} starting; further sessions wait in line
  walls    ${isolationText(system.isolation, system.network)}
  limits   ${limitsText(system.limits)}
  model    ${system.isScripted ? "scripted: it only plays the demo; to use a real model, see README.md" : "as configured"}

${signInLine(signInUrl)}
Try:  pnpm valet prompt --repo <url> "What does this project do?"
Stop: Ctrl-C`);
      }
      // A backend that hangs must not keep a signal waiting.
      void reportBackend(env, report);
      await reportWaiting(system, env);
      const failure = await Promise.race([stopped, system.failed]);
      // Whether the output could be written does not change the exit code.
      process.exitCode = failure === undefined ? ExitCode.OK : ExitCode.FAILED;
      if (failure !== undefined) report(`valet: the Worker crashed and cannot be started again: ${failure.message}`);
      if (!options.json) report("Stopping …");
      if (failure === undefined) await flushBeforeStop(system, env);
      await system.stop();
      await exitSoon();
      // After a crash of workerd, Miniflare may keep connections open that would keep this process running.
      process.exit();
    });
}
