/**
 * Writes a journal and spans until the disk is full, prints what was stored, and kills itself. Run with a limit on file sizes.
 */
import { join } from "node:path";
import { Tracer } from "@valet/shared/tracing";
import { SpanOutbox } from "../src/spans/span-outbox.ts";
import { Journal } from "../src/state/journal.ts";
import { JOURNAL_FILE } from "../src/state/state-folder.ts";

const folder = process.argv[2] as string;
let isDiskFull = false;
const outbox = new SpanOutbox({
  folder: join(folder, "spans"),
  instanceId: "a",
  resource: { "service.name": "valet-runner" },
  onDiskError: () => {
    isDiskFull = true;
  },
});
const tracer = new Tracer({ scope: { name: "test" }, processor: outbox });
const kept: string[] = [];
for (let index = 0; !isDiskFull; index++) {
  tracer.startSpan(`span ${index}`, { attributes: { text: "x".repeat(1000) } }).end();
  if (!isDiskFull) kept.push(`span ${index}`);
}
const journal = new Journal(join(folder, JOURNAL_FILE), 1);
const promised: string[] = [];
try {
  for (;;) {
    const id = `att_${promised.length}_${"x".repeat(1000)}`;
    journal.accept(id);
    promised.push(id);
  }
} catch {
  // Accepted attempts stay known, and those that could not be stored are not accepted.
  promised.splice(0, promised.length, ...journal.running().map(({ attemptId }) => attemptId));
}
process.stdout.write(JSON.stringify({ kept, promised }), () => process.kill(process.pid, "SIGKILL"));
