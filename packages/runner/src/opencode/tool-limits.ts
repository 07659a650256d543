/**
 * Tools that end by themselves after a time that their call names: as long as one runs, silence is no sign of trouble. OpenCode
 * ends them (1.18.33: `bash` in milliseconds, two minutes unless the call says otherwise; `webfetch` in seconds).
 */
import type { AgentEvent, ToolPart } from "./events.ts";

/** What a limit is given in, in milliseconds, and what it is where the call names none. */
const LIMITED: { readonly [tool: string]: { readonly unitMs: number; readonly otherwiseMs: number } | undefined } = {
  bash: { unitMs: 1, otherwiseMs: 120_000 },
  webfetch: { unitMs: 1000, otherwiseMs: 30_000 },
};
/** From a tool's limit to the event that tells of its end, in milliseconds: its processes are ended first. */
const ENDING_MS = 5_000;

export class ToolLimits {
  /** When each running tool must have ended, epoch ms, by its part. */
  readonly #untilMs = new Map<string, number>();

  /** Takes notice of an event of the agent or one of its sub-agents. */
  note(event: AgentEvent): void {
    if (event.type !== "message.part.updated" || event.properties.part.type !== "tool") return;
    const { part } = event.properties;
    const untilMs = limitOf(part);
    if (untilMs === undefined) this.#untilMs.delete(part.id);
    else this.#untilMs.set(part.id, untilMs);
  }

  /** Until when nothing need be heard, epoch ms; 0 where no tool with a limit runs. */
  get quietUntilMs(): number {
    return Math.max(0, ...this.#untilMs.values());
  }
}

function limitOf({ tool, state }: ToolPart): number | undefined {
  const limited = Object.hasOwn(LIMITED, tool) ? LIMITED[tool] : undefined;
  if (state.status !== "running" || limited === undefined) return undefined;
  const { timeout } = state.input;
  const isGiven = typeof timeout === "number" && Number.isFinite(timeout) && timeout > 0;
  return state.time.start + (isGiven ? timeout * limited.unitMs : limited.otherwiseMs) + ENDING_MS;
}
