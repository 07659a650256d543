/** What `valet watch` knows of a session: what it does now, and the answers that are being written. Pure. */

import { breakdownText } from "@valet/shared/duration-text";
import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import { costText, lacksCost } from "@valet/shared/protocol/cost";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import type { NowView, StepNow } from "@valet/shared/protocol/now";
import { applyPartDelta } from "@valet/shared/protocol/part-delta-codec";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { counted } from "../counted.ts";

/** The events after which the session may do something else. */
const CHANGES: ReadonlySet<ClientEvent["type"]> = new Set([
  ...(["session", "message", "workflow", "workflow-step", "turn", "spans"] as const),
  ...(["permission-asked", "permission-closed", "question-asked", "question-closed"] as const),
]);
/** How much of the text that is being written is kept, in UTF-16 code units. */
const MAX_TEXT = 16 * 1024;

export class WatchModel {
  now: NowView | undefined;
  /** The end of the text that is being written. */
  text = "";
  readonly #parts = new Map<string, MessagePart>();
  /** The part of the text that comes now, and how much of it has been said. */
  #said: { readonly partId: string; readonly length: number } | undefined;
  #unfinished = "";
  /** The attempts whose end has been said. */
  readonly #ended = new Set<string>();

  /** Returns whether the answer of `/now` may have changed, and the lines to append where nothing is redrawn. */
  apply(event: ClientEvent): { readonly isChange: boolean; readonly lines: readonly string[] } {
    const lines: string[] = [];
    if (event.type === "part") lines.push(...this.#part(event.part));
    else if (event.type === "part-delta") {
      const part = applyPartDelta(this.#parts.get(event.delta.partId), event.delta);
      if (part !== undefined) lines.push(...this.#part(part));
    } else if (event.type === "turn") lines.push(...this.#turn(event.turn));
    return { isChange: CHANGES.has(event.type), lines };
  }

  /** Takes a new answer of `/now`. @returns the lines to append where nothing is redrawn: what has changed since the one before */
  setNow(now: NowView): string[] {
    const before = this.now;
    this.now = now;
    const { verdict, queueLength } = now;
    const lines: string[] = [];
    const said = (view: NowView | undefined) => [view?.verdict.state, view?.verdict.rule, view?.verdict.since].join();
    if (said(before) !== said(now)) lines.push(`${verdict.state}: ${verdict.why}`);
    if (verdict.command !== null && before?.verdict.command !== verdict.command && needsSomebody(verdict.state)) {
      lines.push(`next: ${verdict.nextStep} ${verdict.command}`);
    }
    const known = new Set(stepsOf(before).map(idOf));
    for (const step of stepsOf(now))
      if (!known.has(idOf(step))) lines.push([step.kind, step.name].filter(Boolean).join(" "));
    if ((before?.queueLength ?? 0) !== queueLength) lines.push(`queue: ${counted(queueLength, "job")} waiting`);
    return lines;
  }

  /** A record is sent again when what the turn changed is known. */
  #turn(turn: TurnRecord): string[] {
    const { attempt_id, outcome, error_type, turn_ms, cost_usd } = turn;
    if (this.#ended.has(attempt_id)) return [];
    this.#ended.add(attempt_id);
    const cost = costText(cost_usd, lacksCost(turn));
    const how = [outcome, error_type].filter(Boolean).join(", ");
    const lines = [...this.#flush(), `turn ended: ${how}  ${breakdownText(turn_ms)}  ${cost}`];
    this.#parts.clear();
    this.#said = undefined;
    return lines;
  }

  #part(part: MessagePart): string[] {
    this.#parts.set(part.id, part);
    if (part.type === "tool") return [];
    const isNew = this.#said?.partId !== part.id;
    // A part that is sent whole again, after a reconnect, is said once.
    const from = isNew ? 0 : (this.#said?.length ?? 0);
    const added = part.text.slice(from);
    const lines = isNew ? this.#flush() : [];
    this.#said = { partId: part.id, length: Math.max(from, part.text.length) };
    this.text = `${isNew && this.text !== "" ? `${this.text}\n` : this.text}${added}`.slice(-MAX_TEXT);
    const [first = "", ...rest] = added.split("\n");
    const all = [this.#unfinished + first, ...rest];
    this.#unfinished = all.pop() ?? "";
    return [...lines, ...all.map(quote)];
  }

  #flush(): string[] {
    const left = this.#unfinished;
    this.#unfinished = "";
    return left === "" ? [] : [quote(left)];
  }
}

const quote = (line: string) => `| ${line}`.trimEnd();

const needsSomebody = (state: string) => ["waiting_for_person", "quiet", "stuck", "failed"].includes(state);

function stepsOf(now: NowView | undefined): StepNow[] {
  return (now?.running ?? []).flatMap(({ steps }) => steps);
}

const idOf = ({ kind, name, since }: StepNow) => [kind, name, since].join();
