/** Composes what a session's object does with its sandbox: the lifecycle, the calls of the broker, and what is left behind. */
import type { Env } from "../bindings.ts";
import { SandboxBroker } from "../broker/client.ts";
import { type Config, parseCapacity, sandboxVariables } from "../config.ts";
import type { DurableCallOptions } from "./core/durable-call.ts";
import type { SessionTracer } from "./core/session-tracer.ts";
import { BrokerCalls } from "./sandbox/broker-calls.ts";
import { Operations } from "./sandbox/operations.ts";
import { Orphans } from "./sandbox/orphans.ts";
import type { SandboxOptions } from "./sandbox/ports.ts";
import { SandboxLifecycle } from "./sandbox/sandbox-lifecycle.ts";
import { StartTimes } from "./sandbox/start-times.ts";

export interface SandboxCompositionOptions
  extends DurableCallOptions,
    Pick<SandboxOptions, "state" | "link" | "work" | "intervals" | "record"> {
  readonly env: Env;
  readonly sessionId: () => string;
  readonly tracer: SessionTracer;
  /** The address at which a sandbox reaches the Worker. */
  readonly publicUrl: Config["publicUrl"];
  readonly broker: Config["broker"];
  /** Stores the broker's own spans. */
  readonly acceptSpans: (otlp: string) => void;
}

export function composeSandbox(options: SandboxCompositionOptions) {
  const { env, sql, state, tracer, timers, transactions, intervals, now, background, report } = options;
  const broker = new SandboxBroker({
    url: options.broker.url,
    secret: options.broker.secret,
    timeoutMs: intervals.brokerCallMs,
    snapshotMs: intervals.snapshotMs,
    fetch: (input, init) => fetch(input, init),
  });
  const calls = new BrokerCalls({
    ...{ sql, tracer, transactions, background, report },
    url: options.broker.url,
    acceptSpans: options.acceptSpans,
  });
  const snapshotId = () => state.record.snapshot?.id;
  const orphans = new Orphans({ ...options, calls, broker, snapshotId, callMs: intervals.brokerCallMs });
  const startTimes = new StartTimes(sql, now);
  const { awake, starting } = parseCapacity(env);
  const lifecycle = new SandboxLifecycle({
    ...{ state, transactions, timers, broker, calls, orphans, startTimes, intervals, now, background, report },
    operations: new Operations(state, tracer, calls, now),
    link: options.link,
    work: options.work,
    record: options.record,
    mustWait: awake < Infinity || starting < Infinity,
    sandboxEnv: (id, generation) => sandboxVariables(env, options.publicUrl, id, generation),
  });
  return { lifecycle, orphans, startTimes };
}
