/** The outcome of a turn as icon and words: the first cause of an error where there is one. */
import type { Schemas } from "../../api/client.ts";
import { Icon, type IconName } from "../../ui/icons.tsx";
import { outcomeWord } from "./outcome-word.ts";

type Turn = Schemas["TurnRecord"];

const LOOKS: Readonly<Record<Turn["outcome"], { readonly icon: IconName; readonly hue: string }>> = {
  ok: { icon: "ok", hue: "" },
  error: { icon: "failed", hue: "t-failed" },
  lost: { icon: "lost", hue: "t-failed" },
  aborted: { icon: "end", hue: "m2" },
  superseded: { icon: "minus", hue: "m2" },
  skipped: { icon: "minus", hue: "m2" },
};

export function OutcomeMark({ turn }: { readonly turn: Turn }) {
  const { icon, hue } = LOOKS[turn.outcome];
  return (
    <span
      className={`inline-flex max-w-full items-center gap-1 ${hue}`}
      title={turn.outcome_reason ?? turn.error_type ?? turn.outcome}
    >
      <Icon name={icon} />
      <span className="cut">{outcomeWord(turn)}</span>
    </span>
  );
}
