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

interface Limited {
  readonly startMs: number;
  /** From the start to when the end must have been told. */
  readonly limitMs: number;
}

export class ToolLimits {
  /** The running tools that have a limit, by their part. */
  readonly #running = new Map<string, Limited>();

  /** Takes notice of an event of the agent or one of its sub-agents. */
  observe(event: AgentEvent): void {
    if (event.type !== "message.part.updated" || event.properties.part.type !== "tool") return;
    const { part } = event.properties;
    const limited = limitOf(part);
    if (limited === undefined) this.#running.delete(part.id);
    else this.#running.set(part.id, limited);
  }

  /** Until when nothing need be heard, epoch ms; 0 where no tool with a limit runs. */
  get quietUntilMs(): number {
    return Math.max(0, ...Array.from(this.#running.values(), ({ startMs, limitMs }) => startMs + limitMs));
  }

  /**
   * Returns when the first of the running tools has overrun its limit, epoch ms; infinity where none has one.
   * @param waitedMs when the agent last waited for a person: a tool's limit counts from there, since it may be the tool that waited
   */
  overrunMs(waitedMs: number): number {
    const ends = Array.from(this.#running.values(), ({ startMs, limitMs }) => Math.max(startMs, waitedMs) + limitMs);
    return Math.min(Number.POSITIVE_INFINITY, ...ends);
  }
}

function limitOf({ tool, state }: ToolPart): Limited | undefined {
  const limited = Object.hasOwn(LIMITED, tool) ? LIMITED[tool] : undefined;
  if (state.status !== "running" || limited === undefined) return undefined;
  const { timeout } = state.input;
  const isGiven = typeof timeout === "number" && Number.isFinite(timeout) && timeout > 0;
  const limitMs = (isGiven ? timeout * limited.unitMs : limited.otherwiseMs) + ENDING_MS;
  return { startMs: state.time.start, limitMs };
}
