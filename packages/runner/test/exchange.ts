import { spawn } from "node:child_process";
import { once } from "node:events";
import { onTestFinished } from "vitest";

/** By the system call, since Node has none for it: at no time either name is missing. */
const SCRIPT = `
import { dlopen } from "bun:ffi";
const { renameat2 } = dlopen("libc.so.6", {
  renameat2: { args: ["int", "ptr", "int", "ptr", "u32"], returns: "int" },
}).symbols;
const [a, b] = process.argv.slice(-2).map((path) => Buffer.from(path + "\\0"));
const AT_FDCWD = -100, RENAME_EXCHANGE = 2;
if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) !== 0) process.exit(1);
console.log("begun");
for (;;) renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
`;

/** Exchanges two files or folders again and again, as fast as another process can, until the test ends. */
export async function exchange(a: string, b: string): Promise<void> {
  const child = spawn(process.execPath, ["--eval", SCRIPT, "--", a, b], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  await Promise.race([
    once(child.stdout, "data"),
    once(child, "exit").then(() => {
      throw new Error("the files cannot be exchanged");
    }),
  ]);
}

/** Tries what a hostile exchange may hit, until it has or for the time in which it always did before. */
export async function tryFor(ms: number, attempt: (round: number) => unknown, isHit: () => boolean): Promise<number> {
  const end = Date.now() + ms;
  let round = 0;
  for (; Date.now() < end && !isHit(); round++) await attempt(round);
  return round;
}
