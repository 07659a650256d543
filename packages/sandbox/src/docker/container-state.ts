/** Reads what an engine says of a sandbox's container. Pure. */
import type { StopReason } from "@valet/shared/protocol/sandbox-broker";
import type { ContainerInspectInfo } from "dockerode";
import { OUT_OF_MEMORY_CODE } from "../remote/supervisor.ts";

type State = ContainerInspectInfo["State"];

/** Exit codes after which the supervisor itself was asked to end, or has found that a restart would not help. */
const SUPERVISOR_ENDED: Readonly<Record<number, StopReason>> = {
  0: "entrypoint_ended",
  [OUT_OF_MEMORY_CODE]: "out_of_memory",
  77: "entrypoint_ended",
  78: "entrypoint_ended",
  143: "broker_stopped",
};
/** What Docker says of a container that was running when its machine lost power: nobody saw it end. */
const UNKNOWN = 255;
/** Of a process that SIGKILL ended. */
const KILLED = 137;
/** How an engine writes that a container never ran. */
const NEVER = /^0001-/;
const FRAME_HEADER = 8;

export function stateOf({
  Running,
  Paused,
  StartedAt,
}: Pick<State, "Running" | "Paused" | "StartedAt">): "running" | "stopped" | "starting" {
  if (Running || Paused) return "running";
  return NEVER.test(StartedAt) ? "starting" : "stopped";
}

/**
 * Returns why a sandbox stopped. Engines say of a container for all its life that it was out of memory, once that has ended any of its
 * processes, such as a command of the agent; so that is no reason where the supervisor has ended in order.
 */
export function stopReasonOf({ ExitCode, OOMKilled }: Pick<State, "ExitCode" | "OOMKilled">): StopReason {
  const reason = SUPERVISOR_ENDED[ExitCode];
  if (reason !== undefined) return reason;
  if (OOMKilled) return "out_of_memory";
  // Otherwise the engine or the machine was stopped.
  return ExitCode === KILLED || ExitCode === UNKNOWN ? "broker_lost" : "entrypoint_failed";
}

/** Returns the text of a log, which the engine sends in frames of a header of 8 bytes and a payload, whose length the header has. */
export function textOf(frames: Buffer): string {
  const payloads: Buffer[] = [];
  for (let at = 0; at + FRAME_HEADER <= frames.length; ) {
    const end = at + FRAME_HEADER + frames.readUInt32BE(at + 4);
    payloads.push(frames.subarray(at + FRAME_HEADER, end));
    at = end;
  }
  return Buffer.concat(payloads).toString("utf8");
}
