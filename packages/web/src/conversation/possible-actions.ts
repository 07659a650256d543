/** Which changes of a session make sense now. The API decides; this only leaves out what it would refuse, or what has no effect. Pure. */
import type { Schemas } from "../api/client.ts";

interface PossibleActions {
  readonly abort: boolean;
  readonly hibernate: boolean;
  readonly wake: boolean;
  readonly clear: boolean;
  readonly terminate: boolean;
  readonly delete: boolean;
}

export function possibleActions(
  {
    status,
    queueLength,
    deletion,
    agent,
  }: Pick<Schemas["SessionView"], "status" | "queueLength" | "deletion" | "agent">,
  now: Pick<Schemas["NowView"], "running"> | undefined,
): PossibleActions {
  const isOver = status === "terminated" || status === "terminating" || deletion !== undefined;
  const runs = agent === "busy" || (now?.running.length ?? 0) > 0;
  return {
    abort: !isOver && runs,
    hibernate: !isOver && status === "running" && !runs,
    wake: !isOver && (status === "hibernated" || status === "error"),
    clear: !isOver && queueLength > 0,
    terminate: !isOver,
    delete: deletion === undefined,
  };
}
