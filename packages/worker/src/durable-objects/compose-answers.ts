/** Composes the answers of a session's object: what it does now, whether it needs a person, and why a job took its time. */
import type { NowView } from "@valet/shared/protocol/now";
import type { Env } from "../bindings.ts";
import { Attention } from "./answers/attention.ts";
import { viewNow } from "./answers/now-view.ts";
import { type FactSources, linkOf, readFacts } from "./answers/session-facts.ts";
import { SlotHolders } from "./answers/slot-holders.ts";
import { TypicalTimes } from "./answers/typical-times.ts";
import { WhyAnswer } from "./answers/why-answer.ts";
import type { CapacityCalls } from "./capacity/capacity-calls.ts";
import { withinCall } from "./capacity/within-call.ts";
import type { TurnRecords } from "./conversation/turn-records.ts";
import type { CallPeer } from "./family/peers.ts";
import type { RunnerLink } from "./link/runner-link.ts";
import type { TraceStore } from "./traces/trace-store.ts";

/** How long an answer waits for the names of those who hold the sandboxes, in ms. */
const HOLDERS_MS = 1000;

export interface AnswersOptions extends Omit<FactSources, "typical" | "holders"> {
  readonly env: Env;
  readonly sessionId: () => string;
  readonly records: TurnRecords;
  readonly link: RunnerLink;
  readonly traces: TraceStore;
  /** The object that hands out the turns to start a sandbox. */
  readonly capacity: () => Pick<CapacityCalls, "shortage">;
  readonly callPeer: CallPeer;
  /** The ids of the session's newest children, the newest last. */
  readonly newestChildren: (limit: number) => readonly string[];
  /** Returns the `attentionKey` that was projected last. */
  readonly projectedKey: () => string;
  /** Records a change of the session in a transaction. */
  readonly changed: () => void;
  readonly background: (work: Promise<void>) => void;
  readonly now: () => number;
  readonly report: (error: unknown) => void;
}

export function composeAnswers(options: AnswersOptions) {
  const { env, sessionId, state, queue, requests, records, link, traces, callPeer, now, report } = options;
  const ownerId = () => state.record.ownerId;
  const typical = new TypicalTimes({ db: env.DB, ownerId, now, report });
  const holders = new SlotHolders({
    db: env.DB,
    ownerId,
    isWaiting: () => state.maybe?.operation?.step === "waiting",
    ask: () => withinCall(options.capacity().shortage(sessionId()), HOLDERS_MS),
    now,
    report,
  });
  const sources: FactSources = { ...options, holders, typical: typical.of };
  const attention = new Attention({
    facts: (nowMs) => (state.maybe === undefined ? undefined : readFacts(sources, nowMs)),
    typical,
    projectedKey: options.projectedKey,
    changed: options.changed,
    background: options.background,
    now,
    report,
  });
  const whyAnswer = new WhyAnswer({
    sessionId,
    jobs: queue.jobs,
    records,
    spansOf: (traceId, most) => traces.reader.plainSpans(traceId, most, (instanceId) => link.lastSeenMs(instanceId)),
    endContext: () => state.record.endContext,
    family: {
      parentId: () => state.record.parentSessionId,
      newestChildren: options.newestChildren,
      ask: (id, request) => callPeer(id, (peer) => peer.familySpans(request, { ownerId: ownerId() })),
    },
    holders,
    runnerGoneMs: (nowMs) => {
      const known = linkOf(options, nowMs);
      return known === null || known.isUp ? undefined : known.heardMs;
    },
    now,
  });
  return {
    attention,
    whyAnswer,
    /** Reads what only others know: what is usual for the steps that are open, and who holds what is waited for. Never rejects. */
    loadForNow: async (): Promise<void> => {
      attention.look();
      await Promise.all([typical.load(), holders.load()]);
    },
    /** Returns what the session does now. `undefined` before it is created. */
    viewOfNow: (): NowView | undefined => {
      const looked = attention.look();
      return looked && viewNow({ state, queue, requests, records }, looked.facts, looked.verdict, now());
    },
  };
}
