/** What the sessions of a family tell each other, as plain data that goes from one object to another, and within what bounds. */
import { LIMITS } from "@valet/shared/limits";
import { costText } from "@valet/shared/protocol/cost";
import type { ChildSessionEvent, ErrorType, Outcome } from "@valet/shared/spans";
import type { GitCredentials } from "../core/git-credentials.ts";

/** How many sessions there may be below one that has no parent, one under the other. */
export const MAX_DEPTH = 2;
/** How many children of a session may be open: each may have a sandbox. */
export const MAX_OPEN_CHILDREN = 5;
/** One session's call of another takes longer only if either object died in the middle of it. */
export const PEER_CALL_MS = LIMITS.peerCallMs;

/** A context as W3C headers have it, for a link. */
export interface Carrier {
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** Where a session that has a parent comes from. */
export interface ChildOrigin {
  readonly depth: number;
  /** The parent's agent, by a tool call with this context, rather than a person through the API. */
  readonly spawnedBy?: Carrier;
  /** Of the parent's repository, where the child works on that. */
  readonly credentials?: GitCredentials;
}

/** What a parent's agent says to a child. */
export interface ParentMessage {
  /** The same id twice is one message. */
  readonly id: string;
  readonly parentSessionId: string;
  readonly content: string;
  /** The tool call that sent it. */
  readonly sentBy: Carrier;
}

/** What a child tells its parent. */
export interface ChildReport {
  /** Of the message that it becomes: the same report twice is one. */
  readonly id: string;
  readonly childSessionId: string;
  readonly title?: string;
  readonly event: ChildSessionEvent;
  readonly outcome?: Outcome;
  readonly errorType?: ErrorType;
  /** What happened and what to do about it, in sentences; of a failure only. */
  readonly why?: string;
  /** Of all its turns so far, as far as it is known; `null` where it is known of none. */
  readonly costUsd: number | null;
  /** Whether not all of it is known. */
  readonly isCostPartial?: boolean;
  /** The text of the answer to the message that is over; cut where it is long. */
  readonly answer?: string;
  /** The span of the report. */
  readonly reportedBy: Carrier;
}

/** The report as the parent's agent reads it. */
export function reportText(report: ChildReport): string {
  const { childSessionId, title, event, outcome, errorType, why: failure, costUsd, isCostPartial, answer } = report;
  const name = `Child session ${childSessionId}${title === undefined ? "" : ` ("${title}")`}`;
  const why = [outcome, errorType].filter((each) => each !== undefined && each !== "ok").join(", ");
  const happened = {
    completed: "has completed its work.",
    error: [`did not complete its work: ${why}.`, failure].filter(Boolean).join(" "),
    terminated: "was terminated and takes no more messages.",
  }[event];
  const known = costText(costUsd, isCostPartial);
  const cost = known === "cost unknown" ? "What it has cost so far is not known." : `It has cost ${known} so far.`;
  return [`${name} ${happened} ${cost}`, ...(answer === undefined ? [] : [`Its last answer:\n\n${answer}`])].join("\n");
}
