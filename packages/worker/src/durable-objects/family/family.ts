/** The data that sessions of a family send each other, and the family's limits. */
import { LIMITS } from "@valet/shared/limits";
import { costText } from "@valet/shared/protocol/cost";
import type { ChildSessionEvent, ErrorType, Outcome } from "@valet/shared/spans";
import type { GitCredentials } from "../core/git-credentials.ts";

/** How deep sessions may be nested below one without a parent. */
export const MAX_DEPTH = 2;
/** How many children of a session may be open, since each may have a sandbox. */
export const MAX_OPEN_CHILDREN = 5;
/** The timeout of a call between sessions. A call takes longer only when an object dies during it. */
export const PEER_CALL_MS = LIMITS.peerCallMs;

/** A context in the form of W3C headers, for a link. */
export interface Carrier {
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** Where a session with a parent comes from. */
export interface ChildOrigin {
  readonly depth: number;
  /**
   * The context of the tool call by which the parent's agent spawned the session; absent when a person created it
   * through the API.
   */
  readonly spawnedBy?: Carrier;
  /** The credentials of the parent's repository, if the child works on it. */
  readonly credentials?: GitCredentials;
}

/** A message from a parent's agent to a child. */
export interface ParentMessage {
  /** A known id returns the existing message. */
  readonly id: string;
  readonly parentSessionId: string;
  readonly content: string;
  /** The context of the tool call that sent the message. */
  readonly sentBy: Carrier;
}

/** A child's report to its parent. */
export interface ChildReport {
  /** The id of the message that the report becomes, so that a repeated report is recognized. */
  readonly id: string;
  readonly childSessionId: string;
  readonly title?: string;
  readonly event: ChildSessionEvent;
  readonly outcome?: Outcome;
  readonly errorType?: ErrorType;
  /** What happened and what to do, in sentences; set for failures only. */
  readonly why?: string;
  /** The known cost of all turns so far; `null` when no cost is known. */
  readonly costUsd: number | null;
  /** Whether a part of the cost is unknown. */
  readonly isCostPartial?: boolean;
  /** The text of the last answer; cut if it is long. */
  readonly answer?: string;
  /** The context of the report's span. */
  readonly reportedBy: Carrier;
}

/** Returns the report as text for the parent's agent. */
export function reportText(report: ChildReport): string {
  const { childSessionId, title, event, outcome, errorType, why: failure, costUsd, isCostPartial, answer } = report;
  const name = `Child session ${childSessionId}${title === undefined ? "" : ` ("${title}")`}`;
  const why = [outcome, errorType].filter((each) => each !== undefined && each !== "ok").join(", ");
  const happened = {
    completed: "has completed its work.",
    error: [`did not complete its work: ${why}.`, failure].filter(Boolean).join(" "),
    terminated: "was terminated and accepts no more messages.",
  }[event];
  const known = costText(costUsd, isCostPartial);
  const cost = known === "cost unknown" ? "Its cost so far is unknown." : `It has cost ${known} so far.`;
  return [`${name} ${happened} ${cost}`, ...(answer === undefined ? [] : [`Its last answer:\n\n${answer}`])].join("\n");
}
