/**
 * The runner's end of the link in the test's hands: it sends what the test asks for and stores what it receives. It runs no agent.
 * The tests of the whole system show that the real runner speaks the same protocol.
 */
import type { FromRunner, FromRunnerOf, ToRunner, ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import type { WorkflowStepState } from "@valet/shared/protocol/workflow";
import { expect } from "vitest";
import { eventually } from "./eventually.ts";

export const NO_WORK: TurnSummary = {
  turnMs: 5,
  modelMs: 3,
  toolMs: 1,
  permissionWaitMs: 0,
  modelCalls: 1,
  toolCalls: 1,
  toolErrors: 0,
  retries: 0,
  tokens: { input: 100, output: 10, cacheRead: 50, cacheWrite: 0, reasoning: 0 },
  costUsd: 0.01,
  model: "valet/scripted",
  timeToFirstTokenMs: 2,
};

export interface RunnerIdentity {
  readonly token: string;
  readonly generation: number;
  readonly instanceId?: string;
}

type Hello = Partial<FromRunnerOf<"hello">>;

export class FakeRunner {
  readonly heard: ToRunner[] = [];
  readonly instanceId: string;
  readonly #identity: RunnerIdentity;
  readonly #socket: WebSocket;
  /** The number of background processes in its answers; `undefined` if it does not answer. */
  background: number | undefined = 0;
  closed: { readonly code: number; readonly reason: string } | undefined;

  private constructor(socket: WebSocket, identity: RunnerIdentity) {
    this.#socket = socket;
    this.#identity = identity;
    this.instanceId = identity.instanceId ?? `run_${crypto.randomUUID()}`;
    socket.addEventListener("message", ({ data }) => {
      if (data === "pong") return;
      const frame = JSON.parse(data as string) as ToRunner;
      this.heard.push(frame);
      if (frame.type === "background-check" && this.background !== undefined) {
        this.send({ type: "background", requestId: frame.requestId, processes: this.background });
      }
    });
    socket.addEventListener("close", ({ code, reason }) => {
      this.closed = { code, reason };
    });
    socket.accept();
  }

  /** Opens the link, without a hello. */
  static async open(
    stub: { fetch(request: Request): Promise<Response> },
    identity: RunnerIdentity,
  ): Promise<FakeRunner> {
    const headers = {
      upgrade: "websocket",
      authorization: `Bearer ${identity.token}`,
      "x-valet-generation": String(identity.generation),
      "x-valet-instance": identity.instanceId ?? "run_1",
    };
    const response = await stub.fetch(new Request("https://session/runner", { headers }));
    if (response.webSocket === null) throw new Error(`${response.status}: ${await response.text()}`);
    return new FakeRunner(response.webSocket, identity);
  }

  send(frame: FromRunner): void {
    this.#socket.send(JSON.stringify(frame));
  }

  sendRaw(data: string | ArrayBuffer): void {
    this.#socket.send(data);
  }

  /** Sends a hello, and waits for its configuration. */
  async hello(hello: Hello = {}): Promise<this> {
    const { generation } = this.#identity;
    const { instanceId } = this;
    const known = this.heard.length;
    this.send({
      type: "hello",
      protocol: 1,
      instanceId,
      generation,
      clockMs: Date.now(),
      attempts: [],
      ready: false,
      version: "1",
      asksBefore: true,
      ...hello,
    });
    await eventually(() => expect(this.heard.slice(known).map(({ type }) => type)).toContain("repo-config"));
    return this;
  }

  /** Sends a hello and every stage up to `ready`. */
  async ready(hello: Hello = {}): Promise<this> {
    await this.hello(hello);
    for (const stage of ["connected", "opencode_starting", "git_setup", "ready"] as const)
      this.send({ type: "stage", stage });
    return this;
  }

  /** Waits for the next frame of a type that no call has returned before, and returns it. */
  async next<T extends ToRunner["type"]>(type: T): Promise<ToRunnerOf<T>> {
    return eventually(() => {
      const index = this.heard.findIndex((frame) => frame.type === type);
      expect(index, `a frame "${type}"`).toBeGreaterThanOrEqual(0);
      return this.heard.splice(index, 1)[0] as ToRunnerOf<T>;
    });
  }

  /** Waits for a prompt and accepts it. */
  async accept(): Promise<ToRunnerOf<"prompt">["dispatch"]> {
    const { dispatch } = await this.next("prompt");
    this.send({ type: "attempt-accepted", attemptId: dispatch.attemptId });
    return dispatch;
  }

  async end(attemptId: string, more: Partial<FromRunnerOf<"turn-ended">> = {}): Promise<void> {
    this.send({
      type: "turn-ended",
      attemptId,
      outcome: "ok",
      opencodeSessionId: "oc_1",
      summary: NO_WORK,
      parts: [{ type: "text", id: `prt_${attemptId}`, text: "done" }],
      ...more,
    });
    await this.next("turn-ended-ack");
  }

  /** Waits for a workflow and accepts it. */
  async acceptWorkflow(): Promise<ToRunnerOf<"workflow-execute">["dispatch"]> {
    const { dispatch } = await this.next("workflow-execute");
    this.send({ type: "attempt-accepted", attemptId: dispatch.attemptId });
    return dispatch;
  }

  step(attemptId: string, state: WorkflowStepState): void {
    this.send({ type: "workflow-step", attemptId, state });
  }

  async endWorkflow(attemptId: string, more: Partial<FromRunnerOf<"workflow-ended">> = {}): Promise<void> {
    this.send({ type: "workflow-ended", attemptId, outcome: "ok", steps: [], summary: NO_WORK, ...more });
    await this.next("turn-ended-ack");
  }

  close(code = 1000): void {
    this.closed = { code, reason: "test" };
    this.#socket.close(code, "test");
  }
}
