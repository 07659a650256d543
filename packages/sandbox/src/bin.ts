#!/usr/bin/env node
/** The sandbox broker's program. Serves until SIGINT or SIGTERM; refuses new sandboxes after SIGUSR2; prints `{"url": …}` when it is ready. */
import { limitVariables, readTracingConfig, type SpanLimits } from "@valet/shared/tracing";
import { type SandboxBroker, startDockerBroker, startModalBroker, startSandboxBroker } from "./broker.ts";
import { hideEnvironment } from "./local/hide-environment.ts";
import { HELP, readSettings, type Settings } from "./settings.ts";

async function main(): Promise<void> {
  // The broker loses log lines that it cannot write, for lack of space or of a reader, but keeps the sandboxes running.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const settings = readSettings(process.argv.slice(2), process.env);
  if (settings === "help") {
    process.stdout.write(HELP);
    return;
  }
  const { limits: spanLimits } = readTracingConfig(limitVariables(process.env), (diagnostic) => {
    if (diagnostic.type !== "config_invalid") return;
    console.error(`valet-sandbox-broker: ${diagnostic.variable} ${diagnostic.message}`);
  });
  process.umask(0o077);
  // Agents run beside the broker, as the same user.
  if (settings.driver === "local") hideEnvironment();
  // Before the start, which creates processes and a lock: a signal during the start takes effect after it.
  const stopped = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopped.resolve());
  // Not SIGUSR1, which starts Node's debugger.
  const draining = Promise.withResolvers<void>();
  process.once("SIGUSR2", () => draining.resolve());
  const broker = await start(settings, spanLimits);
  void draining.promise.then(() => {
    broker.drain();
    console.error(
      "valet-sandbox-broker: draining: no further sandboxes start; GET /v1/health counts those that are awake",
    );
  });
  void stopped.promise.then(() => broker.close());
  process.stdout.write(`${JSON.stringify({ url: broker.url })}\n`);
}

/** With a driver that has settings and is not started here, this does not compile. */
function start(settings: Settings, spanLimits: SpanLimits): Promise<SandboxBroker> {
  switch (settings.driver) {
    case "local":
      return startSandboxBroker({ ...settings, spanLimits });
    case "docker":
      return startDockerBroker({ ...settings, spanLimits });
    case "modal":
      return startModalBroker({ ...settings, spanLimits });
  }
}

main().catch((error: unknown) => {
  console.error(`valet-sandbox-broker: ${(error as Error).message}`);
  process.exitCode = 2;
});
