import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";

const OUTPUT = fileURLToPath(new URL("./output.ts", import.meta.url));
/** Logs more than a pipe holds, prints how much is still buffered to standard output, and exits as `up` does. */
const FLOOD = `
  import { exitSoon, surviveOutputErrors, writeLog } from ${JSON.stringify(OUTPUT)};
  surviveOutputErrors();
  for (let line = 0; line < 20_000; line++) writeLog("x".repeat(1000));
  process.stdout.write(process.stderr.writableLength + "\\n");
  process.exitCode = 0;
  await exitSoon();
`;

test("an unread log is bounded, and does not keep the process from exiting", async () => {
  const child = spawn(process.execPath, ["--input-type=module", "--eval", FLOOD], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  // The test does not read standard error.
  let printed = "";
  child.stdout.on("data", (chunk) => (printed += chunk));
  const [code] = await once(child, "exit");
  expect(code).toBe(0);
  expect(Number(printed)).toBeLessThan(1100 * 1024);
});
