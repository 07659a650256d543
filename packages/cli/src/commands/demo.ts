import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PAGE_TICKET_LIFETIME_MS } from "@valet/shared/protocol/page-sessions";
import type { Isolation } from "@valet/shared/protocol/sandbox-broker";
import type { Command } from "commander";
import { ApiClient } from "../api-client.ts";
import { type GlobalOptions, print, printJson, report } from "../context.ts";
import type { DemoResult } from "../demo/run-demo.ts";
import { ExitCode } from "../errors.ts";
import { flushBeforeStop } from "../flush-spans.ts";
import { helpEnd } from "../help-text.ts";
import { isolationText } from "../isolation-text.ts";
import { reportTelemetryVariables } from "../report-telemetry.ts";
import { signInLine } from "../sign-in-line.ts";
import { becomeHost } from "../system/host-process.ts";
import type { HostDriver } from "../system/system.ts";
import { readSpans } from "../trace-tree.ts";
import { driverOption, isolationOption, refuseIsolation } from "./arguments.ts";
import { printTree } from "./trace.ts";

interface DemoOptions extends GlobalOptions {
  readonly keep?: boolean;
  readonly isolation?: Isolation;
  readonly driver?: HostDriver;
}

export function addDemo(program: Command): void {
  program
    .command("demo")
    .description("start everything, have an agent work on a small repository, and show the traces")
    .option(
      "--keep",
      "keep it running afterwards, until SIGINT or SIGTERM; in a terminal it runs on for ten minutes anyway",
    )
    .addOption(driverOption())
    .addOption(isolationOption())
    .addHelpText(
      "after",
      helpEnd("the demo failed, or its traces are not as expected", "demo --keep", "demo --driver docker"),
    )
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<DemoOptions>();
      refuseIsolation(command, options);
      // Loaded here, since the other commands start in half the time without it.
      const [{ startSystem }, { DEMO_IN_IMAGE, makeDemoRepository }, { runDemo }] = await Promise.all([
        import("../system/system.ts"),
        import("../demo/demo-repository.ts"),
        import("../demo/run-demo.ts"),
      ]);
      const env = becomeHost();
      reportTelemetryVariables(env, report);
      const isInContainers = options.driver === "docker";
      const repository = isInContainers ? undefined : await makeDemoRepository();
      // Without --state the demo uses a temporary state directory.
      const isOwnState = command.parent?.getOptionValueSource("state") === "default";
      const stateDir = isOwnState ? await mkdtemp(join(tmpdir(), "valet-demo-")) : options.state;
      const stopped = new Promise<void>((resolve) => {
        process.once("SIGINT", resolve).once("SIGTERM", resolve);
      });
      try {
        report("Starting the Worker, the sandbox broker and the model …");
        const system = await startSystem({
          stateDir,
          isolation: options.isolation,
          driver: options.driver,
          containersOfDemo: isInContainers ? (isOwnState ? "temporary" : "kept") : undefined,
          env,
          report,
          scenario: "demo",
        });
        try {
          report(
            `Valet is up at ${system.url}; the model is ${system.isScripted ? "scripted, since no key is set" : "yours"}; walls: ${isolationText(system.isolation, system.network)}.`,
          );
          // Interrupting the demo is not an error, and stops what it started.
          const course = runDemo(new ApiClient(system), repository?.url ?? DEMO_IN_IMAGE, report);
          const result = await Promise.race([course, stopped.then(() => undefined)]);
          if (result === undefined) {
            process.exitCode = ExitCode.FAILED;
            return;
          }
          show(result, options);
          if (result.faults.length > 0) process.exitCode = ExitCode.FAILED;
          if (options.keep || (isWatched() && !options.json)) {
            const valet = `pnpm valet --state ${stateDir}`;
            report(`\nStill running at ${system.url}; Ctrl-C stops it${options.keep ? "" : ", or ten minutes do"}. Try:
  ${valet} trace ${result.sessionId}
  ${valet} prompt --session ${result.sessionId} "…"`);
            report(signInLine(await system.signInUrl(), `${valet} open`));
            await (options.keep ? stopped : Promise.race([stopped, sleep(PAGE_TICKET_LIFETIME_MS)]));
          }
        } finally {
          report("Stopping …");
          await flushBeforeStop(system, env, !isOwnState);
          await system.stop();
        }
      } finally {
        if (repository !== undefined) await rm(repository.folder, { recursive: true, force: true });
        if (isOwnState) await rm(stateDir, { recursive: true, force: true });
      }
    });
}

/** Whether somebody sits at a terminal, who may open the page. */
function isWatched(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

function show({ sessionId, answers, traces, faults }: DemoResult, options: GlobalOptions): void {
  if (options.json) {
    printJson({ sessionId, answers, traces: traces.map(({ traceId, otlp }) => ({ traceId, otlp })), faults });
    return;
  }
  for (const { otlp } of traces) {
    print();
    printTree(readSpans(otlp));
  }
  print();
  const spans = traces.reduce((sum, trace) => sum + trace.spans.length, 0);
  if (faults.length === 0) {
    print(`${spans} spans in ${traces.length} traces, all as expected.`);
    print(
      `Next: \`pnpm valet demo --keep\` to look around in the browser, \`pnpm valet up\` for your own repository and model (see README.md).`,
    );
  } else {
    print(`${spans} spans in ${traces.length} traces; not as expected:`);
    for (const fault of new Set(faults)) print(`  ${fault}`);
  }
}
