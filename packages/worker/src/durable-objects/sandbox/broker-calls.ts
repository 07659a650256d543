/**
 * Calls of the sandbox broker. A call begins in the transaction that decides on it: that writes a row and starts its CLIENT span,
 * which ends with the answer. If the object dies meanwhile, the row says that this answer is lost.
 *
 * Such a call is one try and no durable call (core/durable-call.ts): an operation whose answer is lost makes another call, for
 * another generation say. What must reach the broker in the end is an orphan, whose removal is a durable call.
 */

import { endWith } from "@valet/shared/outcome";
import type { EndReason, ErrorType, Outcome, SpanAttributes } from "@valet/shared/spans";
import { type SpanContext, SpanKind } from "@valet/shared/tracing";
import type { BrokerFailure, BrokerResult } from "../../broker/client.ts";
import { newId } from "../core/ids.ts";
import type { SessionTracer } from "../core/session-tracer.ts";
import type { Transactions } from "../core/transactions.ts";

type CallSpan = "valet.sandbox.create" | "valet.sandbox.snapshot" | "valet.sandbox.delete";

/** The outcome of a call, as its span states it. */
export interface CallEnd<N extends CallSpan> {
  readonly outcome: "ok" | "error" | "superseded";
  readonly errorType?: EndReason<N>;
  readonly attributes?: SpanAttributes<N>;
}

export interface BrokerCall<N extends CallSpan, T> {
  readonly span: N;
  /** The span of the operation that the call is a step of. Without one, the call begins a trace of its own. */
  readonly parent?: SpanContext;
  /** The span that caused the call, if it has ended: it becomes a link. */
  readonly cause?: SpanContext;
  readonly attributes: SpanAttributes<N>;
  readonly perform: (context: SpanContext) => Promise<BrokerResult<T>>;
  /** Returns how the call's span ends. Changes nothing: the span ends before `settle` acts on the answer. */
  readonly judge: (result: BrokerResult<T>) => CallEnd<N>;
  /** Acts on the answer, in the transaction that ends the span. */
  readonly settle: (result: BrokerResult<T>, end: CallEnd<N>) => void;
}

export interface BrokerCallsOptions {
  readonly sql: SqlStorage;
  readonly tracer: SessionTracer;
  readonly transactions: Transactions;
  /** The broker's address, for the spans. */
  readonly url: string;
  /** Keeps the object alive for a promise that never rejects. */
  readonly background: (work: Promise<void>) => void;
  /** Stores the broker's own spans. */
  readonly acceptSpans: (otlp: string) => void;
  readonly report: (error: unknown) => void;
}

export class BrokerCalls {
  readonly #options: BrokerCallsOptions;
  readonly #server: { readonly "server.address": string; readonly "server.port": number };

  constructor(options: BrokerCallsOptions) {
    this.#options = options;
    const { protocol, hostname, port } = new URL(options.url);
    this.#server = {
      "server.address": hostname,
      "server.port": Number(port) || (protocol === "https:" ? 443 : 80),
    };
  }

  /** Begins a call within a transaction. The request is sent after the commit. */
  begin<N extends CallSpan, T>(call: BrokerCall<N, T>): void {
    const { sql, tracer, transactions, background } = this.#options;
    const { parent, cause } = call;
    const id = newId("op");
    const { context } = tracer.start<CallSpan>(call.span, {
      kind: SpanKind.CLIENT,
      parent,
      attributes: { ...this.#server, ...call.attributes },
      links: cause === undefined ? [] : [{ context: cause, attributes: { "valet.link.type": "caused_by" } }],
    });
    sql.exec(
      "INSERT INTO broker_calls (id, span, context, parent) VALUES (?, ?, ?, ?)",
      id,
      call.span,
      JSON.stringify(context),
      parent?.spanId ?? null,
    );
    transactions.afterCommit(() => background(this.#make(id, context, call)));
  }

  /** Makes a call outside a transaction. @returns the broker's answer, once the call's span has ended */
  make<N extends CallSpan, T>(call: Omit<BrokerCall<N, T>, "settle">): Promise<BrokerResult<T>> {
    const { promise, resolve } = Promise.withResolvers<BrokerResult<T>>();
    this.#options.transactions.run(() => this.begin({ ...call, settle: resolve }));
    return promise;
  }

  /**
   * Ends the open spans of an operation's calls. Called before the operation ends, since a child ends within its parent. An answer
   * that arrives later is still acted on.
   * @param operation the operation's span @param outcome what it ends with
   */
  endSpansOf(operation: SpanContext, outcome: Outcome): void {
    const { sql, tracer } = this.#options;
    const calls = sql.exec("SELECT span, context FROM broker_calls WHERE parent = ?", operation.spanId).toArray();
    for (const { span, context } of calls) {
      const name = span as CallSpan;
      const end = earlyEnd(name, outcome);
      tracer.change(name, JSON.parse(context as string) as SpanContext, (open) => {
        endWith(open, end.outcome, end.reason as EndReason<CallSpan>);
      });
    }
  }

  /**
   * Ends the spans of calls whose answers are lost: the object died before they arrived. Called when the object starts.
   * @returns the names of those spans
   */
  abandon(): string[] {
    const { sql, tracer } = this.#options;
    const calls = sql.exec("DELETE FROM broker_calls RETURNING span, context").toArray();
    for (const { span, context } of calls) {
      tracer.change(span as CallSpan, JSON.parse(context as string) as SpanContext, (open) => {
        endWith(open, "error", "broker_timeout");
      });
    }
    return calls.map(({ span }) => span as string);
  }

  async #make<N extends CallSpan, T>(id: string, context: SpanContext, call: BrokerCall<N, T>): Promise<void> {
    const { sql, tracer, transactions, report } = this.#options;
    try {
      const result = await call.perform(context);
      this.#acceptSpans(result.spans);
      transactions.run(() => {
        sql.exec("DELETE FROM broker_calls WHERE id = ?", id);
        const end = call.judge(result);
        tracer.change<CallSpan>(call.span, context, (span) => {
          span.setAttributes({ ...end.attributes, "http.response.status_code": result.status });
          endWith(span, end.outcome, end.errorType as EndReason<CallSpan> | undefined);
        });
        call.settle(result, end);
      });
    } catch (error) {
      // An internal error. The operation's timer resumes the operation.
      report(error);
    }
  }

  /** Stores the broker's spans in a transaction of their own: if that fails, the answer counts all the same. */
  #acceptSpans(otlp: string | undefined): void {
    const { transactions, acceptSpans, report } = this.#options;
    if (otlp === undefined) return;
    try {
      transactions.run(() => acceptSpans(otlp));
    } catch (error) {
      report(error);
    }
  }
}

/** Returns how a call's span ends if its operation ends, with this outcome, before the broker has answered. */
function earlyEnd(call: CallSpan, operation: Outcome): { readonly outcome: Outcome; readonly reason: ErrorType } {
  if (operation === "aborted") return { outcome: "aborted", reason: "session_terminated" };
  // If another start follows, it has a newer generation.
  if (call === "valet.sandbox.create") return { outcome: "superseded", reason: "stale_generation" };
  return { outcome: "error", reason: "broker_timeout" };
}

/** Returns whether the broker may have done its work although no answer arrived. */
export function isUnconfirmed(failure: BrokerFailure): boolean {
  return failure === "broker_unreachable" || failure === "broker_timeout";
}

/** Returns whether nothing was wrong with the call: the broker could not be reached, hung, or was about to stop. */
export function isBrokerAway(failure: BrokerFailure): boolean {
  return isUnconfirmed(failure) || failure === "shutting_down";
}

/** Returns the error type of a failed call for its span. */
export function brokerErrorType(failure: BrokerFailure): "broker_unreachable" | "broker_timeout" | "broker_error" {
  return failure === "broker_unreachable" || failure === "broker_timeout" ? failure : "broker_error";
}
