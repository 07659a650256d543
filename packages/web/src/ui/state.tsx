/** States of sessions and outcomes: an icon and a word, never a colour alone. */
import { Icon, type IconName } from "./icons.tsx";

export interface StateLook {
  readonly word: string;
  readonly icon: IconName;
  /** The class of its hue: that of what it waits for, or of who works or is silent. Success and rest have none. */
  readonly hue: string;
}

const STATES = {
  waiting_for_person: { word: "waiting for a person", icon: "person", hue: "t-person" },
  waiting_for_sandbox: { word: "waiting for its sandbox", icon: "sandbox", hue: "t-sandbox" },
  waiting_for_capacity: { word: "waiting for capacity", icon: "queue", hue: "t-queue" },
  stuck: { word: "stuck", icon: "stuck", hue: "t-failed" },
  failed: { word: "failed", icon: "failed", hue: "t-failed" },
  lost: { word: "lost", icon: "lost", hue: "t-failed" },
  quiet: { word: "quiet", icon: "quiet", hue: "t-model" },
  working: { word: "working", icon: "run", hue: "t-model" },
  ok: { word: "ok", icon: "ok", hue: "" },
  aborted: { word: "aborted", icon: "end", hue: "m" },
  queued: { word: "queued", icon: "queue", hue: "t-queue" },
  idle: { word: "idle", icon: "idle", hue: "m" },
  hibernated: { word: "hibernated", icon: "moon", hue: "m" },
  terminated: { word: "terminated", icon: "end", hue: "m" },
} as const satisfies Readonly<Record<string, StateLook>>;
export type State = keyof typeof STATES;

/** Returns the word of a state. */
export function stateWord(state: State): string {
  return STATES[state].word;
}

/**
 * Returns the state that the page shows for a session. For an idle session that is its status, if it sleeps, has ended or has failed.
 * @param doing what it does now; `idle` also if it sleeps or has ended
 * @param status its status, if that is known
 */
export function shownState(doing: State, status: string | undefined): State {
  if (doing !== "idle") return doing;
  if (status === "error") return "failed";
  return status === "terminated" || status === "hibernated" ? status : "idle";
}

/** The icon of a state, with its word for screen readers. @param hue another hue: `t-tool` for a session whose tool works */
export function StateIcon({ state, hue }: { readonly state: State; readonly hue?: string }) {
  const look = STATES[state];
  return <Icon name={look.icon} label={look.word} className={hue ?? look.hue} />;
}

/** A state as icon and word. */
export function StateMark({ state, hue }: { readonly state: State; readonly hue?: string }) {
  const look: StateLook = STATES[state];
  return (
    <span className={`inline-flex items-center gap-1 font-medium whitespace-nowrap ${hue ?? look.hue}`}>
      <Icon name={look.icon} />
      {look.word}
    </span>
  );
}
