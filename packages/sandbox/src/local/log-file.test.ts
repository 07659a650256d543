import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { temporaryFolder, waitFor } from "../../test/broker.ts";
import { LogFile } from "./log-file.ts";

test("a log that cannot be written blocks no writer, and continues once it can be", async () => {
  const path = join(temporaryFolder(), "log");
  // A folder in place of the file makes every write fail.
  mkdirSync(path);
  const output = new PassThrough({ highWaterMark: 16 });
  const drained = new LogFile(path, 1024 * 1024).drain(output);
  for (let line = 0; line < 100; line++) output.write(`lost ${line}\n`);
  await waitFor(() => output.writableLength === 0);
  rmdirSync(path);
  output.end("kept\n");
  await drained;
  expect(readFileSync(path, "utf8")).toBe("kept\n");
});
