/** The states of a session and their transitions. Pure: callers store a transition together with the span that describes it. */
import type { SessionStatus } from "@valet/shared/protocol/session-view";

export type SessionEvent =
  | "spawn"
  | "restore"
  | "ready"
  | "sandbox_lost"
  | "start_failed"
  | "give_up"
  | "hibernate"
  | "stay_awake"
  | "rescue"
  | "hibernated"
  | "terminate"
  | "terminated";

const TRANSITIONS: Record<SessionEvent, { readonly from: readonly SessionStatus[]; readonly to: SessionStatus }> = {
  spawn: { from: ["created", "recovering", "error"], to: "starting" },
  restore: { from: ["hibernated", "recovering", "error"], to: "restoring" },
  ready: { from: ["starting", "restoring"], to: "running" },
  sandbox_lost: { from: ["running"], to: "recovering" },
  start_failed: { from: ["starting", "restoring"], to: "recovering" },
  give_up: { from: ["starting", "restoring", "recovering"], to: "error" },
  hibernate: { from: ["running"], to: "hibernating" },
  stay_awake: { from: ["hibernating"], to: "running" },
  hibernated: { from: ["hibernating"], to: "hibernated" },
  rescue: { from: ["error"], to: "recovering" },
  terminate: {
    from: ["created", "starting", "running", "hibernating", "hibernated", "restoring", "recovering", "error"],
    to: "terminating",
  },
  terminated: { from: ["terminating"], to: "terminated" },
};

/** Returns the state to which an event leads; `undefined` if it is not legal. */
export function transition(state: SessionStatus, event: SessionEvent): SessionStatus | undefined {
  const { from, to } = TRANSITIONS[event];
  return from.includes(state) ? to : undefined;
}
