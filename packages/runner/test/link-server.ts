import { type PromptDispatch, WorkflowDispatch } from "@valet/shared/protocol/dispatch";
import { FromRunner, type FromRunnerOf, LINK_PING, LINK_PONG, type ToRunner } from "@valet/shared/protocol/runner-link";
import type { ServerWebSocket } from "bun";
import { onTestFinished } from "vitest";

export interface LinkServerOptions {
  /** Whether span frames and turn ends are acknowledged immediately. */
  readonly acknowledges?: boolean;
  readonly answersPings?: boolean;
  /** Answers the upgrade with this status instead. */
  readonly status?: number;
  /** Sent after each hello. */
  readonly greeting?: readonly ToRunner[];
}

/** A SessionAgent's end of the link for tests: a real WebSocket server that records the frames that it receives. */
export function startLinkServer(options: LinkServerOptions = {}) {
  const settings = { acknowledges: true, answersPings: true, greeting: [] as readonly ToRunner[], ...options };
  /** The frames of all connections, in order. */
  const received: FromRunner[] = [];
  /** The frames of each connection. */
  const connections: { headers: Headers; frames: FromRunner[]; pings: number }[] = [];
  const waiters = new Set<() => void>();
  let socket: ServerWebSocket<number> | undefined;
  const tell = () => {
    for (const waiter of [...waiters]) waiter();
  };
  const server = Bun.serve<number>({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, bun) {
      if (settings.status !== undefined) {
        connections.push({ headers: request.headers, frames: [], pings: 0 });
        tell();
        return new Response(null, { status: settings.status });
      }
      const index = connections.push({ headers: new Headers(request.headers), frames: [], pings: 0 }) - 1;
      bun.upgrade(request, { data: index });
      return undefined;
    },
    websocket: {
      open(opened) {
        socket = opened;
        tell();
      },
      message(from, data) {
        const connection = connections[from.data]!;
        if (data === LINK_PING) {
          connection.pings++;
          if (settings.answersPings) from.send(LINK_PONG);
          tell();
          return;
        }
        const frame = FromRunner.parse(JSON.parse(String(data)));
        received.push(frame);
        connection.frames.push(frame);
        const answers: ToRunner[] = frame.type === "hello" ? [...settings.greeting] : [];
        if (settings.acknowledges && frame.type === "spans") {
          answers.push({ type: "spans-ack", instanceId: frame.instanceId, seq: frame.seq });
        }
        if (settings.acknowledges && (frame.type === "turn-ended" || frame.type === "workflow-ended")) {
          const { attemptId, spans } = frame;
          const carried = spans && { spans: { instanceId: spans.instanceId, seq: spans.seq } };
          answers.push({ type: "turn-ended-ack", attemptId, ...carried });
        }
        for (const answer of answers) from.send(JSON.stringify(answer));
        tell();
      },
      close(closed) {
        if (socket === closed) socket = undefined;
        tell();
      },
    },
  });
  /** Resolves to the result of `find`, once it is not `undefined`. */
  const waitUntil = <T>(find: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const look = () => {
        const found = find();
        if (found === undefined) return;
        waiters.delete(look);
        resolve(found);
      };
      waiters.add(look);
      look();
    });
  onTestFinished(() => server.stop(true));
  return {
    url: `ws://127.0.0.1:${server.port}/runner/ses_1`,
    settings,
    received,
    connections,
    waitUntil,
    /** Resolves to the first frame of this type that matches `fits`, received before or after the call. */
    frame: <T extends FromRunner["type"]>(type: T, fits: (frame: FromRunnerOf<T>) => boolean = () => true) =>
      waitUntil(() => framesOf(received, type).find(fits)),
    /** Resolves to the hello of the nth connection, from 0. */
    hello: (nth: number) =>
      waitUntil(() => connections[nth]?.frames.find((frame): frame is FromRunnerOf<"hello"> => frame.type === "hello")),
    send: (frame: ToRunner) => socket?.send(JSON.stringify(frame)),
    sendRaw: (data: string | Uint8Array) => socket?.send(data as string),
    /** Drops the connection without a close frame. */
    drop: () => socket?.terminate(),
    close: (code: number) => socket?.close(code),
    /** Drops the connection, and accepts no further one. */
    stop: () => void server.stop(true),
    isUp: () => socket !== undefined,
  };
}
export type LinkServer = ReturnType<typeof startLinkServer>;

export function framesOf<T extends FromRunner["type"]>(frames: readonly FromRunner[], type: T): FromRunnerOf<T>[] {
  return frames.filter((frame): frame is FromRunnerOf<T> => frame.type === type);
}

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly flags: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** In OTLP's format. */
  readonly links?: readonly { readonly traceId: string; readonly spanId: string; readonly attributes: unknown }[];
  readonly status: { readonly code: number; readonly message?: string };
}

/** Returns the spans of frames, each once, like the session's store: by instance and number. */
export function spansOf(frames: readonly FromRunner[]): ReceivedSpan[] {
  const seen = new Set<string>();
  const spanFrames = frames.flatMap(
    (frame) => (frame.type === "spans" ? frame : "spans" in frame && frame.spans) || [],
  );
  return spanFrames.flatMap(({ instanceId, seq, otlp }) => {
    const key = `${instanceId} ${seq}`;
    if (seen.has(key)) return [];
    seen.add(key);
    return readSpans(otlp);
  });
}

type RawValue = { readonly [type: string]: unknown };
type RawSpan = Omit<ReceivedSpan, "attributes"> & { attributes?: { key: string; value: RawValue }[] };

export function readSpans(otlp: string): ReceivedSpan[] {
  const { resourceSpans } = JSON.parse(otlp) as { resourceSpans: { scopeSpans: { spans: RawSpan[] }[] }[] };
  return resourceSpans
    .flatMap(({ scopeSpans }) => scopeSpans)
    .flatMap(({ spans }) => spans)
    .map(({ attributes = [], ...span }) => ({
      ...span,
      attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]])),
    }));
}

export function config(overrides: Partial<Extract<ToRunner, { type: "config" }>> = {}): ToRunner {
  return {
    type: "config",
    sessionId: "ses_1",
    generation: 1,
    modelAccess: { model: "valet/scripted", providerKeys: {} },
    captureContent: false,
    tracing: true,
    stuckTurnMs: 60_000,
    ...overrides,
  };
}

export function dispatch(attemptId: string, overrides: Partial<PromptDispatch> = {}): PromptDispatch {
  return {
    attemptId,
    attempt: 1,
    messageId: `msg_${attemptId}`,
    messageIds: [`msg_${attemptId}`],
    content: "Say hello.",
    attachments: [],
    models: [],
    channel: "main",
    queue: { waitMs: 3, reason: "immediate", mode: "followup" },
    ...overrides,
  };
}

export function workflowDispatch(attemptId: string, overrides: Partial<WorkflowDispatch> = {}): WorkflowDispatch {
  return WorkflowDispatch.parse({
    attemptId,
    attempt: 1,
    executionId: `wfl_${attemptId}`,
    name: "release",
    channel: "main",
    steps: [{ name: "test", run: "true" }],
    onFailure: "stop",
    queue: { waitMs: 3, reason: "immediate", mode: "followup" },
    ...overrides,
  });
}
