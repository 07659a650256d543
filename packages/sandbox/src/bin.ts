#!/usr/bin/env node
/** The sandbox broker as a program: serves until SIGINT or SIGTERM; prints `{"url": …}` when it is ready. */
import { startModalBroker, startSandboxBroker } from "./broker.ts";
import { HELP, readSettings } from "./settings.ts";

async function main(): Promise<void> {
  const settings = readSettings(process.argv.slice(2), process.env);
  if (settings === "help") {
    process.stdout.write(HELP);
    return;
  }
  const broker = await (settings.driver === "modal" ? startModalBroker(settings) : startSandboxBroker(settings));
  const stop = () => void broker.close();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  process.stdout.write(`${JSON.stringify({ url: broker.url })}\n`);
}

main().catch((error: unknown) => {
  console.error(`valet-sandbox-broker: ${(error as Error).message}`);
  process.exitCode = 2;
});
