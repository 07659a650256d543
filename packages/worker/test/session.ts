/** A session for a test: the real object, the scripted broker, and the test as its runner. */

import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import type { CreateSession, StartWorkflow } from "@valet/shared/protocol/session-api";
import type { MessageView, SessionStatus, SessionView, WorkflowView } from "@valet/shared/protocol/session-view";
import { expect } from "vitest";
import type { CallContext } from "../src/durable-objects/contract.ts";
import { newId } from "../src/durable-objects/core/ids.ts";
import type { Result } from "../src/durable-objects/core/result.ts";
import { bindings } from "./bindings.ts";
import { ScriptedBroker } from "./broker.ts";
import { eventually } from "./eventually.ts";
import { FakeRunner } from "./fake-runner.ts";
import { spansOf, type WireSpan } from "./otlp.ts";

export const CALLER: CallContext = {
  ownerId: "own_1",
  traceparent: "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-03",
};

/** Returns the value of a call. @throws if it was refused */
export function valueIn<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.problem.type}: ${result.problem.detail}`);
  return result.value;
}

function stubOf(id: string) {
  return bindings.SESSION_AGENT.get(bindings.SESSION_AGENT.idFromName(id));
}

/** A span as a backend shows it. */
export interface SeenSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly kind: number;
  readonly isOpen: boolean;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly { readonly name: string; readonly attributes: Readonly<Record<string, unknown>> }[];
  /** The links, with their `valet.link.type`. */
  readonly links: readonly { readonly type: unknown; readonly traceId: string; readonly spanId: string }[];
  readonly status: number;
}

export class TestSession {
  readonly id: string;
  stub: ReturnType<typeof stubOf>;
  readonly broker: ScriptedBroker;
  static #created: TestSession[] = [];

  constructor(id = newId("ses")) {
    this.id = id;
    this.stub = stubOf(id);
    this.broker = new ScriptedBroker(id);
  }

  /** Returns a session that another session has created. */
  static of(id: string): TestSession {
    const session = new TestSession(id);
    TestSession.#created.push(session);
    return session;
  }

  /** Returns the sessions that have been created since the last call. */
  static takeCreated(): TestSession[] {
    return TestSession.#created.splice(0);
  }

  async create(input: CreateSession = {}): Promise<SessionView> {
    TestSession.#created.push(this);
    return valueIn(await this.stub.create({ ...input, id: this.id }, CALLER));
  }

  /** Creates a session whose runner is ready. */
  static async running(input: CreateSession = {}): Promise<{ session: TestSession; runner: FakeRunner }> {
    const session = new TestSession();
    await session.create(input);
    const runner = await (await session.connect()).ready();
    await session.reaches("running");
    return { session, runner };
  }

  async view(): Promise<SessionView> {
    return valueIn(await this.stub.view());
  }

  async reaches(status: SessionStatus): Promise<SessionView> {
    return eventually(async () => {
      const view = await this.view();
      expect(view.status).toBe(status);
      return view;
    });
  }

  /** Sends a message. @returns its id */
  async send(content: string, more: Partial<Parameters<TestSession["stub"]["sendMessage"]>[0]> = {}): Promise<string> {
    const accepted = valueIn(await this.stub.sendMessage({ content, ...more }, CALLER));
    return accepted.messageId;
  }

  async message(id: string): Promise<MessageView> {
    const { messages } = valueIn(await this.stub.messages());
    const found = messages.find((message) => message.id === id);
    if (found === undefined) throw new Error(`no message ${id}`);
    return found;
  }

  async messageIs(id: string, expected: Partial<MessageView>): Promise<MessageView> {
    return eventually(async () => {
      const message = await this.message(id);
      expect(message).toMatchObject(expected);
      return message;
    });
  }

  /** Sends a workflow. @returns its execution's id */
  async startWorkflow(workflow: StartWorkflow): Promise<string> {
    return valueIn(await this.stub.startWorkflow(workflow, CALLER)).executionId;
  }

  async workflow(id: string): Promise<WorkflowView> {
    return valueIn(await this.stub.workflow(id));
  }

  async workflowIs(id: string, expected: Partial<WorkflowView>): Promise<WorkflowView> {
    return eventually(async () => {
      const workflow = await this.workflow(id);
      expect(workflow).toMatchObject(expected);
      return workflow;
    });
  }

  /** Returns the token of the last request to the broker. */
  async credentials(): Promise<{ token: string; generation: number }> {
    return eventually(async () => {
      const { generation } = await this.view();
      const calls = [...(await this.broker.calls("create")), ...(await this.broker.calls("restore"))];
      const body = calls.map((call) => call.body).find((each) => each?.generation === generation);
      if (body === undefined) throw new Error("the broker has not been asked yet");
      return { token: body.runnerToken, generation };
    });
  }

  /** Opens the link as the runner of the current generation. */
  async connect(instanceId?: string): Promise<FakeRunner> {
    const credentials = await this.credentials();
    return FakeRunner.open(this.stub, { ...credentials, ...(instanceId !== undefined && { instanceId }) });
  }

  /** Makes a timer due, and runs it. */
  async elapse(kind: string): Promise<void> {
    await runInDurableObject(this.stub, (object, { storage }) => {
      const due = storage.sql.exec("UPDATE timers SET due_ms = 0 WHERE kind = ? RETURNING 1", kind).toArray();
      if (due.length === 0) throw new Error(`no timer "${kind}" is set`);
      object.alarm();
    });
  }

  /** Runs the timers that are due. */
  async alarm(): Promise<void> {
    await runInDurableObject(this.stub, (object) => object.alarm());
  }

  /** Makes queued jobs due that only wait for their time. */
  async ripen(): Promise<void> {
    await runInDurableObject(this.stub, (_object, { storage }) => {
      storage.sql.exec("UPDATE jobs SET notBeforeMs = 0");
    });
    // On a busy machine they may have become due already.
    if ((await this.timers()).includes("collect")) await this.elapse("collect");
  }

  async timers(): Promise<string[]> {
    return runInDurableObject(this.stub, (_object, { storage }) => {
      const rows = storage.sql.exec("SELECT kind FROM timers ORDER BY kind").toArray();
      return rows.map(({ kind }) => kind as string);
    });
  }

  /**
   * Makes the object crash. Its sockets are closed.
   * @param last SQL to run right before, to which the object has no time to react
   */
  async crash(last?: string): Promise<void> {
    const die = (state: DurableObjectState) =>
      state.blockConcurrencyWhile(async () => {
        if (last !== undefined) state.storage.sql.exec(last);
        await state.storage.sync();
        state.abort("the test ends it");
      });
    await runInDurableObject(this.stub, (_object, state) => die(state)).catch(() => {});
    // The stub of a crashed object stays broken.
    this.stub = stubOf(this.id);
    await this.stub.view();
  }

  /** Evicts the object from memory. Its sockets hibernate, or are lost as in a crash. */
  evict(webSockets: "hibernate" | "close" = "hibernate"): Promise<void> {
    return evictDurableObject(this.stub, { webSockets });
  }

  /** Returns every span of the session, including open ones, in order of their starts. */
  async spans(name?: string): Promise<SeenSpan[]> {
    const { traces } = valueIn(await this.stub.traces());
    const read = async (traceId: string) => new Response(valueIn(await this.stub.readTrace(traceId))).text();
    const texts = await Promise.all(traces.map(({ traceId }) => read(traceId)));
    const all = texts.flatMap(spansIn).sort((a, b) => (a.startNs < b.startNs ? -1 : 1));
    return name === undefined ? all : all.filter((span) => span.name === name);
  }

  async onlySpan(name: string): Promise<SeenSpan> {
    const [span, ...others] = await this.spans(name);
    if (span === undefined || others.length > 0) throw new Error(`${others.length + (span ? 1 : 0)} spans ${name}`);
    return span;
  }
}

/** Returns the spans of a request. */
export function spansIn(otlp: string): SeenSpan[] {
  return spansOf(otlp).map(seen);
}

function seen(span: WireSpan): SeenSpan {
  const { name, traceId, spanId, parentSpanId, kind, startTimeUnixNano, endTimeUnixNano } = span;
  return {
    name,
    traceId,
    spanId,
    parentSpanId,
    kind,
    isOpen: endTimeUnixNano === undefined,
    startNs: BigInt(startTimeUnixNano),
    endNs: BigInt(endTimeUnixNano ?? startTimeUnixNano),
    attributes: attributesOf(span.attributes),
    events: (span.events ?? []).map((event) => ({ name: event.name, attributes: attributesOf(event.attributes) })),
    links: (span.links ?? []).map((link) => {
      const type = attributesOf(link.attributes)["valet.link.type"];
      return { type, traceId: link.traceId, spanId: link.spanId };
    }),
    status: span.status?.code ?? 0,
  };
}

function attributesOf(attributes: WireSpan["attributes"] = []): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [kind, held] = Object.entries(value)[0] ?? [];
      if (kind === "intValue") return [key, Number(held)];
      if (kind === "arrayValue")
        return [key, (held as { values: object[] }).values.map((each) => Object.values(each)[0])];
      return [key, held];
    }),
  );
}
