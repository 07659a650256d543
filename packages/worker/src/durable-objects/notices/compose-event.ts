/** Composes the events of webhooks. Pure. No event holds content of the conversation. */
import { whyWithoutContent } from "@valet/shared/answers/verdict/without-content";
import type { SessionStatus, SessionView, TurnRecord } from "@valet/shared/protocol/session-view";
import type { VerdictView } from "@valet/shared/protocol/verdict";
import {
  SessionAttentionEvent,
  SessionStateEvent,
  TurnEndedEvent,
  type WebhookEvent,
} from "@valet/shared/protocol/webhooks";

/** @param text the sentence of `why` */
export function turnEnded(view: SessionView, turn: TurnRecord, text: string): WebhookEvent {
  const data = { ...ofSession(view), text, turn };
  return TurnEndedEvent.parse({ type: "turn.ended", timestamp: turn.ended_at, data });
}

/** A status that the session took. It may have taken another since. */
export interface StatusChange {
  readonly status: SessionStatus;
  /** What was told before; `undefined` if nothing was. */
  readonly previous: SessionStatus | undefined;
  /** ISO 8601. */
  readonly at: string;
}

export function stateChanged(view: SessionView, { status, previous, at }: StatusChange): WebhookEvent {
  const was = previous === undefined ? "" : ` It was \`${previous}\` before.`;
  const text = `The session is \`${status}\`.${was}`;
  const data = { ...ofSession(view), text, status, previous: previous ?? null };
  return SessionStateEvent.parse({ type: "session.state", timestamp: at, data });
}

/** @param attention the verdict; `undefined` if the session needs no attention any more */
export function attentionChanged(view: SessionView, attention: VerdictView | undefined, at: string): WebhookEvent {
  const text = attention === undefined ? "The session needs no attention any more." : whyWithoutContent(attention);
  const data = { ...ofSession(view), text, attention: attention ?? null };
  return SessionAttentionEvent.parse({ type: "session.attention", timestamp: at, data });
}

function ofSession({ id, repoUrl, branch }: SessionView) {
  return { sessionId: id, repoUrl: repoUrl ?? null, branch: branch ?? null };
}
