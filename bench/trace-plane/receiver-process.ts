/**
 * The runner's receiver with the runner's outbox, in Bun, which is what the runner runs in. The session takes each frame at once. Prints
 * the endpoints of calls with their headers, and ends with its input.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentOtlp } from "../../packages/runner/src/receiver/agent-otlp.ts";
import { SecretValues } from "../../packages/runner/src/secrets/secret-values.ts";
import { SpanOutbox } from "../../packages/runner/src/spans/span-outbox.ts";
import { createAnchoredClock } from "../../packages/shared/src/tracing/index.ts";
import { SESSION_ID } from "./frames.ts";

const calls = Number(process.argv[2]);
const folder = mkdtempSync(join(tmpdir(), "valet-bench-receiver-"));
const secrets = new SecretValues();
secrets.add("a-key-of-a-model-provider", "a-token-of-this-session");
const outbox = new SpanOutbox({ folder, instanceId: "run_bench", resource: { "service.name": "valet-runner" } });
outbox.connect(({ instanceId, seq }) => {
  queueMicrotask(() => outbox.acknowledge(instanceId, seq));
  return true;
});
const agentOtlp = new AgentOtlp({
  sessionId: SESSION_ID,
  generation: 1,
  outbox,
  redact: (text) => secrets.redact(text),
  onRefused: (counts) => console.error("refused", Object.fromEntries(counts)),
  now: createAnchoredClock(),
});
agentOtlp.start(false);
const endpoints = Array.from({ length: calls }, (_, index) => {
  const spanId = (index + 1).toString(16).padStart(16, "a");
  const context = { traceId: "a".repeat(32), spanId, traceFlags: 3, traceState: "", isRemote: false };
  const { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_HEADERS: header = "" } = agentOtlp.environment(context);
  return { url: `${url}/v1/traces`, headers: Object.fromEntries([header.split("=")]) };
});
process.stdout.write(`${JSON.stringify(endpoints)}\n`);
for await (const _ of process.stdin);
await agentOtlp.stop();
outbox.close();
rmSync(folder, { recursive: true, force: true });
