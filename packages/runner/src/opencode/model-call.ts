/**
 * One model call from the agent's point of view: a `chat` span from the start of the first try to the end of the last. Once the
 * call is retried, each try and each wait between two tries has a child span.
 */

import type { ProviderError } from "../agent/errors.ts";
import type { FactLog } from "../agent/fact-log.ts";
import { type Ending, type FactAttributes, type FactContent, OK, type OutputPart } from "../agent/facts.ts";
import { chatSpanId, deriveSpanId } from "../agent/span-ids.ts";
import type { AssistantMessage } from "./events.ts";
import { providerAttributes } from "./usage.ts";

export interface ModelCallOptions {
  readonly log: FactLog;
  readonly attemptId: string;
  readonly parentId: string;
  /** The message that the call produces. */
  readonly info: AssistantMessage;
  /** The number of the call in its step, from 1. */
  readonly place: number;
  readonly startMs: number;
  /** Further attributes of the call: the server, the request's settings, where its start was read. */
  readonly attributes: FactAttributes;
}

/** What is known at the end of a call besides its attributes. */
export interface CallEnd extends ProviderSaid {
  readonly content?: Omit<FactContent, "gen_ai.output.messages"> | undefined;
}

/** What the provider said of a try. */
export interface ProviderSaid {
  /** The HTTP status of its response. */
  readonly status?: number | undefined;
  /** The text of its error. */
  readonly message?: string | undefined;
}

/** Of a call or try that failed: with which status the provider answered says what to do. */
function statusAttributes({ outcome }: Ending, { status }: ProviderSaid): FactAttributes {
  return outcome === "error" && status !== undefined ? { "http.response.status_code": status } : {};
}

function errorContent({ outcome }: Ending, { message }: ProviderSaid): FactContent {
  return outcome === "error" && message ? { "error.message": message } : {};
}

/** The progress of the current try. */
class Try {
  readonly startMs: number;
  readonly spanId: string | undefined;
  firstChunkMs: number | undefined;
  lastContentMs: number | undefined;
  /** Texts and tool calls that have not ended. */
  readonly unfinished = new Set<string>();
  readonly output = new Map<string, OutputPart>();
  /** Texts of which a reader sees something. */
  readonly filled = new Set<string>();

  constructor(startMs: number, spanId: string | undefined) {
    this.startMs = startMs;
    this.spanId = spanId;
  }

  /** Records a chunk of the answer. @returns whether it is the first of the try */
  chunkAt(atMs: number): boolean {
    const isFirst = this.firstChunkMs === undefined;
    this.firstChunkMs = this.firstChunkMs === undefined ? atMs : Math.min(this.firstChunkMs, atMs);
    return isFirst;
  }

  contentUntil(atMs: number): void {
    this.lastContentMs = this.lastContentMs === undefined ? atMs : Math.max(this.lastContentMs, atMs);
  }

  /** @param sinceMs the start from which the time to the first chunk counts */
  firstChunk(sinceMs: number): FactAttributes {
    if (this.firstChunkMs === undefined) return {};
    return { "gen_ai.response.time_to_first_chunk": Math.max(0, this.firstChunkMs - sinceMs) / 1000 };
  }
}

/** The wait for the next try, and how the last one failed. */
interface Wait extends Pick<ProviderSaid, "message"> {
  readonly spanId: string;
  readonly sinceMs: number;
  readonly failure: Ending;
}

export class ModelCall {
  readonly spanId: string;
  readonly #options: ModelCallOptions;
  #try: Try;
  #tries = 1;
  #wait: Wait | undefined;

  constructor(options: ModelCallOptions) {
    const { log, attemptId, parentId, info, place, startMs, attributes } = options;
    const { id, sessionID, agent, providerID, modelID } = info;
    this.#options = options;
    this.#try = new Try(startMs, undefined);
    this.spanId = chatSpanId(attemptId, sessionID, id, place);
    log.begin(`chat ${modelID}`, this.spanId, parentId, startMs, {
      "gen_ai.operation.name": "chat",
      ...providerAttributes(providerID),
      "gen_ai.request.model": modelID,
      "gen_ai.request.stream": true,
      "gen_ai.agent.name": agent,
      "valet.opencode.session.id": sessionID,
      "valet.opencode.message.id": id,
      ...attributes,
    });
  }

  /** The current try; `undefined` during the wait for the next one. */
  get current(): Try | undefined {
    return this.#wait === undefined ? this.#try : undefined;
  }

  /** When the last try began, epoch ms. */
  get tryStartMs(): number {
    return this.#try.startMs;
  }

  get isWaiting(): boolean {
    return this.#wait !== undefined;
  }

  /** When the current wait for the next try began, epoch ms. */
  get waitsSinceMs(): number | undefined {
    return this.#wait?.sinceMs;
  }

  /**
   * Records that the try has failed and OpenCode announced a retry.
   * @param delayMs the wait until the retry
   */
  tryFailed(atMs: number, errorType: ProviderError, delayMs: number, said: ProviderSaid): void {
    if (this.#wait !== undefined) return;
    const { log } = this.#options;
    const failure: Ending = { outcome: "error", errorType };
    const { spanId = this.#beginTry(1, this.#try.startMs), startMs } = this.#try;
    const attributes = { ...this.#try.firstChunk(startMs), ...statusAttributes(failure, said) };
    log.end(spanId, atMs, failure, attributes, errorContent(failure, said));
    this.#wait = { spanId: this.#id("retry", this.#tries), sinceMs: atMs, failure, message: said.message };
    log.begin("valet.retry.wait", this.#wait.spanId, this.spanId, atMs, {
      "valet.llm.attempt": this.#tries + 1,
      "valet.retry.delay_ms": delayMs,
      "valet.retry.after": errorType,
    });
  }

  /** Begins the next try. */
  tryAgain(atMs: number): void {
    if (this.#wait === undefined) return;
    this.#options.log.end(this.#wait.spanId, atMs, OK);
    this.#wait = undefined;
    this.#tries++;
    this.#try = new Try(atMs, this.#beginTry(this.#tries, atMs));
  }

  /** @param ending how the call ended; by default as its last try did if it ends during a wait, otherwise `ok` */
  end(
    endMs: number,
    ending: Ending | undefined,
    attributes: FactAttributes = {},
    { content, ...last }: CallEnd = {},
  ): void {
    const { log, startMs } = this.#options;
    const { spanId, output } = this.#try;
    if (this.#wait !== undefined) log.end(this.#wait.spanId, endMs, ending ?? OK);
    const own = ending ?? this.#wait?.failure ?? OK;
    const http = statusAttributes(own, last);
    const error = errorContent(own, { message: last.message ?? this.#wait?.message });
    if (spanId !== undefined && this.#wait === undefined) {
      log.end(spanId, endMs, own, { ...this.#try.firstChunk(this.#try.startMs), ...http }, error);
    }
    const finish = own.outcome === "ok" ? {} : { "gen_ai.response.finish_reasons": ["error"] };
    const chunk = this.#wait === undefined ? this.#try.firstChunk(startMs) : {};
    log.end(
      this.spanId,
      endMs,
      own,
      { ...finish, ...chunk, ...http, ...attributes },
      { ...content, ...error, "gen_ai.output.messages": [...output.values()] },
    );
  }

  #beginTry(number: number, startMs: number): string {
    const spanId = this.#id("try", number);
    this.#options.log.begin("valet.llm.try", spanId, this.spanId, startMs, { "valet.llm.attempt": number });
    return spanId;
  }

  #id(kind: string, number: number): string {
    return deriveSpanId(this.spanId, kind, number);
  }
}
