/** What a queued message waits for, as a sentence. Pure. */
import type { Message } from "./conversation.ts";

const SENTENCES: Readonly<Record<NonNullable<Message["queueReason"]>, string>> = {
  immediate: "It is about to start.",
  runner_busy: "It waits for the turn before it in its channel.",
  sandbox_starting: "It waits for the sandbox to start.",
  sandbox_hibernated: "It waits for the sandbox to wake.",
  sandbox_restoring: "It waits for the sandbox to be restored.",
  runner_disconnected: "It waits for the sandbox's runner to connect again.",
  collect_debounce: "It waits for more messages to collect.",
  initial_prompt: "It waits for the sandbox to start.",
  system_message: "It waits for its turn.",
  capacity: "It stands in line for a sandbox.",
};

/** @param place in the line for a sandbox, from 1 */
export function queueSentence(reason: Message["queueReason"], place: number | undefined): string {
  if (reason === undefined) return "It waits for its turn.";
  if (reason === "capacity" && place !== undefined) return `It stands in line for a sandbox, at place ${place}.`;
  return SENTENCES[reason];
}
