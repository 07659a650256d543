/** The current lifecycle operation: its entry in the session's record and its span, which begin and end together. */

import { endWith, type SpanOf } from "@valet/shared/outcome";
import type { EndReason, ErrorType, Outcome, SpanAttributes, SpanName } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import { newId } from "../core/ids.ts";
import type { Operation, SessionPatch, SessionState } from "../core/session-state.ts";
import type { SessionTracer } from "../core/session-tracer.ts";
import type { BrokerCalls } from "./broker-calls.ts";

/** Each operation's span. What ends is the session, of which the sandbox is only a part. */
const OPERATION_SPANS = {
  spawn: "valet.sandbox.spawn",
  restore: "valet.sandbox.restore",
  hibernate: "valet.sandbox.hibernate",
  terminate: "valet.session.terminate",
} as const satisfies Record<Operation["kind"], SpanName>;

type OperationSpan<K extends Operation["kind"] = Operation["kind"]> = (typeof OPERATION_SPANS)[K];

export interface NewOperation<K extends Operation["kind"]> {
  readonly kind: K;
  readonly step: Operation["step"];
  readonly attributes: SpanAttributes<OperationSpan<K>>;
  /** For whom; the session's user by default. */
  readonly userId?: string | undefined;
  /** The spans of the requests and messages that caused it. */
  readonly causes: readonly SpanContext[];
  /** The spans of the operations before it in the sandbox's life. */
  readonly follows: readonly (SpanContext | undefined)[];
}

export class Operations {
  readonly #state: SessionState;
  readonly #tracer: SessionTracer;
  readonly #calls: Pick<BrokerCalls, "endSpansOf">;
  readonly #now: () => number;

  constructor(state: SessionState, tracer: SessionTracer, calls: Pick<BrokerCalls, "endSpansOf">, now: () => number) {
    this.#state = state;
    this.#tracer = tracer;
    this.#calls = calls;
    this.#now = now;
  }

  get current(): Operation | undefined {
    return this.#state.record.operation;
  }

  /**
   * Makes the transition that begins an operation. The caller has checked that it is legal, and has ended the operation before it.
   * @param patch returns further changes of the record
   */
  begin<K extends Operation["kind"]>(
    operation: NewOperation<K>,
    patch: (context: SpanContext) => SessionPatch,
  ): Operation {
    const { kind, step, attributes, userId, causes, follows } = operation;
    const link = <T extends string>(context: SpanContext, type: T) => ({
      context,
      attributes: { "valet.link.type": type },
    });
    const { context } = this.#tracer.start<OperationSpan>(OPERATION_SPANS[kind], {
      attributes: { ...attributes, "user.id": userId },
      links: [
        ...causes.map((context) => link(context, "caused_by" as const)),
        ...follows.flatMap((context) => (context === undefined ? [] : [link(context, "follows" as const)])),
      ],
    });
    const begun: Operation = { id: newId("op"), kind, context, step, startedMs: this.#now() };
    this.#state.enter(kind, { ...patch(context), operation: begun });
    return begun;
  }

  /** Changes the open span of the current operation; the caller knows that it is of one of these kinds. */
  change<K extends Operation["kind"]>(change: (span: SpanOf<OperationSpan<K>>) => void): void {
    const { current } = this;
    if (current === undefined) return;
    this.#tracer.change(OPERATION_SPANS[current.kind as K], current.context, change);
  }

  /** Records the place at which the current operation waits for a slot. The wait's span begins with the first known place. */
  waitAt(place: number): void {
    const { current } = this;
    if (current === undefined) return;
    if (current.waitContext === undefined) {
      const { context } = this.#tracer.start("valet.capacity.wait", {
        parent: current.context,
        attributes: { "valet.capacity.place": place },
      });
      this.#state.updateOperation({ waitContext: context });
      return;
    }
    this.#tracer.change("valet.capacity.wait", current.waitContext, (span) => {
      span.setAttribute("valet.capacity.place", place);
      span.addEvent("valet.capacity.place", { "valet.capacity.place": place });
    });
  }

  /** Ends the span of the current operation's wait for a slot. */
  endWait(outcome: "ok" | "aborted", errorType?: "session_terminated"): void {
    const { waitContext } = this.current ?? {};
    if (waitContext === undefined) return;
    this.#tracer.change("valet.capacity.wait", waitContext, (span) => endWith(span, outcome, errorType));
    this.#state.updateOperation({ waitContext: undefined });
  }

  /** Ends the current operation and the open spans of its calls. The caller makes the transition that follows. */
  end(outcome: Outcome, errorType?: ErrorType, attributes?: SpanAttributes<OperationSpan>): void {
    if (this.current !== undefined) this.#calls.endSpansOf(this.current.context, outcome);
    this.endWait("aborted", "session_terminated");
    this.change<Operation["kind"]>((span) => {
      span.setAttributes(attributes ?? {});
      endWith(span, outcome, errorType as EndReason<OperationSpan> | undefined);
    });
    this.#state.update({ operation: undefined });
  }
}
