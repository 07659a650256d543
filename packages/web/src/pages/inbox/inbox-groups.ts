/** Sorts sessions into what needs somebody, what runs, and the rest. Pure. */
import type { Schemas } from "../../api/client.ts";
import { type InboxSearch, matches } from "./inbox-search.ts";

type Session = Schemas["SessionView"];
type AttentionItem = Schemas["AttentionItem"];

export const GROUPS = ["needs", "running", "rest"] as const;
export type Group = (typeof GROUPS)[number];

/** One row: a session, as far as it is known. */
export interface InboxRow {
  readonly id: string;
  readonly group: Group;
  readonly title: string | null;
  readonly repoUrl: string | null;
  readonly branch: string | null;
  /** Set in `needs`. */
  readonly verdict: Schemas["VerdictView"] | undefined;
  /** Absent for a session that needs somebody and is not among the sessions that were read. */
  readonly session: Session | undefined;
}

interface InboxRows {
  readonly rows: readonly InboxRow[];
  /** How many sessions the search and the filters hide. */
  readonly hidden: number;
}

/**
 * Returns the rows in their order: those that need somebody as the API has them, oldest first; then what runs and the rest, newest
 * first.
 */
export function inboxRows(
  attention: readonly AttentionItem[],
  sessions: readonly Session[],
  search: InboxSearch,
): InboxRows {
  const byId = new Map(sessions.map((session) => [session.id, session]));
  const needy = new Set(attention.map(({ sessionId }) => sessionId));
  const needs = attention.map((item) => needyRow(item, byId.get(item.sessionId)));
  const others = [...byId.values()].filter(({ id }) => !needy.has(id)).map(rowOf);
  const ofGroup = (group: Group) => others.filter((row) => row.group === group);
  const all = [...needs, ...ofGroup("running"), ...ofGroup("rest")];
  const rows = all.filter(({ id, title, repoUrl, branch, verdict, session }) => {
    return matches(search, { ...session, id, title, repoUrl, branch, why: verdict?.why });
  });
  return { rows, hidden: all.length - rows.length };
}

/**
 * The rows, by what the API said. What it says again without a change has the same row: then nothing of it is drawn again, however often
 * the lists are read while somebody scrolls.
 */
const rowsOfItems = new WeakMap<AttentionItem, InboxRow>();
const rowsOfSessions = new WeakMap<Session, InboxRow>();

function needyRow(item: AttentionItem, session: Session | undefined): InboxRow {
  const known = rowsOfItems.get(item);
  if (known !== undefined && known.session === session) return known;
  const { sessionId, title, repoUrl, branch, verdict } = item;
  const row: InboxRow = { id: sessionId, group: "needs", title, repoUrl, branch, verdict, session };
  rowsOfItems.set(item, row);
  return row;
}

function rowOf(session: Session): InboxRow {
  const known = rowsOfSessions.get(session);
  if (known !== undefined) return known;
  const { id, title = null, repoUrl = null, branch = null } = session;
  const group = isRunning(session) ? "running" : "rest";
  const row: InboxRow = { id, group, title, repoUrl, branch, verdict: undefined, session };
  rowsOfSessions.set(session, row);
  return row;
}

/** Returns the row of a session that has come to need nobody, for example by an answer, in the group in which it is shown. */
export function inItsGroup(next: InboxRow, shown: InboxRow): InboxRow {
  return next.group === shown.group ? next : { ...next, group: shown.group };
}

/** The states of a session that change by themselves. */
const MOVING: readonly Session["status"][] = ["starting", "restoring", "recovering", "hibernating", "terminating"];

function isRunning({ status, agent, queueLength }: Session): boolean {
  if (status === "terminated" || status === "error") return false;
  return agent === "busy" || queueLength > 0 || MOVING.includes(status);
}

/** Returns the different values of a field of the sessions, sorted, for a filter. */
export function choicesOf(sessions: readonly Session[], field: "repoUrl" | "userId" | "model"): string[] {
  return [...new Set(sessions.flatMap((session) => session[field] ?? []))].sort();
}

/** Says what a session that needs nobody and does nothing is: the API has no verdict in its list. */
export function restText({ status, agent, terminatedBy, deletion, sleepProblem, exportProblem }: Session): string {
  if (deletion !== undefined) return "It is being deleted.";
  if (sleepProblem !== undefined) return "Awake, since its snapshot failed; it is tried again.";
  const about = exportProblem === undefined ? "" : " Its spans do not reach the backend.";
  return `${statusText(status, agent, terminatedBy)}${about}`;
}

function statusText(status: Session["status"], agent: Session["agent"], terminatedBy: string | undefined): string {
  switch (status) {
    case "created":
      return "Created; its first message starts a sandbox.";
    case "hibernated":
      return "Hibernated; a message wakes it.";
    case "terminated":
      return terminatedBy === undefined ? "Terminated." : `Terminated by ${terminatedBy}.`;
    case "error":
      return "It has no sandbox, for an error.";
    default:
      return agent === "disconnected" ? "Its runner is not connected." : "Idle; it waits for a message.";
  }
}
