/** The sandbox's lifecycle over the rooms of a unit test: the test answers the broker's calls, and there is no runner. */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import type { BrokerFailure, BrokerResult } from "../src/broker/client.ts";
import { INTERVALS } from "../src/config.ts";
import { RunnerLink } from "../src/durable-objects/link/runner-link.ts";
import { BrokerCalls } from "../src/durable-objects/sandbox/broker-calls.ts";
import { Operations } from "../src/durable-objects/sandbox/operations.ts";
import type { SandboxOptions } from "../src/durable-objects/sandbox/ports.ts";
import { SandboxLifecycle } from "../src/durable-objects/sandbox/sandbox-lifecycle.ts";
import { StartTimes } from "../src/durable-objects/sandbox/start-times.ts";
import { Rooms } from "./rooms.ts";

type CallKind = keyof SandboxOptions["broker"];

interface PendingCall {
  readonly call: CallKind;
  readonly argument: unknown;
  resolve(result: BrokerResult<unknown>): void;
  /** Settles when the object has handled the answer. */
  work: Promise<void>;
}

export class Life {
  readonly rooms: Rooms;
  readonly lifecycle: SandboxLifecycle;
  readonly link: RunnerLink;
  /** The session's work, as the lifecycle sees it. */
  readonly work = { isBusy: false, hasWork: false, lastEndMs: undefined as number | undefined };
  /** The orphans, in order. */
  readonly orphans: string[] = [];
  /** The kinds of the broker's calls, in order. */
  readonly calls: CallKind[] = [];
  readonly #pending: PendingCall[] = [];

  /** @param mustWait whether a start waits for a slot */
  constructor(storage: DurableObjectStorage, mustWait = false) {
    const rooms = new Rooms(storage);
    this.rooms = rooms;
    const report = (error: unknown) => {
      throw error;
    };
    const background = (work: Promise<void>) => {
      const last = this.#pending.at(-1);
      if (last !== undefined) last.work = work;
    };
    const { sql, tracer, transactions, state, now } = rooms;
    const ctx = {
      setWebSocketAutoResponse: () => {},
      acceptWebSocket: () => {},
      getWebSockets: () => [],
      getWebSocketAutoResponseTimestamp: () => null,
    };
    this.link = new RunnerLink({ ...rooms, ctx, intervals: INTERVALS, onSpans: () => {} });
    const calls = new BrokerCalls({
      sql,
      tracer,
      transactions,
      url: "http://broker.test",
      background,
      report,
      acceptSpans: () => {},
    });
    this.lifecycle = new SandboxLifecycle({
      ...rooms,
      link: this.link,
      work: this.work,
      calls,
      background,
      report,
      mustWait,
      intervals: INTERVALS,
      operations: new Operations(state, tracer, calls, now),
      startTimes: new StartTimes(sql, now),
      sandboxEnv: () => ({}),
      broker: {
        create: (request) => this.#ask("create", request),
        get: (sandboxId) => this.#ask("get", sandboxId),
        snapshot: (sandboxId) => this.#ask("snapshot", sandboxId),
        terminate: (sandboxId) => this.#ask("terminate", sandboxId),
      },
      orphans: {
        addSandbox: ({ id }) => void this.orphans.push(id),
        addSnapshot: (id) => void this.orphans.push(id),
        addUnconfirmed: (generation) => void this.orphans.push(`generation ${generation}`),
        resume: () => {},
      },
    });
    rooms.timers.handle({ ...this.link.timerHandlers, ...this.lifecycle.timerHandlers });
  }

  #ask<T>(call: CallKind, argument: unknown): Promise<BrokerResult<T>> {
    const { promise, resolve } = Promise.withResolvers<BrokerResult<T>>();
    this.calls.push(call);
    this.#pending.push({ call, argument, resolve: resolve as PendingCall["resolve"], work: Promise.resolve() });
    return promise;
  }

  /** Runs a step of the lifecycle in a transaction. @returns the types of the events that it recorded */
  step(work: (lifecycle: SandboxLifecycle) => unknown): string[] {
    const before = this.rooms.events.length;
    this.rooms.run(() => work(this.lifecycle));
    return this.rooms.events.slice(before).map(({ type }) => type);
  }

  /** Answers the oldest call of a kind. @returns the types of the events that followed */
  async answer(call: CallKind, answer: { readonly failure: BrokerFailure } | object): Promise<string[]> {
    const before = this.rooms.events.length;
    const index = this.#pending.findIndex((each) => each.call === call);
    const [pending] = index < 0 ? [] : this.#pending.splice(index, 1);
    if (pending === undefined) throw new Error(`the broker was not asked to ${call}`);
    const result = "failure" in answer ? { ok: false, ...answer } : { ok: true, value: answer };
    pending.resolve({ status: 200, spans: undefined, ...result } as BrokerResult<unknown>);
    await pending.work;
    return this.rooms.events.slice(before).map(({ type }) => type);
  }

  /** The argument of the latest call of the broker. */
  get argument(): unknown {
    return this.#pending.at(-1)?.argument;
  }

  /** Answers that the broker has created the sandbox of the current generation. */
  created(): Promise<string[]> {
    return this.answer("create", { sandbox: { id: `box_${this.rooms.state.record.generation}`, driver: "local" } });
  }

  /** Sends a hello of the current generation's runner. */
  hello(): string[] {
    return this.step((lifecycle) => {
      this.rooms.state.updateLink({
        state: "connected",
        connectionId: "con_1",
        instanceId: "run_1",
        instances: ["run_1"],
      });
      lifecycle.onHello(false);
    });
  }

  stage(stage: FromRunnerOf<"stage">["stage"], errorType?: string): string[] {
    return this.step((lifecycle) =>
      lifecycle.onStage({ type: "stage", stage, ...(errorType !== undefined && { errorType }) }),
    );
  }

  /** Creates the requested sandbox, and makes its runner ready. */
  async boots(): Promise<string[]> {
    return [...(await this.created()), ...this.hello(), ...this.stage("ready")];
  }
}
